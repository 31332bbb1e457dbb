"""What NVIDIA's training code pickles: a dict of networks, each a record of its attributes, tensors and layers."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...common.errors import InputError
from ..safe_pickle import Foreign, Persistent
from .keys import NOT_AVERAGED, all_close

if TYPE_CHECKING:
    from torch import Tensor

BINOMIAL = (1, 3, 3, 1)  # the resample filter of every published StyleGAN2


def averaged_generator(content) -> Persistent | None:
    """The generator to render with (G_ema, or the raw G), from the whole dict or alone; None where there is none."""
    if isinstance(content, dict):
        content = content.get("G_ema") or content.get("G")
    return content if isinstance(content, Persistent) else None


def layers(module) -> dict:
    """A record's own layers by name; {} for what is no network."""
    state = module.state if isinstance(module, (Foreign, Persistent)) else None
    found = state.get("_modules") if isinstance(state, dict) else None
    return found if isinstance(found, dict) else {}


def records(module, prefix: str = "") -> Iterator[tuple[str, dict]]:
    """(dotted name, attributes) of a record and of every layer below it."""
    yield prefix.rstrip("."), module.state
    for name, layer in layers(module).items():
        if isinstance(layer, (Foreign, Persistent)):
            yield from records(layer, f"{prefix}{name}.")


def warn_not_averaged(content) -> None:
    """Say so where the file has only the generator as it was trained."""
    if isinstance(content, dict) and not content.get("G_ema"):
        warnings.warn(NOT_AVERAGED, stacklevel=2)


def check_unconditional(module: Persistent) -> None:
    """InputError for a generator that wants a class label."""
    if c_dim := module.state.get("c_dim", 0):
        raise InputError(
            f"It is a class-conditional generator ({c_dim} classes).", "Use one that was trained without labels."
        )


def check_classes(module: Persistent, c_dim: int) -> None:
    """InputError unless the generator has as many classes as its embedding of labels."""
    if (stated := module.state.get("c_dim", 0)) != c_dim:
        raise InputError(
            f"It says {stated!r} classes, and its embedding of labels has {c_dim}.",
            "Use a generator trained with the published settings.",
        )


def check_rgb(module: Persistent) -> None:
    """InputError for a generator that does not make colour pictures."""
    if (channels := module.state.get("img_channels", 3)) != 3:
        raise InputError(f"Its pictures have {channels} channels.", "Use a generator of colour pictures.")


def check_mapping(module: Persistent) -> None:
    """InputError unless the mapping network is built as every published one."""
    check_attribute(module, "activation", "lrelu", where=r"mapping\.fc\d+")
    check_attribute(module, "bias_gain", 0.01, where=r"mapping\.fc\d+")  # the learning rate multiplier
    check_attribute(module, "activation", "linear", where=r"mapping\.embed")  # of class labels
    check_attribute(module, "bias_gain", 1.0, where=r"mapping\.embed")


def check_attribute(module: Persistent, name: str, wanted, where: str) -> None:
    """InputError unless the attribute is as wanted in every layer that has it and whose name matches `where`."""
    for layer, state in records(module):
        if re.fullmatch(where, layer) and state.get(name, wanted) != wanted:
            raise InputError(
                f"Its {layer} has {name} {state[name]!r}; SoundGuide knows {wanted!r} only.",
                "Use a generator trained with the published settings.",
            )


def check_resample_filter(key: str, x: Tensor, gain: float = 1.0) -> None:
    """InputError unless x [4,4] is the published resample filter, scaled to sum to gain."""
    expected = [gain / 64 * a * b for a in BINOMIAL for b in BINOMIAL]
    found = x.double().reshape(-1).tolist() if tuple(x.shape) == (len(BINOMIAL),) * 2 else []
    if not all_close(found, expected, rel=1e-5, absolute=1e-6):
        raise InputError(
            f"Its resample filter {key} is not [1, 3, 3, 1].", "Use a generator trained with the published settings."
        )


def without_filters(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """All but the resample filters, which must be the published constant."""
    for key, x in tensors.items():
        if key.endswith("resample_filter"):
            check_resample_filter(key, x)
    return {key: x for key, x in tensors.items() if not key.endswith("resample_filter")}


def conv_clamp(generator) -> float | None:
    """The bound on activations that all layers share."""
    bounds = {state["conv_clamp"] for name, state in records(generator) if name and "conv_clamp" in state}
    if len(bounds) != 1:
        raise InputError(f"Its layers are bounded in {len(bounds)} ways.", "Use a generator with one conv_clamp.")
    bound = bounds.pop()
    return None if bound is None else float(bound)
