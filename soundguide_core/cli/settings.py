"""Options of the command line from the settings of a config class, and the config from the options."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, TypeVar

from ..common.settings import KEY, Leaf, build, leaves, preset_fields, preset_names

if TYPE_CHECKING:
    import torch

    from ..common.batches import Batches
    from ..systems.configs.continuous_video import ContinuousConfig
    from ..systems.configs.sound_to_video import VideoConfig

T = TypeVar("T")
PRESET = "preset"


def add_config_arguments(parser: argparse._ActionsContainer, config: type, *paths: str, **helps: str) -> None:
    """One option for each of these settings of a config class ("steps", "schedule.lr", "weights" for NAME=W).

    helps: what --help says of a setting, by the last part of its path, where the setting's own help does not suit.
    An option that is not given leaves the default to the config, whose variant may have its own.
    """
    known = leaves(config)
    for path in paths:
        if path in known:
            leaf = known[path]
            help = helps.get(leaf.name, leaf.setting.help)
            _add_one(parser, leaf, dest_of(config, path), help, _under_variants(config, path))
        else:
            setting = config.__dataclass_fields__[path].metadata[KEY]  # type: ignore[attr-defined]
            usual = ", ".join(
                f"{leaf.name}={leaf.default:g}"
                for leaf in known.values()
                if leaf.default and leaf.path.startswith(f"{path}.")
            )
            parser.add_argument(
                f"--{setting.option or path}", action="append", type=_named_number, metavar="NAME=W",
                dest=dest_of(config, path), help=f"{helps.get(path, setting.help)} (default {usual})",
            )  # fmt: skip


def add_chunk_argument(parser: argparse._ActionsContainer, config: type) -> None:
    """--chunk of a config that has a chunk, for commands that measure how many frames to render at once."""
    leaf = leaves(config)["chunk"]
    parser.add_argument(
        "--chunk", type=int, metavar="CHUNK", dest=dest_of(config, leaf.path),
        help=f"{leaf.setting.help}, always so many (default: up to {leaf.default}, found on the first frames, and "
        "fewer where memory runs out)",
    )  # fmt: skip


def batches_of(
    args: argparse.Namespace, config: VideoConfig | ContinuousConfig, device: torch.device
) -> Batches | None:
    """None for the --chunk frames at once that were asked for; without it as many as a measurement finds."""
    from ..common.batches import Batches

    asked = getattr(args, dest_of(type(config), "chunk")) is not None
    return None if asked else Batches(config.chunk, device)


def add_preset_argument(parser: argparse._ActionsContainer, config: type) -> None:
    """--preset."""
    parser.add_argument(
        "--preset", choices=preset_names(config), dest=dest_of(config, PRESET),
        help="all settings of the published article or of its authors' code at once; other options go before them "
        "(default: none)",
    )  # fmt: skip


def config_from(args: argparse.Namespace, config: type[T], **fixed: Any) -> T:
    """The config of the options that were given. fixed: fields that come from elsewhere."""
    preset = getattr(args, dest_of(config, PRESET), None)
    values = {**({} if preset is None else preset_fields(config, preset)), **fixed}
    for name, value in vars(args).items():
        of, _, path = name.partition(":")
        if of == config.__name__ and path != PRESET and value is not None:
            values |= {f"{path}.{key}": number for key, number in value} if isinstance(value, list) else {path: value}
    return build(config, values)


def dest_of(config: type, path: str) -> str:
    """The attribute of the parsed arguments that holds a setting, which meets no other option's name."""
    return f"{config.__name__}:{path}"


def _add_one(parser: argparse._ActionsContainer, leaf: Leaf, dest: str, help: str, variants: str) -> None:
    default, setting = leaf.default, leaf.setting
    if isinstance(default, bool):
        option = f"--no-{leaf.option}" if default else f"--{leaf.option}"
        parser.add_argument(option, action="store_const", const=not default, dest=dest, help=help.replace("%", "%%"))
        return
    shown = f"{default:g}" if isinstance(default, float) else default
    text = f"{help} (default {shown}{variants})".replace("%", "%%")
    kind: dict[str, Any] = {"choices": setting.choices} if setting.choices else {"type": type(default)}
    if not setting.choices:
        kind["metavar"] = _metavar(leaf)
    parser.add_argument(f"--{leaf.option}", dest=dest, help=text, **kind)


def _metavar(leaf: Leaf) -> str:
    return leaf.option.replace("-", "_").upper()


def _under_variants(config: type, path: str) -> str:
    """ "; paper 300" where a variant of the config has a default of its own."""
    name, _, key = path.partition(".")
    said = []
    for variant, usual in getattr(config, "VARIANT_DEFAULTS", {}).items():
        if name in usual:
            value = usual[name]
            value = value if not key else value[key] if isinstance(value, dict) else getattr(value, key)
            said.append(f"; {variant} {value:g}" if isinstance(value, float) else f"; {variant} {value}")
    return "".join(said)


def _named_number(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a name and a number, such as flow=2") from None
