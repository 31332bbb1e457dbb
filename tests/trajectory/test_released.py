"""The video paper's released networks as a TrajectoryModel: a whole rollout against the script that came with them."""

from __future__ import annotations

import importlib.util
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

import tolerances as tol
from soundguide_core.audio import mel
from soundguide_core.audio.track import MelTrack
from soundguide_core.checkpoints import safetensors_io
from soundguide_core.common.errors import InputError
from soundguide_core.generators.stylegan3 import Generator, StyleGAN3Config
from soundguide_core.systems import sound_to_video as s2v
from soundguide_core.trajectory.loading import kind_of, load_trajectory
from soundguide_core.trajectory.released import BETA, SoundVideo
from soundguide_core.trajectory.trajectory import Trajectory

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture(scope="module")
def made():
    """The module tests/fixtures/make_sound2video_parity.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FIXTURES))
        path = FIXTURES / "make_sound2video_parity.py"
        spec = importlib.util.spec_from_file_location("make_sound2video_parity", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reference(parity):
    """(what the script made, the weights of its networks)"""
    tensors, states, _ = parity.read("sound2video")
    return tensors, states


@pytest.fixture(scope="module")
def files(reference, tmp_path_factory):
    """Its four files, as DataParallel saves them."""
    folder = tmp_path_factory.mktemp("released")
    for part in ("inversion", "coarse", "mid", "fine"):
        state = OrderedDict((f"module.{name}", x) for name, x in reference[1][part].items())
        torch.save(state, folder / f"{part}.pth")
    return folder


@pytest.fixture(scope="module")
def video(files):
    return load_trajectory(files)


@pytest.fixture(scope="module")
def generator(reference, made):
    sizes = {key: made.GENERATOR[key] for key in ("z_dim", "w_dim")}
    config = StyleGAN3Config(made.GENERATOR["img_resolution"], **sizes, **made.SIZES)
    network = Generator(config).eval().requires_grad_(False)
    state = made.generator_weights({k: [list(x.shape), str(x.dtype)] for k, x in reference[1]["generator"].items()})
    missing, unexpected = network.load_state_dict(state, strict=False)
    assert not unexpected and all(name.endswith(("_filter", "w_std")) for name in missing)
    return network


def still(generator) -> torch.Tensor:
    """The latent of a StyleGAN3's first layer whose place the script's surgery gives every picture, [1,1,D].

    b <- b + (W w_avg + b), W <- 0: the affine layer says 2 b + W w_avg, which is W w + b for this w.
    """
    affine = generator.synthesis.input.affine
    says = lambda w: affine(w[None])[0]  # noqa: E731
    zero = torch.zeros(generator.w_dim)
    columns = torch.stack([says(x) - says(zero) for x in torch.eye(generator.w_dim)], dim=1)  # W [4,D]
    return (generator.w_avg + torch.linalg.pinv(columns) @ says(zero))[None, None]


@pytest.mark.parametrize("case", ["short", "long"])
@torch.no_grad()
def test_a_whole_rollout_is_the_script_s(reference, made, video, generator, case):
    wave = torch.from_numpy(made.recording(made.SECONDS[case]))
    exact = mel.log_mel(wave[None], video.spec)
    exact = mel.fit_columns(exact, 864, None if case == "long" else 0)
    start = video.inversion(mel.arrange(exact, video.spec))
    source = still(generator).expand(1, 16, -1)
    path, _ = video.rollout(start[:, None].expand(-1, made.FRAMES, -1, -1), video.init_state(source, start))
    wanted = reference[0][f"{case}.ws"]
    assert (path[0, :, 1:] - wanted[:, 1:]).abs().max() < 1e-5 * wanted.abs().max()
    frames, theirs = generator.synthesis(path[0]), reference[0][f"{case}.frames"]
    assert theirs.std() > 0.1 and (frames - theirs).abs().max() < 1e-4


@pytest.mark.parametrize("case", ["short", "long"])
def test_from_the_recording_on(reference, made, video, generator, case):
    """The recording's mel is kept in half precision, which is all that is different."""
    wave = torch.from_numpy(made.recording(made.SECONDS[case]))
    source = still(generator).expand(1, 16, -1)
    config = s2v.VideoConfig(chunk=2)
    found = s2v.generate_video(
        wave, made.RATE, source, generator=generator, trajectory=video, num_frames=made.FRAMES, config=config
    )
    wanted = reference[0][f"{case}.ws"]
    assert (found.ws[:, 1:] - wanted[:, 1:]).abs().max() < 2e-3 * wanted.abs().max()
    assert (found.frames - reference[0][f"{case}.frames"]).abs().max() < 0.02


def test_the_drift_against_a_loop(video):
    ws, source = torch.randn(1, 16, 128, generator=torch.Generator().manual_seed(0)), torch.zeros(1, 16, 128)
    path, after = video.rollout(ws.expand(1, 3, -1, -1), video.init_state(source, ws))
    w, states = ws, [rnn.start(1) for rnn in video.groups]
    for t in range(3):
        assert torch.allclose(path[0, t, 1:], w[0, 1:], atol=tol.FLOAT32) and not path[0, t, 0].any()
        parts = []
        for i, layers in enumerate((slice(0, 4), slice(4, 8), slice(8, 16))):
            moved, states[i] = video.groups[i](w[:, layers], states[i])
            parts.append(BETA * moved + (1 - BETA) * w[:, layers])
        w = torch.cat(parts, dim=1)
    assert torch.allclose(after.ws, w, atol=tol.FLOAT32)


def test_chunks_do_not_change_the_drift(made, video, generator):
    wave, source = torch.from_numpy(made.recording(0.5)), torch.zeros(1, 16, 128)
    one, many = (
        s2v.generate_video(
            wave, made.RATE, source, generator=generator, trajectory=video, num_frames=5,
            config=s2v.VideoConfig(chunk=chunk),
        ).ws
        for chunk in (5, 2)
    )  # fmt: skip
    assert torch.allclose(one, many, atol=tol.FLOAT32) and (one[1:] - one[:-1]).abs().max() > 1e-3


def test_what_is_longer_is_heard_in_its_middle(video):
    noise = torch.randn(6 * 44100, generator=torch.Generator().manual_seed(0))
    wave = torch.cat([torch.zeros(6 * 44100), 0.1 * noise])
    track = MelTrack.of_wave(wave, 44100, video.spec)
    middle = track.level_db.shape[1] // 2 - 432
    cut = MelTrack(track.level_db[:, middle : middle + 864], video.spec, 10.0)
    cut.ref_db = track.ref_db  # the loudest moment of the whole
    with torch.no_grad():
        assert torch.allclose(video.hear(track), video.hear(cut), atol=tol.FLOAT32)


def test_which_networks_a_name_means(files, tiny_trajectory, tmp_path, monkeypatch):
    assert isinstance(load_trajectory(files), SoundVideo) and isinstance(load_trajectory(tiny_trajectory), Trajectory)
    (tmp_path / "miniature").mkdir()
    monkeypatch.chdir(tmp_path)
    assert kind_of("miniature") == kind_of(None) == "trajectory"  # the registry's, whatever folders there are
    assert kind_of("eccv2022-trajectory") == "released-trajectory"
    with pytest.raises(InputError, match="download eccv2022-trajectory"):
        load_trajectory("eccv2022-trajectory")


def test_another_generator_is_refused(video, tiny):
    from soundguide_core.generators.loading import load_generator

    with pytest.raises(InputError, match=r"moves latents \[16,128\], the generator has \[8,8\]"):
        video.check(load_generator(tiny.generator))


def test_a_video_by_the_command(files, generator, tiny, tmp_path, monkeypatch):
    from soundguide_core.cli import main

    safetensors_io.save(tmp_path / "g.safetensors", generator.state_dict(), generator.config.to_dict())
    command = (
        f"generate --audio {tiny.sound} --generator {tmp_path / 'g.safetensors'} --joint {tiny.joint}"
        f" --trajectory {files} --fps 4 --seconds 1 --out {tmp_path / 'frames'} --json {tmp_path / 'r.json'}"
    )
    assert main(command.split()) == 0
    assert len(list((tmp_path / "frames").glob("*.png"))) == 4
