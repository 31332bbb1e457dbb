"""Which bands of pitches a sound is followed in, and how a curve is shaped: settings, free of torch.

bands.py and shaping.py compute them.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..common.settings import check_settings, setting

BANDS = {  # name: lowest and highest frequency in Hz
    "bass": (20.0, 150.0),
    "low mids": (150.0, 500.0),
    "mids": (500.0, 2000.0),
    "highs": (2000.0, 6000.0),
    "air": (6000.0, 16000.0),
}
OFF, CUT, ABOVE, OPEN = "off", "cut", "above", "open or shut"
GATES = (OFF, CUT, ABOVE, OPEN)
AS_IT_IS = "every beat"
DIVISIONS = {
    AS_IT_IS: 1.0, "every 2nd": 2.0, "every 3rd": 3.0, "every 4th": 4.0, "every 8th": 8.0, "twice as often": 1 / 2,
    "three times as often": 1 / 3, "four times as often": 1 / 4,
}  # fmt: skip
EASINGS = ("linear", "ease in", "ease out", "ease in and out", "sharp in", "sharp out")


@dataclass(frozen=True)
class CurveShape:
    """What is done to a curve [F], in this order: normalise, gate, division, attack, hold and release, easing, invert,
    range."""

    normalise: bool = setting(
        False, "stretch the curve to 0..1 first",
        tooltip="Stretch what comes in to the whole of 0..1 first. A curve of Audio Curve already lies there.",
    )  # fmt: skip
    gate: str = setting(
        OFF, "what the threshold does", what="gate", choices=GATES,
        tooltip="What the threshold does. cut: what is below becomes 0. above: what exceeds it, stretched to 0..1. "
        "open or shut: 1 at and above it, 0 below.",
    )  # fmt: skip
    threshold: float = setting(
        0.5, "of the gate and of the beats", what="The threshold", low=0, high=1, step=0.01,
        tooltip="Of the gate, and of what counts as a beat: the curve rises through it.",
    )  # fmt: skip
    division: str = setting(
        AS_IT_IS, "which beats are kept, or how often each is repeated", what="division", choices=tuple(DIVISIONS),
        tooltip="Which beats are kept, or how often one is repeated before the next. A beat begins where the curve "
        "rises through the threshold, so it works on beats, onsets and loud moments alike.",
    )  # fmt: skip
    attack: float = setting(
        0.0, "seconds to rise from 0 to 1", what="The attack in seconds", low=0, high=600, offered=(0.0, 60.0),
        step=0.01, tooltip="Seconds that a rise from 0 to 1 takes at least; 0 rises at once.",
    )  # fmt: skip
    hold: float = setting(
        0.0, "seconds at a peak before it falls", what="The hold in seconds", low=0, high=600, offered=(0.0, 60.0),
        step=0.01, tooltip="Seconds that a peak is kept before it may fall.",
    )  # fmt: skip
    release: float = setting(
        0.0, "seconds to fall from 1 to 0", what="The release in seconds", low=0, high=600, offered=(0.0, 60.0),
        step=0.01, tooltip="Seconds that a fall from 1 to 0 takes at least; 0 falls at once.",
    )  # fmt: skip
    easing: str = setting(
        "linear", "how values between 0 and 1 are bent", what="easing", choices=EASINGS,
        tooltip="How values between 0 and 1 are bent; 0 and 1 stay. ease in: x^2, small values smaller. ease out: the "
        "reverse. ease in and out: both ends flat. sharp in, sharp out: x^4 and its reverse.",
    )  # fmt: skip
    invert: bool = setting(False, "1 - x", tooltip="Turn it over: high where the sound is low.")
    low: float = setting(
        0.0, "value of 0", what="The lowest value", low=-1e6, high=1e6, offered=(-100.0, 100.0), step=0.01,
        tooltip="The value that 0 becomes.",
    )  # fmt: skip
    high: float = setting(
        1.0, "value of 1", what="The highest value", low=-1e6, high=1e6, offered=(-100.0, 100.0), step=0.01,
        tooltip="The value that 1 becomes.",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_settings(self)
