"""What every training's optimiser is told, and its step."""

from __future__ import annotations

import torch

from .gradients import match_grad_strides


def fused(device: torch.device) -> bool | None:
    """What torch.optim's Adam, AdamW and SGD are told: all parameters in one kernel where they lie on a GPU."""
    return True if device.type == "cuda" else None


def take_step(optimiser: torch.optim.Optimizer) -> None:
    """One update; fused kernels want each gradient laid out as its parameter is."""
    for group in optimiser.param_groups:
        if group.get("fused"):
            match_grad_strides(group["params"])
    optimiser.step()
