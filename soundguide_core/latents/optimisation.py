"""Optimising a latent toward weighted losses: the loop that image manipulation, projection and video editing share.

The learning rate follows the released schedule of Lee et al. (CVPR 2022), which is that of the StyleGAN2 projector.
Axes: B batch, L layers, D dims.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..common.errors import InputError, check_number

Losses = Callable[[Tensor], Mapping[str, Tensor]]
OnStep = Callable[[int, int, dict[str, float], Callable[[], Tensor | None]], None]


@dataclass(frozen=True)
class Schedule:
    """Adam steps with a learning rate that rises over the first `rampup` and falls over the last `rampdown` of them."""

    steps: int = 300
    lr: float = 0.1
    rampdown: float = 0.25
    rampup: float = 0.05

    def __post_init__(self) -> None:
        check_number(self.steps, "The number of steps", low=1)
        if self.steps != int(self.steps):
            raise InputError(f"The number of steps is {self.steps}.", "Give a whole number.")
        check_number(self.lr, "The learning rate", low=0)
        check_number(self.rampdown, "The ramp-down share", low=0, high=1)
        check_number(self.rampup, "The ramp-up share", low=0, high=1)

    def ramp(self, i: int) -> float:
        """Factor 0..1 on the learning rate at step i of 0..steps-1: cosine down, linear up, so 0 at step 0."""
        t = i / self.steps
        down = min(1.0, (1 - t) / self.rampdown) if self.rampdown else 1.0
        up = min(1.0, t / self.rampup) if self.rampup else 1.0
        return (0.5 - 0.5 * math.cos(math.pi * down)) * up

    def lr_at(self, i: int) -> float:
        return self.lr * self.ramp(i)


@dataclass
class OptimiseResult:
    """The latent after the last step, and every step's unweighted terms (means over the batch) with their `total`."""

    latent: Tensor
    history: list[dict[str, float]]


def optimise(
    latent: Tensor,
    losses: Losses,
    weights: Mapping[str, float],
    schedule: Schedule,
    *,
    also: Iterable[tuple[Tensor, float]] = (),
    after_step: Callable[[], None] | None = None,
    preview: Callable[[Tensor], Tensor] | None = None,
    on_step: OnStep | None = None,
) -> OptimiseResult:
    """Minimise sum_k weights[k] * losses(latent)[k] by Adam.

    Args:
        latent: [B,...] the start; not modified.
        losses: latent => {name: [B] or scalar}. Samples of a batch are summed, so each moves as if it were alone.
        weights: one for every term, and no others.
        schedule: steps and learning rate.
        also: further tensors to learn with their own learning rates, on the same ramp.
        after_step: called after each update, for rules that are not gradients.
        preview: latent => picture, called only if on_step asks.
        on_step: on_step(i, n, terms, preview) after step i; an exception from it ends the run and propagates.

    Raises:
        InputError: weights and terms differ in name, or the loss is no longer a number.
    """
    latent = latent.detach().clone().requires_grad_()
    groups = [{"params": [latent], "base": schedule.lr}]
    groups += [{"params": [tensor.requires_grad_()], "base": lr} for tensor, lr in also]
    adam = torch.optim.Adam(groups, lr=schedule.lr)
    history: list[dict[str, float]] = []

    for i in range(schedule.steps):
        for group in adam.param_groups:
            group["lr"] = group["base"] * schedule.ramp(i)
        terms = losses(latent)
        if set(terms) != set(weights):
            names = ", ".join(sorted(set(terms) ^ set(weights)))
            raise InputError(f"Losses and weights disagree on {names}.", "Give every term a weight, and no other.")
        total = sum(weights[name] * term.sum() for name, term in terms.items())
        if not torch.isfinite(total):
            raise InputError(f"The loss is not a number at step {i}.", "Lower the learning rate or the weights.")
        adam.zero_grad()
        total.backward()
        adam.step()
        if after_step is not None:
            after_step()

        means = {name: float(term.detach().mean()) for name, term in terms.items()}
        history.append({**means, "total": sum(weights[name] * mean for name, mean in means.items())})
        if on_step is not None:
            on_step(i, schedule.steps, history[-1], lambda: _look(preview, latent))
    return OptimiseResult(latent.detach(), history)


@torch.no_grad()
def _look(preview: Callable[[Tensor], Tensor] | None, latent: Tensor) -> Tensor | None:
    return None if preview is None else preview(latent.detach())
