"""Rules: what becomes of a gradient g = -dL/dx0_hat before it moves the clean estimate x0_hat = D(x).

    estimate    x0_hat + s g / |g|                          the gradient as it is
    look again  D(x + s u),  u = g / |g|                    what the model makes of a picture moved along g
    measured    x0_hat + s J u / |J u|                      J u = [D(x + h u) - D(x)] / h, one more forward pass
    through     x0_hat + s J^T g / |J^T g|                  back through the network

What the noise hides should not be guided, and a change that the model takes for noise is lost in the next step: hence
J = dD/dx. For an ideal denoiser J is symmetric: D(x) = E[x0 | x] = (x + noise^2 grad log p(x)) / alpha (Tweedie), so

    J = (1 + noise^2 Hess log p(x)) / alpha = alpha / noise^2 Cov[x0 | x]

and J^T g, which takes a way back through the network, is J g, which takes one pass forward. Classifier-free guidance, a
combination of two such denoisers, keeps it symmetric. `measured` and `look again` need no gradient of the network: they
steer quantised weights and kernels without a backward as well.

`look` is x => D(x), in the layout [F,...] of g. Axes: F frames.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from .guidance import Curve, direction, rms
from .levels import Level

Look = Callable[[Tensor], Tensor]

# h of a forward difference, as a share of the noise: far enough for the rounding of D, near enough to be a derivative
STEP_OF = {torch.float64: 1e-4, torch.float32: 0.01, torch.float16: 0.05, torch.bfloat16: 0.1}


class Rule(Protocol):
    """(look, x, x0, g, level, length, curve) => x0 [F,...]; mask and rest as in `guidance.move`."""

    def __call__(
        self,
        look: Look,
        x: Tensor,
        x0: Tensor,
        g: Tensor,
        level: Level,
        length: float,
        curve: Curve = None,
        *,
        mask: Tensor | None = None,
        rest: Tensor | None = None,
    ) -> Tensor: ...


def estimate(look, x, x0, g, level, length, curve=None, *, mask=None, rest=None) -> Tensor:
    """x0 + length share curve g / |g|."""
    return x0.detach() + length * level.share * direction(g, curve, mask, rest)


def look_again(look, x, x0, g, level, length, curve=None, *, mask=None, rest=None) -> Tensor:
    """D(x + length noise curve g / |g|): the change is the model's own, as large as it makes it."""
    d = direction(g, curve, mask, rest)
    return look(x.detach() + length * level.noise * d) if d.any() else x0.detach()


def measured(look, x, x0, g, level, length, curve=None, *, mask=None, rest=None) -> Tensor:
    """x0 + length share curve J u / |J u|, u = g / |g|."""

    def pull(u: Tensor) -> Tensor:
        return jacobian_product(look, x.detach(), x0.detach(), u, level)

    return _pulled(pull, x0, g, level, length, curve, mask, rest)


def through(look, x, x0, g, level, length, curve=None, *, mask=None, rest=None) -> Tensor:
    """x0 + length share curve J^T g / |J^T g|, through the graph of x0 back to the leaf x, or a new look's."""
    return _pulled(lambda u: pull_back(look, x, x0, u), x0, g, level, length, curve, mask, rest)


RULES: dict[str, Rule] = {"estimate": estimate, "look again": look_again, "measured": measured, "through": through}
LENGTHS = {"estimate": 0.3, "look again": 0.1, "measured": 0.15, "through": 0.3}  # that suit pictures from noise


def jacobian_product(look: Look, x: Tensor, x0: Tensor, u: Tensor, level: Level, h: float | None = None) -> Tensor:
    """J u [F,...] = [D(x + h u) - D(x)] / h, about; x0 = D(x), u of root mean square 1. h: a share of the noise."""
    h = level.noise * (STEP_OF.get(x.dtype, 0.01) if h is None else h)
    return (look(x + h * u).to(x0) - x0) / h


def pull_back(look: Look, x: Tensor, x0: Tensor, g: Tensor) -> Tensor:
    """J^T g [F,...], through the graph that x0 has back to the leaf x, or through a new look."""
    if not (x0.requires_grad and x.requires_grad):
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            x0 = look(x)
    return torch.autograd.grad(x0, x, g.to(x0), materialize_grads=True)[0]


def _pulled(pull: Callable[[Tensor], Tensor], x0, g, level, length, curve, mask, rest) -> Tensor:
    """x0 moved along pull(u), u = g / |g|, by as much as each frame would have moved along g."""
    d = direction(g, curve, mask, rest)
    if not d.any():
        return x0.detach()
    size = rms(d, mask)  # [F,1,...], the curve where no other term interferes
    v = pull(d / size.clamp(min=1e-12))
    return x0.detach() + length * level.share * size * direction(v, None, mask)
