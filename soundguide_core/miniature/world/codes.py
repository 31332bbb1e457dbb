"""Coded scenes: a finite part of the miniature world, with a region of the latent space z ~ N(0, I) for each scene.

A generator that has minutes to learn and not days is first shown which z stands for which scene
(training/warm_start). The signs of twelve numbers of z ~ N(0, I) name one: its layout, the phenomenon, one of its
weathers, and how strong it is. In w the same scene has a plain code: its layout is one
direction, and its weather another, as far along as it is strong; so a picture changes phenomenon by moving along these.
That mapping needs no training: it is written down, in three layers of the published form.
Axes: B batch, D dims, H W.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from ...common.errors import InputError
from ...common.files import make_folder
from ...generators.ops import SQRT2, FullyConnected
from ...media.images import from_uint8
from .scenes import PHENOMENA, render

KINDS = (*PHENOMENA, None)
LAYOUTS, WEATHERS, POWERS = 32, 3, (0.45, 0.65, 0.85, 1.0)
BITS = {"layout": slice(0, 5), "kind": slice(5, 8), "weather": slice(8, 10), "power": slice(10, 12)}  # signs of z
NUM_BITS = 12
AMPLITUDE = 2.0  # of a code in w
STEEPNESS = 50.0  # a number of z is read as its sign where it is further than 1 / STEEPNESS from 0

# (layout, kind, weather, power) of every picture
SCENES = [
    code for code in product(range(LAYOUTS), range(len(KINDS)), range(WEATHERS), range(len(POWERS)))
    if KINDS[code[1]] is not None or code[2:] == (0, 0)
]  # fmt: skip
NUMBER = {code: i for i, code in enumerate(SCENES)}


class CodedScenes:
    """Every scene of SCENES, rendered once into a memory-mapped file, with latents that name them."""

    def __init__(self, folder: str | os.PathLike, size: int = 128, on_step: Callable[[int, int], None] | None = None):
        path = make_folder(folder) / f"coded-{len(SCENES)}-{size}.npy"
        if not path.is_file():
            _render_all(path, size, on_step)
        self.pixels = np.load(path, mmap_mode="r")  # [S,H,W,3] uint8

    def __len__(self) -> int:
        return len(SCENES)

    def batch(self, indices) -> Tensor:
        """indices [B] => [B,3,H,W] in -1..1"""
        return from_uint8(torch.from_numpy(self.pixels[np.asarray(indices)]))

    def draw(self, batch: int, z_dim: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """z [B,D] standard normal, and the indices [B] of its pictures."""
        z = torch.randn(batch, z_dim, generator=rng)
        layout, kind, weather, power = (decode_bits(z, part) for part in BITS.values())
        calm = kind == KINDS.index(None)
        codes = torch.stack([layout, kind, (weather % WEATHERS).where(~calm, 0), power.where(~calm, 0)], dim=1)
        return z, torch.tensor([NUMBER[tuple(code)] for code in codes.tolist()])

    def write_mapping(self, mapping: nn.Module) -> None:
        write_mapping(mapping)


def decode_bits(z: Tensor, part: slice) -> Tensor:
    """The signs of z[:, part] as binary numbers [B], the first the highest."""
    bits = (z[:, part] > 0).long()
    return (bits << torch.arange(bits.shape[1]).flip(0)).sum(dim=1)


@torch.no_grad()
def write_mapping(mapping: nn.Module) -> None:
    """Sets three layers so that w = AMPLITUDE * (1 at the layout, power at the weather, about 0 elsewhere).

    Each layer computes sqrt(2) lrelu(W x + b). Two facts are used: lrelu(x + 1) - lrelu(x - 1) is 0.4 for x < -1 and 2
    for x > 1, a step; and a code of n signs s is met where sum_j s_j t_j = n, at most n - 2 elsewhere.
    """
    w_dim, z_dim = cast(FullyConnected, mapping.fc0).weight.shape
    ways = [(kind, spelled) for kind in range(len(KINDS) - 1) for spelled in range(4)]
    columns: list[tuple[str, Any]] = [("layout", i) for i in range(LAYOUTS)]
    columns += [("way", way) for way in ways]
    if mapping.num_layers != 3 or z_dim < NUM_BITS or w_dim < 2 * len(columns) + 2:
        raise InputError(
            f"A mapping of {mapping.num_layers} layers of {w_dim} cannot spell the scenes.",
            f"Give it 3 layers of at least {2 * len(columns) + 2}.",
        )
    fcs = [cast(FullyConnected, fc) for fc in (mapping.fc0, mapping.fc1, mapping.fc2)]
    biases = [cast(Tensor, fc.bias) for fc in fcs]
    layers = [(torch.zeros_like(fc.weight), torch.zeros_like(b)) for fc, b in zip(fcs, biases)]

    # 1: two units a bit, whose difference is a step between 0.4 and 2
    (weight, bias), bits = layers[0], torch.arange(NUM_BITS)
    for offset, sign in ((0, 1.0), (NUM_BITS, -1.0)):
        weight[bits + offset, bits] = STEEPNESS
        bias[bits + offset] = sign

    # 2: t_j = (step - 1.2) / 0.8 in -1..1; two units a code, for sum_j s_j t_j - (n - 1) = 1 where met, else -1 or less
    weight, bias = layers[1]
    for k, (name, code) in enumerate(columns):
        signs = _signs(name, code)
        for unit, shift in ((2 * k, 0.0), (2 * k + 1, -1.0)):
            for j, s in signs.items():
                weight[unit, j], weight[unit, j + NUM_BITS] = s / 0.8, -s / 0.8
            bias[unit] = shift - (len(signs) - 1) - 1.5 * sum(signs.values())
    keep = [2 * len(columns), 2 * len(columns) + 1]  # the bits of power, carried on as t + 1 in 0..2
    for unit, j in zip(keep, range(NUM_BITS)[BITS["power"]]):
        weight[unit, j], weight[unit, j + NUM_BITS], bias[unit] = 1 / 0.8, -1 / 0.8, 1 - 1.5

    # 3: the difference of the two units is 1 where met, 0.2 elsewhere; a weather is lowered by 1 - power
    weight, bias = layers[2]
    low, high = POWERS[0], POWERS[-1]
    for k, (name, code) in enumerate(columns):
        out = k if name == "layout" else LAYOUTS + code[0] * WEATHERS + code[1] % WEATHERS
        weight[out, 2 * k], weight[out, 2 * k + 1] = 1 / 0.8, -1 / 0.8
        bias[out] += -0.25
        if name == "way" and code[1] < WEATHERS:
            bias[out] += low - high
            weight[out, keep[0]], weight[out, keep[1]] = (high - low) / 3, (high - low) / 6
    # each layer's output carries the activation's gain, sqrt(2): taken back by the next, and after the last
    for fc, fc_bias, (weight, bias), incoming, scale in zip(
        fcs, biases, layers, (1.0, SQRT2, SQRT2), (1.0, 1.0, AMPLITUDE / SQRT2)
    ):  # fmt: skip
        fc.weight.copy_(weight * (scale / incoming * math.sqrt(weight.shape[1]) / fc.lr_mul))
        fc_bias.copy_(bias * (scale / fc.lr_mul))


def _signs(name: str, code) -> dict[int, float]:
    """bit of z => the sign that the code wants there"""
    parts = [("layout", code)] if name == "layout" else [("kind", code[0]), ("weather", code[1])]
    signs = {}
    for part, number in parts:
        bits = range(NUM_BITS)[BITS[part]]
        signs |= {j: 1.0 if number >> k & 1 else -1.0 for k, j in enumerate(reversed(bits))}
    return signs


def _render_all(path: Path, size: int, on_step: Callable[[int, int], None] | None) -> None:
    temporary = path.with_suffix(".part.npy")
    pixels = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=(len(SCENES), size, size, 3))
    for i, (layout, kind, weather, power) in enumerate(SCENES):
        pixels[i] = render(layout, KINDS[kind], POWERS[power], size=size, variant=weather)[0]
        if on_step is not None:
            on_step(i, len(SCENES))
    pixels.flush()
    os.replace(temporary, path)
