from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.embedding.joint import load_joint
from soundguide_core.generators.loading import load_generator
from soundguide_core.training import sound_video, sound_video_recipe
from soundguide_core.training.clips import Clip, ClipSet
from soundguide_core.training.engine import loop
from soundguide_core.training.recipe import read_recipe
from soundguide_core.training.sound_video_sources import SoundVideoData
from soundguide_core.training.sound_video_terms import kinds_term
from soundguide_core.trajectory.trajectory import load_trajectory

JUDGE = {"size": 16, "channels": [4, 6]}
FIRST = {
    "steps": 2,
    "batch": 2,
    "frames": 2,
    "path": False,
    "trunk_lr": 0.2,
    "weights": {"pixels": 1.0, "sound": 0.1, "codes": 0.1},
}
THEN = {
    "steps": 3, "batch": 2, "frames": 2, "before": 2, "weights": dict.fromkeys(sound_video_recipe.TERMS[2:], 0.1)
}  # fmt: skip
TRAINING = {
    "stages": [FIRST, THEN], "r1_every": 2, "save_every": 3,
    "image_discriminator": {**JUDGE, "reach": 1}, "video_discriminator": {**JUDGE, "reach": 3},
}  # fmt: skip
RATE = 8000


def thirds(img: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """A perceptual distance for tests."""
    return (img - target).abs().mean(dim=(1, 2, 3)) / 3


def make(tiny, cache: Path, **changes) -> sound_video.SoundVideoTraining:
    joint, generator = load_joint(tiny.joint), load_generator(tiny.generator)
    table = {"encoder": {"width": 8, "loud": 9}, "groups": changes.pop("groups", "three"), "hidden": 6, "noise_dim": 2}
    table |= changes.pop("trajectory", {})
    trajectory = sound_video.new_trajectory(table, generator, joint, seed=0)

    def clip(i: int) -> Clip:
        pixels = np.random.default_rng(i).integers(256, size=(6, 32, 32, 3), dtype=np.uint8)
        wave = torch.rand(RATE, generator=torch.Generator().manual_seed(i)) - 0.5
        return Clip(str(i), ("rain", "fire")[i % 2], lambda: pixels, wave, RATE)

    data = ClipSet(map(clip, range(4)), joint=joint, spec=trajectory.spec, fps=12.0, frames=6, size=32, cache=cache)
    network = changes.pop("network", thirds)
    settings = sound_video_recipe.Settings.from_dict({**TRAINING, **changes})
    return sound_video.SoundVideoTraining(
        settings, trajectory, generator, joint, SoundVideoData(data), "cpu", seed=1, perceptual=network
    )


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
        assert ours == pytest.approx(theirs, abs=tol.FLOAT32)
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
    rollout = training.rollout(drawn, stage)
    w_hats, frames, batch = rollout.w_hats, training.render(rollout.shown), drawn.batch
    assert frames.shape == (2, 2, 3, 32, 32) and w_hats.shape == (2, 4, 8, 8)
    terms = training.terms(stage, drawn, rollout, frames)
    expected = ((w_hats - training.w_bar.value) ** 2).mean()
    assert terms["codes"].item() == pytest.approx(expected.item(), rel=tol.FLOAT32_SUM)
    seen = training.joint.encode_image(frames.flatten(0, 1)).unflatten(0, (2, 2))
    near = 1 - (seen * batch.said[:, None]).sum(-1)
    assert terms["text"].item() == pytest.approx((batch.loudness[:, 2:] * near).mean().item(), rel=tol.PARITY)
    near = 1 - (seen * batch.heard[:, 2:]).sum(-1)
    assert terms["sound"].item() == pytest.approx(near.mean().item(), rel=tol.PARITY)
    before = training.w_bar.value.clone()
    training.w_bar.update(w_hats.flatten(0, 1))
    assert torch.allclose(training.w_bar.value, 0.99 * before + 0.01 * w_hats.mean((0, 1)), atol=tol.FLOAT32)


def test_latents_that_are_not_known_cannot_be_a_term(tiny, tmp_path):
    with pytest.raises(InputError, match="not known"):
        make(tiny, tmp_path, stages=[{**THEN, "weights": {"latents": 1.0}}]).step(0)


def test_the_kinds_term():
    """Cross-entropy by hand: two frames of which the second is silent, of three kinds of which two are known."""
    heard = torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]]).log()
    amounts = torch.tensor([[[0.9, 0.9], [0.6, 0.2], [0.0, 0.0]]])  # the first frame was before those that were heard
    expected = -(0.6 * np.log(0.5) + 0.2 * np.log(0.25)) / 2
    assert kinds_term(heard, amounts).item() == pytest.approx(expected, rel=tol.FLOAT32_SUM)
    for unknown in (None, torch.zeros(1, 2, 4)):
        with pytest.raises(InputError, match="no known kinds"):
            kinds_term(heard, unknown)


def test_the_perceptual_term(tiny, tmp_path):
    training = make(tiny, tmp_path, stages=[{**THEN, "weights": {"perceptual": 1.0}}])
    stage, drawn = training.settings.stages[0], training.draw(0)
    rollout = training.rollout(drawn, stage)
    frames = training.render(rollout.shown)
    terms = training.terms(stage, drawn, rollout, frames)
    expected = np.abs((frames - drawn.batch.real[:, 2:]).detach().numpy()).mean() / 3
    assert terms.keys() == {"perceptual"} and terms["perceptual"].item() == pytest.approx(expected, rel=tol.FLOAT32_SUM)
    with pytest.raises(InputError, match="no perceptual network"):
        make(tiny, tmp_path, stages=[{**THEN, "weights": {"perceptual": 1.0}}], network=None)


def test_other_microphones(tiny, tmp_path):
    plain, other = (make(tiny, tmp_path, eq_db=db).draw(3).batch for db in (0.0, 4.0))
    assert torch.equal(plain.real, other.real) and torch.equal(plain.loudness, other.loudness)
    for before, after in ((plain.mels, other.mels), (plain.stretch, other.stretch)):
        change = (after - before)[(before > 0.3) & (before < 0.9)]
        assert 0.01 < change.abs().mean() < 0.2 and after.min() >= 0 and after.max() <= 1
        assert (after[before == 0] == 0).all()


def test_settings_are_checked():
    with pytest.raises(InputError, match="no term 'colour'"):
        sound_video_recipe.Settings.from_dict({**TRAINING, "stages": [{**THEN, "weights": {"colour": 1.0}}]})
    with pytest.raises(InputError, match="does not fit"):
        sound_video_recipe.Settings.from_dict({**TRAINING, "learning_rate": 1.0})
    stages = [{**FIRST, "steps": 30}, {**THEN, "steps": 70, "rate": 0.5}]
    settings = sound_video_recipe.Settings.from_dict({**TRAINING, "stages": stages, "anneal": 0.5})
    assert settings.steps == 100
    assert [settings.stage_at(i).path for i in (0, 29, 30, 99)] == [False, False, True, True]
    assert settings.rate(0) == settings.rate(15) == 1 and settings.rate(30) == settings.rate(65) == 0.5
    assert settings.rate(24) == pytest.approx(0.05 + 0.95 * 0.4) and 0.025 < settings.rate(99) < 0.05


def test_a_shortened_recipe_and_one_without_a_term():
    settings = sound_video_recipe.Settings.from_dict({**TRAINING, "shares": [0.5, 1.0], "without": ["video", "text"]})
    assert [stage.steps for stage in settings.stages] == [1, 3]
    later = sound_video_recipe.Settings.from_dict({**TRAINING, "shares": [0, 0.3]})
    assert [(stage.path, stage.steps) for stage in later.stages] == [(True, 1)]
    with pytest.raises(InputError, match="3 shares are not 2 stages"):
        sound_video_recipe.Settings.from_dict({**TRAINING, "shares": [1, 1, 1]})
    assert settings.stages[1].terms.keys() == {*sound_video_recipe.TERMS[2:]} - {"video", "text"}
    whole, short = (read_recipe(name) for name in ("sound_video", "sound_video_one_module"))
    assert short["trajectory"] == {**whole["trajectory"], "groups": "one"} and short["data"] == whole["data"]
    assert short["models"] == {**whole["models"], "inversion": "miniature"}
    changed = {key: short["training"][key] for key in ("shares", "save_every")}
    assert short["training"] == {**whole["training"], **changed}


def test_a_run_may_begin_with_a_learned_inversion(tiny, tiny_trajectory):
    joint, generator = load_joint(tiny.joint), load_generator(tiny.generator)
    learned = load_trajectory(tiny_trajectory)
    sizes = {name: getattr(learned.config, name) for name in ("encoder", "groups", "hidden", "noise_dim")}
    table = {**sizes, "encoder": {**sizes["encoder"]}, "groups": "one"}
    found = sound_video.new_trajectory(table, generator, joint, 5, str(tiny_trajectory))
    for ours, theirs in zip(found.encoder.parameters(), learned.encoder.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    with pytest.raises(InputError, match="other sizes"):
        table["encoder"]["width"] += 1
        sound_video.new_trajectory(table, generator, joint, 5, str(tiny_trajectory))


def test_the_shipped_recipe_is_whole():
    config = read_recipe("sound_video")
    settings = sound_video_recipe.Settings.from_dict(config["training"])
    assert [stage.path for stage in settings.stages] == [False, True, True]
    assert all(stage.before + stage.frames <= config["data"]["frames"] for stage in settings.stages)
    assert settings.stages[0].frames == 0 and not settings.stages[0].pictures


SQUARE = {
    "sample_rate": 8000, "n_fft": 256, "hop_length": 128, "n_mels": 32, "fmin": 0, "fmax": 4000, "top_db": 80,
    "columns": 64, "stride": 32, "layout": "square", "fill": "silence", "focus": 0, "side": 32,
}  # fmt: skip
PYRAMID = {
    "architecture": "pyramid", "groups": [2, 3, 3], "sides": [2, 4, 8],
    "network": {"widths": [4, 4, 4, 4, 8], "units": [1, 1, 1, 1], "reduction": 2},
}  # fmt: skip


def test_the_published_inversion_is_trained_by_the_same_loop(tiny, tmp_path):
    training = make(tiny, tmp_path, trajectory={"encoder": PYRAMID, "mel": SQUARE})
    losses = [training.step(i) for i in (0, 1, 2)]
    assert all(np.isfinite(list(terms.values())).all() for terms in losses)
    heads = [p for p in training.trajectory.encoder.parameters()]
    assert all(p.grad is not None for p in heads) and training.trunk == []
    training.export(tmp_path / "t.safetensors")
    assert load_trajectory(tmp_path / "t.safetensors").config == training.trajectory.config


def test_hearing_may_rest_or_its_trunk(tiny, tmp_path):
    stages = [{**FIRST, "hearing": False}, {**FIRST, "trunk_lr": 0.0}, {**FIRST, "trunk_lr": 0.5}]
    training = make(tiny, tmp_path, stages=stages)
    parts = {"trunk": training.trunk, "along": list(training.events.in_proj.parameters())}

    def moved(i: int) -> dict[str, bool]:
        before = {name: [p.clone() for p in part] for name, part in parts.items()}
        training.step(i)
        training.step(i)
        return {name: not all(torch.equal(a, b) for a, b in zip(before[name], part)) for name, part in parts.items()}

    assert moved(1) == {"trunk": False, "along": False}
    assert moved(3) == {"trunk": False, "along": True}
    assert moved(5) == {"trunk": True, "along": True}
    with pytest.raises(InputError, match="without hearing"):
        make(tiny, tmp_path, stages=[{**FIRST, "hearing": False, "weights": {"kinds": 1.0}}])


SHARE = """
import sys, pathlib
sys.path[:0] = sys.argv[1:3]
from types import SimpleNamespace
import torch
torch.set_num_threads(1)
from soundguide_core.training.engine import distributed
from test_sound_video import make
distributed.init_distributed()
folder = pathlib.Path(sys.argv[3])
models = SimpleNamespace(joint=folder / "joint", generator=folder / "generator.safetensors")
training = make(models, pathlib.Path(sys.argv[4]))
losses = [training.step(i) for i in (0, 2, 3)]
total = sum(p.double().abs().sum().item() for m in training.modules.values() for p in m.parameters())
figures = f"{distributed.num_processes()} {total} {losses[2]['pixels']} {losses[2]['video_judge']}"
(pathlib.Path(sys.argv[4]) / f"{sys.argv[5]}-{distributed.rank()}.txt").write_text(figures)
"""


@pytest.mark.slow
def test_accelerate_with_two_processes_and_one_does_what_plain_python_does(tiny, tmp_path):
    pytest.importorskip("accelerate")
    make(tiny, tmp_path)  # the cache is there
    script = tmp_path / "share.py"
    script.write_text(SHARE)
    arguments = [str(Path(__file__).parents[2]), str(Path(__file__).parent), str(tiny.folder), str(tmp_path)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    launch = ["-m", "accelerate.commands.launch", "--num_machines", "1", "--mixed_precision", "no"]
    launch += ["--dynamo_backend", "no", "--main_process_port", port]
    ways = {
        "plain": [],
        "one": [*launch, "--num_processes", "1", "--cpu"],
        "two": [*launch, "--num_processes", "2", "--multi_gpu"],  # where there is no GPU: gloo
    }
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    for name, way in ways.items():
        subprocess.run([sys.executable, *way, str(script), *arguments, name], env=hidden, check=True, timeout=300)
    plain, one, *two = (
        (tmp_path / f"{name}.txt").read_text().split() for name in ("plain-0", "one-0", "two-0", "two-1")
    )
    assert plain == one and plain[0] == "1" and two[0] == two[1] and two[0][0] == "2"
    assert [float(x) for x in two[0][1:]] == pytest.approx([float(x) for x in plain[1:]], rel=tol.FLOAT32_SUM)


def test_it_goes_on_from_another_and_learns_what_is_none_of_its_kinds(tiny, tiny_trajectory, tmp_path):
    """begin: all weights of another, whose kinds are one fewer; kept, none_bias: what is written of them."""
    from types import SimpleNamespace

    from soundguide_core.training.sound_video_recipe import UNLIKELY, softened

    joint, generator = load_joint(tiny.joint), load_generator(tiny.generator)
    sizes = {"width": 8, "level_columns": 9, "none": 1}
    table = {"encoder": sizes, "groups": "three", "hidden": 6, "noise_dim": 2}
    found = sound_video.new_trajectory(table, generator, joint, 5, begin=str(tiny_trajectory)).eval()
    first = load_trajectory(tiny_trajectory)
    old, new = first.events.out_proj, found.events.out_proj
    assert torch.equal(new.bias[:-1], old.bias) and torch.equal(new.weight[:-1], old.weight)
    assert new.bias[-1].item() == pytest.approx(old.bias.mean().item() - UNLIKELY, abs=1e-5)
    assert torch.equal(found.steps.coarse.in_proj.weight, first.steps.coarse.in_proj.weight)

    began = {key: x.clone() for key, x in found.state_dict().items()}
    with torch.no_grad():
        for x in found.parameters():
            x += 1
    softer = softened(found, began, SimpleNamespace(kept=0.25, none_bias=0.5))
    weight = softer.steps.coarse.in_proj.weight
    assert torch.allclose(weight, began["steps.coarse.in_proj.weight"] + 0.75, atol=1e-5)
    assert torch.allclose(softer.w_avg, began["w_avg"])
    bias, was = softer.events.out_proj.bias.detach(), began["encoder.network.events.out_proj.bias"]
    assert torch.allclose(bias[:-1], was[:-1] + 0.75, atol=1e-5)
    assert float(bias[-1]) == pytest.approx(float(was[-1]) + 1.5)
