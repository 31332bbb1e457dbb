"""Loss guidance of a diffusion model: a wrapper of a denoiser, with its signature, whose estimates descend losses.

    x0_hat <- x0_hat + k g,    g = -dL/dx_t through the UNet, or -dL/dx0_hat without

Axes: F frames, H W picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..common.errors import InputError
from ..common.types import Estimate
from .sampler import Denoise, Step

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
    """at_x_t: whether g is taken through the UNet. k: (step, estimate) => factor on g; None for steps of set length.

    blend: the losses see s x0_hat + (1 - s) x_t, s = sqrt(1 - alpha_bar), as in the code of CLIP-guided diffusion.
    """

    at_x_t: bool
    k: Callable[[Step, Estimate], Tensor | float] | None
    blend: bool = False


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
    "paper": Variant(True, mean_shift),
    "score": Variant(True, score_shift),
    "clean": Variant(False, None),
    "released": Variant(True, mean_shift, blend=True),
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
    step_size: float = 0.1,
    normalize_by: str = "sound",
    chunk: int = 8,
    on_terms: Callable[[int, dict[str, float]], None] | None = None,
) -> Denoise:
    """A denoiser whose estimates descend sum_k weights[k] sum_i curves[k][i] losses(x0_hat, t)[k][i].

    Args:
        losses: (x0_hat [F,3,H,W], t) => {name: [n]}, one number for each frame or pair of them.
        weights: one for every term, and no others. curves: of some terms, each as long as the term.
        steps: those of the sampler.
        variant: of VARIANTS. "clean" takes g at x0_hat (Y. He et al., "Manifold Preserving Guided Diffusion", ICLR
            2024) and steps of set length (L. Yang et al., "Guidance with Spherical Gaussian Constraint", ICML 2024):
            where the term `normalize_by` is the only one, a frame moves by step_size * sqrt(1 - alpha_bar_t), root mean
            square, times its curve. The other terms keep their proportion to it, but do not make a frame move further
            than that, or than the curve of `normalize_by` asks for.
        interval: lowest and highest noise sqrt(1 - alpha_bar_t) at which is guided (T. Kynkäänniemi et al., "Applying
            Guidance in a Limited Interval", NeurIPS 2024).
        chunk: frames in the network at once. The gradient stays exact: what a chunk computed on the way forward is
            computed again when its part of the gradient comes back.
        on_terms: told t and the means of the unweighted terms.

    Raises:
        InputError: weights and terms differ in name, or a loss is no longer a number.
    """
    if variant not in VARIANTS:
        raise InputError(f"There is no variant {variant!r}.", f"Use one of: {', '.join(VARIANTS)}.")
    at_x_t, k, blend = VARIANTS[variant]
    at_level = {step.t: step for step in steps}
    curves = curves or {}

    def guided(x_t: Tensor, t: int) -> Estimate:
        step = at_level[t]
        sigma = math.sqrt(1 - step.alpha_bar)
        if not interval[0] <= sigma <= interval[1]:
            return in_chunks(denoise, x_t, t, chunk)
        with torch.set_grad_enabled(at_x_t):
            x_t = x_t.detach().requires_grad_(at_x_t)
            estimate = in_chunks(denoise, x_t, t, chunk)
        with torch.enable_grad():
            x = x_t if at_x_t else estimate.x0_hat.requires_grad_()
            terms = dict(losses(sigma * estimate.x0_hat + (1 - sigma) * x_t if blend else estimate.x0_hat, t))
            _check(terms, weights, t)
            if on_terms is not None:
                on_terms(t, {name: float(term.detach().mean()) if len(term) else 0.0 for name, term in terms.items()})
            totals = {name: weights[name] * (curves.get(name, 1) * term).sum() for name, term in terms.items()}
            if k is None and normalize_by in terms:
                main = -_gradient(
                    {normalize_by: weights[normalize_by] * terms[normalize_by].sum()}, x, keep=len(terms) > 1
                )
                curve = torch.as_tensor(curves.get(normalize_by, 1)).to(x).reshape(-1, 1, 1, 1)
                g = curve * main - _gradient({n: total for n, total in totals.items() if n != normalize_by}, x)
            else:
                g = main = -_gradient(totals, x)
                curve = x.new_ones(())
        x0_hat, variance_mix = (torch.as_tensor(part).detach() for part in estimate)
        if k is None:
            g, main = linear_pullback(g, step), linear_pullback(main, step)
            longest = torch.maximum(_rms(main), _rms(g) / curve.clamp(min=1)).clamp(min=1e-12)
            return Estimate(x0_hat + step_size * sigma * g / longest, variance_mix)
        return Estimate(x0_hat + k(step, Estimate(x0_hat, variance_mix)) * g, variance_mix)

    return guided


def in_chunks(denoise: Denoise, x_t: Tensor, t: int, chunk: int) -> Estimate:
    """denoise(x_t, t), `chunk` frames at a time; with gradients, no activations of more than one chunk are kept."""
    parts = x_t.split(chunk)
    if torch.is_grad_enabled() and len(parts) > 1:
        done = [checkpoint(denoise, part, t, use_reentrant=False) for part in parts]
    else:
        done = [denoise(part, t) for part in parts]
    mix = done[0].variance_mix
    return Estimate(
        torch.cat([estimate.x0_hat for estimate in done]),
        torch.cat([cast(Tensor, estimate.variance_mix) for estimate in done]) if isinstance(mix, Tensor) else mix,
    )


def _check(terms: Mapping[str, Tensor], weights: Mapping[str, float], t: int) -> None:
    if set(terms) != set(weights):
        names = ", ".join(sorted(set(terms) ^ set(weights)))
        raise InputError(f"Losses and weights disagree on {names}.", "Give every term a weight, and no other.")
    for name, term in terms.items():
        if not torch.isfinite(term).all():
            raise InputError(f"The loss {name} is not a number at level {t}.", "Lower the weights.")


def _gradient(totals: Mapping[str, Tensor], x: Tensor, keep: bool = False) -> Tensor:
    """d(sum of totals) / dx, zeros where none of them depends on x."""
    total = sum(totals.values(), x.new_zeros(()))
    if not total.requires_grad:
        return torch.zeros_like(x)
    return torch.autograd.grad(total, x, retain_graph=keep, materialize_grads=True)[0]


def _rms(x: Tensor) -> Tensor:
    """Of each frame, [F,3,H,W] => [F,1,1,1]."""
    return x.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
