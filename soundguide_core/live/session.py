"""One listener: blocks of sound in, pictures out as fast as the machine makes them, and a recording of both.

A thread paints, another hears words four times a second; the painter never waits for the ear.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..common.errors import InputError
from ..media.images import to_uint8
from ..media.video_writing import writing
from .config import LiveConfig
from .ear import LiveEar
from .picture import LivePicture
from .reel import Reel

HEAR_EVERY_SEC = 0.25
JPEG_QUALITY = 85
RECORD_FPS = 24.0


@dataclass(frozen=True)
class Shown:
    """A picture that was painted: jpeg, what it shows, and the time stamp of the last block that it had heard."""

    jpeg: bytes
    number: int
    loudness: float
    words: dict[str, float]
    stamp: float
    fps: float


class LiveSession:
    """show(Shown) is called from the painting thread, once a picture. Used as a context manager.

    reel: keeps the last seconds of it.
    """

    def __init__(
        self, ear: LiveEar, picture: LivePicture, config: LiveConfig, show: Callable[[Shown], None],
        reel: Reel | None = None,
    ) -> None:  # fmt: skip
        self.ear, self.picture, self.config, self.show, self.reel = ear, picture, config, show, reel
        self.posterior = torch.zeros(len(ear.words))
        self._stamp, self._stop = 0.0, threading.Event()
        self._recorder: _Recorder | None = None
        self._recording = threading.Lock()
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._paint, self._hear)]
        self.error: BaseException | None = None

    def __enter__(self) -> LiveSession:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self.stop_recording()

    def push(self, block: np.ndarray, sample_rate: float, stamp: float) -> None:
        """A block [N] of samples; stamp: any number that grows, which comes back with the first picture of it."""
        self.ear.push(block, sample_rate)
        if self.reel is not None:
            self.reel.heard(block, sample_rate)
        self._stamp = stamp
        if self._recorder is not None:
            self._recorder.blocks.waiting.append(block)

    def change(self, **settings: Any) -> None:
        """Other values of the config, from the next picture on."""
        self.config = replace(self.config, **settings)

    def record(self, folder: str | os.PathLike) -> Path:
        """Begin to record pictures and sound into a new file of that folder."""
        with self._recording:
            if self._recorder is not None:
                raise InputError("A recording is under way.", "Stop it first.")
            self._recorder = _Recorder(_free_name(Path(folder)), self.ear.sample_rate)
            return self._recorder.path

    def stop_recording(self) -> Path | None:
        """Finish the file; its path, or None where nothing was recorded."""
        with self._recording:
            recorder, self._recorder = self._recorder, None
            return None if recorder is None else recorder.close()

    def _hear(self) -> None:
        with self._remembering_errors():
            while not self._stop.wait(HEAR_EVERY_SEC):
                self.posterior = self.ear.posterior()

    def _paint(self) -> None:
        with self._remembering_errors():
            began = last = time.monotonic()
            heard, loudness, fps, number = torch.zeros(len(self.ear.words)), 0.0, 0.0, 0
            while not self._stop.is_set():
                config, now, stamp = self.config, time.monotonic(), self._stamp
                passed, last = now - last, now
                # what is heard fades in at once and out over the smoothing: a clap must not come late
                keep = math.exp(-passed / config.smoothing) if config.smoothing else 0.0
                loudness = max(self.ear.loudness(), keep * loudness)
                heard = keep * heard + (1 - keep) * self.posterior
                img = self.picture.frame(now - began, heard * loudness, loudness, config)
                if self.reel is not None:
                    self.reel.painted(img)
                number += 1
                fps = 0.9 * fps + 0.1 / max(passed, 1e-3) if number > 2 else 0.0
                words = dict(zip(self.ear.words, (heard * loudness).tolist()))
                self.show(Shown(_jpeg(img), number, loudness, words, stamp, fps))
                with self._recording:
                    if self._recorder is not None:
                        self._recorder.picture(img)
                self._stop.wait(max(1 / config.max_fps - (time.monotonic() - now), 0))

    @contextlib.contextmanager
    def _remembering_errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.error = error
            self._stop.set()


class _Recorder:
    """A video that is written while it is shown: at each time of its frames the last picture, and the sound."""

    def __init__(self, path: Path, sample_rate: float) -> None:
        self.path, self.count, self.last = path, 0, None
        self.began = time.monotonic()
        self.blocks = _Blocks()
        self._video = contextlib.ExitStack()
        sound = (self.blocks, round(sample_rate)) if sample_rate else None
        self._write = self._video.enter_context(writing(path, RECORD_FPS, sound))

    def picture(self, img: Tensor) -> None:
        due = int((time.monotonic() - self.began) * RECORD_FPS) + 1
        before, self.last = self.last, img.cpu()
        while self.count < due:
            self._write((self.last if before is None or self.count == due - 1 else before)[None])
            self.count += 1

    def close(self) -> Path | None:
        if not self.count:
            with contextlib.suppress(InputError):  # a video of no frames
                self._video.close()
            return None
        self._video.close()
        return self.path


class _Blocks:
    """Blocks of sound [1,n] in the order they came; ends whenever it has caught up, and goes on after."""

    def __init__(self) -> None:
        self.waiting: deque[np.ndarray] = deque()

    def __iter__(self) -> _Blocks:
        return self

    def __next__(self) -> Tensor:
        if not self.waiting:
            raise StopIteration
        return torch.from_numpy(self.waiting.popleft().astype(np.float32))[None]


def _free_name(folder: Path) -> Path:
    """live-1.mp4 and so on, the first that is not there."""
    return next(path for i in itertools.count(1) if not (path := folder / f"live-{i}.mp4").exists())


def _jpeg(img: Tensor) -> bytes:
    """[3,H,W] in -1..1 => the bytes of a JPEG."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(to_uint8(img[None])[0].cpu().numpy()).save(out, "JPEG", quality=JPEG_QUALITY)
    return out.getvalue()
