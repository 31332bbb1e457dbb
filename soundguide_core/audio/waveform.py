"""Recordings in: any container to float samples, one channel, another rate, and the samples of a video frame.

Axes: B batch, C channels, N samples. Samples are float32, nominally -1..1.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import torch
from torch import Tensor

from ..common.errors import InputError

MAX_CHANNELS = 8
CANCELLED = 1e-4  # share of its quietest channel's power below which a mean has lost the sound, -40 dB
MAX_SAMPLE_RATE = 1_000_000
MAX_SAMPLE = 1e9  # far beyond integers that were never divided by their range; squares of its spectrum stay finite


def load_audio(path: str | os.PathLike) -> tuple[Tensor, int]:
    """The first sound track of any container that FFmpeg reads => (wave [C,N] float32 in -1..1, sample_rate in Hz).

    Raises:
        InputError: no such file, not a recording, a video without sound, or no samples in it.
    """
    blocks, sample_rate = stream_audio(path)
    wave = torch.cat(list(blocks), dim=-1)
    check_wave(wave, sample_rate)
    return wave, sample_rate


def stream_audio(path: str | os.PathLike) -> tuple[Iterator[Tensor], int]:
    """The same, a block [C,n] at a time, for recordings of any length: (blocks, sample_rate in Hz).

    Raises:
        InputError: as load_audio; what can only be seen by decoding is raised by the iterator.
    """
    import av

    name = os.fspath(path)
    if not os.path.isfile(name):
        raise InputError(f"There is no sound file {name}.", "Check the path.")
    if os.path.getsize(name) == 0:
        raise InputError(f"{name} is empty.", "Export the recording again.")
    try:
        with av.open(name) as container:
            if not container.streams.audio:
                raise InputError(f"{name} has no sound track.", "Give a recording, or a video with sound.")
            sample_rate = int(container.streams.audio[0].rate)
    except av.FFmpegError as error:
        raise _unreadable(name, error) from error
    return _decoded(name), sample_rate


def _decoded(name: str) -> Iterator[Tensor]:
    import av

    found = False
    try:
        with av.open(name) as container:
            # layout and rate stay; packed, because PyAV reads planes of 8 channels or more out of bounds
            to_float = av.AudioResampler(format="flt")
            for frame in container.decode(container.streams.audio[0]):
                for part in to_float.resample(frame):
                    block = torch.from_numpy(part.to_ndarray()).reshape(-1, part.layout.nb_channels).T
                    found = found or block.numel() > 0
                    yield block
    except av.FFmpegError as error:
        if not found:  # a broken tail still leaves what came before it
            raise _unreadable(name, error) from error
    if not found:
        raise InputError(f"{name} holds no samples.", "Export the recording again; it may have been cut off.")


def _unreadable(name: str, error: Exception) -> InputError:
    return InputError(
        f"{name} cannot be read as sound ({getattr(error, 'strerror', None) or error}).",
        "Give a recording such as WAV, FLAC, MP3, OGG or MP4.",
    )


def check_wave(wave: Tensor, sample_rate: float) -> None:
    """Refuses what cannot be heard: no samples, NaN or infinity, too many channels, an impossible rate.

    wave: [N], [C,N] or [B,C,N].
    """
    if not isinstance(wave, Tensor) or wave.ndim not in (1, 2, 3):
        shape = list(wave.shape) if isinstance(wave, Tensor) else type(wave).__name__
        raise InputError(f"The sound has shape {shape}.", "Pass samples as a tensor [N], [C,N] or [B,C,N].")
    if not isinstance(sample_rate, (int, float)) or not 0 < sample_rate <= MAX_SAMPLE_RATE:
        raise InputError(f"The sample rate is {sample_rate} Hz.", f"It must lie between 1 and {MAX_SAMPLE_RATE} Hz.")
    if wave.numel() == 0:
        raise InputError("The sound has no samples.", "Give a recording of at least one sample.")
    check_samples(wave)


def check_samples(wave: Tensor) -> None:
    """Refuses samples that are no finite floats, or so large that their power is none."""
    if not torch.is_floating_point(wave) or not torch.isfinite(wave).all():
        raise InputError("The sound holds values that are not finite floats.", "Repair or export the recording again.")
    largest = float(wave.abs().max()) if wave.numel() else 0.0
    if largest > MAX_SAMPLE:
        raise InputError(f"The sound holds samples as large as {largest:.1e}.", "Scale it to lie in -1..1.")


def to_mono(wave: Tensor) -> Tensor:
    """Mean of the channels: [C,N] => [N], [B,C,N] => [B,N]; up to 8 channels.

    The first channel where the others cancel it, as in a recording whose second channel is the first turned over.

    Raises:
        InputError: more channels than that, which usually means that the axes are swapped.
    """
    if wave.ndim not in (2, 3):
        raise InputError(f"The sound has shape {list(wave.shape)}.", "Pass it as [C,N] or [B,C,N].")
    if not 1 <= wave.shape[-2] <= MAX_CHANNELS:
        raise InputError(
            f"The sound has {wave.shape[-2]} channels.",
            f"Pass channels first, samples last, with 1 to {MAX_CHANNELS} channels.",
        )
    mean = wave.mean(dim=-2)
    if wave.shape[-2] == 1:
        return mean
    cancelled = mean.square().mean(-1) < CANCELLED * wave.square().mean(-1).amin(-1)  # [] or [B]
    return torch.where(cancelled[..., None], wave[..., 0, :], mean)


def resample(wave: Tensor, from_hz: float, to_hz: float) -> Tensor:
    """wave [...,N] at from_hz => [...,round(N to_hz / from_hz)] at to_hz.

    soxr rather than torchaudio: its cost does not grow with the denominators of the ratio (44101 => 22050 would need a
    kernel of gigabytes there), and nothing here needs a gradient with respect to samples.
    """
    if from_hz == to_hz:
        return wave
    import numpy as np
    import soxr

    lines = wave.detach().cpu().reshape(-1, wave.shape[-1]).to(torch.float32).numpy()
    n = max(round(wave.shape[-1] * to_hz / from_hz), 1)
    out = np.zeros((len(lines), n), dtype=np.float32)
    for line, target in zip(lines, out):
        moved = soxr.resample(line, from_hz, to_hz)[:n]
        target[: len(moved)] = moved
    return torch.from_numpy(out).reshape(*wave.shape[:-1], n).to(wave.device)


def fit_length(wave: Tensor, n: int, policy: str = "loop") -> Tensor:
    """wave [...,N] => [...,n]: cut at the end, or filled by playing it again ("loop") or by zeros ("silence")."""
    have = wave.shape[-1]
    if have >= n:
        return wave[..., :n]
    if policy == "loop":
        return wave.repeat(*[1] * (wave.ndim - 1), -(-n // have))[..., :n]
    if policy == "silence":
        return torch.nn.functional.pad(wave, (0, n - have))
    raise InputError(f"There is no way to lengthen a sound called {policy!r}.", 'Use "loop" or "silence".')


def frame_span(frame: int, sample_rate: float, fps: float) -> tuple[int, int]:
    """The samples that are heard during video frame i: [round(i sample_rate / fps), round((i+1) sample_rate / fps))."""
    return round(frame * sample_rate / fps), round((frame + 1) * sample_rate / fps)


def windows_per_frame(wave: Tensor, sample_rate: float, fps: float, num_frames: int, window: int) -> Tensor:
    """wave [N] => [F,window], each centred on the middle of its frame's span, zeros outside the recording."""
    spans = [frame_span(i, sample_rate, fps) for i in range(num_frames)]
    centres = torch.tensor([(first + last) // 2 for first, last in spans])
    index = centres[:, None] - window // 2 + torch.arange(window)  # [F,window]
    inside = (index >= 0) & (index < wave.shape[-1])
    return wave[index.clamp(0, wave.shape[-1] - 1)] * inside
