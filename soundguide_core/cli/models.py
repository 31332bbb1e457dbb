"""List the weights that SoundGuide knows: their terms, whether they are on this disk, how to get those that are not."""

from __future__ import annotations

import argparse

from .common import add_common, add_json_flag, emit_json, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kind", help="only this kind: generator, sound, unet, ...")
    parser.add_argument("--here", action="store_true", help="only what is on this disk")
    add_json_flag(parser)
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    from ..checkpoints import registry

    if args.kind is not None:
        registry.names(args.kind)  # refuses a kind that there is not
    listed = [
        _entry(row)
        for row in registry.rows()
        if args.kind in (None, row.kind) and not (args.here and row.missing)
    ]  # fmt: skip
    if args.json:
        emit_json({"models": listed}, args.json)
        return 0
    for model in listed:
        _show(model)
    say(f"Your own files are found in {registry.models_folder()}/<kind> and by their path.")
    return 0


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


def _show(model: dict) -> None:
    state = "here" if model["here"] else "not on this disk"
    size = f", {model['parameters'] / 1e6:.1f} M parameters" if model["parameters"] else ""
    say(f"{model['kind']:<17} {model['name']:<12} {state}{size}")
    say(f"    {model['description']}")
    terms = "commercial use allowed" if model["commercial"] else "no commercial use"
    say(f"    Licence: {model['licence']}, {terms}. Trained on {model['trained_on']}.")
    if model["preprocessing"]:
        say(f"    Takes {model['preprocessing']}.")
    if model["citation"]:
        say(f"    Cite: {model['citation']}.")
    if not model["here"]:
        say(f"    {model['how_to_get']}")
