"""What is heard over time, in words. Axes: T times, K words, F video frames."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...common.errors import InputError, check_number, check_whole


@dataclass(frozen=True)
class HeardWords:
    """Words with a score each at even times of one recording.

    Args:
        words: K names, such as "rain". prompts: K phrases that a text encoder understands, such as "heavy rain, wet
            streets, raindrops". groups: K headings, "" where there is none.
        scores: [T,K] float32 in 0..1, each word by itself: several that sound together are all high, and none is where
            nothing known sounds.
        hop_sec: seconds from one row to the next. first_sec: the time that row 0 is about.
        seconds: of the recording. encoder: by whom it was heard.
        doubt: [K] in 0..1, what silence and noise score, at most; a score near it says nothing. Zeros where not known.
        areas: [K,H,W] in 0..1, where in the picture each word acts; None for everywhere. See regions.py.
    """

    words: tuple[str, ...]
    prompts: tuple[str, ...]
    scores: Tensor
    hop_sec: float
    seconds: float
    first_sec: float = 0.0
    groups: tuple[str, ...] = ()
    encoder: str = ""
    doubt: Tensor | None = None
    areas: Tensor | None = None

    def __post_init__(self) -> None:
        count = len(self.words)
        if self.scores.ndim != 2 or self.scores.shape[1] != count or not len(self.scores):
            raise InputError(
                f"Scores of shape {list(self.scores.shape)} meet {count} words.", "Give one column for each word."
            )
        if len(self.prompts) != count:
            raise InputError(f"{len(self.prompts)} prompts meet {count} words.", "Give one prompt for each word.")
        check_number(self.hop_sec, "The time from one score to the next", low=1e-4, high=3600)
        object.__setattr__(self, "groups", tuple(self.groups) or ("",) * count)

    @property
    def times(self) -> Tensor:
        """[T], the seconds that the rows are about, double."""
        return self.first_sec + self.hop_sec * torch.arange(len(self.scores), dtype=torch.float64)

    def at_frames(self, fps: float, num_frames: int) -> Tensor:
        """Scores at the middles of video frames => [F,K], between two rows by proportion; 0 beyond the recording."""
        check_number(fps, "The frame rate", low=0.01, high=1000)
        check_whole(num_frames, "The number of frames", low=1, high=10_000_000)
        middle_sec = (torch.arange(num_frames, dtype=torch.float64) + 0.5) / fps
        place = ((middle_sec - self.first_sec) / self.hop_sec).clamp(0, len(self.scores) - 1)
        before = place.floor().long()
        after = (before + 1).clamp(max=len(self.scores) - 1)
        share = (place - before).float()[:, None]
        inside = (middle_sec <= self.seconds).float()[:, None]
        return (self.scores[before] * (1 - share) + self.scores[after] * share) * inside

    def strongest(self, most: int) -> list[int]:
        """Columns of the words that score highest at any time, the highest first; at most so many."""
        return self.scores.amax(dim=0).sort(descending=True, stable=True).indices[:most].tolist()

    def only(self, columns: list[int]) -> HeardWords:
        """These words alone, in this order."""
        return replace(
            self,
            words=tuple(self.words[i] for i in columns),
            prompts=tuple(self.prompts[i] for i in columns),
            groups=tuple(self.groups[i] for i in columns),
            scores=self.scores[:, columns],
            doubt=None if self.doubt is None else self.doubt[columns],
            areas=None if self.areas is None else self.areas[columns],
        )

    def get_ram_usage(self) -> int:
        """Bytes, for a host that counts them."""
        return self.scores.nbytes + (0 if self.areas is None else self.areas.nbytes)
