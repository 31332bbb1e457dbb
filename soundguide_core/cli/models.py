"""List the weights that SoundGuide knows: their terms, and whether they are on this disk."""

from __future__ import annotations

import argparse

from .common import add_common, add_json_flag, emit_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_json_flag(parser)
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    from ..checkpoints.registry import rows

    listed = [
        {
            "name": row.name,
            "kind": row.kind,
            "here": not row.missing,
            "parameters": row.parameters,
            "licence": row.licence,
            "commercial": row.commercial,
            "trained_on": row.trained_on,
            "citation": row.citation,
            "description": row.description,
            "files": [str(path) for path in row.files.values()],
        }
        for row in rows()
    ]
    if args.json:
        emit_json({"models": listed}, args.json)
        return 0
    for model in listed:
        state = "here" if model["here"] else "not on this disk"
        print(f"{model['kind']:<17} {model['name']:<12} {state}, {model['parameters'] / 1e6:.1f} M parameters")
        print(f"    {model['description']}")
        terms = "commercial use allowed" if model["commercial"] else "no commercial use"
        print(f"    Licence: {model['licence']}, {terms}. Trained on {model['trained_on']}.")
        if model["citation"]:
            print(f"    Cite: {model['citation']}.")
    return 0
