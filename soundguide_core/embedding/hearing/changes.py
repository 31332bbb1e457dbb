"""Sudden changes of a sound, and what ears heard in the windows that straddle one.

A window of two seconds over a change holds both sounds, and ears name the first, the second or a third one in it, most
of a second too late. Axes: T hops of time, M mels, K words.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...common.stop import check_stop

SUDDEN = 4.0  # square of a difference of means over the variance
QUIET = 1e-4  # of variance, that of a sound without any
KNOWN = 0.5  # a score from which on a word says what a side is
AGREEING = 3  # windows in a row that are strongest in that word


def sudden_changes(mel: Tensor, side: int) -> list[int]:
    """Hops c before and after which the mean spectrum differs far more than it varies on either side:

        D_c = mean_m (b_m - a_m)^2 / (mean_m (var a_m + var b_m) / 2 + QUIET) > SUDDEN,

    Fisher's ratio of the `side` hops before, of mean a, and of those after, of mean b; and D_c is the largest of the
    side + 1 around it on each side.

    mel: [T,M], the mean log-mel of each hop in 0..1.
    """
    ratio = torch.zeros(len(mel) + 1)
    for c in range(2, len(mel) - 1):
        check_stop()
        before, after = mel[max(c - side, 0) : c], mel[c : c + side]
        varies = (before.var(dim=0) + after.var(dim=0)).mean() / 2
        ratio[c] = (after.mean(dim=0) - before.mean(dim=0)).square().mean() / (varies + QUIET)
    highest = F.max_pool1d(ratio[None], 2 * side + 1, stride=1, padding=side)[0]
    return ((ratio > SUDDEN) & (ratio == highest)).nonzero()[:, 0].tolist()


def told_apart(scores: Tensor, changes: Sequence[int], reach: int, count: int) -> Tensor:
    """Scores without the windows that straddle a change: what the last one before it heard holds until it, and what the
    first one after it heard begins there, where one word is strongest on the one side and another on the other.

    scores: [T,K], the first of `count` hops, whose windows reach `reach` hops to each side.
    """
    told, ready = scores.clone(), len(scores) == count
    for start, c, end in zip([0, *changes], changes, [*changes[1:], count]):
        first, last = max(c - reach - 1, start), min(c + reach, end - 1)
        if not ready and last + AGREEING > len(scores):
            break
        words = [
            _word(scores[max(first + 1 - AGREEING, start) : first + 1].flip(0)),
            _word(scores[last : min(last + AGREEING, end)]),
        ]
        if None not in words and words[0] != words[1]:
            told[first:c], told[c : last + 1] = scores[first], scores[last]
    return told


def _word(scores: Tensor) -> int | None:
    """The one that is strongest in all of a few windows [T,K], and strong in the first."""
    strongest = scores.argmax(dim=1)
    known = bool((strongest == strongest[0]).all()) and float(scores[0].max()) >= KNOWN
    return int(strongest[0]) if known else None
