"""OmegaConf's nodes as the plain dicts, lists and values that they stand for (StyleGAN-V stores its settings so).

Every node knows its parent, so one node holds the whole experiment; only what is below a node is kept, and
interpolations such as ${model.z_dim} are looked up from the root. Layouts of omegaconf 2.0 to 2.4.
"""

from __future__ import annotations

import re
from typing import Any

from .values import REMEDY_STATE_DICT, VALUE, Budget, Foreign, Unreadable

REFERENCE = re.compile(r"\$\{([\w.]+)\}")
DEEPEST = 50


def is_config(x: Foreign) -> bool:
    return x.module.startswith("omegaconf.") and isinstance(x.state, dict) and bool({"_content", "_val"} & set(x.state))


def plain(node: Any, budget: Budget, depth: int = 0) -> Any:
    """What a node stands for; an interpolation that leads nowhere stays as its text."""
    budget.spend(VALUE)
    if depth > DEEPEST:
        raise Unreadable("holds settings that nest deeper than settings ever do", REMEDY_STATE_DICT)
    if type(node) is not Foreign or not is_config(node):
        return node
    value = node.state.get("_content", node.state.get("_val"))
    if type(value) is dict:
        return {key: plain(x, budget, depth + 1) for key, x in value.items()}
    if type(value) is list:
        return [plain(x, budget, depth + 1) for x in value]
    whole = REFERENCE.fullmatch(value) if type(value) is str else None
    if whole:
        found = _look_up(_root(node), whole[1].split("."))
        return value if found is node else plain(found, budget, depth + 1)
    return value


def _root(node: Foreign) -> Foreign:
    for _ in range(DEEPEST):
        parent = node.state.get("_parent")
        if type(parent) is not Foreign or not is_config(parent):
            return node
        node = parent
    raise Unreadable("holds settings that nest deeper than settings ever do", REMEDY_STATE_DICT)


def _look_up(node: Any, names: list[str]) -> Any:
    for name in names:
        content = node.state.get("_content") if type(node) is Foreign and is_config(node) else None
        if type(content) is not dict or name not in content:
            return "${" + ".".join(names) + "}"
        node = content[name]
    return node
