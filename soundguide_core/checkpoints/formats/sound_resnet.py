"""The released audio encoder of S. H. Lee et al., CVPR 2022 (resnet18_57.pth), and the same with a deeper ResNet.

A plain state dict of https://github.com/kuai-lab/sound-guided-semantic-image-manipulation/blob/dfba091e1a57e12720e685401a505ba8ac05b078/soundclip/models.py:
conv.* and feature_extractor.* in timm's names, which are ours too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...common.errors import InputError
from .keys import OPENAI_B_32, Keys, flat_tensors, recognised

if TYPE_CHECKING:
    from torch import Tensor

NAME = "sound-guided image manipulation's audio encoder"
KIND = "sound"

LAYERS = (
    r"(conv|feature_extractor\.fc)\.(weight|bias)|feature_extractor\.((layer\d\.\d+\.)?conv\d|layer\d\.\d+\.downsample\.0)\.weight"
    r"|feature_extractor\.((layer\d\.\d+\.)?bn\d|layer\d\.\d+\.downsample\.1)"
    r"\.(weight|bias|running_mean|running_var|num_batches_tracked)"
)
# (blocks of each of the four stages, are they bottlenecks?) -> timm's name
BACKBONES: dict[tuple[tuple[int, ...], bool], str] = {
    ((2, 2, 2, 2), False): "resnet18",
    ((3, 4, 6, 3), False): "resnet34",
    ((3, 4, 6, 3), True): "resnet50",
    ((3, 4, 23, 3), True): "resnet101",
}


def recognises(content) -> bool:
    state = flat_tensors(content)
    return state is not None and {"conv.weight", "feature_extractor.layer1.0.conv1.weight"} <= set(state)


def convert(content) -> tuple[dict[str, Tensor], dict]:
    keys = Keys(recognised(flat_tensors(content)), NAME)
    keys.keep(LAYERS)
    state = keys.finish()
    blocks = {tuple(key.split(".")[1:3]) for key in state if key.startswith("feature_extractor.layer")}
    depths = tuple(sum(stage == f"layer{i}" for stage, _ in blocks) for i in range(1, 5))
    backbone = BACKBONES.get((depths, "feature_extractor.layer1.0.conv3.weight" in state))
    if backbone is None:
        raise InputError(f"its ResNet has {depths} blocks.", f"Known are {', '.join(BACKBONES.values())}.")
    dim = state["feature_extractor.fc.weight"].shape[0]
    return state, {"encoder": {"backbone": backbone, "dim": dim}, "mel": "released", "space": OPENAI_B_32}
