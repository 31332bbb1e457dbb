"""A curve over video frames, shaped: gated, its beats thinned out or doubled, slowed, eased, turned over, on a range.

Axes: F frames. Values are in 0..1 until the last step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..common.errors import InputError, check_number
from .curve_config import ABOVE, CUT, DIVISIONS, OPEN, CurveShape

EASED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "linear": lambda x: x,
    "ease in": lambda x: x**2,
    "ease out": lambda x: 1 - (1 - x) ** 2,
    "ease in and out": lambda x: x * x * (3 - 2 * x),
    "sharp in": lambda x: x**4,
    "sharp out": lambda x: 1 - (1 - x) ** 4,
}


def shape_curve(values: Sequence[float] | np.ndarray, fps: float, shape: CurveShape) -> np.ndarray:
    """values [F] at fps => [F] float64 between shape.low and shape.high. Without normalise, what is outside 0..1 is
    taken as 0 or 1.

    Raises:
        InputError: no values, or such that are no numbers.
    """
    check_number(fps, "The frame rate", low=0.01, high=1000)
    x = as_curve(values)
    x = normalised(x) if shape.normalise else x.clip(0, 1)
    x = gated(x, shape.gate, shape.threshold)
    x = divided(x, DIVISIONS[shape.division], shape.threshold)
    x = slowed(x, fps, shape.attack, shape.hold, shape.release)
    x = EASED[shape.easing](x)
    x = 1 - x if shape.invert else x
    return shape.low + (shape.high - shape.low) * x


def as_curve(values: Sequence[float] | np.ndarray | float) -> np.ndarray:
    """A number or a list of numbers => [F] float64; InputError for anything else."""
    try:
        x = np.asarray(values, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError) as error:
        raise InputError("The curve is no list of numbers.", "Connect the values of Audio Curve.") from error
    if not len(x) or not np.isfinite(x).all():
        raise InputError(
            "The curve has no values." if not len(x) else "The curve holds values that are not numbers.",
            "Connect the values of Audio Curve, or any list of numbers.",
        )
    return x


def normalised(x: np.ndarray) -> np.ndarray:
    """From its lowest value (0) to its highest (1); what does not move is 0."""
    span = x.max() - x.min()
    return (x - x.min()) / span if span > 0 else np.zeros_like(x)


def gated(x: np.ndarray, gate: str, threshold: float) -> np.ndarray:
    """x in 0..1 through a gate: see CurveShape.gate."""
    if gate == CUT:
        return np.where(x >= threshold, x, 0.0)
    if gate == ABOVE:
        return ((x - threshold) / max(1 - threshold, 1e-9)).clip(0, 1)
    if gate == OPEN:
        return (x >= threshold).astype(np.float64)
    return x


def beats_of(x: np.ndarray, threshold: float) -> np.ndarray:
    """The frames at which x rises through the threshold, ascending. One that begins above it has a beat at 0."""
    above = x >= max(threshold, 1e-9)
    return np.flatnonzero(above & ~np.concatenate([[False], above[:-1]]))


def divided(x: np.ndarray, division: float, threshold: float) -> np.ndarray:
    """Every n-th beat kept with what follows it (division n), or each repeated n times before the next (1 / n).

    Repeated beats are as short as they must be to fit; after the last beat the distance before it goes on.
    """
    beats = beats_of(x, threshold)
    if division == 1 or not len(beats):
        return x
    ends = np.append(beats[1:], len(x))
    out = np.zeros_like(x)
    if division > 1:
        for beat, end in zip(beats[:: round(division)], ends[:: round(division)]):
            out[beat:end] = x[beat:end]
        return out
    times = round(1 / division)
    for i, (beat, end) in enumerate(zip(beats, ends)):
        period = end - beat if i + 1 < len(beats) or i == 0 else beat - beats[i - 1]
        inside = (np.arange(end - beat) * times) % max(period, 1)
        out[beat:end] = x[np.minimum(beat + inside, len(x) - 1)]
    return out


def slowed(x: np.ndarray, fps: float, attack: float, hold: float, release: float) -> np.ndarray:
    """Rises by at most 1 / (attack fps) a frame, and after `hold` seconds falls by at most 1 / (release fps)."""
    if not (attack or hold or release):
        return x
    up = 1 / (attack * fps) if attack else np.inf
    down = 1 / (release * fps) if release else np.inf
    held = round(hold * fps)
    out, y, left = np.empty_like(x), 0.0, 0
    for i, target in enumerate(x):
        if target >= y:
            y, left = min(y + up, target), held
        elif left > 0:
            left -= 1
        else:
            y = max(y - down, target)
        out[i] = y
    return out


def resampled(values: np.ndarray, count: int) -> np.ndarray:
    """[F] => [count]: linear between the values, first and last kept."""
    if len(values) == 1 or count == 1:
        return np.full(count, values[0], dtype=np.float64)
    return np.interp(np.linspace(0, len(values) - 1, count), np.arange(len(values)), values)


def at_latent_frames(values: np.ndarray, frames_per_latent: int) -> np.ndarray:
    """Values [F,...] of pictures => [T,...] of latent frames, T = 1 + (F - 1) // frames_per_latent.

    Video autoencoders keep the first picture by itself and then join `frames_per_latent` pictures into one latent frame
    (Wan 4, LTX 8); each latent frame has the mean of its pictures. 1 leaves the values as they are.
    """
    n = frames_per_latent
    if n <= 1:
        return values
    count = 1 + (len(values) - 1) // n
    rest = values[1 : 1 + (count - 1) * n]
    return np.concatenate([values[:1], rest.reshape(count - 1, n, *values.shape[1:]).mean(1)])


def follow_schedule(sigmas: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A noise schedule [S+1] whose noise falls fastest where the curve [F] is highest: the same first and last sigma.

    With c the curve at the S steps, u_i = sum_{j<i} c_j / sum_j c_j is how far the schedule has come, and sigma_i
    is read
    off at u_i. A constant curve gives the schedule back.
    """
    steps = len(sigmas) - 1
    if steps < 1:
        return sigmas
    share = np.maximum(resampled(values, steps), 0) + 1e-3
    u = np.concatenate([[0.0], np.cumsum(share / share.sum())])
    out = np.interp(u * steps, np.arange(steps + 1), sigmas)
    out[0], out[-1] = sigmas[0], sigmas[-1]
    return out
