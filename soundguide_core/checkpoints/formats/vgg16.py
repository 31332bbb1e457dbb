"""VGG-16 as torchvision publishes it (vgg16-397923af.pth): the trunk of LPIPS, which needs its convolutions alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .keys import Keys, flat_tensors, recognised

if TYPE_CHECKING:
    from torch import Tensor

NAME = "torchvision VGG-16"
KIND = "perceptual"

CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # places in `features`


def recognises(content) -> bool:
    state = flat_tensors(content)
    return state is not None and {"features.0.weight", "features.28.weight", "classifier.6.weight"} <= set(state)


def convert(content) -> tuple[dict[str, Tensor], dict]:
    """features.N.weight and features.N.bias; the classifier is not needed."""
    keys = Keys(recognised(flat_tensors(content)), NAME)
    keys.drop(*(f"classifier.{i}.{part}" for i in (0, 3, 6) for part in ("weight", "bias")))
    for i in CONVOLUTIONS:
        keys.move(f"features.{i}.weight", f"features.{i}.weight")
        keys.move(f"features.{i}.bias", f"features.{i}.bias")
    return keys.finish(), {"architecture": "vgg16"}
