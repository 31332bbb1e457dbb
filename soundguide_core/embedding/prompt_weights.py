"""Words over time as weights of prompts: how strongly each one is told at each frame.

Axes: F frames, K words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..audio.shaping import slowed
from ..common.errors import InputError, check_number
from .prompt_config import STRONGEST, PromptConfig

HEARD = 0.125  # below this weight a text schedule leaves a word out
STEP = 0.25  # of the weights in a text schedule


def prompt_weights(
    scores: Tensor, fps: float, config: PromptConfig, *, lead: Tensor | None = None, doubt: Tensor | None = None,
    areas: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """scores [F,K] in 0..1 => weights [F,K] in 0..1 whose sum over words is at most 1; the rest is the base prompt's.

    lead: [F], how far the sound leads at each frame, such as its loudness; it multiplies the weights. doubt: [K], what
    silence and noise score, where the scores are those of ears; these also hear some of what only resembles a sound,
    and a model that is told two things at halves shows neither, so that a word that scores less than the strongest one
    loses more than its share. areas: [K,H,W], where each word acts: words that nowhere meet do not share, so that the
    sum is at most 1 at each place. With floor_k = max(floor, doubt_k), and o_kj = 1 where words k and j meet, else 0:

        s_tk = max(scores_tk - floor_k, 0) / (1 - floor_k),  divided by max_tk s_tk where config.scale
        s_tk <- s_tk (s_tk / max_j o_kj s_tj)^2  where there is a doubt
        s_tk <- s_tk + (h_tk - s_tk) (1 - max_{j != k} o_kj s_tj),  h the peaks held for config.hold: what is heard
                now takes the place of what was
        w_tk = lead_t s_tk / max(1, sum_j o_kj s_tj),  s smoothed

    Raises:
        InputError: there is not one lead for each frame, or one doubt for each word.
    """
    check_number(fps, "The frame rate", low=0.01, high=1000)
    frames, words = scores.shape
    if lead is not None and lead.shape != (frames,):
        raise InputError(f"{lead.numel()} values of loudness meet {frames} frames.", "Give one for each frame.")
    if doubt is not None and doubt.shape != (words,):
        raise InputError(f"{doubt.numel()} doubts meet {words} words.", "Give one for each word.")
    floor = torch.full((words,), config.floor) if doubt is None else doubt.float().clamp(config.floor, 0.99)
    s = (scores.float() - floor).clamp(min=0) / (1 - floor)
    if config.scale and float(s.max()) > 0:
        s = s / s.max()
    meet = torch.ones(words, words) if areas is None else (areas.flatten(1) @ areas.flatten(1).T > 0).float()  # o_kj
    if config.blend == STRONGEST:
        s = s * (s == (s[:, None] * meet).amax(-1)).float()
    elif doubt is not None:
        s = s * (s / (s[:, None] * meet).amax(-1).clamp(min=1e-12)) ** 2
    others = s.clamp(max=1)[:, None] * meet * (1 - torch.eye(words))
    s = s + (held(s, fps, config.hold) - s).clamp(min=0) * (1 - others.amax(-1))
    s = smoothed(s, fps, config.smoothing)
    weights = s / (s @ meet).clamp(min=1)
    return weights if lead is None else weights * lead.float().clamp(0, 1)[:, None]


def held(weights: Tensor, fps: float, hold_sec: float) -> Tensor:
    """Each column [F,K] stays at a peak for so long before it falls."""
    if not hold_sec:
        return weights
    columns = [slowed(column.double().numpy(), fps, 0.0, hold_sec, 0.0) for column in weights.T]
    return torch.stack([torch.from_numpy(column) for column in columns], 1).float()


def smoothed(weights: Tensor, fps: float, seconds: float) -> Tensor:
    """The mean over `seconds`, weighted by a Gaussian of a quarter of them on each side; the ends are repeated."""
    if not seconds:
        return weights
    from scipy.ndimage import gaussian_filter1d

    return torch.from_numpy(gaussian_filter1d(weights.numpy(), seconds * fps / 2, axis=0, mode="nearest"))


def joined(base: str, phrase: str) -> str:
    """A base prompt and what is heard, as one prompt."""
    return ", ".join(part for part in (base.strip().rstrip(","), phrase.strip()) if part)


def frame_prompts(base: str, phrases: Sequence[str], weights: Tensor) -> list[str]:
    """weights [F,K] => for each frame one prompt as text, with weights as text encoders read them: "a bay, (rain:0.5)".

    Weights are rounded to quarters, and words below an eighth left out, so that the prompt changes seldom.
    """
    prompts = []
    for row in weights.tolist():
        told = sorted(((w, phrase) for w, phrase in zip(row, phrases) if w >= HEARD), key=lambda x: -x[0])
        parts = [_weighted(phrase, max(round(w / STEP), 1) * STEP) for w, phrase in told]
        prompts.append(joined(base, ", ".join(parts)))
    return prompts


def _weighted(phrase: str, weight: float) -> str:
    return phrase if weight >= 1 else f"({phrase}:{weight:g})"


@dataclass(frozen=True)
class PromptSchedule:
    """A base prompt, K phrases beside it, and how strongly each is told at each frame.

    weights: [F,K] in 0..1, sums at most 1; what is left is the base prompt's. areas: [K,H,W] in 0..1, where in the
    picture each phrase acts; None for everywhere.
    """

    base: str
    phrases: tuple[str, ...]
    weights: Tensor
    fps: float
    areas: Tensor | None = None

    @property
    def num_frames(self) -> int:
        return len(self.weights)

    @property
    def texts(self) -> list[str]:
        """The base, then the base with each phrase."""
        return [self.base, *(joined(self.base, phrase) for phrase in self.phrases)]

    def by_area(self) -> list[tuple[Tensor, list[int]]]:
        """Each area [H,W] with the columns of the phrases that act in it, in the order of their first."""
        found: list[tuple[Tensor, list[int]]] = []
        for i, area in enumerate(() if self.areas is None else self.areas):
            columns = next((columns for known, columns in found if torch.equal(known, area)), None)
            if columns is None:
                found.append((area, [i]))
            else:
                columns.append(i)
        return found

    def at_frames(self) -> list[str]:
        """One prompt as text for each frame: see frame_prompts."""
        return frame_prompts(self.base, self.phrases, self.weights)

    def get_ram_usage(self) -> int:
        """Bytes, for a host that counts them."""
        return self.weights.nbytes + (0 if self.areas is None else self.areas.nbytes)
