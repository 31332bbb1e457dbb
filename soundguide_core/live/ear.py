"""What is heard at this moment: how loud, and which words, from blocks of samples as a microphone gives them.

    level      rms of the last 50 ms in dB, against the loudest of late, as loudness in 0..1 and then in sones
    words      softmax of the joint encoder over the words, for the last two seconds

Axes: N samples, K words.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..audio.features import QUIETEST_DB, sones
from ..common.errors import InputError, check_number
from ..embedding.joint import JointEncoder

WINDOW_SEC = 2.0  # what the encoder hears at once
LEVEL_SEC = 0.05
SILENT_DB = -60.0  # below full scale; a quieter room is silence, however quiet the loudest moment was
FORGET_DB_PER_SEC = 2.0  # how fast the loudest of late falls


class LiveEar:
    """The last two seconds of a sound. push comes from one thread, loudness and words may be asked from others."""

    def __init__(self, joint: JointEncoder, words: Sequence[str]) -> None:
        self.joint, self.words = joint, tuple(words)
        self.word_embeds = joint.encode_labels(list(words))  # [K,D]
        self._lock = threading.Lock()
        self._samples, self._sample_rate, self._loudest_db = np.zeros(0, np.float32), 0.0, SILENT_DB

    @property
    def sample_rate(self) -> float:
        """Of the blocks that came; 0 before the first."""
        return self._sample_rate

    def push(self, block: np.ndarray, sample_rate: float) -> None:
        """One more block [N] of samples in -1..1; a change of the rate begins anew."""
        check_number(sample_rate, "The sample rate", low=1000, high=384_000)
        if block.ndim != 1 or not np.isfinite(block).all():
            raise InputError("The microphone gives no samples that are numbers.", "Choose another input.")
        with self._lock:
            if sample_rate != self._sample_rate:
                self._samples, self._sample_rate = np.zeros(0, np.float32), sample_rate
            held = round(WINDOW_SEC * sample_rate)
            self._samples = np.concatenate([self._samples, block.astype(np.float32)])[-held:]
            fall = FORGET_DB_PER_SEC * len(block) / sample_rate
            self._loudest_db = max(self._loudest_db - fall, self._level_db(), SILENT_DB)

    def loudness(self) -> float:
        """How loud the last moment seems beside the loudest of late, 0..1, in sones; 0 in silence."""
        with self._lock:
            level_db, loudest_db = self._level_db(), self._loudest_db
        if level_db <= SILENT_DB:
            return 0.0
        return float(sones(torch.tensor(max(1 + (level_db - loudest_db) / QUIETEST_DB, 0.0))))

    @torch.no_grad()
    def posterior(self) -> Tensor:
        """[K] in 0..1, how much each word is heard in the last two seconds; zeros where there was silence."""
        with self._lock:
            wave, sample_rate = torch.from_numpy(self._samples.copy()), self._sample_rate
        if not len(wave) or _db(wave.numpy()) <= SILENT_DB:
            return torch.zeros(len(self.words))
        embeds = self.joint.encode_audio(wave, sample_rate)
        return (self.joint.clip.logit_scale * embeds @ self.word_embeds.T).softmax(-1)[0].cpu()

    def _level_db(self) -> float:
        return _db(self._samples[-max(round(LEVEL_SEC * self._sample_rate), 1) :])


def _db(samples: np.ndarray) -> float:
    """Of the rms, against full scale."""
    return 10 * math.log10(max(float(np.square(samples, dtype=np.float64).mean()), 1e-12)) if len(samples) else -120.0
