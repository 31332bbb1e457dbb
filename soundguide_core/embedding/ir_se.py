"""The residual network of face recognition: IR-SE50, and ArcFace on it.

J. Deng et al., "ArcFace", CVPR 2019, section 3.1; squeeze and excitation of J. Hu et al., CVPR 2018. Keys as in
InsightFace_Pytorch's model_ir_se50.pth, which pixel2style2pixel and the encoders made from it share.
Axes: B batch, H W picture, D dims.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from ..common.errors import check_whole
from ..common.shapes import check_shape
from ..common.typed import check_types


@dataclass(frozen=True)
class IRSEConfig:
    """widths: of the first convolution and of each stage; units: blocks of each stage, the first halves the size."""

    widths: tuple[int, ...] = (64, 64, 128, 256, 512)
    units: tuple[int, ...] = (3, 4, 14, 3)
    reduction: int = 16
    dim: int = 512  # of ArcFace's embedding
    side: int = 112  # of ArcFace's picture

    def __post_init__(self) -> None:
        for width in self.widths:
            check_whole(width, "A width of a face network", low=1, high=2**14)
        for count in self.units:
            check_whole(count, "A face network's number of blocks", low=1, high=1000)
        for name in ("reduction", "dim", "side"):
            check_whole(getattr(self, name), f"A face network's {name}", low=1, high=2**14)

    @classmethod
    def from_dict(cls, values: dict) -> IRSEConfig:
        values = check_types(cls, values, "The config of the face network")
        return cls(**{**values, "widths": tuple(values["widths"]), "units": tuple(values["units"])})

    def to_dict(self) -> dict:
        return asdict(self)


class SqueezeExcitation(nn.Module):
    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(width, width // reduction, 1, bias=False)
        self.fc2 = nn.Conv2d(width // reduction, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc2(self.fc1(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


class Block(nn.Module):
    """Normalisation, convolution, PReLU, convolution with the stride, normalisation, excitation; and a shortcut."""

    def __init__(self, width_in: int, width: int, stride: int, reduction: int) -> None:
        super().__init__()
        self.shortcut_layer = nn.MaxPool2d(1, stride)
        if width_in != width:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(width_in),
            nn.Conv2d(width_in, width, 3, padding=1, bias=False),
            nn.PReLU(width),
            nn.Conv2d(width, width, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            SqueezeExcitation(width, reduction),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.res_layer(x) + self.shortcut_layer(x)


def input_layer(config: IRSEConfig) -> nn.Sequential:
    """img [B,3,H,W] => [B,widths[0],H,W]"""
    width = config.widths[0]
    return nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.PReLU(width))


def body(config: IRSEConfig) -> nn.Sequential:
    """[B,widths[0],H,W] => [B,widths[-1],H/16,W/16], one Block after another."""
    blocks = []
    for (width_in, width), units in zip(pairwise(config.widths), config.units):
        blocks += [Block(width if i else width_in, width, 1 if i else 2, config.reduction) for i in range(units)]
    return nn.Sequential(*blocks)


class ArcFace(nn.Module):
    """A cut-out face [B,3,side,side] in -1..1 => who it is [B,D], unit norm."""

    def __init__(self, config: IRSEConfig) -> None:
        super().__init__()
        self.config = config
        self.input_layer, self.body = input_layer(config), body(config)
        width, last_side = config.widths[-1], config.side // 16
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.Dropout(0.6),
            nn.Flatten(),
            nn.Linear(width * last_side**2, config.dim),
            nn.BatchNorm1d(config.dim),
        )

    def forward(self, face: Tensor) -> Tensor:
        check_shape(face, f"B 3 {self.config.side} {self.config.side}", name="the face")
        return F.normalize(self.output_layer(self.body(self.input_layer(face))), dim=-1)
