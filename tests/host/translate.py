"""Writes locales/*/nodeDefs.json, the nodes in German and Chinese as ComfyUI reads them, from a running ComfyUI.

    python tests/host/translate.py --url http://127.0.0.1:8188

german.json and chinese.json have every name of a node, input and output, and every English text. Names that a text
quotes are those that the node shows.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOCALES = HERE.parents[1] / "locales"
TABLES = {"de": ("german.json", "„", "“"), "zh": ("chinese.json", "“", "”")}  # with their quotation marks


def translated(info: dict, language: str) -> dict:
    """What the host calls nodeDefs, of the nodes that its object_info describes; what the table lacks is left out."""
    table, opening, closing = TABLES[language]
    known = json.loads((HERE / table).read_text(encoding="utf-8"))
    names, texts = known["names"], known["texts"]

    def told(text: str) -> str:
        quoted = re.sub(
            f"{opening}([a-z_0-9]+){closing}",
            lambda found: f"{opening}{names.get(found[1], found[1])}{closing}",
            texts.get(text, ""),
        )
        return re.sub(r"[{}@|]", lambda found: "{'" + found[0] + "'}", quoted)  # what the page's translator would read

    def said(name: str, text: str) -> dict:
        return {key: value for key, value in (("name", names.get(name)), ("tooltip", told(text))) if value}

    def node(id: str, each: dict) -> dict:
        inputs = {**each["input"].get("required", {}), **each["input"].get("optional", {})}
        return {
            "display_name": known["nodes"].get(id, each["display_name"]),
            "description": told(each["description"]) or each["description"],
            "inputs": {name: said(name, spec[1].get("tooltip", "")) for name, spec in inputs.items()},
            "outputs": {
                str(i): said(*pair) for i, pair in enumerate(zip(each["output_name"], each["output_tooltips"]))
            },
        }

    return {id: node(id, each) for id, each in sorted(info.items())}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8188")
    with urllib.request.urlopen(f"{parser.parse_args().url}/object_info") as answer:
        info = {id: each for id, each in json.load(answer).items() if id.startswith("SoundGuide")}
    for language in TABLES:
        path = LOCALES / language / "nodeDefs.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(translated(info, language), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
