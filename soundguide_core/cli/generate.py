"""Make a video of a recording: a picture that changes with every moment of the sound, and the sound in it.

The picture that the sound changes is a random one of the generator (--seed), your own (--image), or what words name
(--text). It hears with the network that was trained with its generator (--trajectory), not with that of `classify`, so
the two may name a sound otherwise. Frames are written as they are made; --out takes a video file, or a name without
ending for a folder of PNGs. What is transparent in a picture or a video is laid on white.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from ..common.errors import check_number
from ..systems.configs.sound_to_video import VideoConfig
from .common import (
    add_common,
    add_generator,
    add_joint,
    add_model,
    add_report,
    add_video_out,
    emit_json,
    load_models,
    pick_device,
    progress,
    say,
)
from .preview import add_preview, check_preview, chosen_frames, write_preview
from .settings import add_chunk_argument, add_config_arguments, batches_of, config_from

if TYPE_CHECKING:
    from torch import Tensor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--audio", required=True, metavar="A", help="a sound or video file, of any length")
    add_video_out(parser)
    add_preview(parser)
    parser.add_argument("--seconds", type=float, metavar="S", help="length of the video (default: of the sound)")
    add_config_arguments(parser, VideoConfig, "fps")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--image", metavar="I", help="the picture to start from (default: a random one)")
    start.add_argument("--text", metavar="T", help="words for the picture to start from (default: none)")
    add_config_arguments(parser, VideoConfig, "strength", "smoothing", "noise", "movement")
    add_chunk_argument(parser, VideoConfig)
    kinds = "a registry name, a .safetensors file, or a folder with the paper's four files"
    add_model(parser, "--trajectory", "trajectory", kinds, "J")
    add_generator(parser)
    add_joint(parser)
    add_report(parser)
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    from ..media.video_writing import check_video_target

    config = config_from(args, VideoConfig, seed=args.seed)
    check_number(args.psi, "--psi", low=0, high=2)
    if args.seconds is not None:
        check_number(args.seconds, "--seconds", low=1 / config.fps, high=24 * 3600)
    check_video_target(args.out, overwrite=args.overwrite)
    check_preview(args)

    began = time.monotonic()
    if args.preview is not None:
        preview(args, config)
        return 0
    report = make(args, config)
    report["took_seconds"] = round(time.monotonic() - began, 2)
    if args.json:
        emit_json(report, args.json)
    say(f"{args.out}: {report['frames']} frames, {report['seconds']:g} s of video in {report['took_seconds']} s")
    return 0


def make(args: argparse.Namespace, config: VideoConfig) -> dict:
    """Writes the video; its report."""
    from ..audio.waveform import stream_audio
    from ..media.video_writing import writing
    from ..pipelines.hearing import heard_at
    from ..pipelines.report import ReportMeter
    from ..pipelines.sound_to_video import generate

    device, joint, generator, trajectory, recording, ws_src = _begin(args, config)
    meter = ReportMeter(config.fps, joint, heard_at(joint, recording, config.fps)) if args.json else None
    with (
        writing(args.out, config.fps, stream_audio(args.audio), overwrite=args.overwrite, keep=True) as write,
        progress("generating", makes="{n} frames") as on_step,
    ):
        video, num_frames = generate(
            recording, ws_src, generator=generator, trajectory=trajectory, seconds=args.seconds, config=config,
            batches=batches_of(args, config, device), on_step=on_step,
        )  # fmt: skip
        for part in video:
            write(part.frames)
            if meter is not None:
                meter.add(part.frames)
    report = {
        "out": args.out,
        "frames": num_frames,
        "fps": config.fps,
        "seconds": round(num_frames / config.fps, 4),
        "size": [generator.resolution, generator.resolution],
    }
    if meter is not None:
        curve = recording.loudness(config.fps, num_frames, trajectory.spec)
        report |= meter.finish(curve, seed=args.seed, silent=recording.silent).to_dict(per_frame=True)
    settings = ("audio", "image", "text", "psi", "class_index", "seed", "generator", "trajectory", "joint")
    report["settings"] = {
        **{key: getattr(args, key) for key in settings},
        "device": str(device),
        "config": asdict(config),
    }
    return report


def preview(args: argparse.Namespace, config: VideoConfig) -> None:
    """Writes the sheet of --preview: the path of the whole sound, of which some frames are rendered."""
    from ..pipelines.sound_to_video import generate_some, length_of

    _, _, generator, trajectory, recording, ws_src = _begin(args, config)
    num_frames = length_of(recording, trajectory, config.fps, seconds=args.seconds)
    loudness = recording.loudness(config.fps, num_frames, trajectory.spec)
    frames = chosen_frames(args.preview, num_frames, loudness.tolist())
    with progress("generating") as on_step:
        imgs = generate_some(
            recording, ws_src, frames, generator=generator, trajectory=trajectory, num_frames=num_frames, config=config,
            on_step=on_step,
        )  # fmt: skip
    write_preview(args.out, {"": imgs}, frames, config.fps)


def _begin(args: argparse.Namespace, config: VideoConfig):
    """(device, joint, generator, trajectory, recording, ws [1,L,D] of the start)"""
    from ..common.memory import tune_malloc
    from ..pipelines.recording import Recording
    from ..pipelines.sound_to_video import heard_part
    from ..trajectory.loading import load_trajectory

    device = pick_device(args)
    if device.type == "cpu":
        tune_malloc()
    joint, generator = load_models(args)
    trajectory = load_trajectory(args.trajectory, device)
    trajectory.check(generator)
    recording = heard_part(Recording.of_file(args.audio), config.fps, num_frames=None, seconds=args.seconds)
    recording.mel_track(trajectory.spec)  # what cannot be heard is refused before a picture is looked for
    return device, joint, generator, trajectory, recording, _start(args, generator, joint)


def _start(args: argparse.Namespace, generator, joint) -> Tensor:
    """ws [1,L,D] of --image, --text or --seed."""
    from ..media.images import load_image
    from ..pipelines.sound_to_video import start_latents

    img = None if args.image is None else load_image(args.image)
    with progress("finding the picture") as on_step:
        return start_latents(
            generator, joint, seed=args.seed, psi=args.psi, class_index=args.class_index, img=img, text=args.text,
            on_step=on_step,
        )  # fmt: skip
