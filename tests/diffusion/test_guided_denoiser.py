"""Guidance: k against a Gaussian that is solved by hand, the gradient against plain autograd, whole and in chunks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.diffusion.denoiser import Estimate
from soundguide_core.diffusion.guided_denoiser import guide
from soundguide_core.diffusion.sampler import SamplerConfig, plan

RNG = torch.Generator().manual_seed(0)
STEPS = plan({"num_train_timesteps": 1000}, SamplerConfig("ddpm", steps=10))
STEP = STEPS[6]
ALPHA, SIGMA = math.sqrt(STEP.alpha_bar), math.sqrt(1 - STEP.alpha_bar)


def random(*shape):
    return torch.randn(*shape, generator=RNG, dtype=torch.float64)


class Gaussian:
    """x0 ~ N(mean, spread^2), every pixel alone: E[x0 | x_t] and Var[x0 | x_t] by hand."""

    mean, spread = 0.3, 0.7
    slope = spread**2 * ALPHA / (ALPHA**2 * spread**2 + SIGMA**2)
    variance = spread**2 * SIGMA**2 / (ALPHA**2 * spread**2 + SIGMA**2)

    def __call__(self, x_t, t):
        return Estimate(self.mean + self.slope * (x_t - ALPHA * self.mean), torch.zeros_like(x_t))


def seen_as(y: float, doubt: float):
    """-log N(y; x0_hat, variance + doubt^2) but for a constant: what seeing x0 as y, with that doubt, says of x_t."""
    return lambda x0_hat, t: {"sound": (x0_hat - y).square().sum(dim=(1, 2, 3)) / (2 * (Gaussian.variance + doubt**2))}


def test_score_form_is_the_posterior_mean_of_a_gaussian():
    x_t, y, doubt = random(2, 3, 4, 4), -0.5, 0.4
    guided = guide(Gaussian(), seen_as(y, doubt), {"sound": 1.0}, STEPS, variant="score")(x_t, STEP.t)
    x0_hat = Gaussian()(x_t, STEP.t).x0_hat
    v = Gaussian.variance
    expected = x0_hat + v / (v + doubt**2) * (y - x0_hat)  # Bayes, two Gaussians about x0
    assert torch.allclose(guided.x0_hat, expected, atol=tol.FLOAT64)


def test_mean_shift_moves_the_mean_of_the_step_by_sigma_g():
    x_t, y = random(2, 3, 4, 4), -0.5
    guided = guide(Gaussian(), seen_as(y, 0.4), {"sound": 3.0}, STEPS, variant="paper")(x_t, STEP.t)
    plain = Gaussian()(x_t, STEP.t).x0_hat
    alpha_t, beta_t = STEP.alpha_bar / STEP.alpha_bar_prev, 1 - STEP.alpha_bar / STEP.alpha_bar_prev
    beta_tilde = (1 - STEP.alpha_bar_prev) / (1 - STEP.alpha_bar) * beta_t

    def mean(x0):  # Ho et al. 2020, equation 7
        of_x0 = math.sqrt(STEP.alpha_bar_prev) * beta_t / (1 - STEP.alpha_bar)
        return of_x0 * x0 + math.sqrt(alpha_t) * (1 - STEP.alpha_bar_prev) / (1 - STEP.alpha_bar) * x_t

    g = -3.0 * (plain - y) / (Gaussian.variance + 0.4**2) * Gaussian.slope
    sigma = math.sqrt(beta_t * beta_tilde)  # halfway between the two on a log scale: variance_mix is 0
    assert torch.allclose(mean(guided.x0_hat) - mean(plain), sigma * g, atol=tol.FLOAT64)


@pytest.fixture(scope="module")
def denoise(diffusers):
    from soundguide_core.diffusion.denoiser import Denoiser
    from soundguide_core.diffusion.unet import UNet

    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet(
            sample_size=8, in_channels=3, out_channels=6, block_out_channels=[8, 8], layers_per_block=1,
            norm_num_groups=4, down_block_types=["DownBlock2D", "AttnDownBlock2D"],
            up_block_types=["AttnUpBlock2D", "UpBlock2D"], attention_head_dim=4,
        )  # fmt: skip
        for p in unet.parameters():
            p.data += 0.05 * torch.randn_like(p)
    return Denoiser(unet.double().eval().requires_grad_(False))


TARGET = random(5, 3, 8, 8)
WEIGHTS = {"sound": 2.0, "direction": 3.0}
CURVES = {"sound": torch.tensor([1.0, 0.0, 0.5, 2.0, 1.0]), "direction": torch.tensor([1.0, 0.3, 0.0, 1.0])}


def coupled(x0_hat, t):
    """A term of every frame, and one of neighbours."""
    return {
        "sound": (x0_hat * TARGET).mean(dim=(1, 2, 3)).tanh(),
        "direction": (x0_hat[1:] - x0_hat[:-1] - TARGET[1:]).square().mean(dim=(1, 2, 3)),
    }


def by_autograd(denoise, x_t, at_x_t):
    x = x_t.clone().requires_grad_()
    x0_hat = denoise(x, STEP.t).x0_hat
    terms = coupled(x0_hat, STEP.t)
    total = 0
    for name, weight in WEIGHTS.items():
        for i, value in enumerate(terms[name]):
            total = total + weight * CURVES[name][i].item() * value
    return torch.autograd.grad(total, x if at_x_t else x0_hat)[0], x0_hat.detach()


@pytest.mark.parametrize("chunk", [1, 2, 8])
@pytest.mark.parametrize("variant", ["paper", "score"])
def test_exact_in_chunks_and_whole(denoise, variant, chunk):
    x_t = random(5, 3, 8, 8)
    guided = guide(denoise, coupled, WEIGHTS, STEPS, variant=variant, curves=CURVES, chunk=chunk)
    with torch.no_grad():  # as in the sampler
        estimate = guided(x_t, STEP.t)
    gradient, x0_hat = by_autograd(denoise, x_t, at_x_t=True)
    k = (1 - STEP.alpha_bar) / math.sqrt(STEP.alpha_bar)
    if variant == "paper":
        k = STEP.variance(denoise(x_t, STEP.t)) / STEP.x0_coefficient
    expected = -k * gradient
    assert gradient.abs().max() > 1e-3
    assert (estimate.x0_hat - x0_hat - expected).abs().max() < 1e-5 * expected.abs().max()
    assert not estimate.x0_hat.requires_grad and torch.allclose(estimate.variance_mix, denoise(x_t, STEP.t)[1])


def wiener(g: torch.Tensor) -> torch.Tensor:
    """Each frequency of g [3,8,8] times S / (S + (1 - alpha_bar) / alpha_bar), S = 0.01 / f^2, by a full transform."""
    spectrum = np.fft.fft2(g.numpy())
    for row in range(8):
        for column in range(8):
            f2 = sum((min(i, 8 - i) / 8) ** 2 for i in (row, column))
            power = 0.01 / f2 if f2 else math.inf
            spectrum[:, row, column] *= 1 / (1 + (SIGMA / ALPHA) ** 2 / power)
    return torch.from_numpy(np.fft.ifft2(spectrum).real)


@pytest.mark.parametrize("strength", [1.0, 3.0])
@pytest.mark.parametrize("chunk", [2, 8])
def test_at_the_clean_estimate_steps_have_the_length_of_the_leader(denoise, chunk, strength):
    x_t, curves = random(5, 3, 8, 8), {**CURVES, "sound": torch.full([5], strength)}
    guided = guide(denoise, coupled, WEIGHTS, STEPS, variant="clean", curves=curves, step_size=0.2, chunk=chunk)
    estimate = guided(x_t, STEP.t)
    x0_hat = denoise(x_t, STEP.t).x0_hat
    gradients = []
    for term in ("sound", "direction"):
        x = x0_hat.clone().requires_grad_()
        curve = CURVES["direction"] if term == "direction" else 1
        gradients.append(torch.autograd.grad(WEIGHTS[term] * (curve * coupled(x, 0)[term]).sum(), x)[0])
    for i in range(5):
        led, rest = (wiener(gradient[i]) for gradient in gradients)
        both = strength * led + rest
        longest = max(math.sqrt(float(led.square().mean())), math.sqrt(float(both.square().mean())) / strength)
        assert torch.allclose(estimate.x0_hat[i], x0_hat[i] - 0.2 * SIGMA * both / longest, atol=tol.FLOAT64_SUM)


def test_a_leader_alone_moves_frames_as_far_as_its_curve_says(denoise):
    x_t = random(5, 3, 8, 8)
    curve = torch.tensor([1.0, 0.5, 0.0, 0.25, 2.0])
    alone = guide(
        denoise, lambda x, t: {"sound": coupled(x, t)["sound"]}, {"sound": 7.0}, STEPS,
        variant="clean", curves={"sound": curve}, step_size=0.2,
    )  # fmt: skip
    moved = (alone(x_t, STEP.t).x0_hat - denoise(x_t, STEP.t).x0_hat).square().mean(dim=(1, 2, 3)).sqrt()
    assert torch.allclose(moved, (0.2 * SIGMA * curve).double(), atol=tol.FLOAT64_SUM)


def test_outside_the_interval_nothing_is_guided(denoise):
    x_t, told = random(5, 3, 8, 8), []
    for interval, count in (((0.0, SIGMA - 0.01), 0), ((SIGMA - 0.01, 1.0), 1)):
        guided = guide(
            denoise, coupled, WEIGHTS, STEPS, interval=interval, chunk=2, on_terms=lambda t, terms: told.append(terms)
        )
        same = torch.allclose(guided(x_t, STEP.t).x0_hat, denoise(x_t, STEP.t).x0_hat, atol=tol.FLOAT64)
        assert same == (count == 0) and len(told) == count
    assert math.isclose(told[0]["sound"], coupled(denoise(x_t, STEP.t).x0_hat, 0)["sound"].mean().item(), rel_tol=1e-9)


def test_a_loss_that_nothing_moves_leaves_the_estimate(denoise):
    x_t = random(2, 3, 8, 8)
    for variant in ("clean", "paper"):
        still = guide(denoise, lambda x, t: {"sound": torch.zeros(2).to(x)}, {"sound": 1.0}, STEPS, variant=variant)
        assert torch.equal(still(x_t, STEP.t).x0_hat, denoise(x_t, STEP.t).x0_hat)


def test_what_is_refused(denoise):
    x_t = random(5, 3, 8, 8)
    with pytest.raises(InputError, match="no variant 'pape'"):
        guide(denoise, coupled, WEIGHTS, STEPS, variant="pape")
    with pytest.raises(InputError, match="disagree on flow"):
        guide(denoise, coupled, {**WEIGHTS, "flow": 1.0}, STEPS)(x_t, STEP.t)
    with pytest.raises(InputError, match="loss sound is not a number"):
        guide(denoise, lambda x, t: {"sound": x.sum(dim=(1, 2, 3)) / 0}, {"sound": 1.0}, STEPS)(x_t, STEP.t)
