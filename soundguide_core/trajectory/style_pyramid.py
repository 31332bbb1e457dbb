"""The encoder of E. Richardson et al., "Encoding in Style" (pixel2style2pixel), CVPR 2021, section 3, as the released
sound inversion of S. H. Lee et al. (ECCV 2022) has it: a feature pyramid on a residual network, one head per style.

Sizes are data, by default those of the released file. Axes: B batch, L layers, D dims.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..common.errors import InputError, check_whole
from ..common.shapes import check_shape
from ..common.typed import check_types
from ..embedding.ir_se import IRSEConfig, body, input_layer

SLOPE = 0.01  # of every leaky ReLU here


@dataclass(frozen=True)
class InversionConfig:
    """Sizes of a SoundInversion.

    Args:
        groups: how many styles are read from the coarse, the middle and the fine map.
        sides: of those maps for a square input, which sets how often a style head halves them.
        activated: whether a leaky ReLU ends a head, as in the video paper: latents are hardly ever negative.
        centred: whether styles are offsets from the generator's w_avg, kept in the file.
    """

    network: IRSEConfig = field(default_factory=IRSEConfig)
    w_dim: int = 512
    groups: tuple[int, int, int] = (3, 4, 9)
    sides: tuple[int, int, int] = (16, 32, 64)
    activated: bool = True
    centred: bool = False

    def __post_init__(self) -> None:
        check_whole(self.w_dim, "The width of a latent", low=1, high=2**14)
        if self.network.widths[-1] != self.w_dim:
            raise InputError(
                f"The pyramid's top has {self.network.widths[-1]} channels, a latent {self.w_dim} dims.",
                "Make the network's last width that of a latent.",
            )
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


class StyleHead(nn.Module):
    """A map [B,D,side,side] => one style [B,D]: halved until one pixel is left, then a linear layer."""

    def __init__(self, w_dim: int, side: int) -> None:
        super().__init__()
        halvings = side.bit_length() - 1
        layers = [[nn.Conv2d(w_dim, w_dim, 3, stride=2, padding=1), nn.LeakyReLU(SLOPE)] for _ in range(halvings)]
        self.convs = nn.Sequential(*(layer for pair in layers for layer in pair))
        self.linear = nn.Linear(w_dim, w_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.convs(x).flatten(1))


class SoundInversion(nn.Module):
    """A log-mel [B,1,M,T] (or a picture [B,3,H,W]) => ws [B,L,D]: a feature pyramid with one head per style."""

    w_avg: Tensor

    def __init__(self, config: InversionConfig) -> None:
        super().__init__()
        self.config = config
        net = config.network
        self.input_layer, self.body = input_layer(net), body(net)
        sides = [side for side, count in zip(config.sides, config.groups) for _ in range(count)]
        self.styles = nn.ModuleList(StyleHead(config.w_dim, side) for side in sides)
        self.latlayer1 = nn.Conv2d(net.widths[-2], config.w_dim, 1)
        self.latlayer2 = nn.Conv2d(net.widths[-3], config.w_dim, 1)
        if config.centred:
            self.register_buffer("w_avg", torch.zeros(config.num_ws, config.w_dim))

    def forward(self, mel: Tensor) -> Tensor:
        check_shape(mel, "B C H W", name="the mel")
        x = self.input_layer(mel.expand(-1, 3, -1, -1))
        units = self.config.network.units
        taps = {sum(units[: i + 1]) - 1 for i in range(1, len(units))}  # the last block of each stage but the first
        maps = []
        for i, block in enumerate(self.body):
            x = block(x)
            if i in taps:
                maps.append(x)
        fine, middle, coarse = maps[-3:]
        middle = _add(coarse, self.latlayer1(middle))
        fine = _add(middle, self.latlayer2(fine))
        a, b, _ = self.config.groups
        seen = [coarse if i < a else middle if i < a + b else fine for i in range(self.config.num_ws)]
        ws = torch.stack([head(x) for head, x in zip(self.styles, seen)], dim=1)
        ws = F.leaky_relu(ws, SLOPE) if self.config.activated else ws
        return ws + self.w_avg if self.config.centred else ws


def _add(x: Tensor, y: Tensor) -> Tensor:
    """x, enlarged to y's size, plus y."""
    return F.interpolate(x, y.shape[2:], mode="bilinear", align_corners=True) + y
