"""What is kept of a live picture, and the page that is offered from a thread."""

from __future__ import annotations

import asyncio
import json
import math
import socket
import struct
import threading
import time
import urllib.request

import numpy as np
import pytest
import torch

from soundguide_core.common.errors import InputError
from soundguide_core.embedding.joint import load_joint
from soundguide_core.generators.loading import load_generator
from soundguide_core.live import reel as reel_module
from soundguide_core.live.config import LiveConfig
from soundguide_core.live.ear import LiveEar
from soundguide_core.live.picture import StillPicture
from soundguide_core.live.reel import FPS, SAMPLE_RATE, Reel
from soundguide_core.live.serving import offered
from soundguide_core.live.session import LiveSession

RATE, WORDS = 16000, ("rain", "wind", "birds")


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(reel_module.time, "monotonic", lambda: Clock.now)
    return Clock


def grey(level: float) -> torch.Tensor:
    return torch.full((3, 4, 4), level)


def test_pictures_stand_where_they_were_shown_and_the_sound_ends_with_them(clock):
    reel = Reel(seconds=10)
    assert reel.clip() is None and reel.latest is None
    for i in range(4):  # a picture each half second, half a second of sound between
        clock.now = 100 + i / 2
        reel.heard(np.full(RATE // 2, (i + 1) / 10, np.float32), RATE)
        reel.painted(grey(i / 4))
    clip = reel.clip()
    assert clip.frames.shape == (36, 3, 4, 4) and clip.wave.shape == (1, 36 * RATE // 24) and clip.sample_rate == RATE
    shown = [round(float(frame.mean()) * 4) for frame in clip.frames]
    want = [math.floor(((i - 35) / FPS + 1.5) * 2 + 1e-9) for i in range(36)]  # the last picture at or before it
    assert shown == want
    assert torch.allclose(clip.wave[0, -RATE // 2 :], torch.tensor(0.4))
    assert torch.allclose(clip.wave[0, -RATE : -RATE // 2], torch.tensor(0.3))


def test_no_more_than_the_last_seconds_are_kept(clock):
    reel = Reel(seconds=1)
    for i in range(1000):
        clock.now = 100 + i / 50
        reel.painted(grey(i / 1000))
        reel.heard(np.full(RATE // 50, i / 1000, np.float32), RATE)
    assert len(reel._pictures) <= 52 and len(reel._blocks) <= 52
    clip = reel.clip()
    assert len(clip.frames) == 24 and clip.wave.shape[-1] == RATE
    assert torch.isclose(reel.latest.mean(), torch.tensor(0.999), atol=0.01)


def test_pictures_without_a_sound_have_silence(clock):
    reel = Reel(seconds=10)
    reel.painted(grey(0))
    clock.now = 102.0
    reel.painted(grey(1))
    clip = reel.clip()
    assert len(clip.frames) == 48 and clip.sample_rate == SAMPLE_RATE and not clip.wave.any()
    assert clip.wave.shape[-1] == 2 * SAMPLE_RATE


@pytest.fixture
def make_session(tiny):
    joint = load_joint(tiny.joint)
    ear = LiveEar(joint, WORDS)
    picture = StillPicture(load_generator(tiny.generator), joint, ear.word_embeds)
    reel = Reel(seconds=5)
    return reel, lambda show: LiveSession(ear, picture, LiveConfig(words=WORDS), show, reel)


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_the_page_is_offered_until_the_block_ends(make_session, tmp_path):
    pytest.importorskip("aiohttp")
    from aiohttp import ClientSession

    reel, make = make_session

    async def perform(address):
        async with ClientSession() as client, client.ws_connect(f"{address}/socket") as connection:
            assert (await connection.receive_json())["awaited"]
            for _ in range(5):
                block = np.random.default_rng(0).standard_normal(RATE // 10).astype(np.float32) / 4
                await connection.send_bytes(struct.pack("<dd", 1.0, RATE) + block.tobytes())
                await connection.receive(timeout=20)
            await connection.send_str(json.dumps({"done": True}))
            return await connection.receive(timeout=20)  # the server is there until it is told otherwise

    with offered(make, tmp_path) as page:
        assert page.port and b"<canvas" in urllib.request.urlopen(page.address, timeout=10).read()
        with pytest.raises(InputError, match="another port"), offered(make, tmp_path, page.port):
            pass
        asyncio.run(perform(page.address))
        assert page.done.wait(5)
    assert port_is_free(page.port)
    clip = reel.clip()
    assert len(clip.frames) and clip.wave.abs().max() > 0.1 and clip.sample_rate == RATE


def test_an_open_page_does_not_hold_up_the_end(make_session, tmp_path):
    pytest.importorskip("aiohttp")
    from aiohttp import ClientSession

    _, make = make_session

    async def stay(address, leave):
        async with ClientSession() as client, client.ws_connect(f"{address}/socket") as connection:
            await connection.receive_json()
            leave()
            while not (await connection.receive(timeout=20)).type.name.startswith("CLOS"):
                pass

    there = threading.Event()
    with offered(make, tmp_path) as page:
        visitor = threading.Thread(target=lambda: asyncio.run(stay(page.address, there.set)))
        visitor.start()
        assert there.wait(20)
        began = time.monotonic()
    assert time.monotonic() - began < 5 and port_is_free(page.port)
    visitor.join(20)
    assert not visitor.is_alive()
