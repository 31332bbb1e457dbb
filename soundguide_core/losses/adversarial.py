"""The adversarial terms of StyleGAN2: non-saturating logistic loss (Goodfellow et al. 2014), R1 (Mescheder et al. 2018)
and path length regularisation (Karras et al. 2020, section 3.2). Scores are positive for real.

Axes: B batch, L layers, D dims, H W.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def generator_loss(fake_scores: Tensor) -> Tensor:
    """-log sigmoid(D(G(z))), mean over [B,1]"""
    return F.softplus(-fake_scores).mean()


def discriminator_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """-log sigmoid(D(x)) - log(1 - sigmoid(D(G(z)))), mean over [B,1]"""
    return F.softplus(-real_scores).mean() + F.softplus(fake_scores).mean()


def r1_penalty(real_scores: Tensor, real: Tensor) -> Tensor:
    """|grad_x D(x)|^2, mean over images; real [B,...] requires grad and made the scores. Multiply by gamma / 2."""
    (grad,) = torch.autograd.grad(real_scores.sum(), real, create_graph=True)
    return grad.square().flatten(1).sum(dim=1).mean()


def path_lengths(img: Tensor, ws: Tensor, noise: Tensor) -> Tensor:
    """|J_w^T y| for unit-variance y = noise [B,3,H,W]: [B], root mean square over layers of ws [B,L,D].  # Eq. 4"""
    area = img.shape[2] * img.shape[3]
    (grad,) = torch.autograd.grad((img * noise).sum() / math.sqrt(area), ws, create_graph=True)  # [B,L,D]
    return grad.square().sum(dim=2).mean(dim=1).sqrt()


def path_length_penalty(
    lengths: Tensor, mean: Tensor, decay: float = 0.01, *, of: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """(|J^T y| - a)^2 with a the running mean of the lengths [B] => (penalty, new mean).  # Eq. 4

    of: the mean of a whole batch's lengths, where these are some of them.
    """
    mean = torch.lerp(mean, lengths.detach().mean() if of is None else of, decay)
    return (lengths - mean).square().mean(), mean
