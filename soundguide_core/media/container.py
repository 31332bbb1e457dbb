"""Containers of sound and video, opened and decoded in one place (PyAV).

Named formats only, and no protocol but the file itself: a playlist or a session description under another name would
have other files and addresses opened.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..common.errors import InputError
from ..common.files import check_input

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "mpegts", "mpeg", "mpegvideo", "m4v", "h264", "hevc", "ivf",
    "obu", "flv", "asf", "mxf", "nut", "ogg", "dv", "gif", "apng", "wav", "w64", "rf64", "aiff", "au", "caf", "flac",
    "mp3", "aac", "ac3", "eac3", "dts", "amr", "wv", "tta", "ape", "mpc", "mpc8", "tak", "voc", "rm", "yuv4mpegpipe",
)  # fmt: skip
MOST_PIXELS = 2**26  # of a frame
FARTHEST_SEC = 600  # between the starts of sound and picture, or of two packets; what is farther is a broken time
TRIES = 100  # unreadable packets in a row, after which a file is at its end
UNSEEN = 9_000  # packets in a row that show nothing, as an edit list's may: five minutes without a key frame


def file_url(path: str | os.PathLike) -> str:
    """A path as FFmpeg takes it for nothing else: 12:30:15.mp4 has no protocol named 12."""
    return f"file:{os.path.abspath(path)}"


@contextmanager
def open_container(path: str | os.PathLike, kind: str, remedy: str, part: tuple[int, int] | None = None) -> Iterator:
    """An av container to read. kind: "video" or "sound file", as a message calls it. part: only these bytes of it.

    Raises:
        InputError: there is no such file, it is empty, or no container of a known format.
    """
    import av
    from av.error import FFmpegError

    path = check_input(path, kind)
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty.", "Export it again.")
    url = file_url(path) if part is None else f"subfile,,start,{part[0]},end,{part[1]},,:{file_url(path)}"
    protocols = "file" if part is None else "file,subfile"
    try:
        container = av.open(url, options={"protocol_whitelist": protocols, "format_whitelist": ",".join(FORMATS)})
    except (FFmpegError, OSError, ValueError) as error:
        what = "sound" if kind == "sound file" else "a video"
        raise InputError(
            f"{path} cannot be read as {what} ({getattr(error, 'strerror', None) or error}).", remedy
        ) from error
    with container:
        yield container


def video_stream(container):
    """The first picture track that is no cover of an album; None where there is none."""
    cover = 1 << 10  # AV_DISPOSITION_ATTACHED_PIC
    return next((s for s in container.streams.video if not int(getattr(s, "disposition", 0) or 0) & cover), None)


def check_codec(path: str | os.PathLike, stream, what: str) -> None:
    """Refuse a track of an encoding that this build of FFmpeg does not know, or that a damaged header hides."""
    if getattr(stream, "codec_context", None) is None:
        raise InputError(
            f"The {what} of {path} is encoded in a way that is not known here.", "Convert it, or copy it again."
        )


def zero_of(container, stream) -> Fraction:
    """The time in the file, in seconds, that is 0 for its sound and its picture alike: where the earlier one begins."""
    streams = [s for s in (video_stream(container), *container.streams.audio[:1]) if s is not None]
    starts = [s.start_time * s.time_base for s in streams if s.start_time is not None]
    own = Fraction(0) if stream.start_time is None else stream.start_time * stream.time_base
    zero = min(starts, default=own)
    return zero if own - zero <= FARTHEST_SEC else own


def _alpha_decoder(stream) -> Any:
    """The decoder of a VP8 or VP9 stream with transparency, which FFmpeg's own decoders leave out; else None."""
    import av

    name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(getattr(stream.codec_context, "name", ""))
    stated = {key.lower(): value for key, value in stream.metadata.items()}
    if name is None or stated.get("alpha_mode") != "1":
        return None
    try:
        return av.CodecContext.create(name, "r")
    except Exception:  # a build of FFmpeg without libvpx
        return None


def decode(container, stream) -> Iterator:
    """The frames of a stream; None in the place of each packet that cannot be read."""
    from av.error import EOFError as EndOfFile
    from av.error import FFmpegError

    decoder = _alpha_decoder(stream) if stream.type == "video" else None
    failures, unseen, packets = 0, 0, container.demux(stream)
    while failures < TRIES and unseen < UNSEEN:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            frames = packet.decode() if decoder is None else decoder.decode(packet if packet.size else None)
        except EndOfFile:
            return
        except (FFmpegError, ValueError):
            failures += 1
            packets = container.demux(stream)
            yield None
            continue
        failures, unseen = (0, 0) if frames else (failures, unseen + 1)
        yield from frames


def warn_of_damage(path: Path | str, count: int, instead: str) -> None:
    """One warning for a file of which so many packets could not be read."""
    if count:
        what = "1 damaged packet was" if count == 1 else f"{count} damaged packets were"
        warnings.warn(f"{path}: {what} left out; {instead}.", stacklevel=2)
