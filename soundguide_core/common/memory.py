"""Memory of a long run on a processor, and the way from there to another device."""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def tune_malloc() -> None:
    """Asks glibc to keep big blocks instead of returning each to the kernel: steps of a CPU training run up to twice
    as fast, and the process stays at its peak size. For a process of its own."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            m_trim_threshold, m_mmap_max = -1, -4
            libc.mallopt(m_mmap_max, 0)
            libc.mallopt(m_trim_threshold, -1)


def to_device(x: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """x on a device, without waiting for what that device has still to do."""
    x = x.to(dtype or x.dtype)
    if device.type == "cuda" and x.device.type == "cpu" and not x.requires_grad:
        x = x.pin_memory()
    return x.to(device, non_blocking=True)
