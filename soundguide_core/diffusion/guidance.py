"""Loss guidance at the clean estimate, for any diffusion model: our own sampler's and those of other hosts.

    g = -sum_k w_k sum_i c_k[i] dL_k[i] / dx0_hat        gradient
    dx0_hat = length share curve g / |g|                 move: each frame by a set length, root mean square

Steps of set length follow L. Yang et al., "Guidance with Spherical Gaussian Constraint" (ICML 2024), the gradient at
the clean estimate Y. He et al., "Manifold Preserving Guided Diffusion" (ICLR 2024). What is done with g before it moves
the estimate is a rule (rules.py). x0_hat [F,...] may be pictures or latents of any shape; a length is in units of the
noise, whose standard deviation is 1 in the model's own scale. Axes: F frames.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ..common.errors import InputError
from .levels import Level

Losses = Callable[[Tensor], Mapping[str, Tensor]]
Curve = Tensor | float | None


class Gradient(NamedTuple):
    """g [F,...] = -dL/dx0, of the leading term without its curve where one leads, else of all. rest: of the other
    terms, None where there are none. terms: each unweighted, [n], without a graph."""

    g: Tensor
    rest: Tensor | None
    terms: dict[str, Tensor]


def gradient(
    x0: Tensor,
    losses: Losses,
    weights: Mapping[str, float],
    curves: Mapping[str, Tensor] | None = None,
    *,
    lead: str | None = None,
    level: object = "",
) -> Gradient:
    """What the losses ask of x0 [F,...], a leaf or without a graph.

    Args:
        losses: x0 => {name: [n]}, one number for each frame or pair of them.
        weights: one for every term, and no others. curves: of some terms, each as long as the term.
        lead: the term whose curve `move` applies, so that it says how far a frame moves.
        level: of messages.

    Raises:
        InputError: weights and terms differ in name, or a loss is no longer a number.
    """
    curves = curves or {}
    with torch.enable_grad():
        x = x0.detach().requires_grad_()
        terms = dict(losses(x))
        _check(terms, weights, level)
        totals = {name: weights[name] * (curves.get(name, 1) * term).sum() for name, term in terms.items()}
        rest = None
        if lead in terms:
            others = {name: total for name, total in totals.items() if name != lead}
            g = -_gradient({lead: weights[lead] * terms[lead].sum()}, x, keep=bool(others))
            rest = -_gradient(others, x) if others else None
        else:
            g = -_gradient(totals, x)
    return Gradient(g, rest, {name: term.detach() for name, term in terms.items()})


HALF, STEEPNESS = 0.45, 3


def steep(curve: Tensor) -> Tensor:
    """The answer to a curve that starts late and is almost whole soon, after K. Naka and W. Rushton (1966): with
    c = |curve|, n = STEEPNESS and h = HALF

        r = c^n (1 + h^n) / (c^n + h^n),  r(1) = 1;   beyond 1 it is c

    A step of a model follows a gradient as a whole or hardly at all, so that half the length would show as less than a
    half of what is loud, and a tenth of it as more than what is quiet.
    """
    c = curve.abs()
    n = c.clamp(max=1) ** STEEPNESS
    return torch.sign(curve) * torch.where(c > 1, c, n * (1 + HALF**STEEPNESS) / (n + HALF**STEEPNESS))


def direction(g: Tensor, curve: Curve = None, mask: Tensor | None = None, rest: Tensor | None = None) -> Tensor:
    """g [F,...] (and rest) scaled: a frame's root mean square is its curve's value.

    With a mask [F,1,...] or [1,1,...] in 0..1 nothing moves outside, and the root mean square is that inside, however
    small it is. rest, what the other terms ask, keeps its proportion to g, but no frame moves further for it than 1, or
    than the curve asks for where that is more.
    """
    both, longest = _scaled(g, curve, mask, rest, None)
    return both / longest


def move(
    g: Tensor,
    level: Level,
    length: float,
    curve: Curve = None,
    *,
    mask: Tensor | None = None,
    rest: Tensor | None = None,
    pull: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """dx0 [F,...]: each frame moves by length * share * curve, root mean square (inside the mask), along g and rest, or
    along what the linear map `pull` makes of them."""
    both, longest = _scaled(g, curve, mask, rest, pull)
    return length * level.share * both / longest


def _scaled(
    g: Tensor,
    curve: Curve,
    mask: Tensor | None,
    rest: Tensor | None,
    pull: Callable[[Tensor], Tensor] | None,
) -> tuple[Tensor, Tensor]:
    """curve g + rest [F,...], and what it is divided by, [F,1,...]."""
    c = torch.as_tensor(1.0 if curve is None else curve).to(g).reshape(-1, *[1] * (g.ndim - 1))
    both = c * g if rest is None else c * g + rest
    if pull is not None:
        g, both = pull(g), pull(both)
    if mask is not None:
        g, both = mask * g, mask * both
    return both, torch.maximum(rms(g, mask), rms(both, mask) / c.clamp(min=1)).clamp(min=1e-12)


def rms(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """Root mean square of each frame, [F,...] => [F,1,...]; inside a mask [F,1,...] in 0..1 if there is one."""
    dims = tuple(range(1, x.ndim))
    if mask is None:
        return x.square().mean(dim=dims, keepdim=True).sqrt()
    inside = mask.to(x).expand_as(x)
    return ((inside * x.square()).sum(dims, keepdim=True) / inside.sum(dims, keepdim=True).clamp(min=1e-6)).sqrt()


def _check(terms: Mapping[str, Tensor], weights: Mapping[str, float], level: object) -> None:
    if set(terms) != set(weights):
        names = ", ".join(sorted(set(terms) ^ set(weights)))
        raise InputError(f"Losses and weights disagree on {names}.", "Give every term a weight, and no other.")
    for name, term in terms.items():
        if not torch.isfinite(term).all():
            raise InputError(f"The loss {name} is not a number at level {level}.", "Lower the weights.")


def _gradient(totals: Mapping[str, Tensor], x: Tensor, keep: bool = False) -> Tensor:
    """d(sum of totals) / dx, zeros where none of them depends on x."""
    total = sum(totals.values(), x.new_zeros(()))
    if not total.requires_grad:
        return torch.zeros_like(x)
    return torch.autograd.grad(total, x, retain_graph=keep, materialize_grads=True)[0]
