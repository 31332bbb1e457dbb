"""InfoNCE between two sets of embeddings, and the three terms that place sound in a picture-text space.

S. H. Lee et al., "Sound-Guided Semantic Image Manipulation", CVPR 2022, section 3.1.
Axes: B batch, K captions, P pictures, D dims.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SOUND_TERMS = ("text", "image", "self", "alignment")


class Temperature(nn.Module):
    """A learnable 1/tau, kept as its logarithm: 1/0.07 at first, 100 at most.

    Not the release's exp(0.07) = 1.07, which leaves the loss near chance whatever the embeddings are.
    """

    def __init__(self, tau: float = 0.07, largest: float = 100.0):
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / tau)))
        self.largest = largest

    def forward(self) -> Tensor:
        return self.log_scale.exp().clamp(max=self.largest)


def info_nce(
    a: Tensor, b: Tensor, logit_scale: Tensor | float, *, targets: Tensor | None = None, mask: Tensor | None = None
) -> Tensor:
    """L_nce = (1/N) sum_i (l_i^{a->b} + l_i^{b->a}),  l_i^{a->b} = -log(exp(<a_i,b_i>/tau) / sum_j exp(<a_i,b_j>/tau)).

    Args:
        a: [B,D], b: [K,D], normalised here. logit_scale: 1/tau.
        targets: [B,K] weights >= 0 of which b_j answers a_i (rows for a->b, columns for b->a, each divided by its sum;
            lines of zeros are left out); None is the diagonal, K = B.
        mask: [B,K] bool, True where a pair is no negative (the same label); its place in the sums is left out.
    """
    logits = logit_scale * F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T  # [B,K]
    if targets is None:
        targets = torch.eye(len(a), len(b), dtype=logits.dtype, device=logits.device)
    if mask is not None:
        logits = logits.masked_fill(mask & (targets == 0), -torch.inf)
    return _cross_entropy(logits, targets) + _cross_entropy(logits.T, targets.T)


def alignment(a: Tensor, b: Tensor, *, targets: Tensor) -> Tensor:
    """Mean of 1 - <a_i, b_j> over the pairs that belong together, in 0..2.

    T. Wang and P. Isola, "Understanding Contrastive Representation Learning", ICML 2020, section 4.1.1, for unit
    vectors half their distance. InfoNCE alone only asks that the right pair be nearer than the others: sounds and
    pictures may then stay apart (W. Liang et al., "Mind the Gap", NeurIPS 2022), and a picture that is drawn to a
    sound goes past the pictures of it.

    Args: a: [B,D], b: [K,D], normalised here. targets: [B,K], weights >= 0; lines of zeros are left out.
    """
    nearness = F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T
    weights = targets / targets.sum(dim=1, keepdim=True).clamp(min=1e-12)
    belongs = (targets.sum(dim=1) > 0).to(nearness)
    return ((1 - (weights * nearness).sum(dim=1)) * belongs).sum() / belongs.sum().clamp(min=1)


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    weights = targets.sum(dim=1, keepdim=True)
    log_p = torch.where(targets > 0, logits.log_softmax(dim=1), 0.0)
    lines = -(targets / weights.clamp(min=1e-12) * log_p).sum(dim=1)
    return lines.sum() / (weights > 0).sum().clamp(min=1)


def sound_terms(
    audio: Tensor,
    augmented: Tensor,
    text: Tensor,
    image: Tensor,
    logit_scale: Tensor | float,
    *,
    same: Tensor | None = None,
    said: Tensor | None = None,
    shown: Tensor | None = None,
) -> dict[str, Tensor]:
    """L_nce(a<->v) + L_nce(a<->t) + L_self(a<->a_hat), as a dict of the three, and "alignment" (ours) of sounds
    with the pictures that answer them, or with captions where none does.

    Args:
        audio, augmented: [B,D], two versions a and a_hat of the same clips. text: [K,D]; image: [P,D].
        same [B,B], said [B,K], shown [B,P]: targets of info_nce, the clips, captions and pictures that answer a clip.
            None is the paper's: row i answers row i. A clip that no picture answers has no picture term.
    """
    rows = torch.eye(len(audio), dtype=audio.dtype, device=audio.device)
    said_of, shown_of = (rows if answers is None else answers for answers in (said, shown))
    unseen = (shown_of.sum(dim=1, keepdim=True) == 0).to(said_of)
    return {
        "text": info_nce(audio, text, logit_scale, targets=said),
        "image": info_nce(audio, image, logit_scale, targets=shown),
        "self": info_nce(audio, augmented, logit_scale, targets=same),
        "alignment": alignment(audio, torch.cat([image, text]), targets=torch.cat([shown_of, unseen * said_of], dim=1)),
    }
