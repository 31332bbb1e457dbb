"""Keeping a person's face, by a recognition network R that arrives as an argument. Axes: B, D dims, H W picture."""

from __future__ import annotations

import os

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checkpoints import registry
from ..checkpoints.loading import load_network
from ..common.memory import usable_device
from ..common.shapes import check_shape
from ..common.types import FaceRecognition
from ..embedding.ir_se import ArcFace, IRSEConfig
from .semantic import cosine_distance


def identity_distance(recognise: FaceRecognition, img: Tensor, img_src: Tensor) -> Tensor:
    """L_ID = 1 - <R(img_src), R(img)> for img, img_src [B,3,H,W] in -1..1 => [B]; the source carries no gradient."""
    with torch.no_grad():
        source = F.normalize(recognise(img_src), dim=-1)
    return cosine_distance(F.normalize(recognise(img), dim=-1), source)


class FaceIdentity(nn.Module):
    """R for pictures of aligned faces: img [B,3,H,W] in -1..1 => [B,D], unit norm.

    The cut is that of Lee et al. 2022 and pixel2style2pixel: of 256 px, rows 35 to 222 and columns 32 to 219.
    """

    def __init__(self, network: ArcFace) -> None:
        super().__init__()
        self.network = network

    def forward(self, img: Tensor) -> Tensor:
        sizes = check_shape(img, "B 3 H W", name="the picture")
        if (sizes["H"], sizes["W"]) != (256, 256):
            img = F.adaptive_avg_pool2d(img, 256)
        side = self.network.config.side
        return self.network(F.adaptive_avg_pool2d(img[:, :, 35:223, 32:220], side))


def load_identity(name_or_path: str | os.PathLike, device: str | torch.device = "cpu") -> FaceIdentity:
    """A frozen ArcFace for identity_distance: a registry name, or a file of any known format.

    Args:
        name_or_path: such as model_ir_se50.pth.
        device: where it computes, such as "cuda".

    Raises:
        InputError: no such name or file, it is not on this disk (how to get it is said), or of another kind or size.
    """
    device = usable_device(device)
    path = registry.find("identity", name_or_path).files["identity"]

    def build(config: dict) -> ArcFace:
        return ArcFace(IRSEConfig.from_dict(config["arcface"]))

    network, _ = load_network(path, "identity", "a face network", build, meta=True, device=device)
    return FaceIdentity(network).eval()
