"""Settings of hearing words over time."""

from __future__ import annotations

from dataclasses import dataclass

from ...common.settings import check_settings, setting

SURE, LIKELY, FAINT = 0.5, 0.2, 0.05  # scores from which a word is said to be heard so


@dataclass(frozen=True)
class HearWordsConfig:
    """How scores over time are steadied."""

    smoothing: float = setting(
        0.5, "seconds over which scores are averaged", what="The smoothing", low=0, high=60, step=0.1,
        tooltip="Seconds over which scores are averaged, by a Hann window; 0 leaves them as they are.",
    )  # fmt: skip
    hold: float = setting(
        0.0, "seconds for which a word stays once it was heard", what="The hold", low=0, high=60, step=0.1,
        tooltip="Seconds for which a word keeps its score once it was heard, so that a bark lasts longer than a bark.",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_settings(self)
