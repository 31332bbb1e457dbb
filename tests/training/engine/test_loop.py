from __future__ import annotations

import math
import signal
import sys
import threading
from functools import partial

import pytest
import torch
from torch import nn

from soundguide_core.checkpoints import safetensors_io
from soundguide_core.common.errors import InputError, Stopped
from soundguide_core.common.rng import with_seed
from soundguide_core.training.engine import loop
from soundguide_core.training.engine.estimate import Estimated, spoken
from soundguide_core.training.engine.metrics_log import read_metrics
from soundguide_core.training.engine.run_settings import RunSettings


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


class Pressed(LineTraining):
    """Ctrl-C comes in the middle of steps, once or `times`."""

    def __init__(self, at: int, times: int = 1):
        super().__init__()
        self.at, self.times = at, times

    def step(self, i: int) -> dict[str, float]:
        if i == self.at:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)
        return super().step(i)


def test_ctrl_c_keeps_the_step_in_hand(tmp_path):
    whole, parts, saved = [], [], []
    loop.run(LineTraining(), 10, tmp_path / "whole", on_step=lambda i, n, terms: whole.append(terms["square"]))
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(Stopped, match="4 of 10 steps are kept in .*; --resume goes on"):
        loop.run(Pressed(3), 10, tmp_path / "parts", on_save=saved.append)
    assert signal.getsignal(signal.SIGINT) is handler and saved == [4]
    again = LineTraining()
    loop.run(again, 10, tmp_path / "parts", resume=True, on_step=lambda i, n, terms: parts.append(terms["square"]))
    assert parts == whole[4:]


def test_a_second_ctrl_c_stops_at_once(tmp_path):
    with pytest.raises(KeyboardInterrupt) as stop:
        loop.run(Pressed(3, times=2), 10, tmp_path)
    assert not isinstance(stop.value, Stopped) and not (tmp_path / loop.STATE).exists()


def test_ctrl_c_in_the_last_step_ends_the_run_as_usual(tmp_path):
    loop.run(Pressed(9), 10, tmp_path)
    assert safetensors_io.load(tmp_path / loop.STATE)[1]["done"] == 10


def test_another_thread_trains_without_signals(tmp_path):
    thread = threading.Thread(target=loop.run, args=(LineTraining(), 2, tmp_path))
    thread.start()
    thread.join()
    assert (tmp_path / loop.STATE).is_file()


def test_what_is_written_is_announced(tmp_path):
    saved = []
    loop.run(LineTraining(), 7, tmp_path, save_every=3, on_save=saved.append)
    assert saved == [3, 6, 7]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.csv", loop.STATE]


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
    assert not (tmp_path / loop.STATE).exists()


def test_losses_are_read_where_they_are_written_and_not_before(tmp_path, monkeypatch):
    """Rows of 3 steps, checkpoints each 5th: read after steps 2, 4, 5, 8, 9."""
    read, step, now = [], LineTraining.step, []

    class Noted(loop.StepLosses):
        def _read(self):
            if self._here is None:
                read.append((self.i, now[-1]))
            return super()._read()

    def noted(self, i):
        losses = Noted({"square": torch.tensor(step(self, i)["square"])})
        losses.i = i
        now.append(i)
        return losses

    monkeypatch.setattr(LineTraining, "step", noted)
    loop.run(LineTraining(), 10, tmp_path, save_every=5, settings=RunSettings(log_every=3))
    assert read == [(0, 2), (1, 2), (2, 2), (3, 4), (4, 4), (5, 5), (6, 8), (7, 8), (8, 8), (9, 9)]


def test_what_came_after_a_checkpoint_is_no_part_of_it_where_a_loss_is_no_number(tmp_path):
    training, step = LineTraining(), LineTraining().step
    training.step = lambda i: {"square": math.nan} if i == 4 else step(i)
    with pytest.raises(FloatingPointError, match="step 4"):
        loop.run(training, 10, tmp_path, save_every=3, settings=RunSettings(log_every=100))
    assert safetensors_io.load(tmp_path / loop.STATE)[1]["done"] == 3


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
    assert loop.StepLosses({"a": torch.tensor(1.5, requires_grad=True), "b": torch.tensor(2)}) == {"a": 1.5, "b": 2.0}


def test_the_figures_of_a_run_are_a_table(tmp_path):
    """Means over rows of steps, and what was held out; a run that goes on drops what came after its checkpoint."""
    terms: list[float] = []
    settings = RunSettings(log_every=2, validate_every=3)
    run = partial(loop.run, settings=settings, validate=lambda: {"error": 0.5}, save_every=4)
    run(LineTraining(), 6, tmp_path, on_step=lambda i, n, losses: terms.append(losses["square"]))
    rows = read_metrics(tmp_path / "metrics.csv")
    train = [(int(row["step"]), float(row["value"])) for row in rows if row["split"] == "train"]
    assert train == [(n, pytest.approx(sum(terms[n - 2 : n]) / 2, rel=1e-6)) for n in (2, 4, 6)]
    held_out = [(row["step"], row["name"]) for row in rows if row["split"] == "held_out"]
    assert held_out == [("3", "error"), ("6", "error")]
    with pytest.raises(KeyboardInterrupt):
        run(LineTraining(), 6, tmp_path / "b", on_step=interrupt_at(4))
    run(LineTraining(), 6, tmp_path / "b", resume=True)
    again = [row for row in read_metrics(tmp_path / "b" / "metrics.csv") if row["split"] == "train"]
    assert [row["value"] for row in again] == [row["value"] for row in rows if row["split"] == "train"]


def test_without_steps_between_them_validations_come_with_checkpoints(tmp_path):
    looks: list[int] = []
    loop.run(LineTraining(), 7, tmp_path, save_every=3, validate=lambda: {"n": float(len(looks))}, on_save=looks.append)
    rows = [row["step"] for row in read_metrics(tmp_path / "metrics.csv") if row["split"] == "held_out"]
    assert rows == ["3", "6", "7"]


def test_tensorboard_where_it_is_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard.writer", None)
    with pytest.raises(InputError, match="tensorboard"):
        loop.run(LineTraining(), 2, tmp_path, settings=RunSettings(tensorboard=True))
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install tensorboard"):
        RunSettings.of({"run": {"tensorboard": True}})


def test_a_run_ends_when_its_time_is_over_and_goes_on(tmp_path, monkeypatch):
    clock = iter(range(0, 100_000, 30))
    monkeypatch.setattr(loop.time, "monotonic", lambda: float(next(clock)))
    seen: list[int] = []
    two_minutes = RunSettings(max_time=2)
    done = loop.run(LineTraining(), 50, tmp_path, settings=two_minutes, on_step=lambda i, *_: seen.append(i))
    assert done == len(seen) < 50
    monkeypatch.undo()
    assert loop.run(LineTraining(), 50, tmp_path, resume=True, on_step=lambda i, *_: seen.append(i)) == 50
    assert seen == list(range(50))


def test_an_estimate_before_a_run_leaves_nothing(tmp_path, caplog):
    with pytest.raises(Estimated) as found:
        loop.run(LineTraining(), 1000, tmp_path, settings=RunSettings(estimate=True))
    estimate = found.value.estimate
    assert (estimate.steps, estimate.parameters) == (1000, 4) and estimate.step_seconds > 0
    assert estimate.seconds == pytest.approx(1000 * estimate.step_seconds)
    assert not list(tmp_path.iterdir())
    with pytest.raises(Estimated):
        loop.run(LineTraining(), 1, tmp_path, settings=RunSettings(estimate=True))
    with caplog.at_level("INFO"):
        loop.run(LineTraining(), 10, tmp_path)
    assert "10 steps of" in caplog.text


@pytest.mark.parametrize("seconds, words", [(40, "40 s"), (600, "10 min"), (12_000, "3 h 20 min"), (2e5, "2 days 7 h")])
def test_times_are_spoken(seconds, words):
    assert spoken(seconds) == words


def test_settings_of_a_run():
    assert RunSettings.of({}) == RunSettings()
    assert RunSettings.of({"run": {"max_time": 5}}).max_time == 5
    assert RunSettings().dtype_for("auto", "cpu") == "float32" and RunSettings().dtype_for("auto", "cuda") == "bfloat16"
    assert RunSettings(dtype="float32").dtype_for("bfloat16", "cuda") == "float32"
    for wrong in ({"accumulate": 0}, {"max_time": -1}, {"dtype": "int8"}, {"steps": 3}):
        with pytest.raises(InputError):
            RunSettings.of({"run": wrong})


def interrupt_at(step: int):
    def stop(i, n, losses):
        if i == step:
            raise KeyboardInterrupt

    return stop


def test_tensorboards_events_are_those_of_the_table(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    settings = RunSettings(tensorboard=True, log_every=1)
    loop.run(LineTraining(), 3, tmp_path, settings=settings, validate=lambda: {"error": 0.5})
    read = events.EventAccumulator(str(tmp_path / "events"))
    read.Reload()
    rows = [float(row["value"]) for row in read_metrics(tmp_path / "metrics.csv") if row["split"] == "train"]
    assert [point.value for point in read.Scalars("train/square")] == pytest.approx(rows, rel=1e-5)
    assert [point.value for point in read.Scalars("held_out/error")] == [0.5]
