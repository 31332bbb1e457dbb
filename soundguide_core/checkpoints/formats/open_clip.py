"""CLIP models of open_clip and of OpenAI, as plain state dicts; their picture towers are ViT or OpenAI's ResNet.

https://github.com/mlfoundations/open_clip, src/open_clip/model.py. Sizes are in the shapes of the tensors. Which GELU a
network has is not: OpenAI's own files, which hold their sizes as numbers too, have the quick one; of others
open_clip_config.json says it, which every model of open_clip on the Hugging Face hub has beside its weights.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from ...common.errors import InputError
from .. import safe_pickle
from .keys import Keys, flat_tensors, recognised

if TYPE_CHECKING:
    from torch import Tensor

NAME = "open_clip model"
KIND = "clip"

SIZES = ("input_resolution", "context_length", "vocab_size")  # numbers in OpenAI's state dicts
HEAD = 64
PROMPTS = ["{}", "a photo of {}", "the sound of {}"]
BLOCK = (
    r"resblocks\.\d+\.(ln_[12]|attn\.out_proj|mlp\.c_(fc|proj))\.(weight|bias)"
    r"|resblocks\.\d+\.attn\.in_proj_(weight|bias)"
)
NORM = r"(weight|bias|running_mean|running_var|num_batches_tracked)"


def state_dict(path: str | os.PathLike) -> dict[str, Tensor]:
    """The tensors of any open_clip or OpenAI model's file, whatever its towers are, without executing anything."""
    from .. import safetensors_io

    content = safetensors_io.tensors_of(path) if safetensors_io.is_safetensors(path) else safe_pickle.read(path)
    state = flat_tensors(content)
    if state is None:
        raise InputError(f"{path} holds no state dict.", "Give the weights of an open_clip model.")
    return {key: x for key, x in state.items() if key not in SIZES}


def recognises(content) -> bool:
    state = flat_tensors(content)
    wanted = {"visual.conv1.weight", "token_embedding.weight", "text_projection", "logit_scale"}
    return state is not None and wanted <= set(state)


def convert(content) -> tuple[dict[str, Tensor], dict]:
    keys = Keys(recognised(flat_tensors(content)), NAME)
    openai = all(name in keys for name in SIZES)
    keys.drop(*SIZES, *[key for key in keys.left if key.split(".")[-1] == "attn_mask"])
    keys.keep(r"positional_embedding|text_projection|logit_scale|token_embedding\.weight|ln_final\.(weight|bias)")
    keys.keep(rf"transformer\.({BLOCK})|visual\.transformer\.({BLOCK})")
    keys.keep(r"visual\.(class_embedding|positional_embedding|proj|conv1\.weight|ln_(pre|post)\.(weight|bias))")
    keys.keep(rf"visual\.(layer\d\.\d+\.)?(conv\d\.weight|bn\d\.{NORM})")
    keys.keep(rf"visual\.layer\d\.\d+\.downsample\.(0\.weight|1\.{NORM})")
    keys.keep(r"visual\.attnpool\.(positional_embedding|[qkvc]_proj\.(weight|bias))")
    state = keys.finish()

    vision = _vit(state) if "visual.proj" in state else _resnet(state)
    text = {
        "context_length": state["positional_embedding"].shape[0],
        "vocab_size": state["token_embedding.weight"].shape[0],
        "width": state["ln_final.weight"].shape[0],
        "heads": state["ln_final.weight"].shape[0] // HEAD,
        "layers": _count(state, "transformer.resblocks."),
    }
    config = {
        "embed_dim": state["text_projection"].shape[1],
        "vision_cfg": vision,
        "text_cfg": text,
        "quick_gelu": True if openai else None,
        "preprocess": {"size": vision["image_size"]},
        "prompts": PROMPTS,
    }
    return state, config


def _vit(state: dict[str, Tensor]) -> dict:
    width, _, _, patch = state["visual.conv1.weight"].shape
    grid = math.isqrt(state["visual.positional_embedding"].shape[0] - 1)
    layers = _count(state, "visual.transformer.resblocks.")
    return {"image_size": patch * grid, "patch_size": patch, "width": width, "layers": layers, "head_width": HEAD}


def _resnet(state: dict[str, Tensor]) -> dict:
    if "visual.attnpool.positional_embedding" not in state:
        raise InputError("its picture tower is neither a ViT nor a ResNet.", "Choose another model.")
    grid = math.isqrt(state["visual.attnpool.positional_embedding"].shape[0] - 1)
    width = state["visual.layer1.0.conv1.weight"].shape[0]
    layers = [_count(state, f"visual.layer{i}.") for i in range(1, 5)]
    return {"image_size": 32 * grid, "width": width, "layers": layers, "head_width": HEAD}


def _count(state: dict[str, Tensor], prefix: str) -> int:
    return len({key.removeprefix(prefix).split(".")[0] for key in state if key.startswith(prefix)})
