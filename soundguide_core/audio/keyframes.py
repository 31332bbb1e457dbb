"""Numbers and prompts over frames as text, in the formats that schedulers of other packs read.

Axes: F frames.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from ..common.errors import InputError

FIZZ, JSON_FRAMES, CSV, SECONDS = "0:(0.5)", "json", "comma separated", "seconds: value"
VALUE_FORMATS = (FIZZ, JSON_FRAMES, CSV, SECONDS)
QUOTED, DEFORUM, PIPES = '"0": "prompt"', "json", "prompt | prompt"
PROMPT_FORMATS = (QUOTED, DEFORUM, PIPES)
DECIMALS = 3


def value_keyframes(values: Sequence[float] | np.ndarray, fps: float, style: str, tolerance: float = 0.005) -> str:
    """[F] => text. All but the comma separated list hold only the frames that straight lines between them need, to
    within
    `tolerance` of the curve's span.

    "0:(0.5), 12:(1)": Deforum and FizzNodes' value schedule. json: {"0": 0.5}. comma separated: every frame.
    "seconds: value": one line each.
    """
    x = np.round(np.asarray(values, dtype=np.float64), DECIMALS)
    if style == CSV:
        return ", ".join(_number(v) for v in x)
    kept = needed_frames(x, tolerance * max(float(np.ptp(x)), 1e-9))
    if style == FIZZ:
        return ", ".join(f"{i}:({_number(x[i])})" for i in kept)
    if style == JSON_FRAMES:
        return json.dumps({str(i): float(x[i]) for i in kept})
    if style == SECONDS:
        return "\n".join(f"{_number(i / fps)}: {_number(x[i])}" for i in kept)
    raise InputError(f"There is no format of keyframes {style!r}.", f"Use one of {', '.join(VALUE_FORMATS)}.")


def needed_frames(x: np.ndarray, tolerance: float) -> list[int]:
    """The frames, first and last among them, between which straight lines stay within `tolerance` of x [F].

    Ramer, "An iterative procedure for the polygonal approximation of plane curves", 1972.
    """
    kept, waiting = {0, len(x) - 1}, [(0, len(x) - 1)]
    while waiting:
        first, last = waiting.pop()
        if last - first < 2:
            continue
        line = np.interp(np.arange(first, last + 1), (first, last), (x[first], x[last]))
        off = np.abs(x[first : last + 1] - line)
        worst = int(off.argmax())
        if off[worst] > tolerance:
            kept.add(first + worst)
            waiting += [(first, first + worst), (first + worst, last)]
    return sorted(kept)


def prompt_keyframes(prompts: Sequence[str], style: str) -> str:
    """A prompt for each of F frames => text that names each one where it begins.

    '"0": "a", "12": "b"': FizzNodes' batch prompt schedule and AnimateDiff-Evolved's. json: Deforum. "a | b": a list of
    prompts one after the other, without frames.
    """
    starts = [i for i, text in enumerate(prompts) if i == 0 or text != prompts[i - 1]]
    if style == QUOTED:
        return ",\n".join(f"{json.dumps(str(i))}: {json.dumps(prompts[i], ensure_ascii=False)}" for i in starts)
    if style == DEFORUM:
        return json.dumps({str(i): prompts[i] for i in starts}, ensure_ascii=False)
    if style == PIPES:
        return " | ".join(prompts[i].replace("|", ",") for i in starts)
    raise InputError(f"There is no format of prompts {style!r}.", f"Use one of {', '.join(PROMPT_FORMATS)}.")


def _number(value: float) -> str:
    return f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".") or "0"
