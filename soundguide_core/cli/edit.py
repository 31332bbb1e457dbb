"""Let a recording edit a video: the part inside a mask, or all of it. The rest stays as it is, to the bit.

--video, --mask and --out may be folders of PNG frames; a mask may also be one picture, or a video. It is white where to
edit. The frame rate stays, and so does the video's own sound; a video without one gets the recording (see --sound).
Frames are written as they are made.
"""

from __future__ import annotations

import argparse
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from ..common.errors import check_number
from ..common.files import check_writable
from .common import add_common, add_joint, add_model, emit_json, pick_device, progress
from .edit_inputs import Source, kept_sound, listen, masks_of

if TYPE_CHECKING:
    from torch import Tensor

OFF = "off"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--video", required=True, metavar="V", help="a video, or a folder of PNG frames")
    parser.add_argument("--audio", required=True, metavar="A", help="a sound or video file that edits it")
    parser.add_argument("--out", required=True, metavar="MP4", help="MP4, MOV, MKV, WEBM, or a folder of PNG frames")
    mask = parser.add_argument_group("where")
    mask.add_argument("--mask", metavar="M", help="picture, video or folder, white where to edit (default: everything)")
    mask.add_argument("--invert-mask", action="store_true", help="edit what is black")
    mask.add_argument("--soft-mask", action="store_true", help="take grey as a part; without it a mask is cut at half")
    mask.add_argument("--feather", type=int, default=0, metavar="PX", help="pixels over which an edit fades in (0)")
    what = parser.add_argument_group("what is heard")
    what.add_argument("--text", metavar="T", help="words that are meant as well")
    what.add_argument("--text-weight", type=float, default=1.0, metavar="W", help="of these words beside the sound (1)")
    what.add_argument("--whole", action="store_true", help="one meaning for all frames, not one for each moment")
    what.add_argument("--steady", action="store_true", help="edit alike at all times, not more where it is louder")
    what.add_argument("--repeat", action="store_true", help="repeat a recording that is shorter than the video")
    how = parser.add_argument_group("how")
    how.add_argument("--strength", type=float, default=1.0, help="how far the sound leads (1)")
    how.add_argument("--steps", type=int, help="diffusion steps from noise to picture; time grows in proportion")
    how.add_argument("--skip", type=int, help="the first of them left out; the more, the nearer to the video")
    how.add_argument(
        "--variant", choices=("clean", "paper", "score"),
        help="guidance on the score (default), on the mean as published, or at the clean estimate, which is faster",
    )  # fmt: skip
    how.add_argument(
        "--sampler", choices=("ddpm", "ddim", "dpm-solver"), help="with fresh noise in every step, or none"
    )
    how.add_argument(
        "--weight", action="append", default=[], type=_weight, metavar="NAME=W",
        help="of a term: sound, direction, flow, background, perceptual, range; may be repeated",
    )  # fmt: skip
    how.add_argument(
        "--flow", default="tv-l1", metavar="NAME", help="estimator of movement: tv-l1, a RAFT file, or off"
    )
    how.add_argument("--window", type=int, metavar="N", help="frames edited together; memory grows in proportion")
    how.add_argument("--chunk", type=int, metavar="N", help="of these in the networks at once")
    how.add_argument("--size", type=int, metavar="PX", help="shorter side in the model (default: as it was trained)")
    add_model(how, "--unet", "unet", "pixel diffusion: a registry name or a file", "U")
    add_joint(how)
    result = parser.add_argument_group("the result")
    result.add_argument("--seconds", type=float, metavar="S", help="edit only the beginning of the video")
    result.add_argument("--fps", type=float, metavar="F", help="frames a second (default: as they are; of a folder 12)")
    result.add_argument(
        "--sound", choices=("video", "audio", "none"), default="video",
        help="which is kept: the video's own, or --audio if it has none (default); --audio; none",
    )  # fmt: skip
    result.add_argument("--json", metavar="REPORT", help="where a report of figures and settings goes")
    add_common(parser)


def _weight(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a name and a number, such as flow=2") from None


def run(args: argparse.Namespace) -> int:
    from ..media.video import check_video_target

    config = settings(args)
    check_number(args.strength, "--strength", low=0, high=1e6)
    check_number(args.text_weight, "--text-weight", low=-100, high=100)
    if args.seconds is not None:
        check_number(args.seconds, "--seconds", low=1e-3, high=24 * 3600)
    check_video_target(args.out, overwrite=args.overwrite)
    if args.json:
        check_writable(args.json)

    began = time.monotonic()
    report = edit(args, config)
    report["took_seconds"] = round(time.monotonic() - began, 2)
    if args.json:
        emit_json(report, args.json)
    print(f"{args.out}: {report['frames']} frames, {report['seconds']:g} s of video in {report['took_seconds']} s")
    return 0


def settings(args: argparse.Namespace):
    """The EditConfig of the options."""
    from ..systems.video_editing import EditConfig

    given = ("steps", "skip", "variant", "sampler", "window", "chunk", "size")
    usual = EditConfig()
    weights = {**usual.weights, **dict(args.weight)}
    if args.flow == OFF:
        weights["flow"] = 0.0
    return EditConfig(
        **{name: getattr(args, name) for name in given if getattr(args, name) is not None},
        weights=weights, feather=args.feather, invert=args.invert_mask, seed=args.seed,
    )  # fmt: skip


def edit(args: argparse.Namespace, config) -> dict:
    """Writes the video; its report."""
    from ..audio.features import sones
    from ..common.memory import keep_freed_memory
    from ..diffusion.denoiser import load_denoiser
    from ..embedding.joint import load_joint
    from ..flow.estimators import load_flow
    from ..losses.perceptual import load_lpips
    from ..media.video import writing
    from ..systems.video_editing import stream_edit

    device = pick_device(args)
    if device.type == "cpu":
        keep_freed_memory()
    video = Source(args)
    masks = masks_of(args, video)
    joint = load_joint(args.joint, device)
    embeds, loudness = listen(args, joint, video)
    denoiser = load_denoiser(args.unet, device)
    weighed = {name for name, weight in config.weights.items() if weight}
    estimator = load_flow(args.flow, device) if "flow" in weighed else None
    perceptual = load_lpips(device=device) if "perceptual" in weighed else None
    curve = args.strength * (loudness * 0 + 1 if args.steady else sones(loudness))
    figures = Figures(joint, embeds) if args.json else None
    with (
        writing(args.out, video.fps, kept_sound(args, video), overwrite=args.overwrite) as write,
        progress("editing") as on_step,
    ):
        read = deque()
        frames = remembered(video.frames(), read) if figures else video.frames()
        for part in stream_edit(
            frames, embeds, denoiser=denoiser, joint=joint, masks=masks, flow=estimator, perceptual=perceptual,
            curves={"sound": curve}, num_frames=video.num_frames, config=config, on_step=on_step,
        ):  # fmt: skip
            write(part.frames)
            if figures:
                figures.add(part, [read.popleft() for _ in part.frames])
    names = "video audio mask soft_mask text text_weight whole steady repeat strength flow unet joint sound seed"
    return {
        "out": args.out,
        "frames": video.num_frames,
        "fps": video.fps,
        "seconds": round(video.seconds, 4),
        "size": [video.info.width, video.info.height],
        **(figures.summary() if figures else {}),
        "settings": {
            **{name: getattr(args, name) for name in names.split()},
            "device": str(device),
            "config": asdict(config),
        },
    }


def remembered(frames: Iterable[Tensor], into: deque) -> Iterator[Tensor]:
    for img in frames:
        into.append(img)
        yield img


class Figures:
    """Nearness of the frames to the sound before and after; how much changed inside the mask, and outside."""

    def __init__(self, joint, embeds: Tensor):
        self.joint, self.embeds = joint, embeds.cpu()
        self.rows: list[tuple[float, float, float]] = []
        self.outside = 0

    def add(self, part, sources: list[Tensor]) -> None:
        """part: the EditedVideo of one window, and its source frames."""
        import torch

        from ..media.images import to_uint8

        for img, img_src, mask in zip(part.frames.split(1), sources, part.mask.split(1)):
            heard = self.embeds[len(self.rows) if len(self.embeds) > 1 else 0]
            with torch.no_grad():
                before, after = (
                    float(self.joint.encode_image(x.to(self.joint.device))[0].cpu() @ heard) for x in (img_src, img)
                )
            changed = (to_uint8(img).int() - to_uint8(img_src).int()).abs().amax(dim=-1)[:, None]  # [1,1,H,W]
            self.outside = max(self.outside, int((changed * (mask == 0)).max()))
            difference = (img - img_src).abs().mean(dim=1, keepdim=True) / 2
            self.rows.append((before, after, float((mask * difference).sum() / mask.sum().clamp(min=1e-6))))

    def summary(self) -> dict:
        """change: mean difference of values in 0..1 where the mask is; outside: the largest, of 255 levels."""
        before, after, change = zip(*self.rows)
        mean = {name: sum(row) / len(row) for name, row in (("before", before), ("after", after), ("change", change))}
        return {
            "similarity": {
                "before": mean["before"], "after": mean["after"], "per_frame": [round(x, 4) for x in after],
            },
            "change": {"mean": mean["change"], "per_frame": [round(x, 5) for x in change]},
            "outside": self.outside,
        }  # fmt: skip
