"""A node's inputs from the settings of a config class, and the config from what the node was given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from ..soundguide_core.common.settings import Leaf, build, leaves, preset_fields, preset_names
from .host import io

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")
PRESET, AS_SET = "preset", "as set here"


def config_inputs(config: type, *paths: str, also: Mapping[str, Any] | None = None, **changes: Mapping[str, Any]):
    """One input for each of these settings ("steps", "schedule.lr", "weights.flow"), in this order.

    also: keyword arguments of every one of them. changes: by the input's name, what this node says otherwise.
    """
    known = leaves(config)
    return [_input(known[path], {**(also or {}), **changes.get(known[path].socket, {})}) for path in paths]


def preset_input(config: type, **also: Any):
    """Selects all settings of a published variant or preset at once."""
    return io.Combo.Input(
        PRESET,
        options=[AS_SET, *preset_names(config)],
        default=AS_SET,
        optional=True,
        tooltip="as set here: every setting as this node has it. The others: the settings of the published article "
        "or of its authors' code in place of them; the help page lists which.",
        **also,
    )


def config_of(config: type[T], sockets: Mapping[str, Any], **fixed: Any) -> T:
    """The config of a node's inputs by name; inputs that are no settings are passed over. fixed: further fields.

    A preset among the inputs stands in for the fields that it says something of. Without one the variant changes the
    formulas alone: all other settings are those of the node, or the default variant's where the node has none.
    """
    paths = {leaf.socket: path for path, leaf in leaves(config).items()}
    values = {paths[name]: value for name, value in sockets.items() if name in paths} | fixed
    preset = sockets.get(PRESET, AS_SET)
    if preset in preset_names(config):
        published = preset_fields(config, preset)
        return build(config, {path: x for path, x in values.items() if _field(path) not in published} | published)
    chosen = {"variant": values.pop("variant")} if "variant" in values else {}
    return replace(build(config, values), **chosen)


def _field(path: str) -> str:
    return path.partition(".")[0]


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
