from __future__ import annotations

import pytest
import torch

import tolerances as tol
from soundguide_core.audio.mel import MelSpec
from soundguide_core.audio.smoothing import moving_average
from soundguide_core.audio.track import MelTrack
from soundguide_core.common.errors import InputError
from soundguide_core.embedding.joint import load_joint
from soundguide_core.generators.loading import load_generator
from soundguide_core.systems import sound_to_video as s2v
from soundguide_core.training.sound_video import new_trajectory
from soundguide_core.trajectory.trajectory import Trajectory, TrajectoryConfig

RATE = 8000
SIZES = {"encoder": {"width": 8, "loud": 9}, "groups": "three", "hidden": 6, "noise_dim": 2}


@pytest.fixture(scope="module")
def models(tiny):
    """A generator, and a trajectory whose every weight moves something."""
    joint, generator = load_joint(tiny.joint), load_generator(tiny.generator)
    trajectory = new_trajectory(SIZES, generator, joint, seed=0).eval().requires_grad_(False)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for parameter in trajectory.parameters():
            if not parameter.any():
                parameter.normal_(0, 1.0)
    return {"generator": generator, "trajectory": trajectory}


def wave(seconds: float = 2.0) -> torch.Tensor:
    at = torch.arange(round(seconds * RATE)) / RATE
    return (torch.rand(len(at), generator=torch.Generator().manual_seed(0)) - 0.5) * (0.1 + (at > 1).float())


def source(models, seed: int = 0) -> torch.Tensor:
    return models["generator"].sample_ws([seed])


def test_a_frame_for_every_moment_of_the_sound(models):
    video = s2v.generate_video(wave(), RATE, source(models), **models)
    assert video.frames.shape == (24, 3, 32, 32) and video.ws.shape == (24, 8, 8) and video.fps == 12
    assert torch.allclose(models["generator"].synthesis(video.ws[5:6]), video.frames[5:6], atol=tol.FLOAT32_SUM)
    before, after = video.ws[:10].mean(0), video.ws[14:].mean(0)
    assert (after - before).abs().mean() > 0.01  # it became louder


def test_it_is_the_paper_step_by_step(models):
    config = s2v.VideoConfig(noise=False, context_sec=0, sharpness=1, hold_sec=0, smooth_sec=0)
    video = s2v.generate_video(wave(), RATE, source(models), config=config, **models)
    trajectory, ws = models["trajectory"], source(models)
    track = MelTrack.of_wave(wave(), RATE, trajectory.spec)
    mel = track.windows(0, 24, 12.0)
    heard = trajectory.encoder.events(track.stretch(0, track.level_db.shape[1]), track.columns(0, 24, 12.0))[0]
    w_hats = [ws + trajectory.w_scale * trajectory.encoder(x[None], p[None]) for x, p in zip(mel, heard)]
    state = trajectory.init_state(ws, w_hats[0])
    for i, w_hat in enumerate(w_hats):
        state = trajectory.step(state, w_hat)
        assert torch.allclose(state.ws[0], video.ws[i], atol=tol.PARITY)


def test_chunks_do_not_change_the_video(models):
    videos = [
        s2v.generate_video(
            wave(), RATE, source(models), config=s2v.VideoConfig(chunk=chunk, smoothing=0.3, smooth_sec=0.4, seed=4),
            **models,
        )
        for chunk in (1, 7, 24)
    ]  # fmt: skip
    for video in videos[1:]:
        assert torch.allclose(video.ws, videos[0].ws, atol=tol.PARITY)


def test_what_is_heard_is_steadied_and_how_loud_it_is_is_not(models, monkeypatch):
    trajectory, ws = models["trajectory"], source(models)

    def events(mel: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:  # untrained ears hear hardly a difference
        return (9 * mel[:, 0, :8, columns.round().long()].transpose(1, 2)).log_softmax(-1)

    monkeypatch.setattr(trajectory.encoder.network.events, "forward", events)
    track = MelTrack.of_wave(wave(), RATE, trajectory.spec)
    mel = track.windows(0, 24, 12.0)
    heard = events(track.stretch(0, track.level_db.shape[1]), track.columns(0, 24, 12.0))[0]
    won = heard.exp() ** 4 / (heard.exp() ** 4).sum(dim=1, keepdim=True)
    steady = torch.cat(list(moving_average(iter([won]), 3))).log()
    # three frames before and after
    config = s2v.VideoConfig(context_sec=0, sharpness=4, hold_sec=0, smooth_sec=0.25, chunk=5)
    found = torch.cat(list(s2v.invert_sound(track, ws, trajectory, 24, config)))
    assert torch.allclose(found, trajectory.invert(mel, ws, steady), atol=tol.PARITY)
    assert (found - trajectory.invert(mel, ws, heard)).abs().max() > 0.02


@pytest.mark.parametrize("sound", [torch.ones(1), torch.zeros(4000), wave(0.05)])
@pytest.mark.parametrize("fps", [1.0, 240.0])
def test_hardly_anything_to_hear(models, sound, fps):
    config = s2v.VideoConfig(fps=fps, chunk=7)
    video = s2v.generate_video(sound, RATE, source(models), num_frames=9, config=config, **models)
    assert len(video.frames) == 9 and torch.isfinite(video.frames).all()


def test_a_long_sound_is_heard_alike_in_any_chunks(models):
    """Longer than what is heard around a frame, so that no chunk hears all of it."""
    trajectory, ws = models["trajectory"], source(models)
    track = MelTrack.of_wave(torch.cat([wave(), 0.3 * wave().flip(0)] * 6), RATE, trajectory.spec)
    assert track.level_db.shape[1] > 2 * trajectory.encoder.events.reach
    paths = [
        torch.cat(list(s2v.invert_sound(track, ws, trajectory, 288, s2v.VideoConfig(chunk=chunk))))
        for chunk in (5, 64, 288)
    ]
    assert torch.allclose(paths[0], paths[2], atol=tol.PARITY) and torch.allclose(paths[1], paths[2], atol=tol.PARITY)
    assert paths[0].std(dim=0).mean() > 1e-3


def test_the_published_inversion_hears_segments_alone(models):
    network = {"widths": [4, 4, 4, 4, 8], "units": [1, 1, 1, 1], "reduction": 2}
    encoder = {"architecture": "pyramid", "groups": [2, 3, 3], "sides": [2, 4, 8], "network": network}
    spec = MelSpec(8000, 256, 128, 32, 0.0, 4000.0, 80.0, 64, 32, "square", "silence", 0.0, side=32)
    sizes = {**SIZES, "num_ws": 8, "w_dim": 8, "encoder": encoder}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        trajectory = Trajectory(TrajectoryConfig(**sizes), spec).eval().requires_grad_(False)
        for parameter in trajectory.parameters():
            if not parameter.any():
                parameter.normal_(0, 1.0)
    track, ws = MelTrack.of_wave(wave(), RATE, spec), source(models)
    found = torch.cat(list(s2v.invert_sound(track, ws, trajectory, 24, s2v.VideoConfig(chunk=5))))
    assert torch.allclose(found, trajectory.invert(track.windows(0, 24, 12.0), ws), atol=tol.PARITY)
    assert found.std(dim=0).mean() > 1e-3


def test_the_seed_is_the_noises(models):
    def ws(**settings) -> torch.Tensor:
        return s2v.generate_video(wave(), RATE, source(models), config=s2v.VideoConfig(**settings), **models).ws

    assert torch.equal(ws(seed=1), ws(seed=1)) and not torch.equal(ws(seed=1), ws(seed=2))
    assert torch.equal(ws(seed=1, noise=False), ws(seed=2, noise=False))


def test_strength_0_is_the_source(models):
    video = s2v.generate_video(wave(), RATE, source(models), config=s2v.VideoConfig(strength=0), **models)
    assert torch.allclose(video.ws, source(models).expand_as(video.ws), atol=tol.FLOAT32)


def test_any_number_of_frames(models):
    for count in (1, 5, 40):
        assert len(s2v.generate_video(wave(), RATE, source(models), num_frames=count, **models).frames) == count
    with pytest.raises(InputError, match="number of frames"):
        s2v.generate_video(wave(), RATE, source(models), num_frames=0, **models)


def test_it_streams_and_can_be_stopped(models):
    track, seen = MelTrack.of_wave(wave(), RATE, models["trajectory"].spec), []

    def on_step(i, n, terms, preview):
        seen.append((i, n))
        assert preview().shape == (1, 3, 32, 32)
        if i > 8:
            raise KeyboardInterrupt

    parts = []
    with pytest.raises(KeyboardInterrupt):
        for part in s2v.stream_video(track, source(models), config=s2v.VideoConfig(chunk=4), on_step=on_step, **models):
            parts.append(len(part.frames))
            assert torch.is_grad_enabled()  # between chunks the caller's mode holds
    assert parts == [4, 4] and seen == [(3, 24), (7, 24), (11, 24)]


def test_what_does_not_fit_is_refused(models):
    with pytest.raises(InputError, match="source latents"):
        s2v.generate_video(wave(), RATE, source(models).expand(2, -1, -1), **models)
    wrong = {"fps": 0, "strength": -1, "smoothing": 1, "context_sec": -1, "sharpness": -1, "smooth_sec": -1, "chunk": 0}
    for name, value in wrong.items():
        with pytest.raises(InputError):
            s2v.VideoConfig(**{name: value})


def test_a_text_chooses_its_picture(models, tiny):
    joint, generator = load_joint(tiny.joint), models["generator"]
    ws = s2v.start_from_text(["a storm"], generator=generator, joint=joint, candidates=20, chunk=8, seed=3)
    samples = generator.sample_ws(range(3, 23), psi=0.7)
    with torch.no_grad():
        nearness = joint.encode_image(generator.synthesis(samples)) @ joint.encode_text(["a storm"])[0]
    assert torch.allclose(ws[0], samples[nearness.argmax()])
    with pytest.raises(InputError, match="text"):
        s2v.start_from_text([], generator=generator, joint=joint)


def test_old_names_of_settings_are_understood():
    with pytest.warns(FutureWarning, match="few_sec is now context_sec"):
        old = s2v.VideoConfig(few_sec=3, steady_sec=0.5)
    assert old == s2v.VideoConfig(context_sec=3, smooth_sec=0.5)
