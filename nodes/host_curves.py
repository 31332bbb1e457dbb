"""A curve [F] as what the host's own sockets carry: masks, CURVE, SIGMAS.

Axes: F frames, T latent frames, H W.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..soundguide_core.audio.shaping import at_latent_frames, follow_schedule, normalised
from ..soundguide_core.common.errors import InputError
from .host import CurveInput, io, latent_samples

Floats = io.Custom("FLOATS")  # of the host's hook keyframes
MASK_CELL = 8  # pixels of a latent's cell, where no latent says it
CURVE_POINTS = 1024  # a CURVE is drawn and interpolated in the browser


def masks_of(curve: np.ndarray, width: int, height: int) -> Tensor:
    """MASK [F,H,W], each evenly filled with its value in 0..1. Its memory is that of one value a frame."""
    flat = torch.from_numpy(curve).float().clamp(0, 1)
    return flat[:, None, None].expand(-1, height, width)


def latent_masks_of(curve: np.ndarray, frames_per_latent: int, width: int, height: int, latent: Any) -> Tensor:
    """MASK [T,H/8,W/8], one for each latent frame; a LATENT says how many there are and how large.

    Raises:
        InputError: the latent has another number of frames than the curve makes.
    """
    if latent is None:
        return masks_of(
            at_latent_frames(curve, frames_per_latent), max(width // MASK_CELL, 1), max(height // MASK_CELL, 1)
        )
    samples = latent_samples(latent)
    count = samples.shape[2] if samples.ndim == 5 else len(samples)
    at = at_latent_frames(curve, frames_per_latent)
    if len(at) != count:
        fitting = [n for n in (1, 4, 6, 8) if len(at_latent_frames(curve, n)) == count]
        remedy = (
            f"Choose {fitting[0]} as 'frames_per_latent'."
            if fitting
            else "Make both as long: a video model has 1 + (frames - 1) / frames_per_latent latent frames."
        )
        raise InputError(
            f"A curve of {len(curve)} frames makes {len(at)} latent frames, the latent has {count}.", remedy
        )
    return masks_of(at, samples.shape[-1], samples.shape[-2])


def curve_output() -> Any:
    """The output CURVE: the host's own type where it has one."""
    said = {"display_name": "curve", "tooltip": "A CURVE over the length of the video, 0..1 both ways; on a host "
            "without this type the same points as a dict."}  # fmt: skip
    kind = io.Curve if hasattr(io, "Curve") else io.Custom("CURVE")
    return kind.Output("curve", **said)


def curve_of(curve: np.ndarray) -> Any:
    """The host's CurveInput over x = 0..1, its values in 0..1: stretched there where they are not. A dict of its points
    where the host has no such type."""
    inside = curve if curve.min() >= 0 and curve.max() <= 1 else normalised(curve)
    x = np.linspace(0, 1, min(len(inside), CURVE_POINTS)) if len(inside) > 1 else np.array([0.0, 1.0])
    y = np.interp(x, np.linspace(0, 1, len(inside)), inside) if len(inside) > 1 else np.repeat(inside, 2)
    raw = {"points": [[float(a), float(b)] for a, b in zip(x, y)], "interpolation": "linear"}
    return raw if CurveInput is None else CurveInput.from_raw(raw)


def sigmas_of(curve: np.ndarray, schedule: Tensor | None) -> Tensor:
    """SIGMAS: the schedule led by the curve, or without one the values themselves."""
    if schedule is None:
        return torch.from_numpy(curve).float()
    if not isinstance(schedule, Tensor) or schedule.ndim != 1 or not len(schedule):
        raise InputError("What has arrived at 'sigmas_in' is no schedule.", "Connect a SIGMAS output.")
    return torch.from_numpy(follow_schedule(schedule.double().cpu().numpy(), curve)).float()
