"""What moves in a sound, as curves with one value per video frame: loudness, onset, beat, centroid.

Axes: N samples, F video frames.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..common.collector import collector_at_rest
from ..common.errors import InputError
from .waveform import check_frames, check_wave, resample

SAMPLE_RATE = 22050
HOP_LENGTH = 256
COLUMN = 2048  # samples
QUIETEST_DB = 60.0  # below the loudest moment, where loudness reaches 0
BEAT_DECAY_SEC = 0.15
NAMES = ("loudness", "onset", "beat", "centroid")
AUDIBLE = 1e-5  # rms under which there is nothing to follow


def curve(name: str, wave: Tensor, sample_rate: float, fps: float, num_frames: int) -> np.ndarray:
    """One of `curves` [F]. That of loudness needs no librosa, whose import compiles for seconds.

    Raises:
        InputError: no such curve, nothing to hear, or frames that cannot be.
    """
    if name not in NAMES:
        raise InputError(f"A sound has no curve {name!r}.", f"Use one of {', '.join(NAMES)}.")
    if name != "loudness":
        return curves(wave, sample_rate, fps, num_frames)[name]
    _check(wave, sample_rate, fps, num_frames)
    return loudness(wave, sample_rate, fps, num_frames)


def loudness(wave: Tensor, sample_rate: float, fps: float, num_frames: int) -> np.ndarray:
    """The curve of that name alone, [F]: see curves."""
    if float(wave.abs().max()) < AUDIBLE:
        return np.zeros(num_frames, dtype=np.float32)
    rms = _rms(_samples(wave, sample_rate))
    return _per_frame(_decibels(rms), fps, num_frames, np.mean)


def curves(wave: Tensor, sample_rate: float, fps: float, num_frames: int) -> dict[str, np.ndarray]:
    """wave [N] => {"loudness", "onset", "beat", "centroid"}, each [F] float32 in 0..1; silence is 0 in all of them.

    loudness: dB over the 60 below the loudest moment. onset: strength of beginnings. beat: 1 on a beat, then decaying.
    centroid: where the spectrum's weight lies, on a log scale from 50 Hz (0) to 10 kHz (1).

    Raises:
        InputError: nothing to hear, or frames that cannot be.
    """
    with collector_at_rest():
        import librosa
        import librosa.beat
        import librosa.feature
        import librosa.onset

    _check(wave, sample_rate, fps, num_frames)
    if float(wave.abs().max()) < AUDIBLE:
        return {name: np.zeros(num_frames, dtype=np.float32) for name in NAMES}

    y = _samples(wave, sample_rate)
    rms = _rms(y)
    loud = _decibels(rms)

    strength = librosa.onset.onset_strength(y=y, sr=SAMPLE_RATE, hop_length=HOP_LENGTH)
    onset = strength / strength.max() if strength.max() > 0 else strength

    beats = librosa.beat.beat_track(onset_envelope=strength, sr=SAMPLE_RATE, hop_length=HOP_LENGTH, units="frames")[1]
    beat = np.zeros(len(rms))
    after = np.exp(-np.arange(len(rms)) * HOP_LENGTH / SAMPLE_RATE / BEAT_DECAY_SEC)
    for at in beats:
        beat[at:] = np.maximum(beat[at:], after[: len(beat) - at])

    hz = librosa.feature.spectral_centroid(y=y, sr=SAMPLE_RATE, hop_length=HOP_LENGTH)[0]
    centroid = np.clip(np.log(np.maximum(hz, 50) / 50) / np.log(10000 / 50), 0, 1) * (loud > 0)

    found = {"loudness": loud, "onset": onset, "beat": beat, "centroid": centroid}
    peaks = {"onset", "beat"}  # a short event counts for its frame however short; the others are averaged
    return {name: _per_frame(x, fps, num_frames, np.max if name in peaks else np.mean) for name, x in found.items()}


def _check(wave: Tensor, sample_rate: float, fps: float, num_frames: int) -> None:
    check_wave(wave, sample_rate)
    if wave.ndim != 1:
        raise InputError(f"The sound has shape {list(wave.shape)}.", "Pass one channel, [N].")
    check_frames(fps, num_frames)


def sones(loudness: Tensor) -> Tensor:
    """loudness in 0..1 on its scale of decibels => how loud it seems, in 0..1 beside the loudest moment.

    S. S. Stevens, "The Measurement of Loudness", JASA 1955: what is 10 dB below seems half as loud. A curve in decibels
    hardly moves, and that of amplitudes leaves nothing of what is 20 dB below.
    """
    return 2 ** ((loudness - 1) * QUIETEST_DB / 10)


def _samples(wave: Tensor, sample_rate: float) -> np.ndarray:
    """wave [N] at SAMPLE_RATE, no shorter than one column."""
    y = resample(wave.float(), sample_rate, SAMPLE_RATE).cpu().numpy()
    return np.pad(y, (0, max(COLUMN - len(y), 0)))


def _rms(y: np.ndarray) -> np.ndarray:
    """y [N] => root mean square of each column, COLUMN samples about every HOP_LENGTH-th: librosa.feature.rms without
    the seconds that numba takes to compile at the first import of librosa."""
    padded = np.pad(y, COLUMN // 2)
    columns = np.lib.stride_tricks.sliding_window_view(padded, COLUMN)[::HOP_LENGTH]
    return np.sqrt(np.einsum("tn,tn->t", columns, columns, dtype=np.float32) / COLUMN)


def _decibels(rms: np.ndarray) -> np.ndarray:
    """Columns of rms => 0..1, over the QUIETEST_DB below the loudest."""
    return np.clip(1 + 20 * np.log10(np.maximum(rms, 1e-9) / rms.max()) / QUIETEST_DB, 0, 1)


def _per_frame(curve: np.ndarray, fps: float, num_frames: int, gather) -> np.ndarray:
    """Columns => video frames; frame i gathers the columns centred in its span, or the nearest one."""
    centre_sec = np.arange(len(curve)) * HOP_LENGTH / SAMPLE_RATE
    out = np.zeros(num_frames, dtype=np.float32)
    for i in range(num_frames):
        first, last = np.searchsorted(centre_sec, (i / fps, (i + 1) / fps))
        if last > first:
            out[i] = gather(curve[first:last])
        elif first < len(curve):
            out[i] = curve[first]
    return out
