"""The unweighted terms of sound-guided video generation (Lee et al., ECCV 2022), section 3.

    L_enc = (1 - cos(F_v(G(w)), F_a(x_a))) + (1 - cos(F_v(G(w)), F_t(t))) + lambda_b ||w_hat - w_bar||^2

with the inversion terms of the paper's ablation, L2 and a learned perceptual distance (LPIPS) to the clip's own frames.
Where its network is not at hand, the features of the joint space stand for it; and w is compared where the generator's
latents of the frames are known.
Axes: B batch, F frames, F' with those before, K kinds, L layers, D dims, H W.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Set
from dataclasses import dataclass

import torch
from torch import Tensor

from ..common.errors import InputError
from ..losses.adversarial import generator_loss
from ..losses.perceptual import pyramid_distance
from ..losses.semantic import cosine_distance
from ..losses.temporal import change_distance, code_distance
from .clips import Batch


@dataclass(frozen=True)
class Rollout:
    """What came of a batch: latents [B,F,L,D] of the frames to judge, the codes w_hat [B,F',L,D], the layers' own part
    in them, and what was heard [B,F',K], if kinds are told apart."""

    shown: Tensor
    w_hats: Tensor
    own: Tensor
    heard: Tensor | None


def latent_terms(
    names: Collection[str], rollout: Rollout, origin: Tensor | None, departure: Tensor | None, w_bar: Tensor,
    w_scale: Tensor,
) -> dict[str, Tensor]:  # fmt: skip
    """Those that need no pictures. origin [B,L,D], departure [B,F',1,D]: where the frames' latents are, and from
    where; w_bar [L,D], the mean of the codes; w_scale [D], what differences of w are measured in."""
    terms = {}
    if "latents" in names:
        if departure is None or origin is None:
            raise InputError("The latents of these clips are not known.", "Set the weight of latents to 0.")
        wanted = origin[:, None] + departure[:, -rollout.shown.shape[1] :]
        terms["latents"] = ((rollout.shown - wanted) / w_scale).square().mean()
    if "codes" in names:
        terms["codes"] = code_distance(rollout.w_hats.flatten(0, 1), w_bar).mean()
    if "layers" in names:
        terms["layers"] = rollout.own.square().mean()
    return terms


def kinds_term(heard: Tensor | None, amounts: Tensor | None) -> Tensor:
    """- sum_k a_k log p(k | x_a), the cross-entropy, which counts for more where more is to be heard.

    heard: log p [B,F,K'], of the last F frames of the batch. amounts [B,F',K]: how much of the first K kinds there is.
    """
    if heard is None or amounts is None or heard.shape[-1] < amounts.shape[-1]:
        raise InputError(
            "What these clips show has no known kinds, or more than the encoder has.",
            "Set the weight of kinds to 0, or [trajectory.encoder] kinds to their number.",
        )
    amounts = amounts[:, -heard.shape[1] :]
    return -(amounts * heard[..., : amounts.shape[-1]]).sum(dim=-1).mean()


def picture_terms(
    names: Set[str], frames: Tensor, batch: Batch, joint, perceptual: Callable[[Tensor, Tensor], Tensor] | None
) -> dict[str, Tensor]:
    """Those of frames [B,F,3,H,W], beside the last F of the batch. What a text says counts for as much as the sound is
    loud at that moment. perceptual: img, target [N,3,H,W] => [N]."""
    assert batch.real is not None and batch.heard is not None and batch.loudness is not None  # clips with pictures
    terms, count = {}, frames.shape[1]
    real, heard, loudness = (x[:, -count:] for x in (batch.real, batch.heard, batch.loudness))
    flat, target = frames.flatten(0, 1), real.flatten(0, 1)
    if "pixels" in names:
        terms["pixels"] = pyramid_distance(flat, target).mean() + (flat - target).square().mean()
    if "perceptual" in names:
        assert perceptual is not None  # SoundVideoTraining has asked for it
        terms["perceptual"] = perceptual(flat, target).mean()
    if "changes" in names:
        terms["changes"] = change_distance(frames, real).mean()
    if not names & {"features", "sound", "text"}:
        return terms
    seen = joint.encode_image(flat)  # [BF,D]
    if "features" in names:
        with torch.no_grad():
            meant = joint.encode_image(target)
        terms["features"] = cosine_distance(seen, meant).mean()
    if "sound" in names:
        terms["sound"] = cosine_distance(seen, heard.flatten(0, 1)).mean()
    if "text" in names:
        assert batch.said is not None
        said = batch.said[:, None].expand(-1, count, -1).flatten(0, 1)
        terms["text"] = (loudness.flatten() * cosine_distance(seen, said)).mean()
    return terms


def adversarial_terms(
    names: Collection[str], frames: Tensor, image_discriminator, video_discriminator
) -> dict[str, Tensor]:
    """min over G of L_D(v) + L_D(I), non-saturating: frames [B,F,3,H,W]."""
    terms = {}
    if "image" in names:
        terms["image"] = generator_loss(image_discriminator(frames.flatten(0, 1)[:, None]))
    if "video" in names:
        terms["video"] = generator_loss(video_discriminator(frames))
    return terms
