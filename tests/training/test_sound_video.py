from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from soundguide_core.cli.train import read_recipe
from soundguide_core.embedding.joint import load_joint
from soundguide_core.errors import InputError
from soundguide_core.generators.loading import load_generator
from soundguide_core.training import loop, sound_video
from soundguide_core.training.clips import Clip, ClipSet
from soundguide_core.trajectory import load_trajectory

JUDGE = {"size": 16, "channels": [4, 6]}
FIRST = {"steps": 2, "batch": 2, "frames": 2, "path": False, "weights": {"pixels": 1.0, "sound": 0.1, "codes": 0.1}}
THEN = {
    "steps": 3, "batch": 2, "frames": 2, "before": 2, "weights": dict.fromkeys(sound_video.TERMS[1:], 0.1)
}  # fmt: skip
TRAINING = {
    "stages": [FIRST, THEN], "r1_every": 2, "save_every": 3,
    "image_discriminator": {**JUDGE, "reach": 1}, "video_discriminator": {**JUDGE, "reach": 3},
}  # fmt: skip
RATE = 8000


def make(tiny, cache: Path, **changes) -> sound_video.SoundVideoTraining:
    joint, generator = load_joint(tiny.joint), load_generator(tiny.generator)
    table = {"width": 8, "groups": changes.pop("groups", "three"), "hidden": 6, "noise_dim": 2}
    trajectory = sound_video.new_trajectory(table, generator, joint, seed=0)

    def clip(i: int) -> Clip:
        pixels = np.random.default_rng(i).integers(256, size=(6, 32, 32, 3), dtype=np.uint8)
        wave = torch.rand(RATE, generator=torch.Generator().manual_seed(i)) - 0.5
        return Clip(str(i), ("rain", "fire")[i % 2], lambda: pixels, wave, RATE)

    data = ClipSet(map(clip, range(4)), joint=joint, spec=trajectory.spec, fps=12.0, frames=6, size=32, cache=cache)
    settings = sound_video.Settings.from_dict({**TRAINING, **changes})
    return sound_video.SoundVideoTraining(settings, trajectory, generator, joint, data, "cpu", seed=1)


def test_a_resumed_run_has_the_losses_of_an_uninterrupted_one(tiny, tmp_path):
    whole, parts = [], []
    loop.run(make(tiny, tmp_path), 5, tmp_path / "whole", on_step=lambda i, n, losses: whole.append(losses))
    assert {"pixels", "sound", "codes"} == whole[0].keys()
    assert {"image", "video", "image_judge", "video_judge"} < whole[3].keys()
    assert "video_r1" in whole[4] and "video_r1" not in whole[3]
    loop.run(make(tiny, tmp_path), 3, tmp_path / "parts", on_step=lambda i, n, losses: parts.append(losses))
    training = make(tiny, tmp_path)
    loop.run(training, 5, tmp_path / "parts", resume=True, on_step=lambda i, n, losses: parts.append(losses))
    for ours, theirs in zip(parts, whole, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-6)
    training.export(tmp_path / "t.safetensors")
    assert load_trajectory(tmp_path / "t.safetensors").config == training.trajectory.config
    assert training.sheet(2, 3).shape == (3, 4 * 34 - 2, 3 * 34 - 2)


def test_who_learns_from_what(tiny, tmp_path):
    training = make(tiny, tmp_path)
    before = {name: [p.clone() for p in m.parameters()] for name, m in training.modules.items()}
    still = [p.clone() for m in (training.generator, training.joint) for p in m.parameters()]

    def moved(name: str) -> bool:
        return any(not torch.equal(a, b) for a, b in zip(before[name], training.modules[name].parameters()))

    training.step(0)
    assert moved("trajectory") and moved("average")
    assert not moved("image_discriminator") and not moved("video_discriminator")
    cells = [p for step in training.trajectory.steps.values() for p in step.parameters()]
    assert all(p.grad is None for p in cells)  # the inversion comes first
    training.step(2)
    training.step(3)  # in the first of these the modules' outlets are still 0
    assert moved("image_discriminator") and moved("video_discriminator")
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in cells)
    after = [p for m in (training.generator, training.joint) for p in m.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(still, after))


@pytest.mark.parametrize("without", ["video", "sound"])
def test_a_weight_of_0_leaves_its_term_out(tiny, tmp_path, without):
    stage = {**THEN, "weights": {**THEN["weights"], without: 0.0}}
    losses = make(tiny, tmp_path, stages=[stage], groups="one").step(2)
    assert without not in losses and f"{without}_judge" not in losses and "image_judge" in losses


def test_the_codes_term_and_its_mean(tiny, tmp_path):
    training = make(tiny, tmp_path)
    stage, drawn = training.settings.stages[1], training.draw(2)
    shown, w_hats, own = training.walk(drawn, stage)
    frames, batch = training.render(shown), drawn.batch
    assert frames.shape == (2, 2, 3, 32, 32) and w_hats.shape == (2, 4, 8, 8)
    terms = training.terms(stage, drawn, frames, shown, w_hats, own)
    expected = ((w_hats - training.w_bar.value) ** 2).mean()
    assert terms["codes"].item() == pytest.approx(expected.item(), rel=1e-5)
    seen = training.joint.encode_image(frames.flatten(0, 1)).unflatten(0, (2, 2))
    near = 1 - (seen * batch.said[:, None]).sum(-1)
    assert terms["text"].item() == pytest.approx((batch.loudness[:, 2:] * near).mean().item(), rel=1e-4)
    near = 1 - (seen * batch.heard[:, 2:]).sum(-1)
    assert terms["sound"].item() == pytest.approx(near.mean().item(), rel=1e-4)
    before = training.w_bar.value.clone()
    training.w_bar.update(w_hats.flatten(0, 1))
    assert torch.allclose(training.w_bar.value, 0.99 * before + 0.01 * w_hats.mean((0, 1)), atol=1e-6)


def test_latents_that_are_not_known_cannot_be_a_term(tiny, tmp_path):
    with pytest.raises(InputError, match="not known"):
        make(tiny, tmp_path, stages=[{**THEN, "weights": {"latents": 1.0}}]).step(0)


def test_other_microphones(tiny, tmp_path):
    plain, other = (make(tiny, tmp_path, eq_db=db).draw(3).batch for db in (0.0, 4.0))
    assert torch.equal(plain.real, other.real) and torch.equal(plain.loudness, other.loudness)
    loud = (plain.mels > 0.3) & (plain.mels < 0.9)
    change = (other.mels - plain.mels)[loud]
    assert 0.01 < change.abs().mean() < 0.2 and other.mels.min() >= 0 and other.mels.max() <= 1
    assert (other.mels[plain.mels == 0] == 0).all()


def test_settings_are_checked():
    with pytest.raises(InputError, match="no term 'colour'"):
        sound_video.Settings.from_dict({**TRAINING, "stages": [{**THEN, "weights": {"colour": 1.0}}]})
    with pytest.raises(InputError, match="does not fit"):
        sound_video.Settings.from_dict({**TRAINING, "learning_rate": 1.0})
    stages = [{**FIRST, "steps": 30}, {**THEN, "steps": 70}]
    settings = sound_video.Settings.from_dict({**TRAINING, "stages": stages, "anneal": 0.5})
    assert settings.steps == 100
    assert [settings.stage_at(i).path for i in (0, 29, 30, 99)] == [False, False, True, True]
    assert settings.rate(0) == 1 and settings.rate(75) == pytest.approx(0.525) and settings.rate(100) >= 0.05


def test_the_shipped_recipe_is_whole():
    config = read_recipe("sound_video")
    settings = sound_video.Settings.from_dict(config["training"])
    assert [stage.path for stage in settings.stages] == [False, True, True]
    assert all(stage.before + stage.frames <= config["data"]["frames"] for stage in settings.stages)


SHARE = """
import sys, pathlib
sys.path[:0] = sys.argv[1:3]
from types import SimpleNamespace
import torch
torch.set_num_threads(1)
from soundguide_core.training import loop
from test_sound_video import make
loop.join()
folder = pathlib.Path(sys.argv[3])
models = SimpleNamespace(joint=folder / "joint", generator=folder / "generator.safetensors")
training = make(models, pathlib.Path(sys.argv[4]))
losses = [training.step(i) for i in (0, 2, 3)]
total = sum(p.double().abs().sum().item() for m in training.modules.values() for p in m.parameters())
print(loop.num_processes(), total, losses[2]["pixels"], losses[2]["video_judge"])
"""


def started(count: int, arguments: list[str]) -> list[list[str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": str(count)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SHARE, *arguments],
            env={**os.environ, **place, "RANK": str(i), "LOCAL_RANK": str(i)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in range(count)
    ]
    return [process.communicate(timeout=300)[0].split() for process in processes]


@pytest.mark.slow
def test_two_processes_do_what_one_does(tiny, tmp_path):
    make(tiny, tmp_path)  # the cache is there
    arguments = [str(Path(__file__).parents[2]), str(Path(__file__).parent), str(tiny.folder), str(tmp_path)]
    (one,), two = started(1, arguments), started(2, arguments)
    assert one[0] == "1" and two[0] == two[1] and two[0][0] == "2"
    assert [float(x) for x in two[0][1:]] == pytest.approx([float(x) for x in one[1:]], rel=1e-4)
