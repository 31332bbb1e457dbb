"""One training loop for every model: logging, checkpoints, and resuming to the same losses.

A training is an object with step(i). What step i draws depends on the seed and i alone, so a checkpoint needs no random
states. Several processes that share a batch: engine/distributed.py. A run's figures: engine/metrics_log.py.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from ...checkpoints import safetensors_io
from ...common.errors import InputError, Stopped
from ...common.files import make_folder
from ...common.rng import torch_generator
from .distributed import all_reduce_mean, any_process, rank
from .estimate import Estimated, Probe
from .metrics_log import MetricsLog
from .run_settings import RunSettings
from .stopping import ctrl_c_noted

OnStep = Callable[[int, int, Mapping[str, float]], None]
log = logging.getLogger(__name__)
STATE = "state.safetensors"
OLD_NAMES = {"g_ema": "average", "ema": "average"}  # module => its name in state files of earlier versions


class Training(Protocol):
    """What run() needs of a training.

    modules: all that is learned, EMA copies and running means too, by name. optimisers: by name.
    """

    @property
    def modules(self) -> Mapping[str, nn.Module]: ...

    @property
    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]: ...

    def step(self, i: int) -> Mapping[str, float]:
        """Update number i => its losses, for the log: StepLosses, which nobody waits for."""
        ...


class StepLosses(Mapping[str, float]):
    """The scalar losses of a step, their means over processes. They stay where they are until one is looked at, for
    that waits until the device has done all before it."""

    def __init__(self, losses: Mapping[str, Tensor]) -> None:
        self._names = tuple(losses)
        self._there = all_reduce_mean(torch.stack([value.detach().float() for value in losses.values()]))
        self._here: dict[str, float] | None = None

    def _read(self) -> dict[str, float]:
        if self._here is None:
            self._here = dict(zip(self._names, self._there.tolist(), strict=True))
        return self._here

    def __getitem__(self, name: str) -> float:
        return self._read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return repr(self._read())


def run(
    training: Training,
    steps: int,
    out: Path,
    *,
    resume: bool = False,
    save_every: int = 500,
    on_step: OnStep | None = None,
    on_save: Callable[[int], None] | None = None,
    settings: RunSettings | None = None,
    validate: Callable[[], Mapping[str, float]] | None = None,
) -> int:
    """Takes steps 0 .. steps - 1; with resume, those after the checkpoint in `out` => the number of steps done.

    Ctrl-C ends it after the step in hand, with a checkpoint. Rank 0 writes metrics.csv into `out`, and says after the
    first steps how long the run will take. Losses are read where a row of it or a checkpoint is written, not before.

    Args:
        save_every: steps between checkpoints; the last step writes one too.
        on_step: on_step(i, steps, losses) after each step; an exception from it ends the run.
        on_save: on_save(number of steps done) after each checkpoint.
        settings: how long at most, how often is validated; see RunSettings.
        validate: => figures of what was held out, called by rank 0 alone.

    Raises:
        InputError: resume without a checkpoint, or one of another configuration.
        FloatingPointError: a loss is infinite or NaN; no checkpoint is written after it.
        Estimated: settings.estimate was asked for.
        Stopped: Ctrl-C, after the checkpoint.
    """
    s = settings or RunSettings()
    path = make_folder(out) / STATE
    done = load_state(path, training) if resume else 0
    writes = rank() == 0 and not s.estimate
    metrics = MetricsLog(path.parent, done, tensorboard=s.tensorboard) if writes else None
    probe, began = Probe(training, done, steps), time.monotonic()
    unread: list[tuple[int, Mapping[str, float]]] = []
    with ctrl_c_noted() as stop_asked:
        for i in range(done, steps):
            losses = training.step(i)
            unread.append((i, losses))
            asked, minutes = stop_asked(), (time.monotonic() - began) / 60
            ended = any_process(asked or 0 < s.max_time < minutes)
            done, last = i + 1, ended or i + 1 == steps
            saves = done % save_every == 0 or last
            estimate = probe.after(i)
            if estimate is not None and s.estimate:
                raise Estimated(estimate)
            looks = done % s.validate_every == 0 or last if s.validate_every else saves
            tells = done % s.log_every == 0 or last
            if tells or looks or saves:
                _read_all(unread, metrics)
            if metrics is not None:
                if tells:
                    metrics.flush(done)
                if estimate is not None:
                    log.info("%s", estimate)
                if validate is not None and looks and not asked:
                    metrics.write(done, "held_out", validate())
                if saves:
                    save_state(path, training, done)
                    if on_save is not None:
                        on_save(done)
            if asked and done < steps:
                raise Stopped("" if s.estimate else f"{done} of {steps} steps are kept in {path}; --resume goes on")
            if on_step is not None:
                on_step(i, steps, losses)
            if ended and done < steps:
                log.info("Stopped after %.3g minutes at step %d of %d; --resume goes on.", minutes, done, steps)
                break
    return done


def _read_all(unread: list[tuple[int, Mapping[str, float]]], metrics: MetricsLog | None) -> None:
    """The losses of steps since the last reading, to be noted; none is left."""
    for i, losses in unread:
        if not all(math.isfinite(value) for value in losses.values()):
            raise FloatingPointError(f"training diverged at step {i}: {dict(losses)}")
        if metrics is not None:
            metrics.note(losses)
    unread.clear()


def save_state(path: Path, training: Training, done: int) -> None:
    """Writes the weights, the optimisers' states and the number of steps done into one file, whole or not at all."""
    tensors, settings = {}, {}
    for name, module in training.modules.items():
        tensors |= {f"{name}/{key}": x for key, x in module.state_dict().items()}
    for name, optimiser in training.optimisers.items():
        state = optimiser.state_dict()
        settings[name] = state["param_groups"]
        for index, entries in state["state"].items():
            tensors |= {f"{name}/{index}/{key}": x for key, x in entries.items()}
    safetensors_io.save(path, tensors, {"done": done, "optimisers": settings})


def load_state(path: Path, training: Training) -> int:
    """Fills the modules and optimisers from a checkpoint => the number of steps done."""
    if not path.is_file():
        raise InputError(f"There is no checkpoint at {path} to resume from.", "Start without --resume.")
    tensors, config = safetensors_io.load(path)
    if "done" not in config or config.get("optimisers", {}).keys() != training.optimisers.keys():
        raise InputError(f"{path} is not a checkpoint of this training.", "Resume with the recipe that wrote it.")
    for name, module in training.modules.items():
        state = _within(tensors, name) or _within(tensors, OLD_NAMES.get(name, name))
        safetensors_io.fill(module, state, path)
    for name, optimiser in training.optimisers.items():
        moments: dict[int, dict[str, Tensor]] = {}
        for key, x in _within(tensors, name).items():
            index, entry = key.split("/")
            moments.setdefault(int(index), {})[entry] = x
        optimiser.load_state_dict({"state": moments, "param_groups": config["optimisers"][name]})
    return config["done"]


def _within(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors whose keys begin with name/, without that."""
    return {key[len(name) + 1 :]: x for key, x in tensors.items() if key.startswith(f"{name}/")}


def step_rng(seed: int, i: int, device: str | torch.device = "cpu") -> torch.Generator:
    """What step i draws from, the same whole batch in every process. Another device draws other numbers."""
    return torch_generator(seed, i, 0, device=device)
