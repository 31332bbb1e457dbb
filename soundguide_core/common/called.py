"""How the command line is called from where this runs, for what help and errors tell people to type."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PACK = Path(__file__).resolve().parents[2]


def called() -> str:
    """`soundguide`, `python start.py run` or `python -m soundguide_core`, as this command line was started."""
    if Path(sys.argv[0]).stem == "soundguide":  # the script that pip installs
        return "soundguide"
    return os.environ.get("SOUNDGUIDE_CALLED", "python -m soundguide_core")  # set by start.py


def command(words: str) -> str:
    """A command to type, in backticks; in a program that has loaded this package as part of a pack, also where."""
    where = "" if __name__.startswith("soundguide_core.") else f" in {PACK}, with the Python that runs ComfyUI"
    return f"`{called()} {words}`{where}"
