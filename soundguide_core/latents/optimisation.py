"""Optimising a latent toward weighted losses: the loop that image manipulation, projection and video editing share.

Axes: B batch, L layers, D dims.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..common.errors import InputError
from ..common.types import OnStep
from .adam import Adam
from .schedule import Schedule

Losses = Callable[[Tensor], Mapping[str, Tensor]]


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
    learned = [(Adam([latent]), schedule.lr), *((Adam([tensor.requires_grad_()]), lr) for tensor, lr in also)]
    history: list[dict[str, float]] = []

    for i in range(schedule.steps):
        terms = losses(latent)
        if set(terms) != set(weights):
            names = ", ".join(sorted(set(terms) ^ set(weights)))
            raise InputError(f"Losses and weights disagree on {names}.", "Give every term a weight, and no other.")
        total = sum((weights[name] * term.sum() for name, term in terms.items()), latent.new_zeros(()))
        # read at once, for each reading waits for the device
        *figures, whole = torch.stack([*(term.detach().mean() for term in terms.values()), total.detach()]).tolist()
        if not math.isfinite(whole):
            raise InputError(f"The loss is not a number at step {i}.", "Lower the learning rate or the weights.")
        for adam, _ in learned:
            adam.zero_grad()
        total.backward()
        for adam, lr in learned:
            adam.step(lr * schedule.ramp(i))
        if after_step is not None:
            after_step()

        means = dict(zip(terms, figures))
        history.append({**means, "total": sum(weights[name] * mean for name, mean in means.items())})
        if on_step is not None:
            on_step(i, schedule.steps, history[-1], lambda: _look(preview, latent))
    return OptimiseResult(latent.detach(), history)


@torch.no_grad()
def _look(preview: Callable[[Tensor], Tensor] | None, latent: Tensor) -> Tensor | None:
    return None if preview is None else preview(latent.detach())
