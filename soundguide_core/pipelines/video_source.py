"""A video and its masks, from files. Axes: H W picture."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from torch import Tensor

from ..audio.waveform import stream_audio
from ..common.errors import check_number
from ..media.images import READ_SUFFIXES, load_image
from ..media.masks import check_marked
from ..media.video import Sound, probe, read_frames


class VideoSource:
    """A video file or a folder of PNG frames, all of it or its first seconds; frames() may be read again and again.

    fps: None for the rate that it has; a folder's pictures have no times and are shown at whatever rate is given.
    """

    def __init__(self, path: str | os.PathLike, *, fps: float | None = None, seconds: float | None = None) -> None:
        self.path, self.limit, self.rate = Path(path), seconds, fps
        self.info = probe(path)
        self.fps = self.info.fps if fps is None else fps
        check_number(self.fps, "--fps", low=0.01, high=1000)
        self.num_frames = sum(1 for _ in self.frames())  # a file may not say, or not say the truth
        self.seconds = self.num_frames / self.fps

    def frames(self) -> Iterator[Tensor]:
        """Each [1,3,H,W] in -1..1."""
        limit = float("inf") if self.limit is None else self.limit
        if not self.path.is_dir():
            return read_frames(self.path, fps=self.rate, seconds=limit)
        count = None if self.limit is None else max(round(limit * self.fps), 1)
        return islice(read_frames(self.path), count)

    def sound(self) -> Sound | None:
        """Its own sound, or None."""
        return None if self.info.sound is None else stream_audio(self.info.sound)


def read_masks(
    path: str | os.PathLike, fps: float, *, soft: bool = False, invert: bool = False
) -> Tensor | Iterator[Tensor]:
    """The mask in a picture file [1,1,h,w], or those of a video or folder, one for each frame; in 0..1, white is 1.

    fps: rate of the frames that they are for. soft: grey is a part; else it is cut at half. invert: what is black will
    be edited, so that it may not be missing.

    Raises:
        InputError: the one mask marks nothing to edit.
    """
    path = Path(path)

    def grey(img: Tensor) -> Tensor:
        mask = img.mean(dim=1, keepdim=True) / 2 + 0.5
        return mask if soft else (mask >= 0.5).to(mask)

    if path.suffix.lower() in READ_SUFFIXES and not path.is_dir():
        mask = grey(load_image(path))
        check_marked(mask, invert)
        return mask
    probe(path)
    return map(grey, read_frames(path, fps=None if path.is_dir() else fps))
