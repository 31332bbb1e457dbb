"""StyleGAN2 as stylegan2-ada-pytorch and the stylegan3 repository pickle it; our state keys are the same.

The two repositories have different defaults under the same class names, so settings are read from each layer's own
attributes and never from what the generator was built with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import safe_pickle
from .keys import recognised
from .nvidia import (
    averaged_generator,
    check_attribute,
    check_classes,
    check_mapping,
    check_rgb,
    conv_clamp,
    layers,
    warn_not_averaged,
    without_filters,
)
from .stylegan2_sizes import sizes

if TYPE_CHECKING:
    from torch import Tensor

NAME = "NVIDIA's StyleGAN2 (PyTorch)"
KIND = "generator"


def recognises(content) -> bool:
    synthesis = layers(layers(averaged_generator(content)).get("synthesis"))
    return "b4" in synthesis and "motion_encoder" not in synthesis


def convert(content) -> tuple[dict[str, Tensor], dict]:
    generator = recognised(averaged_generator(content))
    warn_not_averaged(content)
    check_rgb(generator)
    check_mapping(generator)
    check_attribute(generator, "architecture", "skip", where=r"synthesis\.b\d+")
    check_attribute(generator, "activation", "lrelu", where=r"synthesis\.b\d+\.conv\d")
    tensors = without_filters(safe_pickle.state_dict(generator))
    found = sizes(tensors)
    check_classes(generator, found["c_dim"])
    return tensors, {**found, "conv_clamp": conv_clamp(generator)}
