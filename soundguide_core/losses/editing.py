"""The losses of "Soundini: Sound-Guided Diffusion for Natural Video Editing" (S. H. Lee et al. 2023), section 3.

Each returns one number per frame, or per pair of neighbouring frames, so that a weight may be a curve over the video.
The paper divides their sum by N; here they are summed, so that a frame moves as far in a long window as in a short one.
Axes: F frames, D dims, H W picture.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..common.shapes import check_shape
from ..common.types import PerceptualDistance
from ..flow.optical_flow import Flow, backward_warp

STILL = 1e-3  # differences of unit embeddings that are shorter have no direction


def direction_distance(image_embeds: Tensor, audio_embeds: Tensor) -> Tensor:
    """L_DSG: what changes from frame to frame against what changes in the sound, [F,D] unit norm twice => [F-1].

    d_cos(f_v(x_{i+1}) - f_v(x_i), z_{i+1} - z_i), in 0..2; 0 where the sound stays the same. Where the frames are the
    same it is 1, and its gradient is that of the inner product over STILL.
    """
    sizes = check_shape(image_embeds, "F D", name="the embeddings of the frames")
    check_shape(audio_embeds, f"{sizes['F']} {sizes['D']}", name="the embeddings of the sound")
    delta_v, delta_z = image_embeds.diff(dim=0), audio_embeds.diff(dim=0)  # [F-1,D]
    cosine = (F.normalize(delta_v, dim=1, eps=STILL) * F.normalize(delta_z, dim=1, eps=STILL)).sum(dim=1)
    return (1 - cosine) * (delta_z.norm(dim=1) > STILL)


def flow_distance(img: Tensor, flow: Flow) -> Tensor:
    """L_flow: each frame against its neighbours moved onto it, over the whole picture, [F,3,H,W] => [F-1].

    MSE(x_i, warp(x_{i+1}, flow_{i -> i+1})) + MSE(x_{i+1}, warp(x_i, flow_{i+1 -> i})), each over the pixels that the
    other frame shows too. The released code has the two flows the other way round.
    """
    before, after = img[:-1], img[1:]
    return _seen_mse(before, backward_warp(after, flow.fw), flow.visible_fw) + _seen_mse(
        after, backward_warp(before, flow.bw), flow.visible_bw
    )


def _seen_mse(img: Tensor, target: Tensor, visible: Tensor) -> Tensor:
    squared = (img - target).square().mean(dim=1, keepdim=True)  # [B,1,H,W]
    return (visible * squared).sum(dim=(1, 2, 3)) / visible.sum(dim=(1, 2, 3)).clamp(min=1)


def background_distance(img: Tensor, img_src: Tensor, mask: Tensor) -> Tensor:
    """The L1 half of L_back: mean |x (1 - m) - x_src (1 - m)| for [F,3,H,W] twice and mask [F,1,H,W] => [F]."""
    return ((1 - mask) * (img - img_src)).abs().mean(dim=(1, 2, 3))


def background_perceptual(perceptual: PerceptualDistance, img: Tensor, img_src: Tensor, mask: Tensor) -> Tensor:
    """The LPIPS half of L_back, both sides masked: perceptual(x (1 - m), x_src (1 - m)) => [F]."""
    return perceptual(img * (1 - mask), img_src * (1 - mask))


def range_distance(img: Tensor) -> Tensor:
    """How far values leave -1..1: mean (x - clamp(x))^2, [F,3,H,W] => [F]. Of the released code, not the paper."""
    return (img - img.clamp(-1, 1)).square().mean(dim=(1, 2, 3))
