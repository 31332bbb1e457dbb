"""Videos in and out, a few frames at a time, with their sound (PyAV).

A folder of PNG frames, 00000.png and on, with sound.wav where there is sound, takes a video's place anywhere.
Axes: F frames, C channels, H W picture, N samples.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..common.errors import InputError, check_number
from ..common.files import check_name, check_writable, replacing
from ..common.outputs import check_folder, replacing_folder
from ..common.shapes import check_shape
from .images import from_uint8, load_image, to_uint8, write_png

FOLDER_FPS = 12.0  # of a folder of frames, which does not say
SOUND_FILE = "sound.wav"
SOUND_RATE = 48000  # of the sound in every video that is written
# ending -> container, sound codec, video codecs of which the first that this FFmpeg has is taken, and their options
H264 = (("libx264", {"crf": "16"}), ("libopenh264", {}), ("mpeg4", {"qscale": "2"}))
WRITERS = {
    ".mp4": ("mp4", "aac", H264),
    ".mov": ("mov", "aac", H264),
    ".mkv": ("matroska", "aac", H264),
    ".webm": ("webm", "libopus", (("libvpx-vp9", {"crf": "24", "b": "0", "cpu-used": "4"}),)),
}

Sound = tuple[Iterable[Tensor], int]  # blocks [C,N] in -1..1, one after the other, and their rate in Hz


@dataclass(frozen=True)
class VideoInfo:
    """What a video is. num_frames: 0 where the file does not say; sound: the file that holds its sound, or None."""

    fps: float
    width: int
    height: int
    num_frames: int
    sound: Path | None


# ---- in


def probe(path: str | os.PathLike) -> VideoInfo:
    """Look at a video, or a folder of frames, without decoding it.

    Raises:
        InputError: it is missing, or not a video.
    """
    path = Path(path)
    if path.is_dir():
        frames = frame_files(path)
        height, width = load_image(frames[0]).shape[2:]
        sound = path / SOUND_FILE
        return VideoInfo(FOLDER_FPS, width, height, len(frames), sound if sound.is_file() else None)
    with _opened(path) as container:
        stream = _picture_track(container)
        fps = float(stream.average_rate or stream.guessed_rate or FOLDER_FPS)
        sound = path if container.streams.audio else None
        return VideoInfo(fps, stream.width, stream.height, stream.frames, sound)


def read_frames(
    path: str | os.PathLike, *, fps: float | None = None, start_sec: float = 0.0, seconds: float = math.inf
) -> Iterator[Tensor]:
    """Frames, one after the other, each [1,3,H,W] in -1..1 and upright.

    fps: the rate to come out at; each frame is then the one that is seen in the middle of its span. None: the video's
    own frames. What a damaged file holds before the damage is read.

    Raises:
        InputError: it is missing, not a video, or has no frame in start_sec .. start_sec + seconds.
    """
    check_number(start_sec, "The start of the video", low=0)
    if fps is not None:
        check_number(fps, "The frame rate", low=0.01, high=1000)
    found = False
    for img in _at_rate(_timed_frames(Path(path), start_sec), fps, start_sec, seconds):
        found = True
        yield img
    if not found:
        raise InputError(f"{path} has no frame that can be read there.", "Check that it plays, and its length.")


def read_video(path: str | os.PathLike, *, fps: float | None = None, limit: int | None = None) -> Tensor:
    """The first `limit` frames (None: all) at once, [F,3,H,W] in -1..1. For short videos; see read_frames."""
    frames = []
    for img in read_frames(path, fps=fps):
        frames.append(img)
        if len(frames) == limit:
            break
    return torch.cat(frames)


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
        for i, file in enumerate(frame_files(path)):
            yield i / FOLDER_FPS, load_image(file)
        return
    import av

    with _opened(path) as container:
        stream = _picture_track(container)
        stream.thread_type = "AUTO"
        first = float((stream.start_time or 0) * stream.time_base)
        rate = float(stream.average_rate or stream.guessed_rate or FOLDER_FPS)
        if start_sec > 1:
            container.seek(int((first + start_sec - 1) / stream.time_base), stream=stream)
        count = 0
        # a broken tail leaves what came before it
        with contextlib.suppress(av.FFmpegError):
            for frame in container.decode(stream):
                seconds = count / rate if frame.time is None else frame.time - first
                count += 1
                pixels = torch.from_numpy(frame.to_ndarray(format="rgb24"))
                pixels = pixels.rot90(round(getattr(frame, "rotation", 0) / 90) % 4, dims=(0, 1))
                yield seconds, from_uint8(pixels[None].contiguous())


def _at_rate(
    timed: Iterable[tuple[float, Tensor]], fps: float | None, start_sec: float, seconds: float
) -> Iterator[Tensor]:
    end_sec, almost = start_sec + seconds, 1e-6
    if fps is None:
        yield from (img for time, img in timed if start_sec - almost <= time < end_sec - almost)
        return
    shown, i, last = None, 0, None  # the frame on the screen, the number of the next one out, its time
    times = []
    for time, img in timed:
        while shown is not None and start_sec + (i + 0.5) / fps < time and (i + almost) / fps < seconds:
            yield shown
            i += 1
        times = [*times[-1:], time]
        shown, last = img, time
    if shown is None:
        return
    each = times[1] - times[0] if len(times) == 2 else 1 / fps
    while start_sec + (i + 0.5) / fps < last + each + almost and (i + almost) / fps < seconds:
        yield shown
        i += 1


def _picture_track(container):
    """The first track of moving pictures, or None: a cover picture, as music files and some videos hold, is none."""
    import av

    cover = av.stream.Disposition.attached_pic
    return next((stream for stream in container.streams.video if not stream.disposition & cover), None)


@contextlib.contextmanager
def _opened(path: Path):
    import av

    if not path.is_file():
        raise InputError(f"There is no video {path}.", "Check the path.")
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise InputError(
            f"{path} cannot be read as a video ({getattr(error, 'strerror', None) or error}).",
            "Give a video such as MP4, MOV, MKV or WEBM, or a folder of PNG frames.",
        ) from error
    with container:
        if _picture_track(container) is None:
            raise InputError(f"{path} has no picture track.", "Give a video, or a folder of PNG frames.")
        yield container


# ---- out


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
    path: str | os.PathLike, fps: float, sound: Sound | None = None, *, overwrite: bool = False
) -> Iterator[Callable[[Tensor], None]]:
    """Yields write(frames [F,3,H,W] in -1..1), to be called as often as there are frames.

    The sound is cut where the pictures end. Frames are encoded as they come, into a file (or folder) beside `path` that
    takes its name when the block ends well, and goes when it does not. A picture of odd size gets one more row or
    column. overwrite: put frames into a folder that holds other files, too.
    """
    path = check_video_target(path, overwrite=overwrite)
    check_number(fps, "The frame rate", low=0.01, high=1000)
    if path.suffix and not path.is_dir():
        place, writer = replacing(path), _FileWriter
    else:
        place, writer = replacing_folder(path, overwrite=overwrite), _FolderWriter
    with place as part:
        out = writer(part, path, fps, sound)
        try:
            yield out.write
            if not out.count:
                raise InputError("A video of no frames cannot be written.", "Ask for one frame or more.")
            out.close()
        finally:
            out.abandon()


class _FileWriter:
    """Pictures and sound into one container, each as far as the other."""

    def __init__(self, part: Path, path: Path, fps: float, sound: Sound | None):
        import av

        self.av = av
        kind, sound_codec, codecs = WRITERS[path.suffix.lower()]
        self.codec, options = next((c for c in codecs if c[0] in av.codecs_available), (None, {}))
        if self.codec is None:
            raise InputError(f"This FFmpeg cannot write {path.suffix} videos.", "Use a name that ends in .mp4.")
        self.rate = Fraction(fps).limit_denominator(1001)
        container_options = {"movflags": "+faststart"} if kind in ("mp4", "mov") else {}
        self.container = av.open(str(part), "w", format=kind, container_options=container_options)
        self.video = self.container.add_stream(self.codec, rate=self.rate, options=dict(options))
        self.video.pix_fmt = "yuv420p"
        self.sound = None if sound is None else _SoundTrack(av, self.container, sound_codec, sound)
        self.count = 0

    def write(self, frames: Tensor) -> None:
        sizes = check_shape(frames, "F 3 H W", name="the frames")
        frames = F.pad(frames.float(), (0, sizes["W"] % 2, 0, sizes["H"] % 2), mode="replicate")
        if not self.count:
            self.video.height, self.video.width = frames.shape[2:]
        elif (self.video.height, self.video.width) != tuple(frames.shape[2:]):
            raise InputError("The frames of a video differ in size.", "Scale them to one size.")
        for pixels in to_uint8(frames).cpu().numpy():
            frame = self.av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = self.count, 1 / self.rate
            self.container.mux(self.video.encode(frame))
            self.count += 1
        if self.sound is not None:
            self.sound.write_until(float(self.count / self.rate))

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

    def __init__(self, part: Path, path: Path, fps: float, sound: Sound | None):
        import av

        self.part, self.fps, self.count, self.sound, self.container = part, fps, 0, None, None
        if sound is not None:
            self.container = av.open(str(part / SOUND_FILE), "w", format="wav")
            self.sound = _SoundTrack(av, self.container, "pcm_s16le", sound)

    def write(self, frames: Tensor) -> None:
        for img in frames:
            write_png(img, self.part / f"{self.count:05d}.png")
            self.count += 1
        if self.sound is not None:
            self.sound.write_until(self.count / self.fps)

    def close(self) -> None:
        if self.sound is not None:
            self.sound.close()
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
        frame.sample_rate, frame.pts = self.sample_rate, None
        for part in self.resampler.resample(frame):
            self.container.mux(self.stream.encode(part))

    def close(self) -> None:
        if self.done:
            for part in self.resampler.resample(None):
                self.container.mux(self.stream.encode(part))
        self.container.mux(self.stream.encode())
