"""The sizes of a StyleGAN2, read off its tensors: a file's own settings may be absent, and are never needed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...common.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

LINEAR = ("weight", "bias")
LAYER = ("weight", "bias", "affine.weight", "affine.bias")
NOISE = ("noise_strength", "noise_const")
EMBED = "mapping.embed.weight"  # [w_dim,c_dim], of class labels


def sizes(tensors: dict[str, Tensor]) -> dict:
    """resolution, z_dim, c_dim, w_dim, mapping_layers, channel_base, channel_max and noise of a generator in our keys.

    Raises:
        InputError: a key is missing or odd, or the channels do not follow min(channel_base // resolution, channel_max).
    """
    const = tensors.get("synthesis.b4.const")
    if const is not None and tuple(const.shape[-2:]) != (4, 4):
        raise InputError(
            f"Its pictures are not square (they grow from {const.shape[-2]} x {const.shape[-1]}).",
            "SoundGuide renders square ones only: use such a generator.",
        )
    depth = sum(re.fullmatch(r"mapping\.fc\d+\.weight", key) is not None for key in tensors)
    blocks = [re.fullmatch(r"synthesis\.b(\d+)\.conv1\.weight", key) for key in tensors]
    channels = {int(block[1]): len(tensors[block[0]]) for block in blocks if block}
    noise = "synthesis.b4.conv1.noise_strength" in tensors
    known = keys(depth, sorted(channels), noise, classes=EMBED in tensors)
    odd = known ^ (tensors.keys() - {"mapping.w_avg"})
    if odd:
        raise InputError(
            f"{min(odd)} is {'odd' if min(odd) in tensors else 'missing'}.",
            "It may be a variant that SoundGuide does not know; please report it with the file's source.",
        )
    base = max(resolution * count for resolution, count in channels.items())
    if any(min(base // resolution, channels[4]) != count for resolution, count in channels.items()):
        raise InputError(
            f"Its channels per resolution are {channels}, which SoundGuide cannot build.",
            "Use a generator whose channels halve where the resolution doubles.",
        )
    return {
        "resolution": max(channels),
        **mapping_sizes(tensors),
        "mapping_layers": depth,
        "channel_base": base,
        "channel_max": channels[4],
        "noise": noise,
    }


def mapping_sizes(tensors: dict[str, Tensor]) -> dict:
    """z_dim, w_dim and c_dim of a mapping network: with classes, w_dim numbers of the label stand beside z.

    Raises:
        InputError: the label is embedded into another number of them.
    """
    w_dim, size_in = tensors["mapping.fc0.weight"].shape
    if EMBED not in tensors:
        return {"z_dim": size_in, "w_dim": w_dim, "c_dim": 0}
    embedded, c_dim = tensors[EMBED].shape
    if embedded != w_dim:
        raise InputError(
            f"Its labels are embedded into {embedded} numbers, its w has {w_dim}.",
            "Use a generator trained with the published settings.",
        )
    return {"z_dim": size_in - embedded, "w_dim": w_dim, "c_dim": c_dim}


def keys(depth: int, resolutions: list[int], noise: bool, *, classes: bool = False) -> set[str]:
    """Every key that a generator has beside the statistics of w."""
    out = {f"mapping.fc{i}.{leaf}" for i in range(max(depth, 1)) for leaf in LINEAR} | {"synthesis.b4.const"}
    out |= {f"mapping.embed.{leaf}" for leaf in LINEAR * classes}
    for resolution in resolutions or [4]:
        for layer in ("conv1",) if resolution == 4 else ("conv0", "conv1"):
            out |= {f"synthesis.b{resolution}.{layer}.{leaf}" for leaf in LAYER + NOISE * noise}
        out |= {f"synthesis.b{resolution}.torgb.{leaf}" for leaf in LAYER}
    return out
