"""StyleGAN2 as rosinality's stylegan2-pytorch saves it: {g, d, g_ema, ...} in training, {g_ema, latent_avg} converted.

No kernel is flipped and none transposed: the two code bases differ in names and in dims of size 1 only. Nothing but
tensors is stored, so every size comes from a shape.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from ..pickles.numbers import Numbers, is_tensor
from .keys import NOT_AVERAGED, Keys, recognised, without_wrappers
from .nvidia import check_resample_filter
from .stylegan2_sizes import sizes

if TYPE_CHECKING:
    from torch import Tensor

NAME = "rosinality's StyleGAN2"
KIND = "generator"

NOISE_SEED = 0


def recognises(content) -> bool:
    state = _averaged(content)
    return state is not None and {"input.input", "style.1.weight", "conv1.conv.weight"} <= state.keys()


def convert(content) -> tuple[dict[str, Tensor], dict]:
    if isinstance(content.get("g"), dict) and "g_ema" not in content:
        warnings.warn(NOT_AVERAGED, stacklevel=2)
    keys = Keys(recognised(_averaged(content)), NAME)
    depth = sum(key.startswith("style.") and key.endswith(".weight") for key in keys.left)
    for i in range(depth):
        for leaf in ("weight", "bias"):
            keys.move(f"style.{i + 1}.{leaf}", f"mapping.fc{i}.{leaf}")
    latent_avg = content.get("latent_avg")
    if is_tensor(latent_avg):
        keys.put("mapping.w_avg", latent_avg.reshape(-1))

    keys.put("synthesis.b4.const", keys.take("input.input")[0])
    _convolution(keys, "conv1", "synthesis.b4.conv1", noise=0)
    _to_rgb(keys, "to_rgb1", "synthesis.b4.torgb")
    blocks = sum(key.startswith("to_rgbs.") and key.endswith(".conv.weight") for key in keys.left)
    for i in range(blocks):
        block = f"synthesis.b{8 << i}"
        for j in (0, 1):
            _convolution(keys, f"convs.{2 * i + j}", f"{block}.conv{j}", noise=2 * i + j + 1)
        _to_rgb(keys, f"to_rgbs.{i}", f"{block}.torgb")
        for kernel in (f"convs.{2 * i}.conv.blur.kernel", f"to_rgbs.{i}.upsample.kernel"):
            if kernel in keys:
                check_resample_filter(kernel, keys.take(kernel), gain=4)
    tensors = keys.finish()
    return tensors, sizes(tensors)


def _averaged(content) -> dict | None:
    """The averaged generator's state dict, from the whole file or alone; the raw one where there is no other."""
    if not isinstance(content, dict):
        return None
    state = next((content[name] for name in ("g_ema", "g") if isinstance(content.get(name), dict)), content)
    return without_wrappers(state) if all(isinstance(key, str) for key in state) else None


def _convolution(keys: Keys, theirs: str, ours: str, *, noise: int) -> None:
    keys.put(f"{ours}.weight", keys.take(f"{theirs}.conv.weight")[0])  # [1,O,I,3,3] => [O,I,3,3]
    keys.move(f"{theirs}.conv.modulation.weight", f"{ours}.affine.weight")
    keys.move(f"{theirs}.conv.modulation.bias", f"{ours}.affine.bias")
    keys.move(f"{theirs}.activate.bias", f"{ours}.bias")
    keys.put(f"{ours}.noise_strength", keys.take(f"{theirs}.noise.weight").reshape([]))
    stored = f"noises.noise_{noise}"
    size = 2 ** ((noise + 5) // 2)
    const = keys.take(stored)[0, 0] if stored in keys else _drawn(size, noise, keys.made[f"{ours}.weight"])
    keys.put(f"{ours}.noise_const", const)


def _drawn(size: int, noise: int, like: Tensor) -> Tensor:
    """Noise [size,size] of our own: older files have none, and theirs is then drawn anew whenever they are loaded."""
    if isinstance(like, Numbers):  # a file that is only described
        return Numbers.of(np.zeros((size, size), "<f4"), "float32")  # type: ignore[return-value]
    import torch

    return torch.randn(size, size, generator=torch.Generator().manual_seed(NOISE_SEED + noise))


def _to_rgb(keys: Keys, theirs: str, ours: str) -> None:
    keys.put(f"{ours}.weight", keys.take(f"{theirs}.conv.weight")[0])  # [1,3,I,1,1] => [3,I,1,1]
    keys.move(f"{theirs}.conv.modulation.weight", f"{ours}.affine.weight")
    keys.move(f"{theirs}.conv.modulation.bias", f"{ours}.affine.bias")
    keys.put(f"{ours}.bias", keys.take(f"{theirs}.bias").reshape(-1))
