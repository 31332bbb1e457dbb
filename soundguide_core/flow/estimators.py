"""Networks and methods that estimate optical flow between two pictures."""

from __future__ import annotations

import os

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..common.errors import InputError
from ..common.memory import usable_device
from .tv_l1 import SMALLEST, tv_l1


class TVL1(nn.Module):
    """C. Zach, T. Pock and H. Bischof, "A Duality Based Approach for Realtime TV-L1 Optical Flow", DAGM 2007.

    On brightness. It needs no weights.
    """

    def forward(self, img: Tensor, target: Tensor) -> Tensor:
        """Where each point of img [B,3,H,W] in -1..1 is in target: [B,2,H,W]."""
        inside, *padded = _padded(img, target, smallest=SMALLEST)
        before, after = (_brightness(x) for x in padded)
        return tv_l1(before, after).to(img)[inside]


def _brightness(img: Tensor) -> Tensor:
    """[B,3,H,W] in -1..1 => [B,H,W] in 0..1 (ITU-R BT.709)"""
    return torch.einsum("bchw,c->bhw", img.float() / 2 + 0.5, img.new_tensor([0.2126, 0.7152, 0.0722]).float())


class RAFT(nn.Module):
    """Z. Teed and J. Deng, "RAFT: Recurrent All-Pairs Field Transforms for Optical Flow", ECCV 2020, of torchvision."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, img: Tensor, target: Tensor) -> Tensor:
        """Where each point of img [B,3,H,W] in -1..1 is in target: [B,2,H,W]."""
        inside, *padded = _padded(img, target, smallest=128, multiple=8)
        return self.network(*padded)[-1][inside].to(img)


def _padded(*imgs: Tensor, smallest: int, multiple: int = 1) -> tuple:
    """(where they then lie, imgs [B,3,H,W] of one size as float32 with the border repeated around them)."""
    h, w = imgs[0].shape[2:]
    pad_h, pad_w = (max(smallest, -(-side // multiple) * multiple) - side for side in (h, w))
    top, left = pad_h // 2, pad_w // 2
    borders = (left, pad_w - left, top, pad_h - top)
    inside = (..., slice(top, top + h), slice(left, left + w))
    return inside, *(F.pad(x.float(), borders, mode="replicate") for x in imgs)


METHODS = {"tv-l1": TVL1}  # estimators that need no weights


def flow_names() -> list[str]:
    """What load_flow answers to and is here, first what needs no weights."""
    from ..checkpoints import registry

    return [*METHODS, *registry.names("flow")]


def load_flow(name_or_path: str | os.PathLike = "tv-l1", device: str | torch.device = "cpu") -> nn.Module:
    """An estimator for use, frozen: one that needs no weights, a registry name, or a file of torchvision's RAFT.

    Args:
        name_or_path: "tv-l1", a name of `soundguide models`, or a file.
        device: where it computes, such as "cuda".

    Raises:
        InputError: no such name or file, it is not on this disk (how to get it is said), or of another kind or size.

    Example:
        flow = sg.load_flow()
        img, target = sg.load_image("frames/0.png"), sg.load_image("frames/1.png")
        print(flow(img, target).shape)  # [1,2,H,W], pixels to go in x and y
    """
    device = usable_device(device)
    if isinstance(name_or_path, str) and name_or_path in METHODS:
        return METHODS[name_or_path]()
    from torchvision.models import optical_flow

    from ..checkpoints import registry, weights
    from ..checkpoints.formats.raft import NETWORKS
    from ..checkpoints.loading import build_network

    path = registry.find("flow", name_or_path).files["flow"]
    tensors, config = weights.load(path, "flow")
    architecture = config.get("architecture")
    if not isinstance(architecture, str) or architecture not in NETWORKS:
        raise InputError(
            f"{path} holds a flow network of architecture {architecture!r}.", f"Use one of {', '.join(NETWORKS)}."
        )
    build = getattr(optical_flow, architecture)
    network = build_network(path, "a flow network", tensors, config, lambda _: build(weights=None), device=device)
    return RAFT(network).eval()
