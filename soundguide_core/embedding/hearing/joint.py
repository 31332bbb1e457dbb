"""Any joint encoder as ears: its text tower makes it hear any words. Axes: W windows, N samples, K words, D dims."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...audio.mel import MelSpec
from ...audio.track import MelTrack
from ..joint import JointEncoder
from .changes import AGREEING, sudden_changes, told_apart
from .listening import WINDOWS_AT_ONCE, ComparingEars, Listener
from .vocabulary import Vocabulary

HOP_SEC = 0.25


@dataclass(frozen=True)
class TrackListener(Listener):
    """One whose windows are of a log-mel against the loudest moment of the whole recording, which is kept: 20 MB an
    hour."""

    spec: MelSpec | None = None

    @property
    def first_sec(self) -> float:
        return self.hop_sec / 2

    @torch.no_grad()
    def hear(self, blocks: Iterable[Tensor], sample_rate: float) -> Iterator[Tensor]:
        """As Listener's, but the windows that straddle a sudden change are not asked (changes.py)."""
        assert self.spec is not None
        track, fps = MelTrack.of_blocks(blocks, sample_rate, self.spec), 1 / self.hop_sec
        count = max(-(-round(track.seconds * 1000) // round(self.hop_sec * 1000)), 1)
        reach = math.ceil(self.window / 2 / self.hop)
        changes = sudden_changes(track.hops(fps, count), reach)
        heard, told = torch.zeros(0, len(self.words)), 0
        for first in range(0, count, WINDOWS_AT_ONCE):
            windows = track.windows(first, min(WINDOWS_AT_ONCE, count - first), fps)
            heard = torch.cat([heard, self.scores(windows).float().cpu()])
            unsettled = 0 if len(heard) == count else 2 * reach + AGREEING  # what windows to come may change
            known = max(len(heard) - unsettled, told)
            yield told_apart(heard, changes, reach, count)[told:known]
            told = known


class JointEars(ComparingEars):
    """joint: its sound and text towers; words are read through its own prompts."""

    def __init__(self, joint: JointEncoder) -> None:
        super().__init__()
        self.joint = joint
        spec = joint.spec
        self.sample_rate, self.hop = spec.sample_rate, round(HOP_SEC * spec.sample_rate)
        self.window = (
            (spec.frame_columns or spec.columns) * spec.hop_length if isinstance(spec, MelSpec) else spec.frame_samples
        )

    def embed_windows(self, windows: Tensor) -> Tensor:
        return self.joint.hear(windows)

    def embed_words(self, words: Sequence[str]) -> Tensor:
        return self.joint.encode_labels(list(words))

    def listen_for(self, words: Sequence[str], vocabulary: Vocabulary) -> Listener:
        listener = super().listen_for(words, vocabulary)
        if not isinstance(self.joint.spec, MelSpec):
            return listener
        spec = self.joint.spec

        def scores(windows: Tensor) -> Tensor:
            """Of silence 0, and of what the encoder does not know hardly anything."""
            heard = (windows.flatten(1).amax(dim=1) > 0).float().to(self.device)
            known = getattr(self.joint.sound, "familiarity", lambda _: None)
            if windows.shape[-1] == spec.columns and (familiar := known(windows.to(self.device))) is not None:
                heard = heard * familiar
            return listener.scores(windows) * heard[:, None]

        return TrackListener(listener.words, self.sample_rate, self.window, self.hop, scores, spec)
