"""Recordings in: any container to float samples, one channel, another rate, and the samples of a video frame.

Axes: B batch, C channels, N samples. Samples are float32, nominally -1..1.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from ..common.errors import InputError, check_number, is_finite, value_shown
from ..common.stop import check_stop
from ..media.container import FARTHEST_SEC, check_codec, decode, open_container, warn_of_damage, zero_of
from ..media.ogg import links

MAX_CHANNELS = 8
CANCELLED = 1e-4  # share of its quietest channel's power below which a mean has lost the sound, -40 dB
LOUDEST = 2.0  # of what a lossy encoding can mean; a damaged packet may decode to anything
MAX_SAMPLE_RATE = 1_000_000
MAX_SAMPLE = 1e9  # far beyond integers that were never divided by their range; squares of its spectrum stay finite
JUDGED_SEC = 60  # of a stream of several channels, before it is decided how they are mixed
END = object()
GAP_SEC = 0.005  # a leap in the times of packets from which on one may be missing; Matroska rounds to 0.001
BLOCK = 1 << 16  # samples of silence at once
PIECE = 1 << 22  # samples that are resampled at once, between two looks at Stop


def load_audio(
    path: str | os.PathLike, start_sec: float = 0.0, seconds: float = math.inf, *, channels: bool = False
) -> tuple[Tensor, int]:
    """The first sound track of a file => (wave [1,N] float32 in -1..1, sample_rate in Hz).

    path: any container that FFmpeg reads, videos too.

    start_sec, seconds: only this part; memory goes by what is asked for.

    channels: [C,N] as recorded, in place of the mean of the channels (to_mono): encoders take rows for several sounds.

    Raises:
        InputError: no such file, not a recording, a video without sound, or no samples in it or in the part.
    """
    check_number(start_sec, "The start of the sound", low=0)
    blocks, sample_rate = stream_audio(path)
    first = round(start_sec * sample_rate)
    last = math.inf if seconds == math.inf else first + max(round(seconds * sample_rate), 1)
    wave = _cut(blocks, first, last)
    if wave is None:
        raise InputError(f"{path} ends before {start_sec:g} s.", "Ask for an earlier part.")
    check_wave(wave, sample_rate)
    return wave if channels else _mixed(wave)[None], sample_rate


def _cut(blocks: Iterable[Tensor], first: int, last: float) -> Tensor | None:
    """Samples first .. last - 1 of blocks [C,n] in a row; None where there are none."""
    kept, done = [], 0
    for block in blocks:
        n = block.shape[-1]
        if done + n > first:
            kept.append(block[:, max(first - done, 0) : min(n, last - done)].clone())
        done += n
        if done >= last:
            break
    return torch.cat(kept, dim=-1) if kept else None


def stream_audio(path: str | os.PathLike) -> tuple[Iterator[Tensor], int]:
    """The same, a block [C,n] at a time, for recordings of any length: (blocks, sample_rate in Hz).

    A rate or a layout that changes on the way becomes the first one; a lossy file's samples end at LOUDEST. What
    cannot be decoded is silence of its length, with a warning at the end; a sound that begins after the picture of its
    file begins with silence.

    Raises:
        InputError: as load_audio; what can only be seen by decoding is raised by the iterator.
    """
    with _opened(path) as (_, stream):
        sample_rate = int(stream.rate)
    return _decoded(path, sample_rate), sample_rate


@contextmanager
def _opened(path: str | os.PathLike, part: tuple[int, int] | None = None) -> Iterator:
    with open_container(path, "sound file", "Give a recording such as WAV, FLAC, MP3, OGG or MP4.", part) as container:
        if not container.streams.audio:
            raise InputError(f"{path} has no sound track.", "Give a recording, or a video with sound.")
        stream = container.streams.audio[0]
        check_codec(path, stream, "sound")
        if not stream.rate:
            raise InputError(f"{path} does not say its sample rate.", "Export the recording again.")
        yield container, stream


def _decoded(path: str | os.PathLike, sample_rate: int) -> Iterator[Tensor]:
    to_float, damaged, parts = _ToFloat(sample_rate), 0, links(path)
    for i, part in enumerate(parts):
        try:
            damaged += yield from _decoded_part(path, part if len(parts) > 1 else None, to_float)
        except InputError:  # a later recording of a chained file that is none
            if i == 0:
                raise
            damaged += 1
    if not to_float.channels:
        raise InputError(f"{path} holds no samples.", "Export the recording again; it may have been cut off.")
    warn_of_damage(os.fspath(path), damaged, "silence stands in their place")


def _decoded_part(
    path: str | os.PathLike, part: tuple[int, int] | None, to_float: _ToFloat
) -> Generator[Tensor, None, int]:
    """Its blocks; returns how many packets could not be read."""
    place, done, found = _Place(to_float.sample_rate), 0, False
    with _opened(path, part) as (container, stream):
        zero = zero_of(container, stream)
        to_float.most = LOUDEST if stream.codec_context.codec.lossy and not stream.codec_context.codec.lossless else 0
        for frame, following in _with_next(decode(container, stream)):
            if frame is None:
                place.missing += 1
                continue
            lasts = frame.samples / frame.sample_rate
            # a demuxer of Vorbis may put one frame too late where the blocks' sizes change; the next is right again
            near = [(frame, 0.0), (following, lasts)]
            times = [x.time - float(zero) - later for x, later in near if x is not None and x.time is not None]
            gap = place.gap_before(min(times, default=None), lasts, done)
            for block in to_float.blocks(frame):
                if gap:
                    done += gap
                    yield from _silence(to_float.channels, gap)
                    gap = 0
                done += block.shape[-1]
                found = True
                yield block
        for block in to_float.rest():
            found = True
            yield block
        if found and place.missing:
            most = round(to_float.sample_rate * FARTHEST_SEC)
            yield from _silence(to_float.channels, min(place.missing * place.usual, most))
    return place.lost + place.missing


def _with_next(frames: Iterator) -> Iterator[tuple]:
    """Every frame with the one after it, None after the last."""
    frame = next(frames, END)
    while frame is not END:
        following = next(frames, END)
        yield frame, None if following is END else following
        frame = following


class _Place:
    """Where in time the next frame belongs, by its own time and by what has been lost before it."""

    def __init__(self, sample_rate: int):
        self.sample_rate, self.missing, self.usual, self.ahead, self.lost = sample_rate, 0, 0, 0, 0

    def gap_before(self, time: float | None, lasts: float, done: int) -> int:
        """Samples of silence before a frame of that time and length in seconds, where `done` samples have come out."""
        usual, self.usual = self.usual or round(lasts * self.sample_rate), round(lasts * self.sample_rate)
        missing, self.missing = self.missing, 0
        ahead = self.ahead if time is None else round(time * self.sample_rate) - done
        leap, self.ahead = ahead - self.ahead, ahead
        by_count = missing * usual
        least = max(GAP_SEC * self.sample_rate, 0.6 * usual)
        if not missing and not least < leap <= FARTHEST_SEC * self.sample_rate:
            return 0
        # the time after a damaged packet may be reckoned from what the packet says that it lasts, which is garbage
        gap = leap if not missing or by_count / 2 <= leap <= 2 * by_count + usual else by_count
        self.ahead -= gap
        if done:
            self.lost += missing or round(gap / max(usual, 1))  # some demuxers pass over what they cannot read
        return gap


class _ToFloat:
    """Frames of any format, layout and rate => blocks [C,n] of one rate, and of as many channels as the first."""

    def __init__(self, sample_rate: int):
        self.sample_rate, self.channels, self.of, self.resampler = sample_rate, 0, None, None
        self.most = 0.0  # where samples are cut off; 0 where they are as they were stored

    def blocks(self, frame) -> Iterator[Tensor]:
        import av

        of = (frame.format.name, frame.layout.name, frame.sample_rate)
        if of != self.of:
            yield from self.rest()
            # packed, because PyAV reads planes of 8 channels or more out of bounds
            self.resampler = av.AudioResampler(format="flt", layout=frame.layout.name, rate=self.sample_rate)
            self.of = of
        frame.pts = None  # times are kept by _Place
        yield from self._out(frame)

    def rest(self) -> Iterator[Tensor]:
        if self.resampler is not None:
            yield from self._out(None)
        self.resampler = self.of = None

    def _out(self, frame) -> Iterator[Tensor]:
        assert self.resampler is not None  # blocks and rest see to it
        for part in self.resampler.resample(frame):
            block = torch.from_numpy(part.to_ndarray()).reshape(-1, part.layout.nb_channels).T
            if not block.numel():
                continue
            block = block.clamp(-self.most, self.most) if self.most else block
            self.channels = self.channels or len(block)
            yield block if len(block) == self.channels else _mixed(block).expand(self.channels, -1)


def _silence(channels: int, count: int) -> Iterator[Tensor]:
    while count > 0:
        yield torch.zeros(channels, min(count, BLOCK))
        count -= BLOCK


def check_wave(wave: Tensor, sample_rate: float) -> None:
    """Refuses what cannot be heard: no samples, NaN or infinity, too many channels, an impossible rate.

    wave: [N], [C,N] or [B,C,N].
    """
    if not isinstance(wave, Tensor) or wave.ndim not in (1, 2, 3):
        shape = list(wave.shape) if isinstance(wave, Tensor) else type(wave).__name__
        raise InputError(f"The sound has shape {shape}.", "Pass samples as a torch tensor [N], [C,N] or [B,C,N].")
    if not is_finite(sample_rate) or not 0 < sample_rate <= MAX_SAMPLE_RATE:
        raise InputError(
            f"The sample rate is {value_shown(sample_rate)}.", f"Give a number between 1 and {MAX_SAMPLE_RATE}, in Hz."
        )
    if wave.numel() == 0:
        raise InputError("The sound has no samples.", "Give a recording of at least one sample.")
    check_samples(wave)


def check_samples(wave: Tensor) -> None:
    """Refuses samples that are no finite floats, or so large that their power is none."""
    ends = torch.stack(wave.aminmax()) if torch.is_floating_point(wave) and wave.numel() else torch.zeros(2)
    if not torch.is_floating_point(wave) or not torch.isfinite(ends).all():  # NaN among them is NaN at both ends
        raise InputError("The sound holds values that are not finite floats.", "Repair or export the recording again.")
    largest = float(ends.abs().max())
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
    return _mixed(wave)


def _mixed(wave: Tensor) -> Tensor:
    mean = wave.mean(dim=-2)
    if wave.shape[-2] == 1:
        return mean
    return torch.where(_cancelled(wave)[..., None], wave[..., 0, :], mean)


def mono_blocks(blocks: Iterable[Tensor], sample_rate: float) -> Iterator[Tensor]:
    """Blocks [C,n] => [1,n], as to_mono: the mean of the channels or the first one. The first minute decides."""
    blocks = iter(blocks)
    held, have = [], 0
    for block in blocks:
        held.append(block.float())
        have += block.shape[-1]
        if len(block) == 1 or have >= JUDGED_SEC * sample_rate:
            break
    if held:
        first_alone = len(held[0]) > 1 and bool(_cancelled(torch.cat(held, dim=-1)))
        for block in itertools.chain(held, blocks):
            yield block.float()[:1] if first_alone else block.float().mean(dim=0, keepdim=True)


def _cancelled(wave: Tensor) -> Tensor:
    """[...,C,N] => [...]: whether the mean of the channels has lost the sound that is in each of them."""
    return wave.mean(dim=-2).square().mean(-1) < CANCELLED * wave.square().mean(-1).amin(-1)


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
        stream, done = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32"), 0
        for first in range(0, len(line), PIECE):  # to the bit what soxr.resample makes of the whole
            check_stop()
            last = first + PIECE >= len(line)
            moved = stream.resample_chunk(line[first : first + PIECE], last=last)[: n - done]
            target[done : done + len(moved)] = moved
            done += len(moved)
    return torch.from_numpy(out).reshape(*wave.shape[:-1], n).to(wave.device)


def resampled_blocks(blocks: Iterable[Tensor], from_hz: float, to_hz: float) -> Iterator[Tensor]:
    """Blocks [C,n] => blocks [n'] of the mean of their channels at another rate."""
    if from_hz == to_hz:
        yield from (block.mean(dim=0).float() for block in blocks)
        return
    import numpy as np
    import soxr

    stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32")
    for block in blocks:
        yield torch.from_numpy(stream.resample_chunk(block.mean(dim=0).float().numpy()).reshape(-1))
    yield torch.from_numpy(stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True).reshape(-1))


def check_frames(fps: float, num_frames: int) -> None:
    """Refuses a rate of frames, or a number of them, that is none."""
    if not is_finite(fps) or not fps > 0 or not is_finite(num_frames) or not 1 <= num_frames == int(num_frames):
        raise InputError(
            f"{value_shown(num_frames)} frames at {value_shown(fps)} a second were asked for.", "Both must be above 0."
        )


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
