"""Fréchet distance between two sets of features (D. C. Dowson and B. V. Landau 1982; M. Heusel et al., NIPS 2017).

A distance belongs to its feature space and means nothing beside one of another space, so the space is always named.
Axes: N samples, F frames, D dims.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ..common.errors import InputError


@dataclass(frozen=True)
class Frechet:
    """distance: 0 for equal sets. space: the features it was measured in. samples: of the smaller set."""

    distance: float
    space: str
    samples: int


def frechet_distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """|m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^(1/2)) for samples [N,D], [M,D]."""
    ours, theirs = (np.asarray(x, dtype=np.float64) for x in (ours, theirs))
    if ours.ndim != 2 or theirs.ndim != 2 or ours.shape[1] != theirs.shape[1] or min(len(ours), len(theirs)) < 2:
        raise InputError(
            f"Sets of shapes {list(ours.shape)} and {list(theirs.shape)} have no Fréchet distance.",
            "Give two or more samples of the same features on both sides.",
        )
    difference = ours.mean(axis=0) - theirs.mean(axis=0)
    one, other = (np.cov(x, rowvar=False).reshape(x.shape[1], -1) for x in (ours, theirs))
    # tr (C_1 C_2)^(1/2) = tr (C_1^(1/2) C_2 C_1^(1/2))^(1/2), whose argument is symmetric
    root = _root(one)
    mixed = np.linalg.eigvalsh(root @ other @ root).clip(min=0)
    return float(max(difference @ difference + np.trace(one) + np.trace(other) - 2 * np.sqrt(mixed).sum(), 0.0))


def _root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values.clip(min=0))) @ vectors.T


def window_features(embeds: Tensor, window: int) -> np.ndarray:
    """Features of videos out of those of frames: embeds [F,D] => [F // window, 3D].

    For each window the mean, the spread, and the mean absolute step from frame to frame: what is seen, how much of it
    changes, how quickly.
    """
    count = len(embeds) // window
    if not count or window < 2:
        raise InputError(f"{len(embeds)} frames hold no window of {window}.", "Use longer videos or shorter windows.")
    x = embeds[: count * window].detach().double().cpu().numpy().reshape(count, window, -1)
    steps = np.abs(np.diff(x, axis=1)).mean(axis=1)
    return np.concatenate([x.mean(axis=1), x.std(axis=1), steps], axis=1)
