"""Video as a function of time: any rate, any length, closed where asked, moved by sound, edited and projected."""

from __future__ import annotations

import copy
import gc
from dataclasses import replace

import numpy as np
import pytest
import torch

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.generators.sound_motion import SoundCurve, motion_at
from soundguide_core.generators.stylegan_v import Generator, StyleGANVConfig
from soundguide_core.latents.schedule import Schedule
from soundguide_core.metrics.reactivity import reactivity
from soundguide_core.metrics.video_meter import VideoMeter
from soundguide_core.systems.continuous_content import (
    ContinuousEditConfig,
    choose_content,
    edit_continuous,
    project_clip,
)
from soundguide_core.systems.continuous_video import (
    ContinuousConfig,
    generate_continuous,
    sound_curve,
    stream_continuous,
)

CONFIG = StyleGANVConfig(
    16, 8, 8, channel_base=128, channel_max=8, motion_z_dim=8, motion_u_dim=8, waves=6, fps=12.0, sound_dim=2,
    concat_resolution=8,
)  # fmt: skip


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    network = Generator(CONFIG).eval().requires_grad_(False)
    network.measure_w(keep_avg=False)
    return network


@pytest.fixture(scope="module")
def ws(generator):
    return generator.sample_ws([1], psi=1.0)


class Colours:
    """Sees the mean colour."""

    dim = 3

    def encode_image(self, img):
        return torch.nn.functional.normalize(img.mean(dim=(2, 3)), dim=-1)


def test_rates_agree_where_their_times_meet(generator, ws):
    slow = generate_continuous(ws, generator=generator, config=ContinuousConfig(2.0, 24.0))
    fast = generate_continuous(ws, generator=generator, config=ContinuousConfig(2.0, 60.0, chunk=50))
    assert len(slow.frames) == 48 and len(fast.frames) == 120
    assert torch.allclose(slow.frames[::2], fast.frames[::5], atol=tol.PARITY)
    assert (slow.frames[0] - slow.frames[30]).abs().max() > 1e-2


def test_chunks_make_no_difference(generator, ws):
    sound = SoundCurve(np.random.default_rng(0).random(20), 10.0)
    whole, parts = (
        generate_continuous(ws, generator=generator, sound=sound, config=ContinuousConfig(1.5, 12.0, chunk=chunk))
        for chunk in (18, 5)
    )
    assert torch.allclose(whole.frames, parts.frames, atol=tol.PARITY) and np.allclose(whole.curve, parts.curve)


@pytest.mark.parametrize("drive", [None, "amplitude", "speed"])
def test_a_loop_ends_where_it_began(generator, ws, drive):
    config = ContinuousConfig(3.0, 10.0, loop=True, closed=True)
    sound = None if drive is None else SoundCurve(np.random.default_rng(0).random(36), 12.0, drive)
    frames = generate_continuous(ws, generator=generator, sound=sound, config=config).frames
    assert len(frames) == 30 and torch.allclose(frames[0], frames[-1], atol=tol.FLOAT32)
    steps = (frames[1:] - frames[:-1]).abs().mean(dim=(1, 2, 3))
    assert steps[-1] < 3 * steps.median() and steps.median() > 0
    repeated = generate_continuous(ws, generator=generator, sound=sound, config=replace(config, closed=False)).frames
    assert len(repeated) == 30 and torch.allclose(repeated[0], frames[0], atol=tol.FLOAT32)
    steps = (repeated.roll(-1, 0) - repeated).abs().mean(dim=(1, 2, 3))
    assert steps.median() / 3 < steps[-1] < 3 * steps.median(), "the first frame follows the last as any other"
    with pytest.raises(InputError, match="does not move"):
        ContinuousConfig(0.1, 10.0, loop=True)
    with pytest.raises(InputError, match="Only a loop"):
        ContinuousConfig(closed=True)


def test_silence_is_stylegan_v(generator, ws):
    config = ContinuousConfig(1.0, 12.0)
    plain = generate_continuous(ws, generator=generator, motion_z=4, config=config).frames
    t = torch.arange(12, dtype=torch.float64)[None]
    assert torch.allclose(plain, generator.video(ws, t, generator.motion_noise([4]))[0], atol=tol.FLOAT32_SUM)
    for drive in ("amplitude", "speed"):
        silent = SoundCurve(np.zeros(12), 12.0, drive)
        assert torch.equal(
            generate_continuous(ws, generator=generator, motion_z=4, sound=silent, config=config).frames, plain
        )


@pytest.mark.slow
def test_an_hour_needs_the_memory_of_a_second(generator, ws):
    """An hour at a frame in ten seconds, and its last second."""

    def storages() -> dict[int, int]:
        """Bytes of what all living tensors are stored in, by address."""
        found = (x for x in gc.get_objects() if issubclass(type(x), torch.Tensor))
        return {x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in found}

    def over_an_hour(keep: list) -> list[int]:
        """Bytes made and still held after each chunk."""
        gc.collect()
        config, amounts, others = ContinuousConfig(3600.0, 0.1, chunk=40), [], storages()
        for part in stream_continuous(ws, generator=generator, config=config):
            if keep:
                keep.append(part)
            amounts.append(sum(size for address, size in storages().items() if address not in others))
        return amounts

    amounts = over_an_hour([])
    assert len(amounts) == 9 and max(amounts) < 1.1 * amounts[0]
    assert over_an_hour([None])[-1] > 4 * amounts[0]  # seen, where frames are kept
    far = generator.video(ws, torch.tensor([[3599.5 * 12]], dtype=torch.float64), generator.motion_noise([0]))
    assert far.isfinite().all()


def test_a_video_moves_with_its_sound(generator, ws):
    """Reactivity above 95 % of shuffled sounds."""
    rng = np.random.default_rng(2)
    curve = np.convolve(rng.random(120) > 0.75, np.ones(4) / 4, mode="same")
    config = ContinuousConfig(10.0, 12.0)
    generator = copy.deepcopy(generator)
    generator.synthesis.motion_encoder.sound.weight *= 6  # one that listens well
    video = generate_continuous(ws, generator=generator, sound=SoundCurve(curve, 12.0, "codes"), config=config)
    meter = VideoMeter()
    meter.add(video.frames)
    seen = meter.figures().visual_intensity
    assert reactivity(video.curve, seen, 12.0).share > 0.95


def test_what_is_listened_to():
    rate, t = 8000, torch.arange(8000 * 4) / 8000
    wave = torch.sin(2 * torch.pi * 440 * t) * torch.where(t % 2 < 1, 0.9, 0.01)
    sound = sound_curve(wave, rate, 4.0, rate=10.0)
    assert len(sound.curve) == 40 and sound.curve.min() >= 0 and sound.curve.max() <= 1
    assert sound.curve[2:8].min() > 0.9 and sound.curve[12:18].max() < 0.1
    assert sound_curve(wave * 0, rate, 4.0).curve.max() == 0
    with pytest.raises(InputError, match="no curve 'hue'"):
        sound_curve(wave, rate, 1.0, feature="hue")


def test_content_for_a_meaning(generator):
    wanted = torch.nn.functional.normalize(torch.tensor([[1.0, -0.5, 0.2]]), dim=-1)
    few, many = (
        choose_content(wanted, generator=generator, joint=Colours(), candidates=count, psi=1.0) for count in (1, 24)
    )

    def nearness(ws):
        loud = SoundCurve(np.ones(1), 1.0, "codes")
        frame = generate_continuous(ws, generator=generator, sound=loud, config=ContinuousConfig(1.0, 1.0)).frames
        return float((Colours().encode_image(frame) * wanted).sum())

    assert nearness(many) > nearness(few)
    assert torch.equal(few, generator.sample_ws([0], psi=1.0))


@pytest.mark.parametrize("samples", [0, 32])
def test_an_edit_holds_over_the_whole_video(generator, ws, samples):
    wanted = torch.nn.functional.normalize(torch.tensor([[1.0, -1.0, 0.0]]), dim=-1)
    config = ContinuousEditConfig(frames=2, samples=samples, schedule=Schedule(steps=25, lr=0.1))
    result = edit_continuous(ws, wanted, generator=generator, joint=Colours(), config=config)
    before, after = (
        Colours().encode_image(generate_continuous(w, generator=generator, config=ContinuousConfig(4.0, 2.0)).frames)
        @ wanted[0]
        for w in (ws, result.latent)
    )
    assert (after > before + 0.05).all()
    assert result.history[0].keys() == {"sound", "source", "total"}


def test_a_clip_is_projected(generator):
    target = generator.sample_ws([50], psi=1.0)
    config = ContinuousConfig(2.0, 6.0)
    frames = generate_continuous(target, generator=generator, motion_z=3, config=config).frames
    found = project_clip(
        frames, 6.0, generator=generator, contents=12, motions=6, prior=0.0, schedule=Schedule(steps=30, lr=0.05)
    )
    where = {"motion_z": found.motion_z, "start_sec": found.start_sec}
    made = generate_continuous(found.ws, generator=generator, config=config, **where).frames
    assert float((made - frames).abs().mean()) < 0.3 * float(frames.std())
    assert found.history[-1]["pixels"] < 0.8 * found.history[0]["pixels"]
    assert 0 <= found.motion_seed < 6 and not torch.equal(
        found.motion_z, generator.motion_noise([found.motion_seed]).tensor(found.motion_z.shape[1])
    )


@pytest.mark.parametrize("begins", [0.0, 0.7, 2.45])
def test_where_in_its_motion_a_clip_begins_is_found(generator, begins):
    """To a tenth of a frame, where content and motion are among those that are tried; the found motion goes on."""
    config, seconds = ContinuousConfig(1.5, 6.0), np.arange(9) / 6.0
    ws = generator.sample_ws([2], psi=1.0)
    frames = generate_continuous(ws, generator=generator, motion_z=1, config=config, start_sec=begins).frames
    how = {"contents": 3, "motions": 3, "prior": 0.0, "schedule": Schedule(steps=1, lr=0.0)}
    found = project_clip(frames, 6.0, generator=generator, **how)
    assert found.motion_seed == 1 and found.start_sec == pytest.approx(begins, abs=0.2 / generator.fps)
    at = {"start_sec": found.start_sec}
    long = ContinuousConfig(9, 6)
    longer = generate_continuous(found.ws, generator=generator, motion_z=found.motion, config=long, **at)
    assert (longer.frames[:9] - frames).abs().mean() < 0.05 * frames.std()
    goes_on = motion_at(generator, seconds + 7, 1, start_sec=found.start_sec)
    assert torch.allclose(motion_at(generator, seconds + 7, found.motion, **at), goes_on, atol=1e-5)


def test_what_cannot_be_rendered(generator, ws):
    with pytest.raises(InputError, match="content"):
        generate_continuous(ws[:, :2], generator=generator)
    with pytest.raises(InputError, match="frame rate"):
        ContinuousConfig(fps=0)
    with pytest.raises(InputError, match="clip"):
        project_clip(torch.zeros(2, 3, 8, 8), 12.0, generator=generator)
