"""Does an edited picture keep the layout of its source? A figure that colours, light and weather do not change.

Layout is where edges run, whichever way they differ in brightness: the doubled-angle orientation field of the picture's
gradients, so that bright-to-dark and dark-to-bright agree (J. Bigün and G. H. Granlund, ICCV 1987), weighed by locally
normalised strength. Axes: B pictures, S sources, H W field, D = 2 H W.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..common.errors import InputError
from ..common.shapes import check_shape

SIDE = 32  # pixels a side of the field: fine enough for ridges and trees, too coarse for streaks and ripples


def edge_field(img: Tensor) -> Tensor:
    """img [B,3,H,W] in -1..1 => [B,D], unit norm: per place, how strongly and along which direction edges run."""
    from kornia.filters import gaussian_blur2d

    check_shape(img, "B 3 H W", name="the picture")
    small = F.interpolate(img.float(), (4 * SIDE, 4 * SIDE), mode="bilinear", antialias=True)
    small = gaussian_blur2d(small, (11, 11), (2.0, 2.0))
    dx = F.pad(small[..., :, 2:] - small[..., :, :-2], (1, 1, 0, 0))
    dy = F.pad(small[..., 2:, :] - small[..., :-2, :], (0, 0, 1, 1))
    # structure tensor over the colours: (dx + i dy)^2 forgets the sign of an edge
    cosine = F.avg_pool2d((dx.square() - dy.square()).sum(1, keepdim=True), 4)
    sine = F.avg_pool2d((2 * dx * dy).sum(1, keepdim=True), 4)
    energy = torch.hypot(cosine, sine)
    around = gaussian_blur2d(energy, (15, 15), (4.0, 4.0)) + 0.05 * energy.mean((1, 2, 3), keepdim=True) + 1e-12
    gain = (energy / around) / (1 + energy / around) / energy.clamp_min(1e-12)  # strength 0..1, saturating
    return F.normalize(torch.cat([cosine * gain, sine * gain], dim=1).flatten(1), dim=1)


def layout_similarity(img: Tensor, other: Tensor) -> Tensor:
    """Agreement of two layouts, [B] pairwise: 1 for the same edges in any colours, about 0 for unrelated ones."""
    return (edge_field(img) * edge_field(other)).sum(1)


@dataclass(frozen=True)
class LayoutReport:
    """How edited pictures compare with their own source and with the others.

    own, others: mean similarity to the own source, and to all other sources. margin: own - others.
    rank: how often, 0..1, the own source is nearer than another one. nearest: share of pictures whose own source is the
    nearest of all.
    """

    own: float
    others: float
    margin: float
    rank: float
    nearest: float


def layout_report(edited: Tensor, sources: Tensor, source_of: Tensor | list[int]) -> LayoutReport:
    """Compare edited [B,3,H,W] with sources [S,3,H,W], S >= 2; source_of [B] is each edited picture's source."""
    source_of = torch.as_tensor(source_of)
    if len(sources) < 2 or source_of.shape != (len(edited),):
        raise InputError(
            f"{len(sources)} sources and {source_of.numel()} source numbers do not fit {len(edited)} edited pictures.",
            "Give two or more sources, and one source number for each edited picture.",
        )
    # what all the sources share (a horizon at half height) tells none of them apart
    field_of = edge_field(sources)
    common = field_of.mean(0)
    similarity = F.normalize(edge_field(edited) - common, dim=1) @ F.normalize(field_of - common, dim=1).T  # [B,S]
    plain = edge_field(edited) @ field_of.T
    is_own = F.one_hot(source_of.to(similarity.device), len(sources)).bool()
    own, others = similarity[is_own], similarity[~is_own].view(len(edited), -1)
    own_plain, others_plain = plain[is_own].mean().item(), plain[~is_own].mean().item()
    return LayoutReport(
        own=own_plain,
        others=others_plain,
        margin=own_plain - others_plain,
        rank=(own[:, None] > others).float().mean().item(),
        nearest=(own > others.amax(1)).float().mean().item(),
    )
