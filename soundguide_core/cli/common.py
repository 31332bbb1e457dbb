"""What several commands share: devices, seeds, progress, JSON, reading a recording into the joint space."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from ..common.errors import InputError, printable
from ..common.files import replacing
from ..common.memory import usable_device
from .cost import Cost, spoken

if TYPE_CHECKING:
    import torch

    from ..embedding.joint import JointEncoder
    from ..generators.generator import StyleGenerator


def add_common(parser: argparse.ArgumentParser) -> None:
    """--seed and --device, which every command has."""
    parser.add_argument("--seed", type=_seed, default=0, help="the same seed gives the same result (default 0)")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps (default auto: a GPU if there is one)")


def _seed(text: str) -> int:
    if not text.isdecimal() or len(text) > 10 or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 4294967295")
    return int(text)


def add_model(
    parser: argparse._ActionsContainer, option: str, kind: str, help: str, metavar: str | None = None
) -> None:
    """An option that names weights of this kind, by default those that the registry says."""
    from ..checkpoints import registry

    usual = registry.default(kind)
    parser.add_argument(option, default=usual, metavar=metavar, help=f"{help} (default {usual})")


def add_joint(parser: argparse._ActionsContainer) -> None:
    """--joint."""
    add_model(parser, "--joint", "joint", "joint encoder: a registry name, or a folder")


def add_encoder(parser: argparse._ActionsContainer) -> None:
    """--encoder, the ears that hear in words."""
    parser.add_argument(
        "--encoder", metavar="E",
        help="hear with a sound classifier such as yamnet, or a folder of a CLAP or AST of transformers, in place of "
        "a joint encoder's own way (default: --joint)",
    )  # fmt: skip


def add_generator(parser: argparse.ArgumentParser) -> None:
    """--generator, --psi and --class."""
    add_model(parser, "--generator", "generator", "a registry name or a file of weights", "G")
    parser.add_argument(
        "--psi", type=float, default=0.7, help="how far random pictures are from the average (default 0.7)"
    )
    parser.add_argument(
        "--class", dest="class_index", type=int, metavar="N",
        help="the class of random pictures, from 0, of a class-conditional generator (default: drawn with the seed)",
    )  # fmt: skip


def load_models(args: argparse.Namespace) -> tuple[JointEncoder, StyleGenerator]:
    """What --joint, --generator and --device name."""
    from ..generators.loading import load_generator

    joint = load_joint_of(args)
    return joint, load_generator(args.generator, joint.device)


def load_joint_of(args: argparse.Namespace) -> JointEncoder:
    """What --joint names, on --device."""
    from ..embedding.joint import load_joint

    return load_joint(args.joint, pick_device(args))


def add_video_out(parser: argparse.ArgumentParser) -> None:
    """--out of a command that makes a video."""
    endings = "MP4, MOV, MKV, WEBM, GIF, WEBP, or a folder of PNG frames"
    parser.add_argument("--out", required=True, metavar="MP4", help=endings)


def add_report(parser: argparse._ActionsContainer) -> None:
    """--json REPORT of a command whose result is a file."""
    help = "where a report of figures and settings goes (default: nowhere)"
    parser.add_argument("--json", metavar="REPORT", help=help)


def add_json_flag(parser: argparse.ArgumentParser) -> None:
    """--json [FILE.json]: one JSON object to stdout, or to a file."""
    parser.add_argument(
        "--json", nargs="?", const="-", type=_json_target, metavar="FILE.json",
        help="print one JSON object with the figures and the settings (or write it to FILE.json; default: no report)",
    )  # fmt: skip


def _json_target(text: str) -> str:
    # without this check `--json rain.wav` would take the recording for the report's name, and overwrite it
    if text != "-" and not text.endswith(".json"):
        raise argparse.ArgumentTypeError(f"{text!r} does not end in .json; put --json last, or before another option")
    return text


def say(line: object) -> None:
    """Print one line in which file names and what files state move no cursor."""
    print(printable(line))


def emit_json(report: dict, target: str | os.PathLike) -> None:
    """Print report ("-") or write it to a file, whole or not at all."""
    text = json.dumps(report, indent=2)
    if target == "-":
        print(text)
        return
    with replacing(target) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def pick_device(args: argparse.Namespace) -> torch.device:
    """The torch device of --device, after trying it."""
    return usable_device(args.device)


def split_list(text: str, option: str) -> list[str]:
    """ "a, b,c" => ["a", "b", "c"]; empty and repeated entries are refused."""
    entries = [entry.strip() for entry in text.split(",")]
    if not all(entries):
        raise InputError(f"{option} {text!r} has an empty entry.", "Separate the entries by single commas: a,b,c.")
    if len(set(entries)) < len(entries):
        raise InputError(f"{option} {text!r} names something twice.", "Give every entry once.")
    return entries


@contextlib.contextmanager
def progress(title: str, unit: str = "it", makes: str = "") -> Iterator[Callable[..., None]]:
    """An on_step(i, n, ...) that draws a bar on stderr once the work has lasted two seconds. n: 0 if not known.

    makes: what all n of it give, "{n} frames" say: where it takes long, a line tells how long, as the first step did.
    """
    from tqdm import tqdm

    if sys.stderr is None:  # closed, as by `2>&-`
        yield lambda *_: None
        return
    often = 0.1 if sys.stderr.isatty() else 10  # seconds; a log needs no more
    look = {"unit": unit, "unit_scale": unit == "B", "unit_divisor": 1000}
    cost = Cost()
    with tqdm(desc=title, delay=2, leave=False, mininterval=often, maxinterval=often, file=sys.stderr, **look) as bar:

        def on_step(i: int, n: int, terms: Mapping[str, float] | None = None, preview: object = None) -> None:
            bar.total = n or None
            if terms and time.time() - bar.last_print_t >= often:  # they are read from a device where they are shown
                bar.set_postfix({name: f"{value:.3f}" for name, value in terms.items()}, refresh=False)
            bar.update(i + 1 - bar.n)
            if makes and (seconds := cost.step(i, n)) is not None:
                tqdm.write(f"about {spoken(seconds)} for {makes.format(n=n)}", file=sys.stderr)

        yield on_step


def encode_files(joint: JointEncoder, paths: list[str]) -> torch.Tensor:
    """Recordings => embeds [B,D], unit norm, with a progress bar."""
    from ..pipelines.hearing import encode_files

    with progress("listening") as on_step:
        return encode_files(joint, paths, on_step)
