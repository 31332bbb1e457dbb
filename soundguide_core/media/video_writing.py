"""Videos out, a few frames at a time, with their sound: a file, or a folder of PNG frames with sound.wav beside them.

Colours are written and tagged as BT.709 from 720 lines on, below as BT.601. Animated GIF and WebP have no sound and
play for ever. Axes: F frames, C channels, H W, N samples.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..common.errors import InputError, Stopped, check_number
from ..common.files import check_name, check_writable, replacing
from ..common.outputs import check_folder, replacing_folder
from ..common.shapes import check_shape
from .behind import Behind
from .container import file_url
from .images import to_uint8, write_png
from .palettes import in_255_colours
from .times import exact_rate
from .video import SOUND_FILE, Sound

SOUND_RATE = 48000  # of the sound in every video that is written
HD_LINES = 720
LIMITED_RANGE = 1  # black is 16 and white 235
MATRICES = {"hd": (1, 1, 1), "sd": (5, 6, 6)}  # BT.709, BT.601: numbers of matrix, primaries and transfer in H.273
# ending -> container, sound codec, video codecs of which the first that this FFmpeg has is taken, and their options
H264 = (("libx264", {"crf": "16"}), ("libopenh264", {}), ("mpeg4", {"qscale": "2"}))
# A repeating player shows the last frame and then the first: all frames are as good as the first, a key frame, so that
# the step is no larger than those between.
LOOPED = {
    "libx264": {"crf": "6", "x264-params": "ipratio=1:pbratio=1:mbtree=0:bframes=0"},
    "mpeg4": {"qscale": "1"},
    "libvpx-vp9": {"crf": "8", "b": "0", "cpu-used": "4"},
}
WRITERS = {
    ".mp4": ("mp4", "aac", H264),
    ".mov": ("mov", "aac", H264),
    ".mkv": ("matroska", "aac", H264),
    ".webm": ("webm", "libopus", (("libvpx-vp9", {"crf": "24", "b": "0", "cpu-used": "4"}),)),
    ".gif": ("gif", None, (("gif", {}),)),
    ".webp": ("webp", None, (("libwebp_anim", {"quality": "90"}),)),
}
FAST_START, FOR_EVER = {"movflags": "+faststart"}, {"loop": "0"}
CONTAINER_OPTIONS = {"mp4": FAST_START, "mov": FAST_START, "gif": FOR_EVER, "webp": FOR_EVER}
MOST_FPS = {".gif": 50}  # programs show a GIF of shorter frames slowly


def check_video_target(path: str | os.PathLike, *, overwrite: bool = False) -> Path:
    """The path of a video about to be written, refused now rather than after the work: a file, or a folder of frames
    (a name without ending), which must be new, empty, or written by SoundGuide. overwrite: any folder will do."""
    path = check_name(path)
    if path.is_dir() or not path.suffix:
        return check_folder(path, overwrite=overwrite)
    if path.suffix.lower() not in WRITERS:
        raise InputError(
            f"{path} does not end like a video.",
            f"Use a name that ends in {', '.join(WRITERS)}, or one without ending for a folder of PNG frames.",
        )
    return check_writable(path)


@contextlib.contextmanager
def writing(
    path: str | os.PathLike, fps: float, sound: Sound | None = None, *, overwrite: bool = False, keep: bool = False,
    loop: bool = False,
) -> Iterator[Callable[[Tensor], None]]:  # fmt: skip
    """Yields write(frames [F,3,H,W] in -1..1), to be called as often as there are frames; they are encoded in another
    thread while the next are made, and must not be changed. What is wrong with frames is raised by the next call.

    The sound is cut where the pictures end. Frames are encoded as they come, into a file (or folder) beside `path` that
    takes its name when the block ends well, and goes when it does not. A picture of odd size gets one more row or
    column. overwrite: put frames into a folder that holds other files, too. keep: where Ctrl-C ends the block, what was
    written so far is kept under a name of its own, which the Stopped that goes on says. loop: for a player that
    repeats, without a visible seam between the last frame and the first; the file is larger.
    """
    path = check_video_target(path, overwrite=overwrite)
    check_number(fps, "The frame rate", low=0.01, high=MOST_FPS.get(path.suffix.lower(), 1000))
    if path.suffix and not path.is_dir():
        place, writer = replacing(path), _FileWriter
    else:
        place, writer = replacing_folder(path, overwrite=overwrite), _FolderWriter
    with place as part:
        out = writer(part, path, fps, sound, loop)
        behind = Behind(torch.no_grad()(out.write))
        try:
            yield behind.give
            behind.finish()
            if not out.count:
                raise InputError("A video of no frames cannot be written.", "Ask for one frame or more.")
            out.close()
        except KeyboardInterrupt:
            if keep:
                with contextlib.suppress(Exception):  # what was given already
                    behind.finish()
            if keep and out.count:
                with contextlib.suppress(Exception):  # what cannot be finished is not kept
                    raise Stopped(_kept(out, part, path)) from None
            raise
        finally:
            behind.give_up()
            out.abandon()


def _kept(out: _FileWriter | _FolderWriter, part: Path, path: Path) -> str:
    """Finishes what was begun under a free name beside `path`, a.unfinished.mp4 say; what to tell about it."""
    out.close()
    names = (f"{path.stem}.unfinished{n}{path.suffix}" for n in ("", *map(str, range(2, 1000))))
    kept = next(each for name in names if not os.path.lexists(each := path.with_name(name)))
    os.rename(part, kept)
    return f"the {out.count} frames made so far are in {kept}"


class _FileWriter:
    """Pictures and sound into one container, each as far as the other."""

    def __init__(self, part: Path, path: Path, fps: float, sound: Sound | None, loop: bool = False):
        import av

        self.av = av
        self.kind, sound_codec, codecs = WRITERS[path.suffix.lower()]
        self.codec, options = next((c for c in codecs if c[0] in av.codecs_available), (None, {}))
        if self.codec is None:
            raise InputError(f"This FFmpeg cannot write {path.suffix} videos.", "Use a name that ends in .mp4.")
        options = LOOPED.get(self.codec, options) if loop else options
        self.rate = exact_rate(fps)
        container_options = CONTAINER_OPTIONS.get(self.kind, {})
        self.container = av.open(file_url(part), "w", format=self.kind, container_options=container_options)
        self.video = self.container.add_stream(self.codec, rate=self.rate, options=dict(options))
        self.video.pix_fmt = "pal8" if self.kind == "gif" else "yuv420p"
        self.sound = None
        if sound is not None and sound_codec is not None:
            self.sound = _SoundTrack(av, self.container, sound_codec, sound)
        self.count = 0

    def write(self, frames: Tensor) -> None:
        sizes = check_shape(frames, "F 3 H W", name="the frames")
        frames = F.pad(frames.float(), (0, sizes["W"] % 2, 0, sizes["H"] % 2), mode="replicate")
        if not self.count:
            self._begin(*frames.shape[2:])
        elif (self.video.height, self.video.width) != tuple(frames.shape[2:]):
            raise InputError("The frames of a video differ in size.", "Scale them to one size.")
        for pixels in to_uint8(frames).cpu().numpy():
            frame = self._in_palette(pixels) if self.kind == "gif" else self._in_yuv(pixels)
            frame.pts, frame.time_base = self.count, 1 / self.rate
            self.container.mux(self.video.encode(frame))
            self.count += 1
        if self.sound is not None:
            self.sound.write_until(float(self.count / self.rate))

    def _in_yuv(self, pixels: np.ndarray):
        frame = self.av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=self.matrix)
        frame.colorspace, frame.color_range = self.matrix, LIMITED_RANGE
        return frame

    def _in_palette(self, pixels: np.ndarray):
        picture: Any = in_255_colours(pixels)  # which PyAV takes as a pair, and its types leave out
        return self.av.VideoFrame.from_ndarray(picture, format="pal8")

    def _begin(self, height: int, width: int) -> None:
        self.video.height, self.video.width = height, width
        hd = height >= HD_LINES and self.kind != "webp"  # whose pictures are BT.601 always
        self.matrix, primaries, transfer = MATRICES["hd" if hd else "sd"]
        if self.kind == "gif":
            return
        context = self.video.codec_context
        context.colorspace, context.color_primaries, context.color_trc = self.matrix, primaries, transfer
        context.color_range = LIMITED_RANGE

    def close(self) -> None:
        self.container.mux(self.video.encode())
        if self.sound is not None:
            self.sound.close()
        self.container.close()

    def abandon(self) -> None:
        with contextlib.suppress(Exception):  # a container closed half way has much to say, and nobody to tell
            self.container.close()


class _FolderWriter:
    """Numbered PNG files, and the sound beside them."""

    def __init__(self, part: Path, path: Path, fps: float, sound: Sound | None, loop: bool = False):
        import av

        self.part, self.rate, self.count, self.sound, self.container = part, exact_rate(fps), 0, None, None
        if sound is not None:
            self.container = av.open(file_url(part / SOUND_FILE), "w", format="wav")
            self.sound = _SoundTrack(av, self.container, "pcm_s16le", sound)

    def write(self, frames: Tensor) -> None:
        for img in frames:
            write_png(img, self.part / f"{self.count:05d}.png")
            self.count += 1
        if self.sound is not None:
            self.sound.write_until(float(self.count / self.rate))

    def close(self) -> None:
        if self.sound is not None:
            self.sound.close()
        if self.container is not None:
            self.container.close()

    def abandon(self) -> None:
        if self.container is not None:
            with contextlib.suppress(Exception):
                self.container.close()


class _SoundTrack:
    """Blocks of sound encoded up to a given time."""

    def __init__(self, av, container, codec: str, sound: Sound):
        self.av, self.container = av, container
        blocks, self.sample_rate = sound
        self.blocks = iter(blocks)
        first = next(self.blocks, None)
        self.rest = torch.zeros(1, 0) if first is None else first
        self.layout = "stereo" if len(self.rest) == 2 else "mono"
        self.stream = container.add_stream(codec, rate=SOUND_RATE, layout=self.layout)
        sample_format = self.stream.codec_context.format.name if self.stream.codec_context.format else "s16"
        self.resampler = av.AudioResampler(format=sample_format, layout=self.layout, rate=SOUND_RATE)
        self.done = 0

    def write_until(self, seconds: float) -> None:
        target = round(seconds * self.sample_rate)
        while self.done < target:
            if not self.rest.shape[-1]:
                block = next(self.blocks, None)
                if block is None:
                    return
                self.rest = block
                continue
            take = min(target - self.done, self.rest.shape[-1])
            self._encode(self.rest[:, :take])
            self.rest = self.rest[:, take:]
            self.done += take

    def _encode(self, wave: Tensor) -> None:
        if len(wave) > 2:
            wave = wave.mean(dim=0, keepdim=True)
        packed = wave.detach().float().cpu().clamp(-1, 1).T.reshape(1, -1).contiguous().numpy()
        frame = self.av.AudioFrame.from_ndarray(packed, format="flt", layout=self.layout)
        # with its time, a container knows that what an encoder puts before the first sample is not to be heard
        frame.sample_rate, frame.pts, frame.time_base = self.sample_rate, self.done, Fraction(1, self.sample_rate)
        for part in self.resampler.resample(frame):
            self.container.mux(self.stream.encode(part))

    def close(self) -> None:
        if self.done:
            for part in self.resampler.resample(None):
                self.container.mux(self.stream.encode(part))
        self.container.mux(self.stream.encode())
