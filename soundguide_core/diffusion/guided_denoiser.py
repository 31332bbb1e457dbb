"""Loss guidance of our own sampler: a wrapper of a denoiser, with its signature, whose estimates descend losses.

    x0_hat <- x0_hat + k J^T g        published forms: through the UNet, k from the schedule
    x0_hat <- rule(x0_hat, g)         steps of set length, by a rule of rules.py

with g = -dL/dx0_hat of guidance.py. Axes: F frames, H W picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, cast

import torch
from torch import Tensor

from ..common.errors import InputError
from ..common.memory import each_part
from ..common.types import Estimate
from .guidance import gradient, move
from .levels import Level, When
from .rules import RULES, pull_back
from .sampler import Denoise, Step
from .warm_up import WarmUp, look_repeatedly

Losses = Callable[[Tensor, int], Mapping[str, Tensor]]


def mean_shift(step: Step, estimate: Estimate) -> Tensor:
    """k of a shift of the step's mean by Sigma_t g, as published (Dhariwal and Nichol 2021, algorithm 1): the mean is
    c0 x0_hat + c1 x_t, so Sigma_t g on it is (Sigma_t / c0) g on x0_hat."""
    return step.variance(estimate) / step.x0_coefficient


def score_shift(step: Step, estimate: Estimate) -> float:
    """k of a score that is added to: with grad log p <- grad log p + g, eps <- eps - sqrt(1 - alpha_bar) g (algorithm 2
    there), and x0_hat = (x_t - sqrt(1 - alpha_bar) eps) / sqrt(alpha_bar) grows by (1 - alpha_bar) / sqrt(alpha_bar) g.
    """
    return (1 - step.alpha_bar) / math.sqrt(step.alpha_bar)


class Variant(NamedTuple):
    """k: (step, estimate) => factor on J^T g; None for steps of set length, by the rule of that name.

    blend: the losses see s x0_hat + (1 - s) x_t, s = sqrt(1 - alpha_bar), as in the code of CLIP-guided diffusion.
    wiener: g goes through Wiener's filter first. warms_up: whether a warm-up takes the place of its first steps.
    """

    k: Callable[[Step, Estimate], Tensor | float] | None
    rule: str = "through"
    blend: bool = False
    wiener: bool = False
    warms_up: bool = False


SPECTRUM = 0.01  # c in c / f^2, the power of pictures in -1..1 at f cycles a pixel


def linear_pullback(g: Tensor, step: Step) -> Tensor:
    """g [F,3,H,W] at x0_hat => about where the UNet would pull it: through the Jacobian of the best linear denoiser of
    pictures with power c / f^2, which is Wiener's filter, c / (c + f^2 (1 - alpha_bar) / alpha_bar), but for a factor.
    What the noise hides is not guided, as in the way through the UNet.
    """
    h, w = g.shape[2:]
    kind = {"dtype": g.dtype, "device": g.device}
    f2 = torch.fft.fftfreq(h, **kind).square()[:, None] + torch.fft.rfftfreq(w, **kind).square()  # [H,W/2+1]
    wiener = SPECTRUM / (SPECTRUM + f2 * (1 - step.alpha_bar) / step.alpha_bar)
    return torch.fft.irfft2(torch.fft.rfft2(g) * wiener, s=(h, w))


VARIANTS = {
    "paper": Variant(mean_shift),
    "score": Variant(score_shift),
    "clean": Variant(None, "estimate", wiener=True),
    "released": Variant(mean_shift, blend=True),
    **{name: Variant(None, name, warms_up=True) for name in RULES},
}


def guide(
    denoise: Denoise,
    losses: Losses,
    weights: Mapping[str, float],
    steps: Sequence[Step],
    *,
    variant: str = "paper",
    curves: Mapping[str, Tensor] | None = None,
    interval: tuple[float, float] = (0.0, 1.0),
    every: int = 1,
    step_size: float = 0.1,
    mask: Tensor | None = None,
    warm_up: WarmUp | None = None,
    lead: str = "sound",
    chunk: int = 8,
    on_terms: Callable[[int, dict[str, float]], None] | None = None,
) -> Denoise:
    """A denoiser whose estimates descend sum_k weights[k] sum_i curves[k][i] losses(x0_hat, t)[k][i].

    Args:
        losses: (x0_hat [F,3,H,W], t) => {name: [n]}, one number for each frame or pair of them.
        weights: one for every term, and no others. curves: of some terms, each as long as the term.
        steps: those of the sampler.
        variant: of VARIANTS. With steps of set length, a frame moves by step_size * sqrt(1 - alpha_bar_t), root mean
            square, times the curve of the term `lead`, where that is the only one; see guidance.direction for the
            others.
        interval, every: at which levels is guided; see levels.When.
        mask: [F,1,H,W] in 0..1, where steps of set length move, and inside which they have their length.
        warm_up: looks of the noisiest guided steps, in place of the moves of a rule of rules.py.
        chunk: frames in the network at once. The gradient stays exact: where memory is short, what a chunk computed on
            the way forward is computed again when its part of the gradient comes back.
        on_terms: told t and the means of the unweighted terms.

    Raises:
        InputError: weights and terms differ in name, or a loss is no longer a number.
    """
    if variant not in VARIANTS:
        raise InputError(f"There is no variant {variant!r}.", f"Use one of: {', '.join(VARIANTS)}.")
    form = VARIANTS[variant]
    at_level = {step.t: step for step in steps}
    when = When(interval, every, [math.sqrt(1 - step.alpha_bar) for step in steps])

    def guided(x_t: Tensor, t: int) -> Estimate:
        step = at_level[t]
        level, look = Level.of_alpha_bar(step.alpha_bar), partial(_look, denoise, t, chunk)
        if not when.guided(level.share):
            return in_chunks(denoise, x_t, t, chunk)
        looks = warm_up.looks_at(when, level.share, masked=True) if warm_up and form.warms_up else 0
        with torch.set_grad_enabled(form.rule == "through" and not looks):
            x_t = x_t.detach().requires_grad_(form.rule == "through" and not looks)
            x0, variance_mix = in_chunks(denoise, x_t, t, chunk)
            seen = level.share * x0 + (1 - level.share) * x_t if form.blend and not looks else x0
        variance_mix = torch.as_tensor(variance_mix).detach()
        leads = lead if looks or form.k is None else None
        asked = partial(gradient, losses=lambda x: losses(x, t), weights=weights, curves=curves, lead=leads, level=t)
        found = asked(seen)
        if on_terms is not None:
            on_terms(t, {name: float(term.mean()) if len(term) else 0.0 for name, term in found.terms.items()})
        curve = (curves or {}).get(lead) if lead in found.terms else None
        if warm_up and looks:
            x0 = look_repeatedly(look, x_t, x0, asked, level, warm_up.length, looks, curve, mask=mask, first=found)
        elif form.k is not None:
            k = form.k(step, Estimate(x0.detach(), variance_mix))
            x0 = x0.detach() + k * pull_back(look, x_t, seen, found.g)
        elif form.wiener:
            pull = partial(linear_pullback, step=step)
            x0 = x0 + move(found.g, level, step_size, curve, rest=found.rest, pull=pull)
        else:
            x0 = RULES[form.rule](look, x_t, x0, found.g, level, step_size, curve, mask=mask, rest=found.rest)
        return Estimate(x0.detach(), variance_mix)

    return guided


def _look(denoise: Denoise, t: int, chunk: int, x: Tensor) -> Tensor:
    return in_chunks(denoise, x, t, chunk).x0_hat


def in_chunks(denoise: Denoise, x_t: Tensor, t: int, chunk: int) -> Estimate:
    """denoise(x_t, t), `chunk` frames at a time; with gradients as memory.each_part has it."""
    done = each_part(denoise, [(part, t) for part in x_t.split(chunk)])
    mix = done[0].variance_mix
    return Estimate(
        torch.cat([estimate.x0_hat for estimate in done]),
        torch.cat([cast(Tensor, estimate.variance_mix) for estimate in done]) if isinstance(mix, Tensor) else mix,
    )
