"""Let a recording edit a video: the part inside a mask, or all of it. The rest stays as it is.

To the bit it does in a folder of PNG frames; a video file is encoded anew, which changes every pixel a little.

--video, --mask and --out may be folders of PNG frames; a mask may also be one picture, or a video. It is white where to
edit. The frame rate stays, and so does the video's own sound; a video without one gets the recording (see --sound).
Frames are written as they are made. What Ctrl-C stops goes on where it was when the same command is given again.
What is transparent in a picture or a video is laid on white.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, replace

from ..common.errors import check_number
from ..systems.configs.video_editing import CONSTANT, EditConfig, LeadConfig
from .common import add_common, add_joint, add_model, add_report, add_video_out, emit_json, progress, say
from .edit_sources import made_of, read_sources
from .preview import add_preview, check_preview, chosen_frames, write_preview
from .settings import add_config_arguments, config_from, dest_of

OFF = "off"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--video", required=True, metavar="V", help="a video, or a folder of PNG frames")
    parser.add_argument("--audio", required=True, metavar="A", help="a sound or video file that edits it")
    add_video_out(parser)
    add_preview(parser)
    mask = parser.add_argument_group("where")
    mask.add_argument("--mask", metavar="M", help="picture, video or folder, white where to edit (default: everything)")
    add_config_arguments(mask, EditConfig, "invert", "feather", invert="edit what is black")
    mask.add_argument("--soft-mask", action="store_true", help="take grey as a part; without it a mask is cut at half")
    what = parser.add_argument_group("what is heard")
    what.add_argument("--text", metavar="T", help="words that are meant as well (default: none)")
    what.add_argument(
        "--text-weight", type=float, default=1.0, metavar="W", help="of these words beside the sound (default 1)"
    )
    what.add_argument("--whole", action="store_true", help="one meaning for all frames, not one for each moment")
    add_config_arguments(what, LeadConfig, "strength", "loudness")
    what.add_argument(
        "--steady", action="store_const", const=CONSTANT, dest=dest_of(LeadConfig, "loudness"),
        help="the same as --loudness constant",
    )  # fmt: skip
    what.add_argument("--repeat", action="store_true", help="repeat a recording that is shorter than the video")
    how = parser.add_argument_group("how")
    add_config_arguments(how, EditConfig, "variant", "steps", "skip", "sampler", "weights")
    how.add_argument(
        "--flow", default="tv-l1", metavar="NAME", help="estimator of movement: tv-l1, a RAFT file, off (default tv-l1)"
    )
    offered = ("window", "chunk", "size", "keep_detail", "smooth_sec", "walk_sec", "precision")
    add_config_arguments(how, EditConfig, *offered)
    add_model(how, "--unet", "unet", "pixel diffusion: a registry name or a file", "U")
    add_joint(how)
    result = parser.add_argument_group("the result")
    result.add_argument(
        "--seconds", type=float, metavar="S", help="edit only the beginning (default: all of the video)"
    )
    result.add_argument("--fps", type=float, metavar="F", help="frames a second (default: as they are; of a folder 12)")
    result.add_argument(
        "--sound", choices=("video", "audio", "none"), default="video",
        help="which is kept: the video's own, or --audio if it has none (default); --audio; none",
    )  # fmt: skip
    add_report(result)
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    from ..media.video_writing import check_video_target

    config = config_from(args, EditConfig, seed=args.seed, **({"weights.flow": 0.0} if args.flow == OFF else {}))
    lead = config_from(args, LeadConfig)
    check_number(args.text_weight, "--text-weight", low=-100, high=100)
    if args.seconds is not None:
        check_number(args.seconds, "--seconds", low=1e-3, high=24 * 3600)
    check_video_target(args.out, overwrite=args.overwrite)
    check_preview(args)

    began = time.monotonic()
    if args.preview is not None:
        preview(args, config, lead)
        return 0
    report = edit(args, config, lead)
    report["took_seconds"] = round(time.monotonic() - began, 2)
    if args.json:
        emit_json(report, args.json)
    say(f"{args.out}: {report['frames']} frames, {report['seconds']:g} s of video in {report['took_seconds']} s")
    return 0


def edit(args: argparse.Namespace, config: EditConfig, lead: LeadConfig) -> dict:
    """Writes the video; its report."""
    from ..media.video_writing import writing
    from ..pipelines.unfinished_edit import unfinished
    from ..pipelines.video_editing import EditMeter, edit_stream, load_networks

    given = read_sources(args, config)
    video, heard = given.video, given.heard
    networks = load_networks(config, given.joint, given.device, unet=args.unet, flow=args.flow)
    meter = EditMeter(given.joint, heard.embeds) if args.json else None
    how = {"lead": asdict(lead), "config": asdict(config), "device": str(given.device), "measured": bool(args.json)}
    with (
        unfinished(args.out, {**how, **made_of(args)}, video.num_frames) as kept,
        writing(args.out, video.fps, given.kept_sound(args.sound), overwrite=args.overwrite) as write,
    ):
        start = kept.on_device(given.device)
        for img in kept.frames():
            write(img)
        if start.first:
            say(f"{start.first} of {video.num_frames} frames were made before; going on from there")
        frames, masks = given.left(start.first)
        if meter and start.first:
            meter.go_on(kept.figures)
        with progress("editing", makes=f"{video.num_frames - start.first} frames") as on_step:
            for part in edit_stream(
                meter.watch(frames) if meter else frames, heard, networks, config,
                num_frames=video.num_frames, lead=lead, masks=masks, on_step=on_step, start=start,
            ):  # fmt: skip
                write(part.frames)
                if meter:
                    meter.add(part)
                kept.add(part, meter.figures() if meter else None)
    names = "video audio mask soft_mask text text_weight whole repeat flow unet joint sound seed"
    return {
        "out": args.out,
        "frames": video.num_frames,
        "fps": video.fps,
        "seconds": round(video.seconds, 4),
        "size": [video.info.width, video.info.height],
        **(meter.summary() if meter else {}),
        "settings": {
            **{name: getattr(args, name) for name in names.split()},
            **asdict(lead),
            "device": str(given.device),
            "config": asdict(config),
        },
    }


def preview(args: argparse.Namespace, config: EditConfig, lead: LeadConfig) -> None:
    """Writes the sheet of --preview: frames and their edits, each by itself, which follow no movement."""
    from ..pipelines.video_editing import edit_some, load_networks

    given = read_sources(args, config)
    loudness = given.heard.loudness
    frames = chosen_frames(args.preview, given.video.num_frames, None if loudness is None else loudness.tolist())
    config = replace(config, weights={**config.weights, "flow": 0.0})
    networks = load_networks(config, given.joint, given.device, unet=args.unet, flow=args.flow)
    with progress("editing", makes="the frame" if len(frames) == 1 else f"{len(frames)} frames") as on_step:
        sources, edited = edit_some(
            *given.left(0), given.heard, networks, config, chosen=frames, lead=lead, on_step=on_step
        )
    write_preview(args.out, {"source": sources, "edited": edited}, frames, given.video.fps)
