"""Live Page in a running ComfyUI: a page on this machine alone, while the node runs and no longer."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from every_node import node

pytestmark = pytest.mark.host

RATE = 16000
SAID = dict(words="rain, wind", strength=1.0, smoothing=0.2, drift=0.3, seed=0, psi=0.7, keep=3.0, max_fps=30.0)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def reached(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex((host, port)) == 0


def prompt_of(port: int, seconds: float, kind: str = "generator", **also) -> dict:
    loader, name = ("LoadStyleGAN", "tiny.safetensors") if kind == "generator" else ("LoadStyleGANV", "miniature")
    return {
        "G": node(loader, name=name),
        "J": node("LoadJointEncoder", name="tiny"),
        "live": node("LivePage", encoder=["J", 0], port=port, seconds=seconds, **{kind: ["G", 0]}, **SAID, **also),
        "see": {"class_type": "PreviewImage", "inputs": {"images": ["live", 0]}},
        "hear": {"class_type": "PreviewAudio", "inputs": {"audio": ["live", 1]}},
        "count": {"class_type": "PreviewAny", "inputs": {"source": ["live", 3]}},
    }


def wait_for_page(port: int) -> bytes:
    for _ in range(600):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=10).read()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise AssertionError("no page is offered")


async def perform(port: int, blocks: int, *, done: bool) -> int:
    """Plays noise to the page's socket as its microphone would => how many pictures came."""
    from aiohttp import ClientSession, WSMsgType

    pictures, noise = 0, np.random.default_rng(0)
    async with ClientSession() as client, client.ws_connect(f"http://127.0.0.1:{port}/socket") as connection:
        assert (await connection.receive_json())["awaited"]
        for i in range(blocks):
            block = noise.standard_normal(RATE // 10).astype(np.float32) / 4
            await connection.send_bytes(struct.pack("<dd", 1.0 + i, RATE) + block.tobytes())
            message = await connection.receive(timeout=30)
            pictures += message.type == WSMsgType.BINARY
        if done:
            await connection.send_str(json.dumps({"done": True}))
        while (await connection.receive(timeout=60)).type == WSMsgType.BINARY:
            pass
    return pictures


@pytest.mark.parametrize("kind", ["generator", "video_generator"])
def test_what_was_shown_and_heard_last_comes_out(server, kind):
    port = free_port()
    prompt_id = server.queue(prompt_of(port, 0.0, kind))
    assert b"<canvas" in wait_for_page(port)
    with ThreadPoolExecutor(1) as apart:  # other tests may have left a loop running in this thread
        pictures = apart.submit(lambda: asyncio.run(perform(port, 20, done=True)))
    run = server.wait(prompt_id)
    assert pictures.result() > 3
    assert run.status == "success", run.error
    count = int(run.outputs["count"]["text"][0])
    assert 1 <= count <= 72 and len(run.outputs["see"]["images"]) == count
    (sound,) = run.outputs["hear"]["audio"]
    assert (server.base / "temp" / sound["subfolder"] / sound["filename"]).stat().st_size > 1000
    assert not reached(port)


def test_it_ends_after_its_seconds_though_the_page_is_open(server):
    port = free_port()
    prompt_id = server.queue(prompt_of(port, 2.0))
    wait_for_page(port)
    listener = threading.Thread(target=lambda: asyncio.run(perform(port, 3, done=False)))
    listener.start()
    run = server.wait(prompt_id, 60)
    listener.join(30)
    assert run.status == "success" and not listener.is_alive() and not reached(port), run.error


def test_stop_ends_it_and_frees_the_port(server):
    port = free_port()
    prompt_id = server.queue(prompt_of(port, 0.0))
    wait_for_page(port)
    assert server.interrupt() < 1.5 * server.patience
    assert server.wait(prompt_id).messages["execution_interrupted"]["node_id"] == "live" and not reached(port)


def test_other_machines_cannot_reach_it(server):
    outside = socket.gethostbyname(socket.gethostname())
    if outside.startswith("127."):
        pytest.skip("this machine has no other address")
    port = free_port()
    prompt_id = server.queue(prompt_of(port, 0.0))
    wait_for_page(port)
    try:
        assert reached(port) and not reached(port, outside)
    finally:
        server.post("/interrupt", {})
        server.wait(prompt_id)


def test_mistakes_are_two_sentences(server):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        run = server.run(prompt_of(taken.getsockname()[1], 1.0))
        assert run.status == "error" and "Give another port." in run.error
    both = prompt_of(0, 1.0)
    both["V"] = node("LoadStyleGANV", name="miniature")
    both["live"]["inputs"]["video_generator"] = ["V", 0]
    run = server.run(both)
    assert run.status == "error" and "one thing that paints" in run.error
    silent = prompt_of(0, 1.0)
    silent["live"]["inputs"]["words"] = " ,"
    _, answer = server.post("/prompt", {"prompt": silent})
    assert "no word to listen for" in answer["node_errors"]["live"]["errors"][0]["details"]


def test_a_page_that_nobody_opens_is_told(pack, monkeypatch):
    live, reel = pack("nodes.live"), pack("soundguide_core.live.reel").Reel(1.0)
    page = pack("soundguide_core.live.serving").Offered(8190)
    monkeypatch.setattr(live, "OPENED_WITHIN_SEC", 0.2)
    with pytest.raises(pack("soundguide_core.common.errors").InputError, match="Nobody has opened the page http://127"):
        live.watch(page, reel, 0.0, [])
