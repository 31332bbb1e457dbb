"""A picture that moves with the microphone, on a page of this machine.

Opens no port to other machines and fetches nothing. The page takes the microphone or a file, shows the picture and has
sliders for strength, smoothing and seed; what is recorded goes into --out.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..common.errors import InputError, check_whole
from ..live.config import WORDS, LiveConfig
from .common import add_common, add_generator, add_joint, load_models, pick_device, progress, say, split_list
from .settings import add_config_arguments, config_from

if TYPE_CHECKING:
    from ..live.ear import LiveEar
    from ..live.picture import LivePicture


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--words",
        default=",".join(WORDS),
        metavar="W,W",
        help="what is listened for, commas between (default %(default)s)",
    )
    parser.add_argument(
        "--video", metavar="V", help="a StyleGAN-V by name or file, whose motion the loudness drives (default: none)"
    )
    add_generator(parser)
    add_joint(parser)
    add_config_arguments(parser, LiveConfig, "strength", "smoothing", "drift", "max_fps")
    parser.add_argument("--port", type=int, default=8190, help="of the page, on 127.0.0.1 (default 8190)")
    parser.add_argument("--out", default=".", metavar="DIR", help="where recordings go (default: here)")
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    from ..common.files import make_folder
    from ..live.server import HOST, make_app
    from ..live.session import LiveSession

    check_whole(args.port, "The port", low=0, high=65535)
    words = tuple(split_list(args.words, "--words"))
    config = config_from(args, LiveConfig, seed=args.seed, psi=args.psi, words=words)
    folder = make_folder(args.out)
    ear, picture = _load(args, config)
    app = make_app(lambda show: LiveSession(ear, picture, config, show), folder)
    try:
        from aiohttp import web

        web.run_app(
            app,
            host=HOST,
            port=args.port,
            print=lambda *_: say(f"Open http://{HOST}:{args.port} in a browser; Ctrl-C ends it."),
        )
    except OSError as error:
        raise InputError(
            f"The page cannot be offered at port {args.port} ({error.strerror or error}).", "Give another --port."
        ) from error
    return 0


def _load(args: argparse.Namespace, config: LiveConfig) -> tuple[LiveEar, LivePicture]:
    from ..live.ear import LiveEar
    from ..live.picture import StillPicture, VideoPicture

    if args.video is not None:
        from ..embedding.joint import load_joint
        from ..generators.loading import load_video_generator

        device = pick_device(args)
        return LiveEar(load_joint(args.joint, device), config.words), VideoPicture(
            load_video_generator(args.video, device)
        )
    joint, generator = load_models(args)
    ear = LiveEar(joint, config.words)
    with progress("learning the way to the words") as on_step:
        return ear, StillPicture(generator, joint, ear.word_embeds, on_step)
