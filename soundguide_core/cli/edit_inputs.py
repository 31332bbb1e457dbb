"""What `edit` reads: a video, masks, and the sound that edits it. Axes: F frames, D dims, H W picture, N samples."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ..common.errors import InputError, check_number

if TYPE_CHECKING:
    from torch import Tensor

    from ..media.video import Sound

HEARD_AT_ONCE = 64  # frames


class Source:
    """The video that --video, --fps and --seconds name; frames() may be read as often as one likes."""

    def __init__(self, args: argparse.Namespace):
        from ..media.video import probe

        self.path, self.limit, self.rate = args.video, args.seconds, args.fps
        self.info = probe(args.video)
        self.fps = self.info.fps if args.fps is None else args.fps
        check_number(self.fps, "--fps", low=0.01, high=1000)
        self.num_frames = sum(1 for _ in self.frames())  # a file may not say, or not say the truth
        self.seconds = self.num_frames / self.fps

    def frames(self) -> Iterator[Tensor]:
        """Each [1,3,H,W] in -1..1."""
        from ..media.video import read_frames

        limit = float("inf") if self.limit is None else self.limit
        if not Path(self.path).is_dir():
            return read_frames(self.path, fps=self.rate, seconds=limit)
        # the pictures of a folder have no times: they are shown at whatever rate is asked for
        count = None if self.limit is None else max(round(limit * self.fps), 1)
        return islice(read_frames(self.path), count)


def masks_of(args: argparse.Namespace, video: Source) -> Tensor | Iterator[Tensor] | None:
    """One mask for all frames [1,1,h,w] in 0..1, one for each, or None."""
    from ..media.images import SUFFIXES, load_image
    from ..media.video import probe, read_frames

    if args.mask is None:
        if args.invert_mask:
            raise InputError("There is no mask to invert.", "Give one with --mask.")
        return None
    path = Path(args.mask)

    def grey(img: Tensor) -> Tensor:
        mask = img.mean(dim=1, keepdim=True) / 2 + 0.5
        return mask if args.soft_mask else (mask >= 0.5).to(mask)

    if path.suffix.lower() in SUFFIXES and not path.is_dir():
        mask = grey(load_image(path))
        if not (1 - mask if args.invert_mask else mask).any():
            raise InputError(f"{path} marks nothing to edit.", "Make the part to edit white, or use --invert-mask.")
        return mask
    probe(path)
    return map(grey, read_frames(path, fps=None if path.is_dir() else video.fps))


# ---- sound


def sound_of(args: argparse.Namespace, seconds: float) -> Sound:
    """The blocks of --audio, again and again up to that many seconds where it is to be repeated."""
    from ..audio.waveform import stream_audio

    blocks, sample_rate = stream_audio(args.audio)
    if not args.repeat:
        return blocks, sample_rate

    def repeated() -> Iterator[Tensor]:
        left, part = round(seconds * sample_rate), blocks
        while True:
            for block in part:
                yield block[:, :left]
                left -= block.shape[-1]
                if left <= 0:
                    return
            part, _ = stream_audio(args.audio)

    return repeated(), sample_rate


def kept_sound(args: argparse.Namespace, video: Source) -> Sound | None:
    """What the result sounds like."""
    from ..audio.waveform import stream_audio

    if args.sound == "none":
        return None
    if args.sound == "video" and video.info.sound is not None:
        return stream_audio(video.info.sound)
    return sound_of(args, video.seconds)


def listen(args: argparse.Namespace, joint, video: Source) -> tuple[Tensor, Tensor]:
    """(what is heard at each frame [F,D], or [1,D] of the whole; its loudness [F] in 0..1)"""
    import torch

    from ..audio.mel import RELEASED, MelSpec
    from ..audio.track import MelTrack
    from ..audio.waveform import load_audio, to_mono
    from ..embedding.mixing import mix_embeds

    fps, count = video.fps, video.num_frames
    has_mel = isinstance(joint.spec, MelSpec)
    track = MelTrack.of_blocks(*sound_of(args, video.seconds), joint.spec if has_mel else RELEASED)
    if not args.whole and track.frames(fps) < count - 1:
        raise InputError(
            f"{args.audio} lasts {track.seconds:.1f} s, the video {video.seconds:.1f} s.",
            "Add --repeat, or --whole for one meaning throughout, or --seconds for the beginning only.",
        )
    loudness = torch.from_numpy(track.loudness(fps, count))
    if not loudness.any():
        raise InputError(f"{args.audio} is silent.", "Give a recording in which something is to be heard.")
    if args.whole:
        wave, sample_rate = load_audio(args.audio)
        embeds = joint.encode_audio(to_mono(wave), sample_rate)
    elif has_mel:
        parts = [(first, min(HEARD_AT_ONCE, count - first)) for first in range(0, count, HEARD_AT_ONCE)]
        embeds = torch.cat([joint.hear(track.windows(*part, fps)) for part in parts])
    else:  # an encoder that takes samples
        blocks, sample_rate = sound_of(args, video.seconds)
        wave = to_mono(torch.cat(list(blocks), dim=-1))
        embeds = joint.encode_audio_frames(wave, sample_rate, fps=fps, num_frames=count)
    if args.text is not None:
        embeds = mix_embeds([embeds, joint.encode_text([args.text])], [1.0, args.text_weight])
    return embeds, loudness
