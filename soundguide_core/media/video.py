"""Videos in, a few frames at a time (PyAV): at a constant rate, upright, with square pixels, alpha laid on white.

A folder of PNG frames, 00000.png and on, with sound.wav where there is sound, takes a video's place anywhere.
Axes: F frames, C channels, H W picture, N samples.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from ..common.errors import InputError, check_number
from ..common.files import check_name
from .container import (
    FARTHEST_SEC,
    MOST_PIXELS,
    check_codec,
    decode,
    open_container,
    video_stream,
    warn_of_damage,
    zero_of,
)
from .images import from_host, from_uint8, load_image, resize
from .times import FOLDER_FPS, at_rate, exact_rate, rate_of, rising

SOUND_FILE = "sound.wav"
REMEDY = "Give a video such as MP4, MOV, MKV or WEBM, or a folder of PNG frames."
SCANNED = 5000  # packets of which the times are looked at
HD_LINES = 720  # from which a video that does not say so is taken to have the colours of BT.709
BT709, BT601, UNSAID = 1, 5, 2  # numbers of matrices in H.273

Sound = tuple[Iterable[Tensor], int]  # blocks [C,N] in -1..1, one after the other, and their rate in Hz


@dataclass(frozen=True)
class VideoInfo:
    """What a video is, as read_frames gives it. num_frames: 0 where the file does not say; sound: the file that holds
    its sound, or None."""

    fps: float
    width: int
    height: int
    num_frames: int
    sound: Path | None


def probe(path: str | os.PathLike) -> VideoInfo:
    """Look at a video, or a folder of frames, without decoding more than its first frame.

    Raises:
        InputError: it is missing, or not a video.
    """
    path = check_name(path)
    if path.is_dir():
        frames = frame_files(path)
        height, width = load_image(frames[0]).shape[2:]
        sound = path / SOUND_FILE
        return VideoInfo(FOLDER_FPS, width, height, len(frames), sound if sound.is_file() else None)
    first = next(_timed_frames(path, 0.0), None)
    with _opened(path) as (container, stream):
        height, width = (stream.height, stream.width) if first is None else first[1].shape[2:]
        sound = path if container.streams.audio else None
        return VideoInfo(float(_rate(container, stream)), width, height, stream.frames, sound)


def read_frames(
    path: str | os.PathLike, *, fps: float | None = None, start_sec: float = 0.0, seconds: float = math.inf
) -> Iterator[Tensor]:
    """Frames, one after the other, each [1,3,H,W] in -1..1, upright and with square pixels, at a constant rate.

    Each is the one that is seen in the middle of its span. Time 0 is where the file's picture or sound begins,
    whichever is first; until the picture does, its first frame is seen. A damaged frame leaves the one before it on the
    screen, with a warning at the end. All have the size of the first: where a stream changes its own, as recordings of
    broadcasts do, the later ones are scaled to it.

    fps: the rate to come out at; None: that of probe, or every picture of a folder.

    Raises:
        InputError: it is missing, not a video, has no frame in start_sec .. start_sec + seconds, or is a folder whose
            pictures differ in size.
    """
    check_number(start_sec, "The start of the video", low=0)
    if fps is not None:
        check_number(fps, "The frame rate", low=0.01, high=1000)
    path, found = check_name(path), False
    if fps is not None or path.is_dir():
        rate = exact_rate(FOLDER_FPS if fps is None else fps)
    else:
        with _opened(path) as (container, stream):
            rate = _rate(container, stream)
    for img in at_rate(_timed_frames(path, start_sec), rate, start_sec, seconds):
        found = True
        yield img
    if not found:
        raise InputError(f"{path} has no frame that can be read there.", "Check that it plays, and its length.")


def read_video(path: str | os.PathLike, *, fps: float | None = None, limit: int | None = None) -> Tensor:
    """The first `limit` frames (None: all) at once, [F,3,H,W] in -1..1. For short videos; see read_frames."""
    return torch.cat(list(islice(read_frames(path, fps=fps), limit)))


def frame_files(folder: Path) -> list[Path]:
    """The PNG files of a folder, in the order of the numbers in their names."""

    def key(path: Path) -> list:
        return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.name)]

    # whatever the case of the ending; a Mac leaves a hidden ._00000.png beside each on other disks
    files = [p for p in folder.iterdir() if p.suffix.lower() == ".png" and not p.name.startswith(".")]
    files.sort(key=key)
    if not files:
        raise InputError(f"{folder} holds no PNG files.", "Give a video, or a folder of frames such as 00000.png.")
    return files


def _timed_frames(path: Path, start_sec: float) -> Iterator[tuple[float, Tensor]]:
    """(seconds from the start of the video, frame), from about start_sec on."""
    if path.is_dir():
        yield from _pictures_of(path)
        return
    with _opened(path) as (container, stream):
        each = 1 / float(_rate(container, stream))
    with _opened(path) as (container, stream):
        stream.thread_type = "AUTO"
        zero = zero_of(container, stream)
        if start_sec > 1:
            container.seek(int((float(zero) + start_sec - 1) / stream.time_base), stream=stream)
        damaged, size = 0, None

        def timed() -> Iterator:
            nonlocal damaged
            for frame in decode(container, stream):
                if frame is None:
                    damaged += 1
                else:
                    yield None if frame.time is None else frame.time - float(zero), frame

        farthest = FARTHEST_SEC + start_sec
        for time, frame in rising(timed(), each, farthest):
            img = _picture(frame, stream.sample_aspect_ratio)
            size = size or (img.shape[2], img.shape[3])
            yield time, img if tuple(img.shape[2:]) == size else resize(img, size, "stretch")
        warn_of_damage(path, damaged, "the frame before is shown in their place")


def _pictures_of(folder: Path) -> Iterator[tuple[float, Tensor]]:
    """(seconds, frame) of a folder of frames, all of one size."""
    files, size = frame_files(folder), None
    for i, file in enumerate(files):
        img = load_image(file)
        size = size or img.shape[2:]
        if img.shape[2:] != size:
            raise InputError(
                f"{file} has {img.shape[3]} x {img.shape[2]} pixels, {files[0].name} before it {size[1]} x {size[0]}.",
                "Give the frames of a folder one size.",
            )
        yield i / FOLDER_FPS, img


def _picture(frame, aspect: Fraction | None) -> Tensor:
    """A decoded frame as [1,3,H,W] in -1..1."""
    matrix = int(frame.colorspace)
    if matrix == UNSAID:
        matrix = BT709 if frame.height >= HD_LINES else BT601
    alpha = frame.format.name == "pal8" or any(component.is_alpha for component in frame.format.components)
    kind = "rgba" if alpha else "rgb24"
    if frame.format.is_rgb or frame.format.name == "pal8":
        rgb = frame.reformat(format=kind)
    else:
        with contextlib.suppress(AttributeError):  # PyAV before 13
            frame.colorspace = matrix
        rgb = frame.reformat(format=kind, src_colorspace=matrix if matrix in (1, 4, 5, 6, 7, 9) else BT601)
    pixels = torch.from_numpy(rgb.to_ndarray())
    pixels = pixels.rot90(round(getattr(frame, "rotation", 0) / 90) % 4, dims=(0, 1))[None].contiguous()
    img = from_host(pixels.float() / 255) if alpha else from_uint8(pixels)
    wide = float(aspect or 1)  # of a pixel, before it was turned
    if 0.1 < wide < 10 and abs(wide - 1) > 1e-3:
        turned = round(getattr(frame, "rotation", 0) / 90) % 2 == 1
        axis = 2 if turned else 3
        size = [img.shape[2], img.shape[3]]
        size[axis - 2] = max(round(size[axis - 2] * wide), 1)
        img = resize(img, (size[0], size[1]), "stretch")
    return img


def _rate(container, stream) -> Fraction:
    """The constant rate that suits the times of its packets, see rate_of. The container has moved on afterwards."""
    stated = [rate for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate) if rate]
    times: list[float] = []
    last = None
    with contextlib.suppress(Exception):  # what cannot be read has no times
        for packet in islice(container.demux(stream), SCANNED):
            if None not in (packet.dts, last) and packet.dts < last:
                break  # two files in a row, whose times start again
            last = packet.dts
            time = packet.dts if packet.pts is None else packet.pts
            if time is not None:
                times.append(float(time * stream.time_base))
    return rate_of(sorted(times), [rate for rate in stated if 0.01 <= rate <= 1000])


@contextlib.contextmanager
def _opened(path: Path):
    with open_container(path, "video", REMEDY) as container:
        stream = video_stream(container)
        if stream is None:
            raise InputError(f"{path} has no picture track.", "Give a video, or a folder of PNG frames.")
        check_codec(path, stream, "picture track")
        if stream.width * stream.height > MOST_PIXELS:
            raise InputError(f"A frame of {path} has {stream.width} x {stream.height} pixels.", "Scale it down.")
        yield container, stream
