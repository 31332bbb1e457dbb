"""Analyzing and Improving the Image Quality of StyleGAN (Karras et al. 2020): training, section 3.2 and appendix B.

Axes: B batch, L layers, D dims, H W.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from ..checkpoints import safetensors_io
from ..common.errors import InputError
from ..common.memory import to_device
from ..common.rng import with_seed
from ..generators.discriminators import Discriminator
from ..generators.latents import truncate
from ..generators.stylegan2 import Generator, NoiseRows, StyleGAN2Config
from ..losses.adversarial import discriminator_loss, generator_loss, path_length_penalty, path_lengths, r1_penalty
from ..losses.perceptual import pyramid_distance
from ..media.images import grid
from .data.pictures import Pictures, open_pictures, split_off
from .data.sources import open_data
from .engine import distributed, loop
from .engine.adversarial import GANSettings, overfitting, run_gan_training
from .engine.ema import RunningMean, ema_beta, ema_update
from .engine.gradients import match_grad_strides, sanitize_grads
from .engine.run_settings import RunSettings
from .engine.shared_losses import Means
from .recipe import check_entries
from .warm_start import Coded, WarmStart, gan_entries, warm_start_of

GROUP = 4  # pictures of minibatch_std
VALIDATED = 128  # pictures, at most


@dataclass(frozen=True)
class Latents:
    """What a batch of fakes is drawn from: z [B,Z]; which [B,1] switch to another z [B,Z] at which first layer [B,1];
    the seed of the layers' noise; and of coded pictures their indices [B]."""

    z: Tensor
    mixed: Tensor
    first: Tensor
    other: Tensor
    noise_seed: int
    indices: Tensor | None = None

    def of(self, rows: slice) -> Latents:
        return replace(self, z=self.z[rows], mixed=self.mixed[rows], first=self.first[rows], other=self.other[rows])

    def noise(self, rows: slice, device: torch.device) -> NoiseRows:
        """The noise of these rows."""
        return NoiseRows(torch.Generator(device).manual_seed(self.noise_seed), len(self.z), rows)


class StyleGAN2Training:
    """Two networks, the generator's EMA, and one alternating update per step."""

    networks = (Generator, Discriminator)
    sheets = "samples"
    full_precision = " "  # how the names of tensors begin that are not kept as fp16; none does

    def __init__(
        self, config: StyleGAN2Config, settings: GANSettings, pictures: Pictures, device: str | torch.device, seed: int,
        *, run: RunSettings | None = None, held_out: Pictures | None = None,
    ):  # fmt: skip
        run = run or RunSettings()
        self.settings, self.pictures, self.device, self.seed = settings, pictures, torch.device(device), seed
        self.held_out = held_out
        self.dtype = getattr(torch, run.dtype_for(settings.dtype, device))
        self.noise_mode = settings.noise_mode
        self.batch = settings.batch  # of all processes
        self.shares = distributed.shares(settings.batch, run.accumulate, GROUP)
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

    def step(self, i: int) -> loop.StepLosses:
        return loop.StepLosses(self.update(i))

    def update(self, i: int) -> dict[str, Tensor]:
        """Generator, path length, discriminator, R1, EMA; the losses are left where they are."""
        s, rng = self.settings, loop.step_rng(self.seed, i)
        self.set_rates(i)

        # generator
        self.discriminator.requires_grad_(False)
        drawn = self._latents(self.batch, rng)
        fakes, losses = [], Means(len(self.shares))

        def generator_terms(rows: slice) -> Tensor:
            ws, w = self._ws(drawn.of(rows))
            losses.add(w_mean=w.detach().mean(dim=0))
            fake = self.generator.synthesis(ws, self.noise_mode, drawn.noise(rows, self.device), self.dtype)
            fakes.append(fake.detach())
            loss = generator_loss(self.discriminator(fake, self.dtype))
            losses.add(generator=loss)
            if s.recon_weight and drawn.indices is not None:
                target = to_device(self.pictures.batch(drawn.indices[rows]), self.device, fake.dtype)
                plain = to_device(~drawn.mixed[rows, 0], self.device, fake.dtype)
                distance = plain * pyramid_distance(fake, target, levels=3, square=2.0)
                losses.add(recon=distance.sum() / plain.sum().clamp(min=1))  # 0 where every latent is mixed
                loss = loss + s.recon_weight * losses.last["recon"]
            return loss

        self._update("generator", map(generator_terms, self.shares))
        self.generator.mapping.track(distributed.all_reduce_mean(losses.take("w_mean")))
        if s.path_weight and i % s.path_every == 0:
            losses.add_whole(path=self._regularise_paths(rng))

        # discriminator
        self.discriminator.requires_grad_(True)
        real = [self._real(rows, draw) for draw in [self._real_draw(rng)] for rows in self.shares]

        def discriminator_terms(part: tuple[Tensor, Tensor]) -> Tensor:
            scores, fake_scores = (self.discriminator(img, self.dtype) for img in part)
            loss = discriminator_loss(scores, fake_scores)
            losses.add(discriminator=loss, real=scores.mean(), fake=fake_scores.mean())
            return loss

        self._update("discriminator", map(discriminator_terms, zip(real, fakes)))
        if s.r1_gamma and i % s.r1_every == 0:
            losses.add_whole(r1=self._regularise_discriminator(real))

        # EMA
        beta = ema_beta(s.batch, (i + 1) * s.batch, s.ema_kimg * 1000)
        ema_update(self.g_ema, self.generator, beta)
        return losses.values

    def set_rates(self, i: int) -> None:
        """The learning rates of step i."""
        s = self.settings
        for adam in self.optimisers.values():
            adam.param_groups[0]["lr"] = s.lr_at(i) * adam.param_groups[0]["ratio"]
        if i < s.g_warmup_steps:
            self.optimisers["generator_adam"].param_groups[0]["lr"] *= i / s.g_warmup_steps

    def _latents(self, batch: int, rng: torch.Generator) -> Latents:
        """Fresh z [B,D] with what is mixed into them, and with recon_weight the indices [B] of their pictures."""
        indices = None
        if self.settings.recon_weight:
            z, indices = cast(Coded, self.pictures).draw(batch, self.generator.z_dim, rng)
        else:
            z = torch.randn(batch, self.generator.z_dim, generator=rng)
        mixed = torch.rand(batch, 1, generator=rng) < self.settings.style_mixing
        first = torch.randint(1, self.generator.num_ws, (batch, 1), generator=rng)
        other = torch.randn(z.shape, generator=rng)
        return Latents(z, mixed, first, other, int(torch.randint(2**62, (1,), generator=rng)), indices)

    def _ws(self, drawn: Latents) -> tuple[Tensor, Tensor]:
        """=> ws [B,L,D], some of which switch to a second latent at a random layer (style mixing), and w [B,D]."""
        second = drawn.mixed & (torch.arange(self.generator.num_ws) >= drawn.first)  # [B,L]
        second = to_device(second, self.device)
        w, other = self.generator.mapping(to_device(torch.cat([drawn.z, drawn.other]), self.device)).chunk(2)
        return torch.where(second[..., None], self.generator.broadcast(other), self.generator.broadcast(w)), w

    def _real_draw(self, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Which pictures [B], and which of them are mirrored [B,1,1,1]."""
        indices = torch.randint(len(self.pictures), (self.batch,), generator=rng)
        flip = torch.rand(self.batch, 1, 1, 1, generator=rng) < 0.5 if self.settings.mirror else torch.tensor(False)
        return indices, flip.expand(self.batch, 1, 1, 1)

    def _real(self, rows: slice, draw: tuple[Tensor, Tensor]) -> Tensor:
        indices, flip = (x[rows] for x in draw)
        real = self.pictures.batch(indices.numpy())
        real = to_device(torch.where(flip, real.flip(3), real), self.device)
        return real.contiguous(memory_format=torch.channels_last)

    def _regularise_paths(self, rng: torch.Generator) -> Tensor:
        """Path length on half a batch."""
        half = max(self.batch // 2, 1)
        drawn = self._latents(half, rng)
        noise = torch.randn(half, 3, self.generator.resolution, self.generator.resolution, generator=rng)

        def lengths_of(rows: slice) -> Tensor:
            ws, _ = self._ws(drawn.of(rows))
            ws = ws if ws.requires_grad else ws.requires_grad_()
            img = self.generator.synthesis(ws, self.noise_mode, drawn.noise(rows, self.device))
            return path_lengths(img, ws, to_device(noise[rows], self.device, img.dtype))

        parts = [lengths_of(self.shares[0])] if len(self.shares) == 1 else None
        found = parts or [lengths_of(rows).detach() for rows in self.shares]  # twice where memory is short
        mean = distributed.all_reduce_mean(torch.cat(found).detach().mean())
        each = iter(parts) if parts else map(lengths_of, self.shares)
        path_mean = self.path_mean.value.clone()
        penalties = (path_length_penalty(lengths, path_mean, of=mean) for lengths in each)
        weight = self.settings.path_weight * self.settings.path_every
        self._update("generator", (weight * penalty for penalty, _ in penalties))
        self.path_mean.value.copy_(path_length_penalty(found[0].detach(), path_mean, of=mean)[1])
        return mean

    def _regularise_discriminator(self, parts: Iterable[Tensor]) -> Tensor:
        s, found = self.settings, []

        def penalty(real: Tensor) -> Tensor:
            real = real.detach().requires_grad_(True)
            found.append(r1_penalty(self.discriminator(real), real))
            return s.r1_gamma / 2 * s.r1_every * found[-1]

        self._update("discriminator", map(penalty, parts))
        return torch.stack([x.detach() for x in found]).mean()

    def _update(self, name: str, losses: Iterable[Tensor]) -> None:
        """One step down the mean of losses, of the shares of a batch; each is let go before the next is computed."""
        adam = self.optimisers[f"{name}_adam"]
        adam.zero_grad()
        for loss in losses:
            (loss / len(self.shares)).backward()
        distributed.mean_gradients(learned := adam.param_groups[0]["params"])
        match_grad_strides(learned)
        sanitize_grads([p.grad for p in learned if p.grad is not None])
        adam.step()

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """What D says of pictures that were held out, and

            r_v = (E[D_train] - E[D_held_out]) / (E[D_train] - E[D_fake])

        0 for none and 1 for full overfitting (Karras et al. 2020, "Training GANs with Limited Data", equation 1)."""
        if self.held_out is None:
            return {}
        count = min(len(self.held_out), len(self.pictures), VALIDATED)
        count = count // GROUP * GROUP or count
        order = torch.randperm(len(self.pictures), generator=torch.Generator().manual_seed(self.seed))[:count].numpy()
        ws, groups = self.g_ema.sample_ws(range(count), psi=1.0), -(-count // GROUP)
        sets = {
            "seen": [self.pictures.batch(part) for part in np.array_split(order, groups)],
            "held_out": [self.held_out.batch(part) for part in np.array_split(np.arange(count), groups)],
            "fake": [self.g_ema.synthesis(part) for part in ws.split(GROUP)],
        }
        means = {
            name: float(torch.cat([self.discriminator(img.to(self.device)) for img in imgs]).mean())
            for name, imgs in sets.items()
        }
        return overfitting(means)

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
    check_entries(config, gan_entries(StyleGAN2Config))
    distributed.setup_process(device)
    running, held_out = RunSettings.of(config), None
    network, settings = StyleGAN2Config.from_dict(config["generator"]), GANSettings.from_dict(config["training"])
    if pictures is None:
        known = {"size": network.resolution, "device": device}
        pictures, held_out = split_off(open_data("stylegan2", config, open_pictures, out=out, on_step=on_step, **known))
    assert pictures is not None  # given, or opened
    training = StyleGAN2Training(network, settings, pictures, device, seed, run=running, held_out=held_out)
    warm_start = warm_start_of(training, WarmStart, config.get("warm_start"), out, resume=resume, on_step=on_step)
    return run_gan_training(training, out, resume=resume, on_step=on_step, warm_start=warm_start, settings=running)
