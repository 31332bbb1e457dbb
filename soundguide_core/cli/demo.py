"""Play the whole miniature through: sounds, pictures and videos on a page that fills while they are made.

Open the page as soon as its place is said; Ctrl-C leaves it with what was made until then.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ..common.errors import Stopped
from ..common.outputs import own_folder
from . import demo_pictures, demo_videos
from .common import add_common, say
from .demo_models import Demo, Size
from .demo_page import Page

FULL = Size()
QUICK = Size(edits=2, sources=1, find_steps=60, frames=6, edit_fps=3.0)


class Part(NamedTuple):
    """title: what is printed while it is made. files: name => what the page says of it. quick: in a quick one, too."""

    title: str
    make: Callable[[Demo], None]
    files: dict[str, str]
    quick: bool = True


PARTS = (
    Part("Synthesising seven sounds", demo_pictures.sounds, {}),
    Part(
        "Painting the miniature world",
        demo_pictures.world,
        {"scenes.png": "The miniature world, which the models learned: four layouts, calm and under each phenomenon."},
    ),
    Part(
        "Letting a photograph listen",
        demo_pictures.listening_photograph,
        {
            "listening.png": "A photograph that listens: above all of it, below its sky alone. Where the mask is black "
            "it stays as it was, to the bit. {credit}",
        },
    ),
    Part("Making a film of it, for you to edit", demo_videos.film, {}),
    Part(
        "Changing pictures by each of the seven",
        demo_pictures.changes,
        {
            "edits.png": "Each source, changed by each of the seven sounds.",
            "loss.png": "The terms of the loss while the pictures changed.",
        },
    ),
    Part(
        "Letting thunder move a video",
        demo_videos.moved,
        {"moved.mp4": "A video that moves with thunder, for as long as it lasts.", "moved.png": "Its frames."},
    ),
    Part(
        "Making a video of a sound that turns into another",
        demo_videos.generated,
        {"generated.mp4": "A video of a sound alone: waves that turn into a fire.", "generated.png": "Its frames."},
    ),
    Part(
        "Letting a fire edit the sky of a video",
        demo_videos.edited,
        {
            "video.mp4": "A calm video, and the same after the fire has edited its upper half; the lower is untouched.",
            "video.png": "Its frames.",
        },
    ),
    Part(
        "Mixing two sounds and a text",
        demo_pictures.mixes,
        {"mixes.png": "Two sounds as one, a sound and a text as one, and the two mixed by style layers."},
        quick=False,
    ),
    Part(
        "Finding the photograph in the generator, and changing it",
        demo_pictures.found,
        {
            "photograph.png": "The same photograph as the small generator would paint it, and then changed: it has "
            "learned landscapes of 128 pixels, and can paint nothing else.",
        },
    ),
    Part(
        "Listening to the seven",
        demo_pictures.heard,
        {"heard.png": "How each sound was heard, among the seven words."},
    ),
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", default="soundguide-demo", metavar="DIR", help="default: soundguide-demo")
    parser.add_argument("--quick", action="store_true", help="a smaller one, in under a minute on two cores")
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    with own_folder(args.out, overwrite=args.overwrite) as folder:
        return play(args, folder)


def play(args: argparse.Namespace, folder: Path) -> int:
    """Everything into that folder."""
    began = time.monotonic()
    size, parts = (QUICK, [part for part in PARTS if part.quick]) if args.quick else (FULL, list(PARTS))
    page = Page(folder, [text for part in parts for text in part.files.items()])
    page.write()
    say(f"Look at {page.path.resolve()}, which fills while it is made; Ctrl-C keeps what there is.")
    ending = "Stopped before it was made."
    try:
        with stage("Loading the miniature"):
            demo = Demo.prepare(args, folder, size)
        for part in parts:
            with stage(part.title):
                part.make(demo)
            page.add([*part.files, *(f"sounds/{name}.wav" for name in demo.embeds)], demo.credit)
        ending = "Not made."
    except KeyboardInterrupt:
        raise Stopped(f"what was made until then is on {page.path.resolve()}") from None
    finally:
        page.write(ending)
    print()
    say(f"Done in {time.monotonic() - began:.0f} s. Open {page.path.resolve()}")
    return 0


@contextmanager
def stage(title: str) -> Iterator[None]:
    print(title, flush=True)
    began = time.monotonic()
    yield
    print(f"    {time.monotonic() - began:.0f} s", flush=True)
