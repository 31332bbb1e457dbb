"""Does a video move with its sound? Correlation of loudness with what is seen, against shuffled sounds.

What is seen is reduced to one curve: where each frame lies on the line along which the video's frames differ most (the
first principal component of its thumbnails). That curve has no sign of its own, so the correlation has none, nor have
those of the shuffled sounds it is held against. Axes: F frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..common.errors import InputError

BLOCK_SEC = 1.0  # of the sound that stays together when it is shuffled: a null as smooth as the sound itself
LAG_SEC = 0.5  # how far the picture may come late or early


@dataclass(frozen=True)
class Reactivity:
    """correlation: |r| in 0..1 at the best lag. lag: frames by which the picture is late, below 0 early. null_99: the
    99th percentile of the nulls. share: of the nulls that lie below the correlation, 0..1. nulls [R]."""

    correlation: float
    lag: int
    null_99: float
    share: float
    nulls: np.ndarray

    @property
    def reacts(self) -> bool:
        return self.correlation > self.null_99


def visual_intensity(thumbnails: np.ndarray) -> np.ndarray:
    """thumbnails [F,P] => [F], the score of each frame on the first principal component; zeros where nothing moves."""
    x = np.asarray(thumbnails, dtype=np.float32)
    x = x - x.mean(axis=0)
    if np.abs(x).max() < 1e-6:
        return np.zeros(len(x))
    if len(x) <= x.shape[1]:
        values, vectors = np.linalg.eigh(x @ x.T)
        return vectors[:, -1] * np.sqrt(max(values[-1], 0.0))
    return x @ np.linalg.eigh(x.T @ x)[1][:, -1]


def best_lag(loudness: np.ndarray, visual: np.ndarray, most: int) -> tuple[float, int]:
    """(|r| at the best lag, that lag): loudness[t] against visual[t + lag], |lag| <= most; 0 if one is constant."""
    found = (0.0, 0)
    for lag in sorted(range(-most, most + 1), key=abs):  # of equals the shortest
        a = loudness[max(-lag, 0) : len(loudness) - max(lag, 0)]
        b = visual[max(lag, 0) : len(visual) - max(-lag, 0)]
        if len(a) > 2 and a.std() > 1e-9 and b.std() > 1e-9:
            r = abs(float(np.corrcoef(a, b)[0, 1]))
            if r > found[0] + 1e-12:
                found = (r, lag)
    return found


def shuffled(curve: np.ndarray, block: int, rng: np.random.Generator) -> np.ndarray:
    """curve [F] with its blocks in another order, beginning at a random place."""
    curve = np.roll(curve, int(rng.integers(len(curve))))
    blocks = [curve[i : i + block] for i in range(0, len(curve), block)]
    return np.concatenate([blocks[i] for i in rng.permutation(len(blocks))])


def reactivity(loudness: np.ndarray, visual: np.ndarray, fps: float, *, nulls: int = 200, seed: int = 0) -> Reactivity:
    """loudness, visual [F], one value for each frame; each null is searched for its best lag too.

    Raises:
        InputError: the curves differ in length, or are shorter than two seconds.
    """
    loudness, visual = np.asarray(loudness, np.float64), np.asarray(visual, np.float64)
    if loudness.shape != visual.shape or loudness.ndim != 1:
        raise InputError(
            f"{loudness.size} values of loudness meet {visual.size} frames.", "Give one value for each frame."
        )
    if len(visual) < max(2 * fps, 8):
        raise InputError("A video shorter than two seconds says nothing of reactivity.", "Use a longer one.")
    most, block = max(round(LAG_SEC * fps), 1), max(round(BLOCK_SEC * fps), 1)
    correlation, lag = best_lag(loudness, visual, most)
    rng = np.random.default_rng(seed)
    found = np.array([best_lag(shuffled(loudness, block, rng), visual, most)[0] for _ in range(nulls)])
    return Reactivity(correlation, lag, float(np.percentile(found, 99)), float((found < correlation).mean()), found)
