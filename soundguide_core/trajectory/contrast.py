"""How much an even sound's small changes in loudness show: a factor on how far each frame is led from its source.

    d_t = L_t - (L's mean over the seconds around t)     in dB, where there is something to hear
    m   = clamp(EVEN_DB / std(d), 1, MOST)               an even sound's changes are made larger, a lively one's are not
    f_t = 1 + contrast (m - 1) d_t / RANGE_DB            within 1 - LARGEST and 1 + LARGEST

Steady rain moves by a decibel or two, of which a picture shows nothing. Axes: F frames.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..audio.features import QUIETEST_DB
from ..audio.smoothing import moving_average

AROUND_SEC = 2.5  # on each side of a moment
EVEN_DB = 4.0  # standard deviation that the changes of an even sound are brought to
MOST = 4.0  # by which they are made larger at most
RANGE_DB = 10.0  # a change by which the frame is led twice as far, or not at all
LARGEST = 0.4  # that it may be
HEARD = 1 / 6  # loudness from which a frame counts: the upper 50 of 60 dB


def contrast_factors(loudness: np.ndarray, fps: float, contrast: float) -> Tensor:
    """loudness [F] in 0..1, decibels over the QUIETEST_DB below the loudest moment => f [F]."""
    level = torch.from_numpy(np.asarray(loudness, dtype=np.float32)) * QUIETEST_DB
    heard = level > HEARD * QUIETEST_DB
    if not contrast or int(heard.sum()) < 2:
        return torch.ones_like(level)
    rows = torch.stack([level * heard, heard.float()], dim=1)
    sums = torch.cat(list(moving_average(iter([rows]), round(AROUND_SEC * fps))))
    change = (level - sums[:, 0] / sums[:, 1].clamp(min=1e-6)) * heard
    more = float((EVEN_DB / change[heard].std().clamp(min=1e-3)).clamp(1, MOST))
    return (1 + contrast * (more - 1) * change / RANGE_DB).clamp(1 - LARGEST, 1 + LARGEST)
