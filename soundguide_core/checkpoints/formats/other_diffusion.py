"""Diffusion models that the sampler of Soundini cannot take, refused by name: those of latents, and those that are told
the noise in another way.

Keys as in CompVis/latent-diffusion, the single files of Stability and Black Forest Labs, diffusers, and
yang-song/score_sde_pytorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...common.errors import InputError
from .keys import flat_tensors

if TYPE_CHECKING:
    from torch import Tensor

NAME = "another kind of diffusion model"
KIND = "unet"

# part of a key => what has it
LATENT = {
    "model.diffusion_model.": "a checkpoint of Stable Diffusion's kind",
    "double_blocks.0.": "a FLUX transformer (flow matching)",
    "joint_blocks.0.": "a Stable Diffusion 3 transformer (flow matching)",
    "pos_embed.proj.weight": "a diffusion transformer of latents",
    "transformer_blocks.0.attn1.to_q.weight": "a latent UNet with cross-attention",
    ".transformer_blocks.0.attn2.to_k.weight": "a latent UNet with cross-attention",
    "first_stage_model.": "a latent diffusion model",
}
OTHER_NOISE = {
    "all_modules.0.": "a score-based SDE network (noise variance exploding or preserving)",
    "model.map_noise.": "an EDM network",
    "map_layer0.": "an EDM network",
}


def recognises(content) -> bool:
    return _what(content) is not None


def convert(content) -> tuple[dict[str, Tensor], dict]:
    """Always InputError."""
    what, latent = _what(content) or (NAME, False)
    if latent:
        raise InputError(
            f"This is {what}: it paints latents, not pixels.",
            "In ComfyUI its own loader takes it, and Guide Model lets it listen; here, give a UNet of pixels.",
        )
    raise InputError(
        f"This is {what}, which is not told the noise as a step of DDPM.",
        "Give a UNet trained with the noise of DDPM, such as 256x256_diffusion_uncond.pt.",
    )


def _what(content) -> tuple[str, bool] | None:
    """(what it is, whether of latents)"""
    state = flat_tensors(content)
    for table, latent in ((LATENT, True), (OTHER_NOISE, False)):
        for part, what in table.items():
            if state and any(key.startswith(part) or (part[0] == "." and part in key) for key in state):
                return what, latent
    return None
