"""What is none of the kinds: the loss by hand, what changes and what does not, somebody's own sounds."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from soundguide_core.checkpoints import safetensors_io
from soundguide_core.common.errors import InputError
from soundguide_core.miniature.training import outside_sounds
from soundguide_core.training.engine.metrics_log import read_metrics
from soundguide_core.training.recipe import merged, read_recipe

RATE = 22050


@pytest.fixture
def own(tmp_path):
    """Six clicks, and six buzzes that are to be none of the kinds."""
    rng, t = np.random.default_rng(0), np.arange(RATE) / RATE
    for k in range(6):
        click = rng.standard_normal(RATE) * np.exp(-30 * (t % 0.25))
        for label, wave in (("click", click), ("unknown", np.sign(np.sin(2 * np.pi * (90 + 20 * k) * t)))):
            path = tmp_path / "sounds" / label / f"{k:02d}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, 0.1 * wave, RATE)
    return tmp_path / "sounds"


def recipe(data, **training):
    made = merged(read_recipe("outside_sounds"), {"training": {"steps": 4, **training}})
    made["data"] = {**made["data"], "folder": str(data)}
    return made


def test_the_loss_against_a_loop():
    """A conv of three kinds and none; two groups of known sounds, one of others."""
    draw = torch.Generator().manual_seed(0)
    events = SimpleNamespace(out_proj=torch.nn.Conv1d(5, 4, 1))
    groups = [
        (torch.randn(n, 5, generator=draw), none, torch.rand(n, generator=draw) + 0.1)
        for n, none in ((3, False), (8, False), (6, True))
    ]
    training = outside_sounds.OutsideTraining(events, groups, known=3.0, decay=0.0, lr=0.1)
    weight, bias = events.out_proj.weight.detach()[..., 0], events.out_proj.bias.detach()
    expected = 0.0
    for h, none, counts in groups:
        total = 0.0
        for x, count in zip(h, counts / counts.sum()):
            scores = [float(w @ x + b) for w, b in zip(weight, bias)]
            p = 1 / (1 + sum(math.exp(z) for z in scores[:3]) / math.exp(scores[3]))
            total -= float(count) * math.log(p if none else 1 - p)
        expected += total * (1.0 if none else 3.0 / 2)
    assert training.step(0)["cross_entropy"] == pytest.approx(expected, rel=1e-4)
    assert training.step(1)["cross_entropy"] < expected


def test_the_last_row_alone_changes_and_a_run_in_parts_is_the_whole(own, tmp_path):
    config = recipe(own)
    config["run"] = {"log_every": 1}
    whole = outside_sounds.run(config=config, out=tmp_path / "whole")
    config["run"]["max_time"] = 1e-6  # one step, each time
    for i in range(4):
        parts = outside_sounds.run(config=config, out=tmp_path / "parts", resume=i > 0)
    one, other = safetensors_io.load(whole)[0], safetensors_io.load(parts)[0]
    assert all(torch.equal(one[name], other[name]) for name in one)
    begin = outside_sounds.load_trajectory().state_dict()
    changed = {name for name, x in one.items() if not torch.allclose(x.float(), begin[name].float(), atol=1e-3)}
    assert {name.rpartition("out_proj.")[2] for name in changed} <= {"weight", "bias"} and changed
    for name in changed:
        assert torch.allclose(one[name][:-1].float(), begin[name][:-1].float(), atol=1e-3)
    rows = read_metrics(tmp_path / "parts" / "metrics.csv")
    assert {row["name"] for row in rows if row["split"] == "held_out"} == {"known", "unknown"}


def test_another_trajectory_is_refused(own, tiny_trajectory, tmp_path):
    config = recipe(own)
    config["models"]["trajectory"] = str(tiny_trajectory)
    with pytest.raises(InputError, match="none of its kinds"):
        outside_sounds.run(config=config, out=tmp_path)


def test_the_moments_of_stretches_are_of_either_side(tmp_path):
    """Each counts for what is to be heard then, and what is learned from them is better told."""
    trajectory = outside_sounds.load_trajectory()
    events, table = outside_sounds.events_of(trajectory), read_recipe("outside_sounds")["data"]
    small = {**table["sounds"], "per_phenomenon": 1}
    small["outside"] = {**table["sounds"]["outside"], "per_kind": 1, "folds": []}
    sounds = outside_sounds.SceneSounds(
        small, {**table, "recordings": str(tmp_path)}, spec=trajectory.spec, fps=12.0, cache=tmp_path
    )
    groups = outside_sounds.moments(events, sounds, 16, torch.Generator().manual_seed(0))
    (known, no, counts), (outside, yes, others) = groups
    assert (no, yes) == (False, True) and len(known) == len(counts) > 100 and len(outside) == len(others) > 100
    assert known.shape[1] == events.out_proj.weight.shape[1] and counts.min() > 0.05 and others.max() <= 1
    training = outside_sounds.OutsideTraining(events, groups, known=3.0, decay=0.0, lr=0.05)
    losses = [training.step(i)["cross_entropy"] for i in range(20)]
    assert losses[-1] < 0.8 * losses[0]
