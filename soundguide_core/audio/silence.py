"""Silence: a sound of which nothing is heard. An encoder that sees every sound beside its own loudest moment would
otherwise hear rain in the noise of a converter. Axes: C channels, N samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

SILENT_DB = -70.0  # below full scale, of the loudest moment; noise of 16 bits lies near -95, a quiet wood near -50
MOMENT = 1024  # samples


def level_db(wave: Tensor) -> float:
    """The loudest moment of a wave [N] or [C,N], its root mean square in dB below full scale; -inf of none."""
    if not wave.numel():
        return -float("inf")
    wave = wave.reshape(-1, wave.shape[-1]).float()
    whole = wave.shape[-1] // MOMENT * MOMENT
    power = [part.square().mean(dim=-1).max() for part in (wave[:, whole:],) if part.shape[-1]]
    if whole:
        power.append(wave[:, :whole].unflatten(1, (-1, MOMENT)).square().mean(dim=-1).max())
    return float(10 * torch.stack(power).max().log10())


def is_silent(wave: Tensor) -> bool:
    """Whether nothing is heard in a wave [N] or [C,N]."""
    return level_db(wave) < SILENT_DB


class Loudest:
    """Blocks [C,n] that pass by, and how loud the loudest moment of their mean over channels was, in dB."""

    def __init__(self) -> None:
        self.db = -float("inf")

    def of(self, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
        for block in blocks:
            if block.shape[-1]:
                self.db = max(self.db, level_db(block.float().mean(dim=0)))
            yield block

    @property
    def silent(self) -> bool:
        return self.db < SILENT_DB
