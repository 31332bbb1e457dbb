"""The live picture: what the ear says of a moment, what the picture does of it, and the page's socket."""

from __future__ import annotations

import asyncio
import json
import math
import struct
import time

import numpy as np
import pytest
import torch

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.embedding.joint import load_joint
from soundguide_core.generators.latents import SampledMeanings, mean_direction
from soundguide_core.generators.loading import load_generator
from soundguide_core.live.config import LiveConfig
from soundguide_core.live.ear import LiveEar
from soundguide_core.live.picture import StillPicture, VideoPicture
from soundguide_core.live.session import LiveSession
from soundguide_core.media.video import probe

RATE, WORDS = 16000, ("rain", "wind", "birds")


@pytest.fixture(scope="module")
def joint(tiny):
    return load_joint(tiny.joint)


@pytest.fixture(scope="module")
def picture(tiny, joint):
    return StillPicture(load_generator(tiny.generator), joint, LiveEar(joint, WORDS).word_embeds)


def noise(rms: float, seconds: float = 0.1) -> np.ndarray:
    x = np.random.default_rng(0).standard_normal(round(seconds * RATE))
    return (rms * x / np.sqrt(np.square(x).mean())).astype(np.float32)


def test_loudness_is_stevens_law_against_the_loudest_of_late(joint):
    ear = LiveEar(joint, WORDS)
    assert ear.loudness() == 0
    ear.push(noise(0.5), RATE)
    assert math.isclose(ear.loudness(), 1, abs_tol=0.05)
    ear.push(noise(0.5 / math.sqrt(10)), RATE)  # 10 dB below seems half as loud
    assert math.isclose(ear.loudness(), 0.5, abs_tol=0.05)
    ear.push(noise(1e-4), RATE)  # -80 dB
    assert ear.loudness() == 0
    for _ in range(150):  # after 15 seconds the loud moment is 30 dB less in the way
        ear.push(noise(0.5 / 10), RATE)
    assert math.isclose(ear.loudness(), 1, abs_tol=0.05)


def test_words_are_those_of_the_encoder(joint):
    ear = LiveEar(joint, WORDS)
    assert ear.posterior().tolist() == [0, 0, 0]
    block = noise(0.2, 2.0)
    for part in np.split(block, 20):
        ear.push(part, RATE)
    want = joint.classify(joint.encode_audio(torch.from_numpy(block), RATE), WORDS)[0]
    torch.testing.assert_close(ear.posterior(), want, atol=tol.FLOAT32, rtol=0)
    ear.push(noise(0.2), 2 * RATE)  # another rate: what came before cannot be joined to it
    assert len(ear._samples) == len(noise(0.2))


@pytest.mark.parametrize("block", [np.array([np.nan], np.float32), np.zeros((2, 4), np.float32)])
def test_no_samples_are_refused(joint, block):
    with pytest.raises(InputError):
        LiveEar(joint, WORDS).push(block, RATE)


def test_sampled_meanings_against_loops(tiny, joint):
    generator = load_generator(tiny.generator)
    meanings, embeds = SampledMeanings(generator, joint, 32), joint.encode_labels(list(WORDS))
    for k, wanted in enumerate(embeds):
        nearness = [float(wanted @ each) for each in meanings.image_embeds]
        first = sorted(range(32), key=lambda i: -nearness[i])[:2]
        torch.testing.assert_close(meanings.mean_w(embeds)[k], torch.stack([meanings.w[i] for i in first]).mean(0))
    img = generator.synthesis(generator.sample_ws([3]))
    found = mean_direction(img, embeds, generator=generator, joint=joint, samples=32)
    want = meanings.mean_w(embeds) - meanings.mean_w(joint.encode_image(img))
    torch.testing.assert_close(found[:, 0], want)


def test_a_picture_moves_by_what_is_heard(picture):
    still = LiveConfig(drift=0, words=WORDS)
    silence, rain = torch.zeros(3), torch.tensor([1.0, 0, 0])
    calm = picture.frame(0.0, silence, 0.0, still)
    assert torch.equal(calm, picture.frame(9.0, silence, 0.0, still)), "without drift and sound nothing moves"
    torch.testing.assert_close(
        picture.frame(0.0, rain, 1.0, still),
        picture.generator.synthesis(picture.ws + picture.directions[:1])[0],
    )
    half, whole = ((picture.frame(0.0, rain * s, s, still) - calm).abs().mean() for s in (0.5, 1.0))
    assert 0 < half < whole
    assert not torch.equal(calm, picture.frame(6.0, silence, 0.0, LiveConfig(drift=0.5, words=WORDS)))
    assert torch.equal(calm, picture.frame(0.0, silence, 0.0, LiveConfig(drift=0.5, words=WORDS))), "it starts there"
    generator, joint = picture.generator, picture.joint
    ws = generator.sample_ws(range(16), 0.7)
    shows = (joint.encode_image(generator.synthesis(ws)) @ picture.word_embeds.T).amax(dim=1)
    assert torch.equal(picture.ws[0], ws[shows.argmin()]), "the calmest of sixteen"


def test_a_video_runs_faster_or_moves_more_with_the_sound(tiny_video_generator):
    from soundguide_core.generators.loading import load_video_generator

    generator, config = load_video_generator(tiny_video_generator), LiveConfig()
    heard = torch.zeros(7)

    def frames(loudness):
        video = VideoPicture(generator)
        return torch.stack([video.frame(i / 10, heard, loudness, config) for i in range(6)])

    quiet, loud = frames(0.0), frames(1.0)
    assert torch.equal(quiet, frames(0.0)) and not torch.equal(quiet, loud)


def run(joint, picture, seconds: float, **config):
    shown = []
    with LiveSession(LiveEar(joint, WORDS), picture, LiveConfig(words=WORDS, **config), shown.append) as session:
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            session.push(noise(0.3, 0.05), RATE, stamp=time.monotonic() - began)
            time.sleep(0.05)
    assert session.error is None
    return shown


def test_pictures_come_with_their_stamps(joint, picture):
    shown = run(joint, picture, 1.5)
    stamps = [each.stamp for each in shown]
    assert len(shown) >= 5 and stamps == sorted(stamps) and stamps[-1] > 0.5
    assert [each.number for each in shown] == list(range(1, len(shown) + 1)) and shown[-1].loudness > 0.8
    assert set(shown[-1].words) == set(WORDS) and all(each.jpeg[:2] == b"\xff\xd8" for each in shown)


def test_a_recording_is_as_long_as_it_was_and_has_the_sound(joint, picture, tmp_path):
    with LiveSession(LiveEar(joint, WORDS), picture, LiveConfig(words=WORDS), lambda _: None) as session:
        session.push(noise(0.3), RATE, 0.0)
        assert session.record(tmp_path).name == "live-1.mp4"
        with pytest.raises(InputError, match="under way"):
            session.record(tmp_path)
        for _ in range(20):
            session.push(noise(0.3, 0.1), RATE, 0.0)
            time.sleep(0.1)
        path = session.stop_recording()
        assert session.stop_recording() is None
    video = probe(path)
    assert 1.5 < video.num_frames / 24 < 6 and video.sound is not None
    with LiveSession(LiveEar(joint, WORDS), picture, LiveConfig(words=WORDS), lambda _: None) as session:
        session.record(tmp_path)
        time.sleep(1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["live-1.mp4", "live-2.mp4"], "closing ends a recording"


def test_an_error_of_the_painter_is_told(joint):
    class Broken:
        def frame(self, *_):
            raise InputError("It broke.", "Mend it.")

    with LiveSession(LiveEar(joint, WORDS), Broken(), LiveConfig(words=WORDS), lambda _: None) as session:
        time.sleep(0.3)
    assert "It broke" in str(session.error)


def test_the_pages_socket(joint, picture, tmp_path):
    pytest.importorskip("aiohttp")
    from aiohttp.test_utils import TestClient, TestServer

    from soundguide_core.live.server import make_app

    config = LiveConfig(words=WORDS)
    app = make_app(lambda show: LiveSession(LiveEar(joint, WORDS), picture, config, show), tmp_path)

    async def talk():
        async with TestClient(TestServer(app, host="127.0.0.1")) as client:
            page = await (await client.get("/")).text()
            assert "<canvas" in page and "http" not in page.replace("ws://", "").lower().replace("<!doctype html>", "")
            refused = await client.get("/socket", headers={"Origin": "http://elsewhere.example"})
            assert refused.status == 403
            socket = await client.ws_connect("/socket")
            hello = await socket.receive_json()
            assert hello["settings"]["strength"] == 1 and set(hello["sliders"]) >= {"strength", "smoothing", "seed"}
            second = await client.get("/socket", headers={"Connection": "Upgrade", "Upgrade": "websocket"})
            assert second.status == 409
            for i in range(4):
                await socket.send_bytes(struct.pack("<dd", 10.0 + i, RATE) + noise(0.3).tobytes())
            await socket.send_str(json.dumps({"strength": 2}))
            await socket.send_str(json.dumps({"strength": 99}))
            await socket.send_str("no json")
            await socket.send_bytes(b"abc")
            heard, texts = [], []
            for _ in range(200):
                message = await socket.receive(timeout=20)
                if message.type.name == "BINARY":
                    head, jpeg = message.data.split(b"\n", 1)
                    heard.append(json.loads(head))
                    assert jpeg[:2] == b"\xff\xd8"
                else:
                    texts.append(json.loads(message.data))
                if len(texts) == 4 and heard and heard[-1]["stamp"] == 13.0:
                    break
            assert texts[0]["settings"]["strength"] == 2 and "strength" in texts[1]["error"]
            assert "error" in texts[2] and "no sound" in texts[3]["error"]
            assert heard[-1]["stamp"] == 13.0 and heard[-1]["loudness"] > 0
            await socket.close()

    asyncio.run(talk())
