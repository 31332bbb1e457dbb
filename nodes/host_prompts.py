"""Which way a host's model takes prompts that change over time, by its family.

Axes: F frames, T latent frames, K phrases.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..soundguide_core.audio.shaping import at_latent_frames
from ..soundguide_core.common.errors import InputError
from ..soundguide_core.diffusion.prompt_mix import with_base
from ..soundguide_core.embedding.prompt_weights import PromptSchedule
from . import host_attention, host_conditioning
from .host import latent_samples

ONE_PASS = {"WAN21": "Wan", "LTXV": "LTX", "LTXAV": "LTX-2"}  # classes of comfy.model_base whose text is cross-attended
JOINED = {"Wan21": 4, "Wan22": 4, "HunyuanVideo": 4, "Mochi": 6, "LTXV": 8, "Cosmos1CV8x8x8": 8}  # older hosts


def over_time(model: Any, clip: Any, prompts: PromptSchedule, method: str, latent: Any) -> tuple[Any, list, str]:
    """=> (MODEL, CONDITIONING, how it was done in words).

    Raises:
        InputError: the lengths do not meet, or the family cannot be asked in the way that was chosen.
    """
    format_ = model.model.latent_format
    family = next((name for base, name in ONE_PASS.items() if base in _bases(model.model)), None)
    if getattr(format_, "latent_dimensions", 2) != 3:
        if latent is not None:
            host_conditioning.check_rows(prompts.num_frames, latent)
        rows = host_conditioning.told(clip, prompts)
        return model, rows, "Pictures in a batch: one row a frame, one pass for all of them."
    weights = _at_latents(prompts, _joined(format_), latent)
    if method == "one pass" and family is None:
        raise InputError(
            f"{type(model.model).__name__} joins text and picture in one attention, so prompts cannot be told apart "
            "there.",
            "Choose 'masks', or 'auto'.",
        )
    encoded = host_conditioning.encoded(clip, prompts.texts)
    count = len(encoded)
    if family is not None and method != "masks":
        how = f"{family}, one pass for {count} prompts: each has its own cross-attention, mixed frame by frame."
        return host_attention.mixing(model), host_attention.carried(encoded, weights, prompts.areas), how
    masked = _masked(encoded, with_base(weights), prompts.areas)
    how = (
        f"{family or type(model.model).__name__}, masks: {len(masked)} passes a step in place of one, "
        "each prompt over its own frames."
    )
    return model, masked, how


def _bases(model: Any) -> set[str]:
    return {base.__name__ for base in type(model).__mro__}


def _joined(format_: Any) -> int:
    """How many pictures the family joins into one latent frame."""
    said = getattr(format_, "temporal_downscale_ratio", None)
    return said or next((n for name, n in JOINED.items() if name in _bases(format_)), 4)


def _at_latents(prompts: PromptSchedule, joined: int, latent: Any) -> Tensor:
    """The weights at latent frames, [T,K]."""
    weights = torch.from_numpy(at_latent_frames(prompts.weights.numpy(), joined)).float()
    if latent is None:
        return weights
    count = latent_samples(latent).shape[2]
    if count == prompts.num_frames and count != len(weights):
        return prompts.weights  # the prompts were made for latent frames
    if count != len(weights):
        raise InputError(
            f"Prompts of {prompts.num_frames} frames make {len(weights)} latent frames, the latent has {count}.",
            f"Make both as long: {1 + (count - 1) * joined} frames of prompts fit this latent.",
        )
    return weights


def _masked(encoded: list[list], shares: Tensor, areas: Tensor | None) -> list:
    """One CONDITIONING for each prompt that is told anywhere, over a mask [T,H,W] of its share; they sum to 1."""
    masks = shares.T[:, :, None, None]  # [1+K,T,1,1]
    if areas is not None:
        local = masks[1:] * areas[:, None]
        local = local / local.sum(0, keepdim=True).clamp(min=1)
        masks = torch.cat([1 - local.sum(0, keepdim=True), local])
    made = []
    for conditioning, mask in zip(encoded, masks):
        if float(mask.max()) > 0:
            own = {"mask": mask.contiguous(), "set_area_to_bounds": False, "mask_strength": 1.0}
            made += [[text, {**more, **own}] for text, more in conditioning]
    return made
