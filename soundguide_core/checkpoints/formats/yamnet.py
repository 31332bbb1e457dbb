"""yamnet.h5: YAMNet as its authors publish it, Keras weights of 14 layers and a dense one.

https://github.com/tensorflow/models/blob/0928d5fc62f7b44944673c3be2589341a0adf907/research/audioset/yamnet/yamnet.py
names the layers, params.py the epsilon. Normalisations have no scale; each is folded into the convolution before it:

    W' = W / sqrt(var + eps)        b' = beta - mean / sqrt(var + eps)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...common.errors import InputError
from ..pickles.numbers import is_tensor
from .keys import Keys, recognised

if TYPE_CHECKING:
    from torch import Tensor

NAME = "YAMNet of Keras"
KIND = "sound-classifier"
EPSILON = 1e-4
LAYERS = 14
CLASSES = 521
PART = re.compile(r"(layer\d+/(?:conv|depthwise_conv|pointwise_conv)(?:/bn)?/\w+?)(?::0)?$")
DENSE = re.compile(r"(?:^|/)(?:dense|logits)\w*/(kernel|bias)(?::0)?$")


def recognises(content) -> bool:
    names = _named(content)
    return names is not None and {"layer1/conv/kernel", "layer14/pointwise_conv/bn/moving_variance"} <= set(names)


def convert(content) -> tuple[dict[str, Tensor], dict]:
    keys = Keys(recognised(_named(content)), NAME)
    _convolution(keys, "layer1/conv", "layers.0")
    for layer in range(2, LAYERS + 1):
        _convolution(keys, f"layer{layer}/depthwise_conv", f"layers.{2 * layer - 3}")
        _convolution(keys, f"layer{layer}/pointwise_conv", f"layers.{2 * layer - 2}")
    keys.put("fc.weight", keys.take("dense/kernel").T.contiguous())
    keys.move("dense/bias", "fc.bias")
    state = keys.finish()
    classes = len(state["fc.bias"])
    if classes != CLASSES:
        raise InputError(f"It has {classes} classes rather than {CLASSES}.", "Use the published file.")
    width = state["layers.0.conv.bias"].shape[0]
    return state, {"classifier": {"architecture": "yamnet", "width": width}}


def _convolution(keys: Keys, theirs: str, ours: str) -> None:
    """Keras' kernels are [K,K,I,O], depthwise ones [K,K,O,1]."""
    deep = theirs.endswith("depthwise_conv")
    kernel = keys.take(f"{theirs}/{'depthwise_kernel' if deep else 'kernel'}")
    scale = (keys.take(f"{theirs}/bn/moving_variance") + EPSILON).rsqrt()
    weight = kernel.permute(2, 3, 0, 1) if deep else kernel.permute(3, 2, 0, 1)
    keys.put(f"{ours}.conv.weight", (weight * scale[:, None, None, None]).contiguous())
    keys.put(f"{ours}.conv.bias", keys.take(f"{theirs}/bn/beta") - keys.take(f"{theirs}/bn/moving_mean") * scale)


def _named(content) -> dict[str, Tensor] | None:
    """Tensors by layer and part: Keras repeats a layer's name inside its group, and numbers the dense one freely."""
    if not isinstance(content, dict):
        return None
    if not all(isinstance(key, str) and is_tensor(x) for key, x in content.items()):
        return None
    names = {}
    for key, x in content.items():
        part, dense = PART.search(key), DENSE.search(key)
        names[part[1] if part else f"dense/{dense[1]}" if dense else key] = x
    return names if len(names) == len(content) else None
