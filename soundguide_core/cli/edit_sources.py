"""What `edit` is given: a video, its masks, a recording and who hears it. Axes: F frames, H W picture."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from ..common.errors import InputError
from ..systems.configs.video_editing import EditConfig
from .common import pick_device

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ..embedding.joint import JointEncoder
    from ..media.video import Sound
    from ..pipelines.hearing import Heard
    from ..pipelines.recording import Recording
    from ..pipelines.video_source import VideoSource


@dataclass(frozen=True)
class Sources:
    """masks: one for all [1,1,h,w], one [1,1,h,w] a frame, to be read once, or None. heard: at each of the frames."""

    device: torch.device
    joint: JointEncoder
    video: VideoSource
    masks: Tensor | Iterator[Tensor] | None
    recording: Recording
    heard: Heard

    def left(self, first: int) -> tuple[Iterator[Tensor], Tensor | Iterator[Tensor] | None]:
        """Frames [1,3,H,W] and masks from number `first` on; one mask for all stays."""
        masks = islice(self.masks, first, None) if isinstance(self.masks, Iterator) else self.masks
        return islice(self.video.frames(), first, None), masks

    def kept_sound(self, which: str) -> Sound | None:
        """What the result sounds like: the "video", or the recording where that has no sound; the "audio"; "none"."""
        if which == "none":
            return None
        own = self.video.sound() if which == "video" else None
        if own is not None:
            return own
        blocks, sample_rate = self.recording.blocks()
        return blocks, round(sample_rate)


def read_sources(args: argparse.Namespace, config: EditConfig) -> Sources:
    """What the options name, opened and listened to."""
    from ..common.memory import tune_malloc
    from ..embedding.joint import load_joint
    from ..pipelines.hearing import Hearing
    from ..pipelines.recording import Recording
    from ..pipelines.video_source import VideoSource, read_masks

    device = pick_device(args)
    if device.type == "cpu":
        tune_malloc()
    video = VideoSource(args.video, fps=args.fps, seconds=args.seconds)
    if config.invert and args.mask is None:
        raise InputError("There is no mask to invert.", "Give one with --mask.")
    masks = args.mask and read_masks(args.mask, video.fps, soft=args.soft_mask, invert=config.invert)
    joint = load_joint(args.joint, device)
    recording = Recording.of_file(args.audio, video.seconds if args.repeat else None)
    hearing = Hearing(joint, recording)
    _check_length(args, hearing.seconds, video)
    heard = hearing.heard(video.fps, video.num_frames, whole=args.whole)
    if heard.loudness is not None and not heard.loudness.any():
        raise InputError(f"{args.audio} is silent.", "Give a recording in which something is to be heard.")
    if args.text is not None:
        heard = heard.mixed(joint.encode_text([args.text]), args.text_weight)
    return Sources(device, joint, video, masks, recording, heard)


def made_of(args: argparse.Namespace) -> dict:
    """What an edit is made of besides its settings: an unfinished one goes on only from the same."""
    from ..pipelines.unfinished_edit import stamp

    files = {name: stamp(getattr(args, name)) for name in ("video", "audio", "mask", "unet", "joint", "flow")}
    names = "soft_mask text text_weight whole repeat seconds fps"
    return {**files, **{name: getattr(args, name) for name in names.split()}}


def _check_length(args: argparse.Namespace, seconds: float, video: VideoSource) -> None:
    """Refuse a recording that ends more than a frame before the video, unless one meaning holds for all of it."""
    if not args.whole and round(seconds * video.fps) < video.num_frames - 1:
        raise InputError(
            f"{args.audio} lasts {seconds:.1f} s, the video {video.seconds:.1f} s.",
            "Add --repeat, or --whole for one meaning throughout, or --seconds for the beginning only.",
        )
