"""Settings of a live picture; the page has a slider for each of the first six."""

from __future__ import annotations

from dataclasses import dataclass

from ..common.settings import check_settings, seed_setting, setting

WORDS = ("rain", "waves", "fire", "wind", "thunder", "birds", "crickets")


@dataclass(frozen=True)
class LiveConfig:
    """How a picture follows what is heard."""

    strength: float = setting(
        1.0, "how much the sound changes the picture", what="The strength", low=0, high=3, step=0.05
    )
    smoothing: float = setting(
        0.25, "seconds over which what is heard fades in and out", what="The smoothing", low=0, high=5, step=0.05
    )
    drift: float = setting(
        0.3, "how far the picture wanders by itself, as a share of the way to other pictures", what="The drift",
        low=0, high=1, step=0.05,
    )  # fmt: skip
    seed: int = seed_setting("of the picture that the sound changes: the calmest of sixteen from there")
    psi: float = setting(
        0.7, "how far random pictures are from the average", what="The truncation psi", low=0, high=1.5, step=0.05
    )
    words: tuple[str, ...] = WORDS
    max_fps: float = setting(30.0, "frames a second at most", what="The frame rate", low=1, high=120)

    def __post_init__(self) -> None:
        check_settings(self)
