"""Which nodes the installed packages allow: one that is missing takes away the nodes that need it, and no others.

A node names in NEEDS the modules that it imports when it runs, beside those that the host brings.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

INSTALLED_AS = {"open_clip": "open_clip_torch"}  # where the package is called otherwise


def is_there(module: str) -> bool:
    """Whether a module can be imported; it is not."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def offered(nodes: Sequence[Any]) -> list[Any]:
    """The nodes that can run here; of the others one line in the log for each package that is missing."""
    wanted = dict.fromkeys(module for node in nodes for module in getattr(node, "NEEDS", ()))
    missing = [module for module in wanted if not is_there(module)]
    for module in missing:
        names = [node.define_schema().display_name for node in nodes if module in getattr(node, "NEEDS", ())]
        package = INSTALLED_AS.get(module, module)
        logging.warning(
            "[SoundGuide] without the package %s there is no %s. Get it with: pip install %s",
            package, ", ".join(names), package,
        )  # fmt: skip
    return [node for node in nodes if not set(getattr(node, "NEEDS", ())) & set(missing)]
