"""Make a video that is a function of time, at any frame rate and of any length, and let a recording move it.

With --audio the content is the one of many random scenes that means most what the recording means, and the recording's
loudness moves it; without, it is StyleGAN-V. Frames are written as they are made; --out takes a video file, or a name
without ending for a folder of PNGs.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from ..common.errors import InputError, check_number
from ..common.files import check_writable
from .common import add_common, add_joint, add_model, emit_json, pick_device, progress

if TYPE_CHECKING:
    from torch import Tensor

    from ..generators.sound_motion import Sound

SECONDS = 4.0  # without a sound


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--audio", metavar="A", help="a sound or video file, of any length")
    parser.add_argument("--out", required=True, metavar="MP4", help="MP4, MOV, MKV, WEBM, or a folder of PNG frames")
    parser.add_argument("--seconds", type=float, metavar="S", help="length (default: of the sound; without one, 4)")
    parser.add_argument("--fps", type=float, default=24.0, metavar="F", help="frames a second, any (default 24)")
    parser.add_argument("--loop", action="store_true", help="close the motion: the last frame is the first again")
    parser.add_argument("--motion-seed", type=int, metavar="N", help="of the motion alone (default: --seed)")
    parser.add_argument(
        "--content", choices=("sound", "seed"), help="whose content: the sound's, or --seed's (default: the sound's)"
    )
    parser.add_argument("--text", metavar="T", help="words for the content, in place of the sound")
    parser.add_argument(
        "--drive", choices=("codes", "amplitude", "speed", "off"),
        help="what the sound moves (default: the codes where the generator listens, else speed)",
    )  # fmt: skip
    parser.add_argument("--strength", type=float, metavar="W", help="how much it moves it (codes 1, others 2)")
    parser.add_argument(
        "--feature", choices=("loudness", "onset", "beat", "centroid"), default="loudness",
        help="what is listened to (default loudness)",
    )  # fmt: skip
    parser.add_argument(
        "--edit",
        type=int,
        default=0,
        metavar="N",
        help="optimisation steps toward the sound or the words (default 0; 10 where one is wanted)",
    )
    parser.add_argument("--chunk", type=int, default=16, metavar="N", help="frames in the network at once (16)")
    add_model(parser, "--generator", "video-generator", "a registry name or a StyleGAN-V file", "G")
    parser.add_argument("--psi", type=float, default=0.8, help="how far random contents are from the average (0.8)")
    add_joint(parser)
    parser.add_argument("--json", metavar="REPORT", help="where a report of figures and settings goes")
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    from ..media.video import check_video_target
    from ..systems.continuous_video import ContinuousConfig

    check_number(args.psi, "--psi", low=0, high=2)
    check_number(args.edit, "--edit", low=0, high=100_000)
    if args.motion_seed is not None:
        check_number(args.motion_seed, "--motion-seed", low=0, high=2**63 - 1)
    if args.edit and args.audio is None and args.text is None:
        raise InputError("There is nothing to edit the video toward.", "Give --audio or --text.")
    check_video_target(args.out, overwrite=args.overwrite)
    if args.json:
        check_writable(args.json)

    began = time.monotonic()
    wave, sample_rate = (None, None) if args.audio is None else _load(args.audio)
    seconds = args.seconds
    if seconds is None:
        seconds = SECONDS if wave is None else wave.shape[-1] / sample_rate
    config = ContinuousConfig(seconds, args.fps, args.loop, args.chunk)
    report = make(args, config, wave, sample_rate)
    report["took_seconds"] = round(time.monotonic() - began, 2)
    if args.json:
        emit_json(report, args.json)
    print(f"{args.out}: {report['frames']} frames, {report['seconds']:g} s of video in {report['took_seconds']} s")
    return 0


def make(args: argparse.Namespace, config, wave: Tensor | None, sample_rate: float | None) -> dict:
    """Writes the video; its report."""
    from ..audio.waveform import stream_audio
    from ..common.memory import keep_freed_memory
    from ..embedding.joint import load_joint
    from ..generators.loading import load_styleganv
    from ..generators.sound_motion import drive_of
    from ..media.video import writing
    from ..metrics.video_meter import VideoMeter
    from ..systems.continuous_video import sound_of, stream_continuous

    device = pick_device(args)
    if device.type == "cpu":
        keep_freed_memory()
    generator = load_styleganv(args.generator, device)
    meaning = args.text is not None or (wave is not None and args.content != "seed")
    joint = load_joint(args.joint, device) if meaning or args.edit else None
    motion = args.seed if args.motion_seed is None else args.motion_seed
    sound = None
    if wave is not None and args.drive != "off":
        sound = sound_of(
            wave, sample_rate, config.seconds, feature=args.feature, joint=joint, drive=args.drive,
            strength=args.strength,
        )  # fmt: skip
        drive_of(sound, generator)
    ws = content(args, generator, joint, wave, sample_rate, motion, meaning, config.seconds)

    meter, curve, ends = VideoMeter(None if joint is None else joint.encode_image), [], []
    with (
        writing(
            args.out, args.fps, None if wave is None else stream_audio(args.audio), overwrite=args.overwrite
        ) as write,
        progress("rendering") as on_step,
    ):
        for part in stream_continuous(
            ws, generator=generator, motion_z=motion, sound=sound, config=config, on_step=on_step
        ):
            write(part.frames)
            if args.json:
                meter.add(part.frames)
                curve += [] if part.curve is None else part.curve.tolist()
            ends = [*ends[:1], part.frames[0], part.frames[-1]]
    report = {
        "out": args.out,
        "frames": config.num_frames,
        "fps": args.fps,
        "seconds": round(config.num_frames / args.fps, 4),
        "size": [generator.resolution, generator.resolution],
        "first_to_last": float((ends[-1] - ends[0]).abs().max()),
    }
    if args.json:
        report |= figures(args, meter, curve, sound)
    settings = ("audio", "text", "content", "psi", "seed", "edit", "feature", "generator", "joint")
    report["settings"] = {
        **{key: getattr(args, key) for key in settings},
        "motion_seed": motion,
        "drive": None if sound is None else drive_of(sound, generator),
        "strength": args.strength,
        "device": str(device),
        "config": asdict(config),
    }
    return report


def content(
    args: argparse.Namespace, generator, joint, wave, sample_rate, motion: int, meaning: bool, seconds: float
) -> Tensor:
    """ws [1,L,D] of --seed, or of what the words or the sound mean; moved further with --edit."""
    from ..latents.schedule import Schedule
    from ..systems.continuous_content import ContinuousEditConfig, choose_content, edit_continuous

    embeds = None
    if args.text is not None:
        embeds = joint.encode_text([args.text])
    elif joint is not None:
        embeds = joint.encode_audio(wave, sample_rate)
    if meaning:
        ws = choose_content(
            embeds, generator=generator, joint=joint, psi=args.psi, seed=args.seed, motion_z=motion
        )  # fmt: skip
    else:
        ws = generator.sample_ws([args.seed], psi=args.psi)
    if not args.edit:
        return ws
    config = ContinuousEditConfig(seconds=seconds, seed=args.seed, schedule=Schedule(steps=args.edit, lr=0.0015))
    with progress("editing") as on_step:
        return edit_continuous(
            ws, embeds, generator=generator, joint=joint, motion_z=motion, config=config, on_step=on_step
        ).latent


def figures(args: argparse.Namespace, meter, curve: list[float], sound: Sound | None) -> dict:
    """What the meter saw; with a sound, whether the video moves with it."""
    import numpy as np

    from ..metrics.reactivity import reactivity

    seen = meter.figures()
    report = seen.summary()
    if sound is not None and len(seen.seen) >= max(2 * args.fps, 8):
        found = reactivity(np.array(curve), seen.seen, args.fps, seed=args.seed)
        report["reactivity"] = {
            "correlation": found.correlation, "lag_frames": found.lag, "null_99": found.null_99,
            "share_of_nulls_below": found.share, "nulls": len(found.nulls),
        }  # fmt: skip
    return report


def _load(path: str) -> tuple[Tensor, float]:
    """wave [N] and its rate"""
    from ..audio.waveform import load_audio, to_mono

    wave, sample_rate = load_audio(path)
    return to_mono(wave), sample_rate
