"""Make a video that is a function of time, at any frame rate and of any length, and let a recording move it.

With --audio the content is the one of many random scenes that means most what the recording means, and the recording's
loudness moves it; without, it is StyleGAN-V. Frames are written as they are made; --out takes a video file, or a name
without ending for a folder of PNGs.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ..common.errors import InputError, check_number
from ..latents.schedule import Schedule
from ..systems.configs.continuous_video import ContentConfig, ContinuousConfig, ContinuousEditConfig, MotionConfig
from .common import add_common, add_joint, add_model, add_report, add_video_out, emit_json, pick_device, progress, say
from .preview import add_preview, check_preview, chosen_frames, write_preview
from .settings import add_chunk_argument, add_config_arguments, batches_of, config_from

if TYPE_CHECKING:
    from ..embedding.joint import JointEncoder
    from ..pipelines.continuous_video import Clip, Plan
    from ..pipelines.recording import Recording


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--audio", metavar="A", help="a sound or video file, of any length (default: no sound)")
    add_video_out(parser)
    add_preview(parser)
    parser.add_argument("--seconds", type=float, metavar="S", help="length (default: of the sound; without one, 4)")
    add_config_arguments(parser, ContinuousConfig, "fps", "loop", "closed")
    parser.add_argument("--motion-seed", type=int, metavar="N", help="of the motion alone (default: --seed)")
    parser.add_argument(
        "--content", choices=("sound", "seed"), help="whose content: the sound's, or --seed's (default: the sound's)"
    )
    parser.add_argument("--text", metavar="T", help="words for the content, in place of the sound (default: none)")
    parser.add_argument(
        "--video", metavar="V", help="a clip whose content and motion are found and gone on with (default: none)"
    )
    add_config_arguments(parser, MotionConfig, "drive")
    parser.add_argument("--strength", type=float, metavar="W", help="how much it moves it (default: codes 1, others 2)")
    add_config_arguments(parser, MotionConfig, "feature")
    parser.add_argument(
        "--edit",
        type=int,
        default=0,
        metavar="N",
        help="optimisation steps toward the sound or the words (default 0; 10 where one is wanted)",
    )
    add_chunk_argument(parser, ContinuousConfig)
    add_model(parser, "--generator", "video-generator", "a registry name or a StyleGAN-V file", "G")
    add_config_arguments(parser, ContentConfig, "psi", "class_index")
    add_joint(parser)
    add_report(parser)
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    from ..media.video_writing import check_video_target
    from ..pipelines.continuous_video import DEFAULT_SECONDS, listen
    from ..pipelines.recording import Recording

    check_number(args.edit, "--edit", low=0, high=100_000)
    if args.motion_seed is not None:
        check_number(args.motion_seed, "--motion-seed", low=0, high=2**63 - 1)
    if args.strength is not None:
        check_number(args.strength, "--strength", low=0, high=100)
    config_from(args, ContinuousConfig)  # bounds are checked before anything is read
    content, motion = config_from(args, ContentConfig, seed=args.seed), config_from(args, MotionConfig)
    if args.video is not None and (args.edit or args.text is not None):
        raise InputError("A clip's content is its own.", "Leave --text and --edit out, or --video.")
    if args.edit and args.audio is None and args.text is None:
        raise InputError("There is nothing to edit the video toward.", "Give --audio or --text.")
    check_video_target(args.out, overwrite=args.overwrite)
    check_preview(args)

    began = time.monotonic()
    recording = None if args.audio is None else Recording.of_file(args.audio)
    heard, seconds = listen(recording, args.seconds, DEFAULT_SECONDS)
    config = config_from(args, ContinuousConfig, seconds=seconds)
    if args.preview is not None:
        made, _ = _plan(args, config, content, motion, heard, pick_device(args))
        frames = chosen_frames(args.preview, config.num_frames, made.curve())
        write_preview(args.out, {"": made.some(frames)}, frames, config.fps)
        return 0
    report = make(args, config, content, motion, heard)
    report["took_seconds"] = round(time.monotonic() - began, 2)
    if args.json:
        emit_json(report, args.json)
    say(f"{args.out}: {report['frames']} frames, {report['seconds']:g} s of video in {report['took_seconds']} s")
    return 0


def make(
    args: argparse.Namespace,
    config: ContinuousConfig,
    content: ContentConfig,
    motion: MotionConfig,
    heard: Recording | None,
) -> dict:
    """Writes the video; its report. heard: what moves it, or None."""
    import numpy as np
    import torch

    from ..audio.waveform import stream_audio
    from ..common.memory import tune_malloc
    from ..media.video_writing import writing
    from ..pipelines.report import ReportMeter

    device = pick_device(args)
    if device.type == "cpu":
        tune_malloc()
    made, joint = _plan(args, config, content, motion, heard, device)
    meter, curve, ends, steps = (ReportMeter(config.fps, joint) if args.json else None), [], [], []
    sound = None if heard is None else stream_audio(args.audio)
    with (
        writing(
            args.out, config.fps, sound, overwrite=args.overwrite, keep=True, loop=config.loop and not config.closed
        ) as write,
        progress("rendering", makes="{n} frames") as on_step,
    ):
        for part in made.render(on_step, batches_of(args, config, device)):
            write(part.frames)
            if meter is not None:
                meter.add(part.frames)
                curve += [] if part.curve is None else part.curve.tolist()
            steps += torch.cat([*ends[1:], part.frames]).diff(dim=0).abs().mean(dim=(1, 2, 3)).tolist()
            ends = [part.frames[:1] if not ends else ends[0], part.frames[-1:]]
    report = {
        "out": args.out,
        "frames": config.num_frames,
        "fps": config.fps,
        "seconds": round(config.num_frames / config.fps, 4),
        "size": [made.generator.resolution, made.generator.resolution],
        "first_to_last": float((ends[-1] - ends[0]).abs().max()),
    }
    if config.loop and not config.closed:
        seam = float((ends[0] - ends[-1]).abs().mean())
        report["loop"] = {"last_to_first": seam, "mean_step": sum(steps) / max(len(steps), 1)}
    if meter is not None:
        report |= meter.finish(np.array(curve) if curve else None, seed=args.seed).to_dict()
    settings = ("audio", "video", "text", "content", "seed", "edit", "generator", "joint")
    report["settings"] = {
        **{key: getattr(args, key) for key in settings},
        "psi": content.psi,
        "feature": motion.feature,
        "motion_seed": made.motion_seed,
        "drive": made.drive,
        "strength": args.strength,
        "device": str(device),
        "config": asdict(config),
    }
    return report


def _plan(
    args: argparse.Namespace,
    config: ContinuousConfig,
    content: ContentConfig,
    motion: MotionConfig,
    heard: Recording | None,
    device,
) -> tuple[Plan, JointEncoder | None]:
    """The video that the options describe, and the joint encoder that looks at it."""
    from ..embedding.joint import load_joint
    from ..generators.loading import load_video_generator
    from ..pipelines.continuous_video import plan

    edit = None
    if args.edit:
        schedule = Schedule(steps=args.edit, lr=0.0015)
        edit = ContinuousEditConfig(seconds=config.seconds, seed=args.seed, schedule=schedule)
    by_meaning = args.text is not None or (heard is not None and args.content != "seed" and args.video is None)
    content = replace(content, by_meaning=by_meaning, edit=edit)
    seed = args.seed if args.motion_seed is None else args.motion_seed
    motion = replace(motion, motion_seed=seed, strength=args.strength)
    generator = load_video_generator(args.generator, device)
    joint = load_joint(args.joint, device) if by_meaning or args.edit else None
    embeds = None if args.text is None or joint is None else joint.encode_text([args.text])
    clip = None if args.video is None else _clip(args.video, generator.fps)
    with progress("editing" if clip is None else "finding the clip") as on_step:
        made = plan(
            generator, joint, heard, config, embeds=embeds, content=content, motion=motion, clip=clip, on_step=on_step
        )
    return made, joint


def _clip(path: str, fps: float) -> Clip:
    """The part of a video, or of a folder of frames at the generator's rate, that is looked at."""
    import torch

    from ..media.video import read_frames
    from ..pipelines.continuous_video import CLIP_SEC, Clip

    rate = {} if Path(path).is_dir() else {"fps": fps}
    return Clip(torch.cat(list(islice(read_frames(path, **rate), max(round(CLIP_SEC * fps), 2)))), fps)
