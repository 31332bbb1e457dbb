"""Analyzing and Improving the Image Quality of StyleGAN (Karras et al. 2020): training, section 3.2 and appendix B.

Axes: B batch, L layers, D dims, H W.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from ..checkpoints import safetensors_io
from ..common.errors import InputError
from ..common.rng import with_seed
from ..generators.discriminators import Discriminator
from ..generators.latents import truncate
from ..generators.stylegan2 import Generator, StyleGAN2Config
from ..losses.adversarial import discriminator_loss, generator_loss, path_length_penalty, path_lengths, r1_penalty
from ..losses.perceptual import pyramid_distance
from ..media.images import grid
from .data.pictures import Pictures, open_pictures
from .data.sources import open_data
from .engine import distributed, loop
from .engine.adversarial import GANSettings, run_gan_training
from .engine.ema import RunningMean, ema_beta, ema_update
from .engine.gradients import match_grad_strides, sanitize_grads
from .warm_start import Coded, WarmStart, warm_start_of


class StyleGAN2Training:
    """Two networks, the generator's EMA, and one alternating update per step."""

    networks = (Generator, Discriminator)
    sheets = "samples"
    full_precision = " "  # how the names of tensors begin that are not kept as fp16; none does

    def __init__(
        self, config: StyleGAN2Config, settings: GANSettings, pictures: Pictures, device: str | torch.device, seed: int
    ):
        self.settings, self.pictures, self.device, self.seed = settings, pictures, torch.device(device), seed
        self.dtype = getattr(torch, settings.dtype)
        self.noise_mode = "random" if settings.noise else "none"
        processes = distributed.num_processes()
        self.batch = settings.batch // processes  # this process's share
        if settings.batch % (4 * processes):
            raise InputError(
                f"A batch of {settings.batch} does not split into groups of 4 in {processes} processes.",
                "Use a multiple of 4 for each process.",
            )
        if settings.recon_weight and not hasattr(pictures, "draw"):
            raise InputError(
                "recon_weight needs pictures that latents stand for.", "Give coded pictures, or set recon_weight = 0."
            )
        layout = {"device": self.device, "memory_format": torch.channels_last}
        generator, discriminator = self.networks
        self.generator = with_seed(seed, lambda: generator(config)).to(**layout)
        self.discriminator = with_seed(seed + 1, lambda: discriminator(config)).to(**layout)
        self.generator.mapping.requires_grad_(settings.learn_mapping)
        self.g_ema = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.path_mean = RunningMean(torch.zeros([])).to(self.device)
        self.modules = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "g_ema": self.g_ema,
            "path_mean": self.path_mean,
        }
        self.optimisers = {
            "generator_adam": self._adam(self.generator, settings.path_every if settings.path_weight else 0),
            "discriminator_adam": self._adam(self.discriminator, settings.r1_every if settings.r1_gamma else 0),
        }

    def _adam(self, module: nn.Module, every: int) -> torch.optim.Adam:
        """Adam (0, 0.99), corrected for one regularising update after each `every` main ones (appendix B)."""
        ratio = every / (every + 1) if every else 1.0
        parameters = [p for p in module.parameters() if p.requires_grad]
        fused = self.device.type == "cuda"
        adam = torch.optim.Adam(parameters, betas=(0.0, 0.99**ratio), eps=1e-8, fused=fused)
        adam.param_groups[0]["ratio"] = ratio
        return adam

    def step(self, i: int) -> dict[str, float]:
        return loop.to_floats(self.update(i))

    def update(self, i: int) -> dict[str, Tensor]:
        """Generator, path length, discriminator, R1, EMA; the losses are left where they are."""
        s, rng = self.settings, loop.step_rng(self.seed, i)
        self.set_rates(i)

        # generator
        self.discriminator.requires_grad_(False)
        z, indices = self._latents(self.batch, rng)
        ws, mixed = self._ws(z, rng)
        fake = self.generator.synthesis(ws, self.noise_mode, self._noise_rng(rng), self.dtype)
        loss = generator_loss(self.discriminator(fake, self.dtype))
        losses = {"generator": loss}
        if s.recon_weight:
            target = self.pictures.batch(indices).to(fake)
            distance = pyramid_distance(fake, target, levels=3, square=2.0)
            losses["recon"] = distance[~mixed].mean().nan_to_num()  # nan where every latent is mixed
            loss = loss + s.recon_weight * losses["recon"]
        self._update("generator", loss)
        if s.path_weight and i % s.path_every == 0:
            losses["path"] = self._regularise_paths(rng)

        # discriminator
        self.discriminator.requires_grad_(True)
        real = self._real(self.batch, rng)
        scores, fake_scores = self.discriminator(real, self.dtype), self.discriminator(fake.detach(), self.dtype)
        loss = discriminator_loss(scores, fake_scores)
        self._update("discriminator", loss)
        losses |= {"discriminator": loss, "real": scores.mean(), "fake": fake_scores.mean()}
        if s.r1_gamma and i % s.r1_every == 0:
            losses["r1"] = self._regularise_discriminator(real)

        # EMA
        beta = ema_beta(s.batch, (i + 1) * s.batch, s.ema_kimg * 1000)
        ema_update(self.g_ema, self.generator, beta)
        return losses

    def set_rates(self, i: int) -> None:
        """The learning rates of step i."""
        s = self.settings
        for adam in self.optimisers.values():
            adam.param_groups[0]["lr"] = s.lr_at(i) * adam.param_groups[0]["ratio"]
        if i < s.g_warmup_steps:
            self.optimisers["generator_adam"].param_groups[0]["lr"] *= i / s.g_warmup_steps

    def _latents(self, batch: int, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Fresh z [B,D], and with recon_weight the indices [B] of the pictures that they stand for."""
        if self.settings.recon_weight:
            return cast(Coded, self.pictures).draw(batch, self.generator.z_dim, rng)
        return torch.randn(batch, self.generator.z_dim, generator=rng), None

    def _ws(self, z: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """z [B,D] => ws [B,L,D], and which [B] switch to a second latent at a random layer (style mixing)."""
        batch = len(z)
        mixed = torch.rand(batch, 1, generator=rng) < self.settings.style_mixing
        first = torch.randint(1, self.generator.num_ws, (batch, 1), generator=rng)
        second = (mixed & (torch.arange(self.generator.num_ws) >= first)).to(self.device)  # [B,L]
        both = torch.cat([z, torch.randn(z.shape, generator=rng)]).to(self.device)
        w, other = self.generator.mapping(both).chunk(2)
        self.generator.mapping.track(distributed.all_reduce_mean(w.detach().mean(dim=0)))
        ws = torch.where(second[..., None], self.generator.broadcast(other), self.generator.broadcast(w))
        return ws, mixed[:, 0].to(self.device)

    def _noise_rng(self, rng: torch.Generator) -> torch.Generator:
        seed = int(torch.randint(2**62, (1,), generator=rng))
        return torch.Generator(self.device).manual_seed(seed)

    def _real(self, batch: int, rng: torch.Generator) -> Tensor:
        indices = torch.randint(len(self.pictures), (batch,), generator=rng).numpy()
        real = self.pictures.batch(indices)
        if self.settings.mirror:
            flip = torch.rand(batch, 1, 1, 1, generator=rng) < 0.5
            real = torch.where(flip, real.flip(3), real)
        return real.to(self.device, memory_format=torch.channels_last)

    def _regularise_paths(self, rng: torch.Generator) -> Tensor:
        """Path length on half a batch."""
        z, _ = self._latents(max(self.batch // 2, 1), rng)
        ws, _ = self._ws(z, rng)
        ws = ws if ws.requires_grad else ws.requires_grad_()
        img = self.generator.synthesis(ws, self.noise_mode, self._noise_rng(rng))
        lengths = path_lengths(img, ws, torch.randn(img.shape, generator=rng).to(img))
        penalty, mean = path_length_penalty(lengths, self.path_mean.value)
        self.path_mean.value.copy_(distributed.all_reduce_mean(mean))
        self._update("generator", self.settings.path_weight * self.settings.path_every * penalty)
        return lengths.mean()

    def _regularise_discriminator(self, real: Tensor) -> Tensor:
        real = real.detach().requires_grad_(True)
        penalty = r1_penalty(self.discriminator(real), real)
        self._update("discriminator", self.settings.r1_gamma / 2 * self.settings.r1_every * penalty)
        return penalty

    def _update(self, name: str, loss: Tensor) -> None:
        adam = self.optimisers[f"{name}_adam"]
        adam.zero_grad()
        loss.backward()
        distributed.mean_gradients(learned := adam.param_groups[0]["params"])
        match_grad_strides(learned)
        sanitize_grads([p.grad for p in learned if p.grad is not None])
        adam.step()

    # ---- what comes out

    @torch.no_grad()
    def sheet(self, psi: float, seed: int = 1000) -> Tensor:
        """The EMA's pictures of fixed seeds [3,H',W']."""
        ws = self.g_ema.sample_ws(range(seed, seed + self.settings.samples), psi=1.0)
        ws = truncate(ws, self.g_ema.w_avg, psi)
        return grid(torch.cat([self.g_ema.synthesis(part) for part in ws.split(8)]), 8)

    def export(self, path: Path) -> None:
        """The EMA, in half precision but for what needs all of it, ready for load_generator."""
        generator = copy.deepcopy(self.g_ema)
        generator.measure_w()
        safetensors_io.save(
            path, generator.state_dict(), generator.config.to_dict(), half=True, whole=self.full_precision
        )


def run(
    *,
    config: dict,
    out: Path,
    device: str | torch.device = "cpu",
    seed: int = 0,
    resume: bool = False,
    on_step: loop.OnStep | None = None,
    pictures: Pictures | None = None,
) -> Path:
    """Train by a recipe with tables [generator] and [training], and unless pictures are given [data] (training/data).
    With [warm_start] the pictures must be coded: such that latents stand for them.

    Writes state.safetensors, generator.safetensors and sample sheets into out; returns the generator's path.
    """
    distributed.setup_process(device)
    network, settings = StyleGAN2Config.from_dict(config["generator"]), GANSettings.from_dict(config["training"])
    if pictures is None:
        known = {"size": network.resolution, "device": device}
        found: Pictures = open_data("stylegan2", config, open_pictures, out=out, on_step=on_step, **known)
        pictures = found
    training = StyleGAN2Training(network, settings, pictures, device, seed)
    warm_start = warm_start_of(training, WarmStart, config.get("warm_start"), out, resume=resume, on_step=on_step)
    return run_gan_training(training, out, resume=resume, on_step=on_step, warm_start=warm_start)
