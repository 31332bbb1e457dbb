"""Random numbers that depend on nothing but whole numbers, such as (seed, step, rank)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


def mix_seeds(*seeds: int) -> int:
    """One seed in 0..2^63 - 1 from whole numbers >= 0, by numpy's SeedSequence; it differs if any of them does."""
    return int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0]) & (2**63 - 1)


def torch_generator(*seeds: int, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator seeded by mix_seeds(*seeds). On another device it draws other numbers."""
    import torch

    return torch.Generator(device).manual_seed(mix_seeds(*seeds))


def with_seed(seed: int, build: Callable[[], T]) -> T:
    """build(), whose draws from torch's global CPU generator come from seed; that generator is left as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()
