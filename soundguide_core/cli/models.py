"""List the weights that SoundGuide knows: those on this disk, or all; and what there is to know about one.

Without a name: one line for each on this disk, and how many more there are of each kind. With one: its terms, what it
was trained on, whom to cite, and how to get it.
"""

from __future__ import annotations

import argparse

from ..common.errors import InputError
from .common import add_common, add_json_flag, emit_json, say

WIDE = 60  # characters of a description in a list


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="all about this one (default: a list)")
    parser.add_argument("--all", action="store_true", help="one line for each that can be had, too")
    parser.add_argument("--kind", help="only this kind: generator, sound, unet, ... (default: every kind)")
    parser.add_argument("--here", action="store_true", help="only what is on this disk")
    add_json_flag(parser)
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    from ..checkpoints import registry

    if args.kind is not None:
        registry.names(args.kind)  # refuses a kind that there is not
    rows = [row for row in registry.rows() if args.kind in (None, row.kind) and not (args.here and row.missing)]
    if args.name is not None:
        rows = [row for row in rows if row.name == args.name]
        if not rows:
            raise InputError(f"There are no weights called {args.name!r}.", "List what there is with `models --all`.")
    listed = [_entry(row) for row in rows]
    if args.json:
        emit_json({"models": listed}, args.json)
        return 0
    if args.name is not None:
        for model in listed:
            _show(model)
        return 0
    shown = listed if args.all or args.kind is not None else [model for model in listed if model["here"]]
    width = max((len(model["name"]) for model in shown), default=0)
    for model in shown:
        say(_line(model, width))
    _close(listed, shown, registry.models_folder())
    return 0


def _close(listed: list[dict], shown: list[dict], folder) -> None:
    """What is not shown, and where to put one's own."""
    more: dict[str, int] = {}
    for model in listed:
        if model not in shown:
            more[model["kind"]] = more.get(model["kind"], 0) + 1
    if more:
        say("Can be had: " + ", ".join(f"{count} {kind}" for kind, count in more.items()))
        say("`models --all` lists them, `models --kind generator` those of a kind, `models NAME` says all about one.")
    say(f"Your own files are found in {folder}/<kind> and by their path.")


def _entry(row) -> dict:
    return {
        "name": row.name,
        "kind": row.kind,
        "here": not row.missing,
        "how_to_get": row.how_to_get if row.missing else "",
        "parameters": row.parameters,
        "licence": row.licence,
        "commercial": row.commercial,
        "trained_on": row.trained_on,
        "citation": row.citation,
        "description": row.description,
        "preprocessing": row.preprocessing,
        "files": [str(path) for path in row.files.values()],
        "urls": [source.url or source.page for source in row.sources.values()],
    }


def _terms(model: dict) -> str:
    return "commercial use allowed" if model["commercial"] else "no commercial use"


def _size(model: dict) -> str:
    return f"{model['parameters'] / 1e6:.1f} M parameters" if model["parameters"] else ""


def _line(model: dict, width: int) -> str:
    state = "here" if model["here"] else "not here"
    about = model["description"] if len(model["description"]) <= WIDE else f"{model['description'][:WIDE]}…"
    return f"{model['kind']:<17} {model['name']:<{width}}  {state:<8}  {_terms(model):<22}  {about}"


def _show(model: dict) -> None:
    size = f", {_size(model)}" if model["parameters"] else ""
    say(f"{model['kind']} {model['name']}: {'here' if model['here'] else 'not on this disk'}{size}")
    say(f"    {model['description']}")
    say(f"    Licence: {model['licence']}, {_terms(model)}. Trained on {model['trained_on']}.")
    if model["preprocessing"]:
        say(f"    Takes {model['preprocessing']}.")
    if model["citation"]:
        say(f"    Cite: {model['citation']}.")
    if not model["here"]:
        say(f"    {model['how_to_get']}")
