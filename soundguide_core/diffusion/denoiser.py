"""Any eps, v or x0 model as one thing: a noisy picture and its level in, the clean estimate out.

    x_t = sqrt(alpha_bar_t) x0 + sqrt(1 - alpha_bar_t) eps

Axes: B batch, H W picture, T noise levels of training.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..common.errors import InputError
from ..common.shapes import check_shape
from ..common.types import Estimate
from .unet import UNet, load_unet
from .with_diffusers import DDPMScheduler

PREDICTIONS = ("epsilon", "v_prediction", "sample")
CLEAN = -1  # the level below level 0: no noise at all
# what of a schedule says how much noise there is, for diffusers' schedulers
LEVELS = (
    "num_train_timesteps",
    "beta_schedule",
    "beta_start",
    "beta_end",
    "trained_betas",
    "rescale_betas_zero_snr",
)


class Denoiser(nn.Module):
    """A UNet and the schedule that it was trained for; unet(x_t, t).sample has what prediction_type says first."""

    def __init__(self, unet: UNet) -> None:
        super().__init__()
        self.unet = unet
        self.prediction_type = unet.schedule.get("prediction_type", "epsilon")
        if self.prediction_type not in PREDICTIONS:
            raise InputError(
                f"This diffusion model predicts {self.prediction_type!r}.", f"Use one of {', '.join(PREDICTIONS)}."
            )
        self.fixed_mix = 1.0 if "large" in unet.schedule.get("variance_type", "") else -1.0
        self.alpha_bar = alpha_bars(unet.schedule)  # [T]

    @property
    def schedule(self) -> dict:
        """Keyword arguments of diffusers.DDPMScheduler."""
        return self.unet.schedule

    @property
    def device(self) -> torch.device:
        return next(self.unet.parameters()).device

    @property
    def num_train_timesteps(self) -> int:
        return len(self.alpha_bar)

    @property
    def resolution(self) -> int | None:
        """Pixels along the sides of the pictures that it was trained on, where its config says so."""
        size = self.unet.config["sample_size"]
        return size * self.unet.patch if isinstance(size, int) else None

    @property
    def multiple(self) -> int:
        """Height and width must be multiples of this: patches, halved at every level but the last."""
        return self.unet.patch * 2 ** (len(self.unet.config["block_out_channels"]) - 1)

    def forward(self, x_t: Tensor, t: int, context: Tensor | None = None) -> Estimate:
        """x_t [B,3,H,W] at level t in 0..T-1; differentiable in x_t. context [B,L,D] or [B,D], as UNet's."""
        sizes = check_shape(x_t, "B 3 H W", name="x_t")
        if sizes["H"] % self.multiple or sizes["W"] % self.multiple:
            raise InputError(
                f"This diffusion model cannot take pictures of {sizes['W']} x {sizes['H']}.",
                f"Use a width and height that are multiples of {self.multiple}.",
            )
        out = (self.unet(x_t, t) if context is None else self.unet(x_t, t, context=context)).sample
        out, variance_mix = out.chunk(2, dim=1) if self.unet.learned_variance else (out, self.fixed_mix)
        alpha, sigma = self.alpha_sigma(t)
        if self.prediction_type == "epsilon":
            x0_hat = (x_t - sigma * out) / alpha
        elif self.prediction_type == "v_prediction":  # v = alpha eps - sigma x0 (Salimans and Ho 2022)
            x0_hat = alpha * x_t - sigma * out
        else:
            x0_hat = out
        return Estimate(x0_hat, variance_mix)

    def alpha_sigma(self, t: int) -> tuple[float, float]:
        """sqrt(alpha_bar_t) and sqrt(1 - alpha_bar_t); 1 and 0 at CLEAN."""
        if t == CLEAN:
            return 1.0, 0.0
        alpha_bar = self.alpha_bar[t].item()
        return alpha_bar**0.5, (1 - alpha_bar) ** 0.5

    def eps(self, x_t: Tensor, x0_hat: Tensor, t: int) -> Tensor:
        """The noise that x_t holds beside x0_hat, [B,3,H,W]."""
        alpha, sigma = self.alpha_sigma(t)
        return (x_t - alpha * x0_hat) / sigma

    def add_noise(self, x0: Tensor, t: int, noise: Tensor) -> Tensor:
        """x0 at level t; x0 itself at CLEAN."""
        alpha, sigma = self.alpha_sigma(t)
        return alpha * x0 + sigma * noise


def classifier_free(denoiser: Denoiser, context: Tensor, scale: float) -> Callable[[Tensor, int], Estimate]:
    """A denoiser that is told `context` [B,L,D] or [B,D], for sample(): x0 + scale (x0(context) - x0).

    J. Ho and T. Salimans, "Classifier-Free Diffusion Guidance", 2022. At scale 1 it asks the network once, else twice.
    """

    def denoise(x_t: Tensor, t: int) -> Estimate:
        told = denoiser(x_t, t, context)
        if scale == 1:
            return told
        x0_hat = denoiser(x_t, t).x0_hat
        return Estimate(x0_hat + scale * (told.x0_hat - x0_hat), told.variance_mix)

    return denoise


def in_bfloat16(denoise: Callable[[Tensor, int], Estimate]) -> Callable[[Tensor, int], Estimate]:
    """A denoiser whose network computes in bfloat16 and says what it found in float32."""

    def rounded(x_t: Tensor, t: int) -> Estimate:
        with torch.autocast(x_t.device.type, torch.bfloat16):
            x0_hat, variance_mix = denoise(x_t, t)
        return Estimate(x0_hat.float(), variance_mix.float() if isinstance(variance_mix, Tensor) else variance_mix)

    return rounded


def levels(schedule: dict) -> dict:
    """The part of a schedule that every scheduler of diffusers takes."""
    return {key: schedule[key] for key in LEVELS if key in schedule}


def alpha_bars(schedule: dict) -> Tensor:
    """[T] in float64, falling: the share of the picture in the variance of x_t."""
    # zero terminal SNR ends at 0, where eps says nothing of the picture; the bound is that of diffusers' solvers
    return DDPMScheduler(**levels(schedule)).alphas_cumprod.double().clamp(min=2**-24)


def load_denoiser(name_or_path: str | os.PathLike | None = None, device: str | torch.device = "cpu") -> Denoiser:
    """A frozen denoiser from anything that load_unet takes.

    Args:
        name_or_path: of `soundguide models` (None: the default), a file such as 256x256_diffusion_uncond.pt, or a
            folder of diffusers with a UNet2DModel.
        device: where it computes, such as "cuda".

    Raises:
        InputError: as above, or a model of latents, or one whose noise is not DDPM's.

    Example:
        denoiser = sg.load_denoiser()
        print(denoiser.resolution, denoiser.num_train_timesteps)
    """
    return Denoiser(load_unet(name_or_path, device))
