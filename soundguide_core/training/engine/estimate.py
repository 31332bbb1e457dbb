"""What a run will take: time and memory, from what is learned and from its first steps."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ...common.memory import peak_memory, wait_for

PROBE = 3  # steps that are timed, after a first one that warms up


@dataclass(frozen=True)
class Estimate:
    """steps to do, seconds that one takes, numbers that are learned, the most memory so far in bytes; 0: not known."""

    steps: int
    step_seconds: float
    parameters: int
    memory: int

    @property
    def seconds(self) -> float:
        return self.steps * self.step_seconds

    def __str__(self) -> str:
        memory = f", {self.memory / 2**30:.1f} GB of memory" if self.memory else ""
        return (
            f"{self.steps} steps of {self.step_seconds:.3g} s: about {spoken(self.seconds)}{memory}; "
            f"{self.parameters / 1e6:.3g} million numbers are learned"
        )

    def to_dict(self) -> dict[str, float]:
        return {**vars(self), "seconds": self.seconds}


class Estimated(Exception):
    """Ends a run that was only to be estimated."""

    def __init__(self, estimate: Estimate) -> None:
        super().__init__(str(estimate))
        self.estimate = estimate


class Probe:
    """Times the first steps: after(i) of each => the estimate, once."""

    def __init__(self, training: Any, done: int, steps: int) -> None:
        self.training, self.first, self.steps, self.began = training, done, steps, time.monotonic()

    def after(self, i: int) -> Estimate | None:
        last = min(self.first + PROBE, self.steps - 1)
        if i not in (self.first, last):
            return None
        wait_for(device_of(self.training.modules))
        if i < last:
            self.began = time.monotonic()
            return None
        seconds = (time.monotonic() - self.began) / max(last - self.first, 1)
        left = self.steps - self.first
        return Estimate(left, seconds, learned(self.training.optimisers), peak_memory(device_of(self.training.modules)))


def learned(optimisers: Mapping[str, torch.optim.Optimizer]) -> int:
    """How many numbers the optimisers change."""
    groups = [group for optimiser in optimisers.values() for group in optimiser.param_groups]
    return sum(p.numel() for group in groups for p in group["params"] if p.requires_grad)


def device_of(modules: Mapping[str, nn.Module]) -> torch.device:
    """Where the first weight lies."""
    return next((p.device for module in modules.values() for p in module.parameters()), torch.device("cpu"))


def spoken(seconds: float) -> str:
    """40 s, 12 min, 3 h 20 min, 2 days 5 h"""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} days {hours % 24} h"
