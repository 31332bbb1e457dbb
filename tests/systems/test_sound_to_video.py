from __future__ import annotations

import pytest
import torch

from soundguide_core.audio.steady_hearing import decided
from soundguide_core.audio.track import MelTrack
from soundguide_core.embedding.joint import load_joint
from soundguide_core.errors import InputError
from soundguide_core.generators.loading import load_generator
from soundguide_core.systems import sound_to_video as s2v
from soundguide_core.training.sound_video import new_trajectory

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
    assert torch.allclose(models["generator"].synthesis(video.ws[5:6]), video.frames[5:6], atol=1e-5)
    before, after = video.ws[:10].mean(0), video.ws[14:].mean(0)
    assert (after - before).abs().mean() > 0.01  # it became louder


def test_it_is_the_paper_step_by_step(models):
    config = s2v.VideoConfig(noise=False, steady_sec=0)
    video = s2v.generate_video(wave(), RATE, source(models), config=config, **models)
    trajectory, ws = models["trajectory"], source(models)
    mel = MelTrack.of_wave(wave(), RATE, trajectory.spec).windows(0, 24, 12.0)
    w_hats = [ws + trajectory.w_scale * trajectory.encoder(x[None]) for x in mel]
    state = trajectory.begin(ws, w_hats[0])
    for i, w_hat in enumerate(w_hats):
        state = trajectory.advance(state, w_hat)
        assert torch.allclose(state.ws[0], video.ws[i], atol=1e-4)


def test_chunks_do_not_change_the_video(models):
    videos = [
        s2v.generate_video(
            wave(), RATE, source(models), config=s2v.VideoConfig(chunk=chunk, smoothing=0.3, steady_sec=0.4, seed=4),
            **models,
        )
        for chunk in (1, 7, 24)
    ]  # fmt: skip
    for video in videos[1:]:
        assert torch.allclose(video.ws, videos[0].ws, atol=1e-4)


def test_what_is_heard_is_steadied_and_how_loud_it_is_is_not(models, monkeypatch):
    network = models["trajectory"].encoder.network  # untrained ears hear hardly a difference
    monkeypatch.setattr(network, "hear", lambda mel: (9 * mel[:, 0, :8, 28:36].mean(-1)).log_softmax(-1))
    trajectory, ws = models["trajectory"], source(models)
    track = MelTrack.of_wave(wave(), RATE, trajectory.spec)
    mel = track.windows(0, 24, 12.0)
    steady = torch.cat(list(decided(iter([trajectory.encoder.hear(mel)]), 12.0, 3)))
    config = s2v.VideoConfig(steady_sec=0.25, chunk=5)  # three frames ahead
    found = torch.cat(list(s2v.invert_sound(track, ws, trajectory, 24, config)))
    assert torch.allclose(found, trajectory.invert(mel, ws, steady), atol=1e-4)
    assert (found - trajectory.invert(mel, ws)).abs().max() > 0.02


def test_the_seed_is_the_noises(models):
    def ws(**settings) -> torch.Tensor:
        return s2v.generate_video(wave(), RATE, source(models), config=s2v.VideoConfig(**settings), **models).ws

    assert torch.equal(ws(seed=1), ws(seed=1)) and not torch.equal(ws(seed=1), ws(seed=2))
    assert torch.equal(ws(seed=1, noise=False), ws(seed=2, noise=False))


def test_strength_0_is_the_source(models):
    video = s2v.generate_video(wave(), RATE, source(models), config=s2v.VideoConfig(strength=0), **models)
    assert torch.allclose(video.ws, source(models).expand_as(video.ws), atol=1e-6)


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
    for settings in ({"fps": 0}, {"strength": -1}, {"smoothing": 1}, {"steady_sec": -1}, {"chunk": 0}):
        with pytest.raises(InputError):
            s2v.VideoConfig(**settings)


def test_a_text_chooses_its_picture(models, tiny):
    joint, generator = load_joint(tiny.joint), models["generator"]
    ws = s2v.start_from_text(["a storm"], generator=generator, joint=joint, candidates=20, chunk=8, seed=3)
    samples = generator.sample_ws(range(3, 23), psi=0.7)
    with torch.no_grad():
        nearness = joint.encode_image(generator.synthesis(samples)) @ joint.encode_text(["a storm"])[0]
    assert torch.allclose(ws[0], samples[nearness.argmax()])
    with pytest.raises(InputError, match="text"):
        s2v.start_from_text([], generator=generator, joint=joint)
