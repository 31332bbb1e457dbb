from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from soundguide_core.common.errors import InputError
from soundguide_core.training import loop


class Line(nn.Module):
    def __init__(self):
        super().__init__()
        self.fit = nn.Linear(3, 1)
        self.register_buffer("seen", torch.zeros([]))


class LineTraining:
    """Fits a line to noise; every step draws its own."""

    def __init__(self, seed: int = 0):
        self.seed = seed
        self.line = loop.seeded(seed, Line)
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


def test_ema_by_the_formula():
    source, average = Line(), loop.seeded(1, Line)
    before = average.fit.weight.double().detach().numpy().copy()
    source.seen += 5
    loop.ema_update(average, source, 0.9)
    expected = 0.9 * before + 0.1 * source.fit.weight.double().detach().numpy()
    assert np.abs(average.fit.weight.detach().numpy() - expected).max() < 1e-7
    assert average.seen == 5


def test_ema_half_life():
    assert loop.ema_beta(32, 10**9, 10_000) ** (10_000 / 32) == pytest.approx(0.5)
    assert loop.ema_beta(32, 2_000, 10_000) ** (100 / 32) == pytest.approx(0.5)  # five per cent of what was seen


def test_steps_draw_their_own_numbers():
    draws = [torch.randn(4, generator=loop.step_rng(seed, i)) for seed, i in [(0, 0), (0, 0), (0, 1), (1, 0)]]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], draws[3])


def test_seeded_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    a, b = loop.seeded(3, Line), loop.seeded(3, Line)
    assert torch.equal(a.fit.weight, b.fit.weight)
    assert torch.equal(torch.get_rng_state(), state)


def test_one_process_needs_no_launcher():
    loop.join()
    assert (loop.rank(), loop.num_processes()) == (0, 1)
    assert loop.mean(torch.tensor(2.0)) == 2


SHARE = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
from soundguide_core.training import loop

loop.join()
layer = loop.seeded(0, lambda: torch.nn.Linear(3, 1))
x = torch.arange(12.0).view(4, 3)[loop.rank() :: loop.num_processes()]
layer(x).square().mean().backward()
loop.mean_gradients(layer.parameters())
mean = loop.mean(torch.tensor(float(loop.rank())))
loop.wait()
print(loop.num_processes(), mean.item(), *layer.weight.grad.flatten().tolist(), layer.bias.grad.item())
"""


@pytest.mark.slow
def test_two_processes_share_a_batch():
    """What a launcher sets up is two environment variables for the place and two for the process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    root = str(Path(loop.__file__).parents[2])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SHARE, root],
            env={**os.environ, **place, "RANK": str(i), "LOCAL_RANK": str(i)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in (0, 1)
    ]
    outputs = [process.communicate(timeout=120)[0].split() for process in processes]
    assert outputs[0] == outputs[1]
    assert outputs[0][:2] == ["2", "0.5"]
    layer = loop.seeded(0, lambda: nn.Linear(3, 1))
    layer(torch.arange(12.0).view(4, 3)).square().mean().backward()
    expected = [*layer.weight.grad.flatten().tolist(), layer.bias.grad.item()]
    assert [float(x) for x in outputs[0][2:]] == pytest.approx(expected, rel=1e-5)
