from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from soundguide_core.checkpoints import safetensors_io
from soundguide_core.common.errors import InputError
from soundguide_core.common.rng import with_seed
from soundguide_core.training.engine import loop


class Line(nn.Module):
    def __init__(self):
        super().__init__()
        self.fit = nn.Linear(3, 1)
        self.register_buffer("seen", torch.zeros([]))


class LineTraining:
    """Fits a line to noise; every step draws its own."""

    def __init__(self, seed: int = 0):
        self.seed = seed
        self.line = with_seed(seed, Line)
        self.modules = {"line": self.line}
        self.optimisers = {"adam": torch.optim.Adam(self.line.parameters(), lr=0.1)}

    def step(self, i: int) -> dict[str, float]:
        rng = loop.step_rng(self.seed, i)
        x = torch.randn(8, 3, generator=rng)
        loss = (self.line.fit(x) - x.sum(1, keepdim=True)).square().mean()
        self.optimisers["adam"].zero_grad()
        loss.backward()
        self.optimisers["adam"].step()
        self.line.seen += 8
        return {"square": loss.item()}


def test_a_resumed_run_has_the_losses_of_an_uninterrupted_one(tmp_path):
    whole, parts = [], []
    loop.run(LineTraining(), 10, tmp_path / "whole", on_step=lambda i, n, terms: whole.append((i, n, terms["square"])))
    assert [i for i, _, _ in whole] == list(range(10))

    class Stop(Exception):
        pass

    def interrupt(i, n, losses):
        parts.append((i, n, losses["square"]))
        if len(parts) == 7:
            raise Stop

    with pytest.raises(Stop):
        loop.run(LineTraining(), 10, tmp_path / "parts", save_every=4, on_step=interrupt)
    parts = parts[:4]  # the checkpoint is of four steps
    other = LineTraining(seed=0)
    loop.run(
        other, 10, tmp_path / "parts", resume=True, on_step=lambda i, n, losses: parts.append((i, n, losses["square"]))
    )
    assert parts == whole
    assert other.line.seen == 80


def test_what_is_written_is_announced(tmp_path):
    saved = []
    loop.run(LineTraining(), 7, tmp_path, save_every=3, on_save=saved.append)
    assert saved == [3, 6, 7]
    assert [path.name for path in tmp_path.iterdir()] == [loop.STATE]


def test_resume_needs_a_checkpoint_of_this_training(tmp_path):
    with pytest.raises(InputError, match="no checkpoint"):
        loop.run(LineTraining(), 2, tmp_path, resume=True)
    loop.run(LineTraining(), 2, tmp_path)
    other = LineTraining()
    other.optimisers = {"sgd": torch.optim.SGD(other.line.parameters(), lr=0.1)}
    with pytest.raises(InputError, match="not a checkpoint of this training"):
        loop.run(other, 4, tmp_path, resume=True)


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    training = LineTraining()
    training.step = lambda i: {"square": math.nan if i == 2 else 1.0}
    with pytest.raises(FloatingPointError, match="step 2"):
        loop.run(training, 5, tmp_path)


def test_steps_draw_their_own_numbers():
    draws = [torch.randn(4, generator=loop.step_rng(seed, i)) for seed, i in [(0, 0), (0, 0), (0, 1), (1, 0)]]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], draws[3])


def test_a_checkpoint_with_the_old_name_of_the_ema_is_resumed(tmp_path):
    training = LineTraining()
    training.modules["average"] = with_seed(5, Line)
    loop.run(training, 2, tmp_path)
    other = LineTraining()
    other.modules["g_ema"] = Line()
    loop.run(other, 3, tmp_path, resume=True)
    assert torch.equal(other.modules["g_ema"].fit.weight, with_seed(5, Line).fit.weight)
    assert any(key.startswith("g_ema/") for key in safetensors_io.load(tmp_path / loop.STATE)[0])


def test_losses_become_floats():
    assert loop.to_floats({"a": torch.tensor(1.5, requires_grad=True), "b": torch.tensor(2)}) == {"a": 1.5, "b": 2.0}
