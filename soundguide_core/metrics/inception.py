"""Inception score (T. Salimans et al., "Improved Techniques for Training GANs", NIPS 2016, section 4).

A score belongs to its classifier and means nothing beside one of another. Axes: N samples, K classes, S splits.
"""

from __future__ import annotations

import numpy as np

from ..common.errors import InputError


def inception_score(p: np.ndarray, splits: int = 10) -> tuple[float, float]:
    """exp(E_x KL(p(y|x) || p(y))) for probabilities p [N,K]: 1 where all are alike or unsure, K at most => its mean and
    standard deviation over `splits` parts in their order, or over fewer where there are not two samples for each.

    Raises:
        InputError: fewer than two samples, or rows that are no probabilities.
    """
    p = np.asarray(p, dtype=np.float64)
    if p.ndim != 2 or len(p) < 2 or not np.isfinite(p).all() or p.min() < 0 or np.abs(p.sum(axis=1) - 1).max() > 1e-3:
        raise InputError(f"{list(p.shape)} numbers are no probabilities of two or more samples.", "Give more videos.")
    scores = []
    for part in np.array_split(p, min(splits, len(p) // 2)):
        marginal = part.mean(axis=0, keepdims=True)  # p(y)
        divergence = np.where(part > 0, part * np.log(np.maximum(part, 1e-300) / np.maximum(marginal, 1e-300)), 0)
        scores.append(np.exp(divergence.sum(axis=1).mean()))
    return float(np.mean(scores)), float(np.std(scores))
