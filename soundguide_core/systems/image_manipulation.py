"""Sound-Guided Semantic Image Manipulation (Lee et al., CVPR 2022), section 3.2: direct latent code optimisation.

    L_man = argmin_{w_a in W+}  d_cos(G(w_a), a)  +  lambda_ID L_ID(w_a)  +  lambda_sim || g . (w_a - w_s) ||^2

Axes: B batch, L layers, D dims, H W.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..common.arguments import checks_arguments
from ..common.errors import InputError
from ..common.shapes import check_shape
from ..common.types import FaceRecognition, ImageGenerator, JointSpace, OnStep
from ..generators.latents import mean_direction, mix_layers
from ..latents.optimisation import optimise
from ..losses.identity import identity_distance
from ..losses.latent import layer_masked_distance, learned_mask, released_mask, released_mask_update
from ..losses.semantic import RELEASED_SCALE, cosine_distance
from .configs.image_manipulation import PUBLISHED, RELEASED, ManipulationConfig

__all__ = ["PUBLISHED", "Manipulation", "ManipulationConfig", "manipulate", "mix_styles", "sound_distance"]


@dataclass
class Manipulation:
    """ws and ws_src [B,L,D] edited and source latents, img and img_src [B,3,H,W] about -1..1, the loss history, and the
    last g [B,L]."""

    ws: Tensor
    ws_src: Tensor
    img: Tensor
    img_src: Tensor
    history: list[dict[str, float]]
    layer_mask: Tensor

    @property
    def layer_moves(self) -> Tensor:
        """How far each layer's latent went, root mean square over its dims [B,L]."""
        return (self.ws - self.ws_src).square().mean(dim=-1).sqrt()


@checks_arguments
def manipulate(
    ws_src: Tensor,
    embeds: Tensor,
    *,
    generator: ImageGenerator,
    joint: JointSpace,
    identity: FaceRecognition | None = None,
    config: ManipulationConfig | None = None,
    on_step: OnStep | None = None,
) -> Manipulation:
    """Move latents until their pictures mean what the sound means.

    Args:
        ws_src: [B,L,D] source latents of `generator`.
        embeds: [B,D] or [1,D] unit norm, of a sound, a text or a mix, in the space of `joint`.
        generator: .synthesis(ws) => [B,3,H,W].
        joint: .encode_image(img) => [B,D] unit norm, differentiable.
        identity: face recogniser img => [B,D]; needed only where config.identity is not 0.
        config: weights and schedule.
        on_step: see optimise.

    Raises:
        InputError: shapes disagree, or an identity weight comes without its recogniser.

    Example:
        generator, joint = sg.load_generator(), sg.load_joint()
        wave, sample_rate = sg.load_audio("rain.wav")
        embeds = joint.encode_audio(wave.mean(0), sample_rate)
        found = sg.manipulate(generator.sample_ws([3]), embeds, generator=generator, joint=joint)
        sg.save_image(found.img, "rain.png")
    """
    config = config or ManipulationConfig()
    ws_src = ws_src.detach()
    sizes = check_shape(ws_src, "B L D", name="the source latents")
    check_shape(embeds, "B D", name="the embeddings")
    if len(embeds) not in (1, sizes["B"]):
        raise InputError(f"{len(embeds)} embeddings meet {sizes['B']} latents.", "Give one embedding, or one for each.")
    if config.samples and embeds.shape[1] != joint.dim:
        raise InputError(
            f"Embeddings of {embeds.shape[1]} dims do not fit an encoder of {joint.dim}.",
            "Take both from the same joint encoder.",
        )
    if config.identity and identity is None:
        raise InputError("An identity weight is set without a face recogniser.", "Load one, or set the weight to 0.")
    released = config.variant == RELEASED
    with torch.no_grad():
        img_src = generator.synthesis(ws_src)
    m = ws_src.new_full((sizes["B"], sizes["L"]), 1.0 if released else 0.0)
    views = torch.Generator(device="cpu").manual_seed(config.seed)
    last = {"ws": ws_src, "img": img_src}
    layers = sizes["L"] if config.space == "w+" else 1
    offset = ws_src.new_zeros(sizes["B"], layers, sizes["D"])
    if config.samples:
        offset += mean_direction(
            img_src, embeds, generator=generator, joint=joint, samples=config.samples, on_step=on_step
        )

    def mask() -> Tensor | None:
        if not config.layer_masking:
            return None
        return released_mask(m).sqrt() if released else learned_mask(m)  # g enters squared

    def losses(offset: Tensor) -> dict[str, Tensor]:
        ws = ws_src + offset
        img = generator.synthesis(ws)
        last.update(ws=ws.detach(), img=img.detach())
        terms = {"sound": sound_distance(joint, img, embeds, config, views)}
        if config.similarity:
            terms["source"] = layer_masked_distance(ws, ws_src, mask())
        if config.identity and identity is not None:
            terms["identity"] = identity_distance(identity, img, img_src)
        return terms

    def rule() -> None:
        m.copy_(released_mask_update(m, last["ws"], ws_src))

    weights = {"sound": 1.0, "source": config.similarity, "identity": config.identity}
    learn_mask = config.layer_masking and bool(config.similarity)
    result = optimise(
        offset,
        losses,
        {name: weight for name, weight in weights.items() if weight},
        config.schedule,
        also=[(m, config.mask_lr)] if learn_mask and not released else [],
        after_step=rule if learn_mask and released else None,
        preview=lambda offset: generator.synthesis(ws_src + offset),
        on_step=on_step,
    )
    ws = ws_src + config.strength * result.latent
    with torch.no_grad():
        img = last["img"] if released and config.strength == 1 else generator.synthesis(ws)
        g = mask()
    return Manipulation(ws, ws_src, img, img_src, result.history, torch.ones_like(m) if g is None else g.detach())


def sound_distance(
    joint: JointSpace, img: Tensor, embeds: Tensor, config: ManipulationConfig, views: torch.Generator
) -> Tensor:
    """d_cos(img, a), averaged over the whole picture and config.crops augmented views of it. => [B]"""
    scale = RELEASED_SCALE if config.variant == RELEASED else 1.0
    whole = cosine_distance(joint.encode_image(img), embeds, scale)
    if not config.crops:
        return whole
    from ..embedding.clip import augmented_crops

    crops = augmented_crops(img, config.crops, views)  # [crops * B,3,h,w], view by view
    each = cosine_distance(joint.encode_image(crops), embeds.expand(len(img), -1).repeat(config.crops, 1), scale)
    return (whole + each.reshape(config.crops, -1).sum(dim=0)) / (1 + config.crops)


@checks_arguments
def mix_styles(
    ws_sound: Tensor, ws_text: Tensor, split: int | None = None, *, sound_layers: str | Iterable[int] | None = None
) -> Tensor:
    """Sound and text style mixing: `sound_layers`, or those below `split`, from the sound-guided code, the others from
    the text's.

    ws [B,L,D]. sound_layers: numbers from 0, or groups as in layer_indices, "coarse+mid". The paper takes layers 1-9 of
    18 from the sound: the default, half of L.

    Raises:
        InputError: latents of different shapes, or layers that there are not.

    Example:
        ws = sg.load_generator().sample_ws([0, 1])
        mixed = sg.mix_styles(ws[:1], ws[1:], sound_layers="coarse+mid")
    """
    check_shape(ws_sound, "B L D", name="the latent of the sound")
    if sound_layers is not None:
        return mix_layers(ws_text, ws_sound, sound_layers)
    return mix_layers(ws_sound, ws_text, slice(ws_sound.shape[1] // 2 if split is None else split, None))
