"""Likeness of pictures. Axes: B batch, H W."""

from __future__ import annotations

import os
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checkpoints import registry, safetensors_io, weights
from ..common.errors import InputError
from ..common.memory import usable_device


def pyramid_distance(
    img: Tensor, target: Tensor, levels: int = 4, square: float = 0.0, detail: float = 0.0
) -> Tensor:
    """Mean absolute difference, averaged over scales 1, 1/2, ..., 1/2^(levels-1): [B,3,H,W], [B,3,H,W] => [B].

    square: weight of the mean squared difference at scale 1, added; it minds what is small and far off.
    detail: weight of the mean absolute difference in what halving loses, added: the finest band of a Laplacian pyramid
        (Burt and Adelson 1983). Coarse scales hold most of the other differences, fine lines and dots all of this one.
    """
    total = levels * square * (img - target).square().mean(dim=(1, 2, 3)) if square else 0
    if detail:
        difference = img - target
        coarse = F.interpolate(F.avg_pool2d(difference, 2), scale_factor=2)
        total = total + levels * detail * (difference - coarse).abs().mean(dim=(1, 2, 3))
    for level in range(levels):
        if level:
            img, target = F.avg_pool2d(img, 2), F.avg_pool2d(target, 2)
        total = total + (img - target).abs().mean(dim=(1, 2, 3))
    return cast(Tensor, total) / levels


class LPIPS(nn.Module):
    """Learned perceptual distance (Zhang et al. 2018): img, target [B,3,H,W] in -1..1 => [B]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, img: Tensor, target: Tensor) -> Tensor:
        return self.network(img, target).flatten()


def load_perceptual(name_or_path: str | os.PathLike | None = None, device: str | torch.device = "cpu") -> LPIPS:
    """LPIPS by the package lpips, frozen, on a VGG-16 from disk.

    Args:
        name_or_path: of `soundguide models` (None: the default), or torchvision's file.
        device: where it computes, such as "cuda".

    Raises:
        InputError: the package or the trunk's file is missing (how to get it is said), or the file is another.
    """
    device = usable_device(device)
    path = registry.find("perceptual", name_or_path).files["trunk"]
    tensors, _ = weights.load(path, "perceptual")
    try:
        import lpips
    except ImportError as error:
        raise InputError("LPIPS needs the package lpips.", "Install it with `pip install lpips`.") from error
    network = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False)  # a random trunk: nothing is fetched
    # its trunk has the layers of `features` under slice1 to slice5, each with its old number
    wanted = {key: key.split(".", 1)[1] for key in network.net.state_dict()}
    trunk = {ours: tensors[f"features.{number}"] for ours, number in wanted.items() if f"features.{number}" in tensors}
    safetensors_io.fill(network.net, trunk, path)
    return LPIPS(network).eval().requires_grad_(False).to(device)
