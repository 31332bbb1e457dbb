"""A node's inputs from the settings of a config class, and the config from what the node was given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from ..soundguide_core.common.settings import Leaf, build, leaves
from .host import io

T = TypeVar("T")


def config_inputs(config: type, *paths: str, also: Mapping[str, Any] | None = None, **changes: Mapping[str, Any]):
    """One input for each of these settings ("steps", "schedule.lr", "weights.flow"), in this order.

    also: keyword arguments of every one of them. changes: by the input's name, what this node says otherwise.
    """
    known = leaves(config)
    return [_input(known[path], {**(also or {}), **changes.get(known[path].socket, {})}) for path in paths]


def config_of(config: type[T], sockets: Mapping[str, Any], **fixed: Any) -> T:
    """The config of a node's inputs by name; inputs that are no settings are passed over. fixed: further fields."""
    paths = {leaf.socket: path for path, leaf in leaves(config).items()}
    return build(config, {**{paths[name]: value for name, value in sockets.items() if name in paths}, **fixed})


def _input(leaf: Leaf, changes: Mapping[str, Any]):
    setting, default = leaf.setting, leaf.default
    said = {"default": default, "tooltip": setting.tooltip or f"{setting.help[:1].upper()}{setting.help[1:]}."}
    if setting.choices:
        return io.Combo.Input(leaf.socket, **{"options": list(setting.choices), **said, **changes})
    if isinstance(default, bool):
        return io.Boolean.Input(leaf.socket, **{**said, **changes})
    low, high = setting.offered or (setting.low, setting.high)
    said |= {"min": low, "max": high} | ({} if setting.step is None else {"step": setting.step})
    if leaf.name == "seed":
        said["control_after_generate"] = True
    return (io.Float if isinstance(default, float) else io.Int).Input(leaf.socket, **{**said, **changes})
