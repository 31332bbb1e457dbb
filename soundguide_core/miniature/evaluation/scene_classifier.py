"""A judge of pictures: which phenomenon of the miniature world does one show?

Trained on renders alone, by itself, and part of no loss; so it can say whether an edit shows what the sound means.
Axes: B batch, H W picture, K classes.
"""

from __future__ import annotations

import itertools
import os

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...checkpoints import registry
from ...checkpoints.loading import load_network
from ...common.errors import check_whole
from ...common.shapes import check_shape
from ...common.typed import check_types


def _sizes(classes: tuple[str, ...], size: int, channels: tuple[int, ...]) -> None:
    """What a classifier's config says."""


class SceneClassifier(nn.Module):
    """Plain convolutions, group-normalised, halving the picture each time; mean and maximum over what is left.

    config: {"classes": list of names, "size": input pixels a side, "channels": list, one per halving}.
    """

    def __init__(self, config: dict) -> None:
        super().__init__()
        check_types(_sizes, config, "The classifier's config")
        check_whole(config["size"], "The side of what a classifier sees", low=2 ** len(config["channels"]), high=4096)
        self.config = config
        self.classes: tuple[str, ...] = tuple(config["classes"])
        channels = [3, *config["channels"]]
        blocks = [
            nn.Sequential(nn.Conv2d(before, after, 5 if before == 3 else 3, stride=2, padding=2 if before == 3 else 1),
                          nn.GroupNorm(8, after), nn.SiLU())
            for before, after in itertools.pairwise(channels)
        ]  # fmt: skip
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(2 * channels[-1], len(self.classes))

    def forward(self, img: Tensor) -> Tensor:
        """img [B,3,H,W] in -1..1 => logits [B,K]."""
        check_shape(img, "B 3 H W", name="the picture")
        size = (self.config["size"],) * 2
        if img.shape[2:] != size:
            img = F.interpolate(img, size, mode="bilinear", antialias=True)
        x = self.blocks(img)
        return self.head(torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1))

    @torch.no_grad()
    def predict(self, img: Tensor) -> Tensor:
        """img [B,3,H,W] in -1..1 => probabilities [B,K] over `classes`."""
        return self(img).softmax(-1)

    def name(self, img: Tensor) -> list[str]:
        """The likeliest class of each picture."""
        return [self.classes[k] for k in self.predict(img).argmax(-1).tolist()]


def load_scene_classifier(
    name_or_path: str | os.PathLike | None = None, device: str | torch.device = "cpu"
) -> SceneClassifier:
    """A trained classifier by registry name (None: its default) or path, in evaluation mode."""
    path = registry.find("scene-classifier", name_or_path).files["classifier"]
    return load_network(path, "scene-classifier", "a scene classifier", SceneClassifier, device=device)[0]
