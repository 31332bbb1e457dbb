"""How strong a phenomenon looks that is so loud: the law of the miniature world for sounds whose making is not known.

Axes: F frames.
"""

from __future__ import annotations

import numpy as np

from ...audio.features import QUIETEST_DB

FAINT = 0.3  # strength of what is only just heard: with less, a picture is of nothing
FAINT_DB = 30.0  # how far below the loudest moment that is
SILENT_DB = (55.0, 45.0)  # between these, below the loudest moment, what is seen comes out of nothing
GAP_SEC = 1.5  # shorter gaps between calls or drops are no silence
BLUR_SEC = 0.08


def heard(loudness: np.ndarray, fps: float) -> np.ndarray:
    """loudness [F] in 0..1 over QUIETEST_DB => [F] in 0..1: 0 in silence, 1 where there is something to hear nearby."""
    from scipy.ndimage import gaussian_filter1d, maximum_filter1d

    near = maximum_filter1d(np.asarray(loudness, dtype=np.float64), max(round(GAP_SEC * fps), 1))
    below_db = (1 - gaussian_filter1d(near, 2 * BLUR_SEC * fps)) * QUIETEST_DB
    return np.clip((SILENT_DB[0] - below_db) / (SILENT_DB[0] - SILENT_DB[1]), 0, 1)


def strength(loudness: np.ndarray, fps: float) -> np.ndarray:
    """loudness [F] in 0..1 over QUIETEST_DB => [F] in 0..1.

    Neither early nor late: all that is blurred is blurred to both sides.
    """
    from scipy.ndimage import gaussian_filter1d

    below_db = (1 - gaussian_filter1d(np.asarray(loudness, dtype=np.float64), BLUR_SEC * fps)) * QUIETEST_DB
    return heard(loudness, fps) * (FAINT + (1 - FAINT) * np.clip(1 - below_db / FAINT_DB, 0, 1))
