"""Types of numbers that a device is quick in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether this is a processor with instructions for bfloat16; without, it is slower than float32."""
    import torch

    known = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return device.type == "cpu" and any(getattr(torch.cpu, name, bool)() for name in known)
