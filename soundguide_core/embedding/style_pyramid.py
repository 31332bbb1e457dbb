"""A feature pyramid on a residual network with one head per style: pictures, or sounds, as latents in W+.

The encoder of E. Richardson et al., "Encoding in Style" (pixel2style2pixel), CVPR 2021, section 3; that of O. Tov et
al., "Designing an Encoder for StyleGAN Image Manipulation" (encoder4editing), SIGGRAPH 2021, section 5, whose first
style is the w of all layers and whose others are added to it; and the released sound inversion of S. H. Lee et al.
(ECCV 2022).

Sizes are data, by default those of the sound inversion's file. Axes: B batch, L layers, D dims.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..common.errors import InputError, check_whole
from ..common.shapes import check_shape
from ..common.typed import check_types
from .ir_se import IRSEConfig, body, input_layer

SLOPE = 0.01  # of every leaky ReLU here


@dataclass(frozen=True)
class InversionConfig:
    """Sizes of a StylePyramid.

    Args:
        groups: how many styles are read from the coarse, the middle and the fine map.
        sides: of those maps for a square input, which sets how often a style head halves them.
        activated: whether a leaky ReLU ends a head, as in the video paper: latents are hardly ever negative.
        centred: whether styles are offsets from the generator's w_avg, kept in the file.
        deltas: whether the first style is the w of all layers and the others are added to it, as in encoder4editing.
        shared: 0 where each style has convolutions of its own, as published; else the width of those that all styles
            of one map share, each with a linear layer of its own: a small network.
    """

    network: IRSEConfig = field(default_factory=IRSEConfig)
    w_dim: int = 512
    groups: tuple[int, int, int] = (3, 4, 9)
    sides: tuple[int, int, int] = (16, 32, 64)
    activated: bool = True
    centred: bool = False
    deltas: bool = False
    shared: int = 0

    def __post_init__(self) -> None:
        check_whole(self.w_dim, "The width of a latent", low=1, high=2**14)
        if self.network.widths[-1] != self.w_dim:
            raise InputError(
                f"The pyramid's top has {self.network.widths[-1]} channels, a latent {self.w_dim} dims.",
                "Make the network's last width that of a latent.",
            )
        check_whole(self.shared, "The width of shared heads", low=0, high=2**14)
        for count in self.groups:
            check_whole(count, "A number of styles", low=0, high=64)
        for side in self.sides:
            check_whole(side, "The side of a map", low=1, high=4096)

    @property
    def num_ws(self) -> int:
        return sum(self.groups)

    @classmethod
    def from_dict(cls, values: dict) -> InversionConfig:
        values = check_types(cls, values, "The config of the sound inversion")
        tuples = {"groups": tuple(values["groups"]), "sides": tuple(values["sides"])}
        return cls(**{**values, **tuples, "network": IRSEConfig.from_dict(values["network"])})

    def to_dict(self) -> dict:
        return asdict(self)


def _halvings(width_in: int, width: int, side: int) -> nn.Sequential:
    """[B,width_in,side,side] => [B,width,1,1]"""
    layers: list[nn.Module] = []
    for i in range(side.bit_length() - 1):
        layers += [nn.Conv2d(width if i else width_in, width, 3, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers)


class StyleHead(nn.Module):
    """A map [B,D,side,side] => one style [B,D]: halved until one pixel is left, then a linear layer."""

    def __init__(self, w_dim: int, side: int) -> None:
        super().__init__()
        self.convs = _halvings(w_dim, w_dim, side)
        self.linear = nn.Linear(w_dim, w_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.convs(x).flatten(1))


class SharedHeads(nn.Module):
    """A map [B,D,side,side] => `count` styles [B,count,D] from one stack of convolutions."""

    def __init__(self, w_dim: int, width: int, side: int, count: int) -> None:
        super().__init__()
        self.count = count
        self.convs = _halvings(w_dim, width, side)
        self.linear = nn.Linear(width, count * w_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.convs(x).flatten(1)).unflatten(1, (self.count, -1))


class StylePyramid(nn.Module):
    """A picture [B,3,H,W] in -1..1, or a log-mel [B,1,M,T], => ws [B,L,D]."""

    w_avg: Tensor

    def __init__(self, config: InversionConfig) -> None:
        super().__init__()
        self.config = config
        net = config.network
        self.input_layer, self.body = input_layer(net), body(net)
        levels = list(zip(config.groups, config.sides))
        if config.shared:
            heads = [SharedHeads(config.w_dim, config.shared, side, count) for count, side in levels]
        else:
            heads = [StyleHead(config.w_dim, side) for count, side in levels for _ in range(count)]
        self.styles = nn.ModuleList(heads)
        self.latlayer1 = nn.Conv2d(net.widths[-2], config.w_dim, 1)
        self.latlayer2 = nn.Conv2d(net.widths[-3], config.w_dim, 1)
        if config.centred:
            self.register_buffer("w_avg", torch.zeros(config.num_ws, config.w_dim))

    def forward(self, x: Tensor, deltas: int | None = None) -> Tensor:
        """deltas: how many layers after the first get a style of their own, where the config has deltas; None: all."""
        ws = self.heads(x)
        if self.config.deltas:
            ws = joined(ws, deltas)
        ws = F.leaky_relu(ws, SLOPE) if self.config.activated else ws
        return ws + self.w_avg if self.config.centred else ws

    def heads(self, x: Tensor) -> Tensor:
        """What each head says [B,L,D]; with deltas the first is w without its mean, the others are the deltas."""
        maps = self._maps(x)
        if self.config.shared:
            return torch.cat([heads(seen) for heads, seen in zip(self.styles, maps)], dim=1)
        seen = [one for one, count in zip(maps, self.config.groups) for _ in range(count)]
        return torch.stack([head(one) for head, one in zip(self.styles, seen)], dim=1)

    def _maps(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(coarse, middle, fine)"""
        check_shape(x, "B C H W", name="what the encoder sees")
        x = self.input_layer(x.expand(-1, 3, -1, -1))
        units = self.config.network.units
        taps = {sum(units[: i + 1]) - 1 for i in range(1, len(units))}  # the last block of each stage but the first
        maps = []
        for i, block in enumerate(self.body):
            x = block(x)
            if i in taps:
                maps.append(x)
        fine, middle, coarse = maps[-3:]
        middle = _add(coarse, self.latlayer1(middle))
        return coarse, middle, _add(middle, self.latlayer2(fine))


def joined(heads: Tensor, deltas: int | None = None) -> Tensor:
    """w and deltas [B,L,D] => ws [B,L,D]: ws_0 = w, ws_i = w + delta_i, or w where i > deltas."""
    w = heads[:, :1]
    count = heads.shape[1] - 1 if deltas is None else deltas
    own = torch.cat([torch.zeros_like(w), heads[:, 1 : 1 + count]], dim=1)
    return w + F.pad(own, (0, 0, 0, heads.shape[1] - own.shape[1]))


def _add(x: Tensor, y: Tensor) -> Tensor:
    """x, enlarged to y's size, plus y."""
    return F.interpolate(x, y.shape[2:], mode="bilinear", align_corners=True) + y
