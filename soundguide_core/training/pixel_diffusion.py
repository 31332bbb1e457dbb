"""A pixel diffusion UNet: J. Ho et al., "Denoising Diffusion Probabilistic Models", NeurIPS 2020, with v prediction
(T. Salimans and J. Ho, "Progressive Distillation", ICLR 2022), their SNR + 1 weights capped as min-SNR's are
(T. Hang et al., ICCV 2023), and levels spread over the batch (D. Kingma et al., "Variational Diffusion Models",
NeurIPS 2021, appendix I.1). A recipe with [conditioning] makes one that is told what to paint (conditioning.py).

Axes: B batch, D dims of a joint space, H W picture, T noise levels.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

from ..checkpoints import registry, safetensors_io, weights
from ..common.errors import InputError
from ..common.files import replacing
from ..common.memory import to_device
from ..common.rng import with_seed
from ..diffusion.denoiser import Denoiser
from ..diffusion.sampler import FrameNoise, SamplerConfig, sample
from ..diffusion.unet import UNet
from ..embedding.joint import load_joint
from ..media.images import grid, save_image
from .conditioning import Conditioning, ConditioningSettings
from .data.captions import open_told
from .data.pictures import Pictures, open_split
from .data.sources import open_data
from .engine import distributed, loop
from .engine.ema import ema_beta, ema_update
from .engine.optimisers import fused, take_step
from .engine.run_settings import RunSettings
from .engine.schedules import warmup_cosine
from .engine.settings import from_table
from .engine.shared_losses import Means
from .recipe import check_entries, names_of


@dataclass(frozen=True)
class DiffusionSettings:
    """How a diffusion is trained: the recipe's [training]."""

    steps: int
    batch: int = 16
    lr: float = 4e-4
    warmup: int = 200  # steps; from there the rate falls to 0 along a cosine
    weight_decay: float = 0.01
    clip: float = 1.0  # largest norm of the gradient
    max_weight: float = 5.0  # gamma: x0 at a level counts as its signal-to-noise ratio + 1, but no more than this
    ema: float = 4000.0  # half-life of the EMA in pictures
    mirror: bool = True
    dtype: str = "float32"
    save_every: int = 500
    samples: int = 24  # pictures in the sheet written at each checkpoint

    def lr_at(self, i: int) -> float:
        return self.lr * warmup_cosine(i, self.steps, self.warmup)

    @classmethod
    def from_dict(cls, table: dict) -> DiffusionSettings:
        return from_table(cls, table, "training")


class DiffusionTraining:
    """The UNet, its EMA, and one update per step. start: a file of weights to go on from.

    conditioning: what the UNet is told of each picture; None where it has no context.
    """

    def __init__(
        self,
        config: dict,
        settings: DiffusionSettings,
        pictures: Pictures,
        device: str | torch.device,
        seed: int,
        *,
        conditioning: Conditioning | None = None,
        start: Path | None = None,
        run: RunSettings | None = None,
    ):
        run = run or RunSettings()
        self.config, self.settings, self.pictures, self.seed = config, settings, pictures, seed
        self.conditioning = conditioning
        self.device = torch.device(device)
        self.dtype = getattr(torch, run.dtype_for(settings.dtype, device))
        self.batch = settings.batch  # of all processes
        self.shares = distributed.shares(settings.batch, run.accumulate)
        self.unet = with_seed(seed, lambda: UNet(**config["unet"], schedule=config["schedule"]))
        if start is not None:
            begin_from(self.unet, start)
        layout: dict[str, Any] = {"device": self.device, "memory_format": torch.channels_last}
        cast(Any, self.unet).to(**layout)  # diffusers' wrapper of it has no signature
        self.ema = copy.deepcopy(self.unet).eval().requires_grad_(False)
        self.denoiser = Denoiser(self.ema)
        self.alpha_bar = self.denoiser.alpha_bar.float().to(self.device)  # [T]
        self.adamw = torch.optim.AdamW(
            self.unet.parameters(), weight_decay=settings.weight_decay, fused=fused(self.device)
        )
        self.modules = {"unet": self.unet, "ema": self.ema}
        self.optimisers = {"adamw": self.adamw}

    def step(self, i: int) -> loop.StepLosses:
        """One update; its loss."""
        s, rng = self.settings, loop.step_rng(self.seed, i)
        t, weight = self._levels(rng)
        indices, flip = self._pictures(rng)
        told = None if self.conditioning is None else self.conditioning.what(self.batch, rng)
        there = rng if self.device.type == "cpu" else loop.step_rng(self.seed, i, self.device)
        size = self.denoiser.resolution
        assert size is not None  # run() has its sample_size
        eps = torch.randn(self.batch, 3, size, size, generator=there, device=self.device)
        losses = Means(len(self.shares))

        self.adamw.param_groups[0]["lr"] = s.lr_at(i)
        self.adamw.zero_grad()
        for rows in self.shares:
            x0 = self._x0(indices[rows], flip[rows])
            context = None
            if self.conditioning is not None and told is not None:
                context = self.conditioning.tell(indices[rows], x0, told.of(rows))
            loss = (weight[rows] * self._v_loss(self.unet, x0, t[rows], eps[rows], context)).mean()
            losses.add(v=loss)
            (loss / len(self.shares)).backward()
        distributed.mean_gradients(self.unet.parameters())
        torch.nn.utils.clip_grad_norm_(self.unet.parameters(), s.clip)
        take_step(self.adamw)
        ema_update(self.ema, self.unet, ema_beta(s.batch, (i + 1) * s.batch, s.ema))
        return loop.StepLosses(losses.values)

    def _pictures(self, rng: torch.Generator) -> tuple[np.ndarray, Tensor]:
        """Which ones [B], and which of them are mirrored [B,1,1,1]."""
        indices = torch.randint(len(self.pictures), (self.batch,), generator=rng).numpy()
        flip = torch.rand(self.batch, 1, 1, 1, generator=rng) < 0.5 if self.settings.mirror else torch.tensor(False)
        return indices, flip.expand(self.batch, 1, 1, 1)

    def _x0(self, indices: np.ndarray, flip: Tensor) -> Tensor:
        """[B,3,H,W]"""
        x0 = self.pictures.batch(indices, self.device)
        x0 = torch.where(to_device(flip, self.device), x0.flip(3), x0) if self.settings.mirror else x0
        return x0.contiguous(memory_format=torch.channels_last)

    def _levels(self, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """t [B], one in each B-th of the levels, and the weights [B] of their losses on v."""
        num_levels = len(self.alpha_bar)
        u = (torch.arange(self.batch) + torch.rand(1, generator=rng)) / self.batch
        t = to_device((u * num_levels).long().clamp(max=num_levels - 1), self.device)
        snr = self.alpha_bar[t] / (1 - self.alpha_bar[t])
        # |v - v_hat|^2 = (SNR + 1) |x0 - x0_hat|^2, so min(SNR + 1, gamma) on x0 is on v:
        return t, (self.settings.max_weight / (snr + 1)).clamp(max=1)

    def _v_loss(self, unet: UNet, x0: Tensor, t: Tensor, eps: Tensor, context: Tensor | None = None) -> Tensor:
        """[B] mean squared error of v = alpha eps - sigma x0 at x_t = alpha x0 + sigma eps."""
        alpha_bar = self.alpha_bar[t][:, None, None, None]
        alpha, sigma = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            x_t = alpha * x0 + sigma * eps
            v = (unet(x_t, t) if context is None else unet(x_t, t, context=context)).sample
        return (v.float() - (alpha * eps - sigma * x0)).square().mean(dim=(1, 2, 3))

    @torch.no_grad()
    def evaluate(
        self, pictures: Pictures, levels: tuple[int, ...], seed: int = 0, context: Tensor | None = None
    ) -> dict[str, float]:
        """Mean squared error of the EMA's v at each level t, over all of pictures; context [N,D] is told of them."""
        rng = torch.Generator().manual_seed(seed)
        x0 = pictures.batch(np.arange(len(pictures)), self.device)
        told = [None] * len(x0.split(32)) if context is None else context.split(32)
        scores = {}
        for t in levels:
            parts = []
            for part, known in zip(x0.split(32), told, strict=True):
                eps = torch.randn(part.shape, generator=rng).to(part)
                parts.append(self._v_loss(self.ema, part, torch.full([len(part)], t, device=self.device), eps, known))
            scores[str(t)] = torch.cat(parts).mean().item()
        return scores

    def sheet(self, seed: int = 0, steps: int = 20) -> Tensor:
        """What the EMA makes of fixed noise [3,H',W']."""
        noise = FrameNoise(seed, range(self.settings.samples))
        size = self.denoiser.resolution
        assert size is not None  # run() has its sample_size
        x_t = noise.source(torch.zeros(len(noise.frames), 3, size, size, device=self.device), len(self.alpha_bar) - 1)
        config = SamplerConfig("dpm-solver", steps)
        return grid(sample(self.denoiser, x_t, self.config["schedule"], config, noise=noise), 8)

    def export(self, path: Path) -> None:
        """The EMA, in half precision, ready for load_unet."""
        safetensors_io.save(path, self.ema.state_dict(), self.config, half=True)


def begin_from(unet: UNet, path: Path) -> None:
    """Fill unet with the weights of a file of a network that may lack parts of it: a context, a path for details.

    What the file lacks stays as it is, and begins at zero; where a convolution has more channels now, the first are
    the file's.

    Raises:
        InputError: the file holds weights that have no place in unet.
    """
    tensors, _ = weights.load(path, "unet")
    safetensors_io.check_finite(tensors, path)
    ours = unet.state_dict()
    for key, x in tensors.items():
        if key not in ours or ours[key].shape[1:] != x.shape[1:] or len(ours[key]) < len(x):
            raise InputError(f"{path} is not a smaller one of the recipe's UNets ({key}).", "Name another `start`.")
        ours[key][: len(x)].copy_(x)


def run(
    *,
    config: dict,
    out: Path,
    device: str | torch.device = "cpu",
    seed: int = 0,
    resume: bool = False,
    on_step: loop.OnStep | None = None,
) -> Path:
    """Train by a recipe with tables [data] (training/data), [unet] and [schedule] (keyword arguments of our UNet and of
    diffusers' DDPMScheduler), [training], and for a UNet with context_dim [conditioning]. Its `start` names weights to
    go on from: a registry name or a path.

    Writes state.safetensors, unet.safetensors, scores.json and sheets of samples into out; returns the UNet's path.
    """
    tables = {"unet": names_of(UNet, UNet2DModel), "schedule": names_of(DDPMScheduler)}
    tables["conditioning"] = names_of(ConditioningSettings)
    check_entries(config, {**dict.fromkeys(("data", "scenes", "training", "start", "run")), **tables})
    distributed.setup_process(device)
    running, settings = RunSettings.of(config), DiffusionSettings.from_dict(config["training"])
    network = {"unet": dict(config["unet"]), "schedule": dict(config["schedule"])}
    if network["schedule"].get("prediction_type") != "v_prediction":
        raise InputError("This training is on v.", 'Set prediction_type = "v_prediction" in [schedule].')
    size = network["unet"]["sample_size"] * network["unet"].get("patch", 1)
    known = {"size": size, "device": device}
    open_folder = open_told if "conditioning" in config else open_split
    pictures, held_out = open_data("pixel_diffusion", config, open_folder, out=out, on_step=on_step, **known)
    conditioning = _conditioning(config, pictures, device)
    start = registry.find("unet", config["start"]).files["unet"] if "start" in config else None
    training = DiffusionTraining(
        network, settings, pictures, device, seed, conditioning=conditioning, start=start, run=running
    )
    exported, latest = out / "unet.safetensors", {}

    def errors() -> dict[str, dict[str, float]]:
        """Of what was held out, by level, untold and told."""
        levels = tuple(len(training.alpha_bar) * i // 10 for i in (0, 1, 3, 5, 7, 9))
        latest["v"] = training.evaluate(held_out, levels)
        if conditioning is not None:
            latest["v told"] = training.evaluate(held_out, levels, context=conditioning.told(held_out))
        return latest

    def validate() -> dict[str, float]:
        return {f"{name} at {t}": error for name, found in errors().items() for t, error in found.items()}

    def write(done: int) -> None:
        training.export(exported)
        scores = {"steps": done, **(latest if not running.validate_every else errors())}
        with replacing(out / "scores.json") as temporary:
            temporary.write_text(json.dumps(scores, indent=2), encoding="utf-8")
        save_image(training.sheet(), out / f"samples-{done:06d}.png")

    loop.run(
        training,
        settings.steps,
        out,
        resume=resume,
        save_every=settings.save_every,
        on_step=on_step,
        on_save=write,
        settings=running,
        validate=validate,
    )
    return exported


def _conditioning(config: dict, pictures: Pictures, device: str | torch.device) -> Conditioning | None:
    """None for a UNet without context.

    Raises:
        InputError: [conditioning] without context_dim, or context_dim that is not that of the joint space.
    """
    dim = config["unet"].get("context_dim")
    if dim is None:
        if "conditioning" in config:
            raise InputError("The recipe has [conditioning], and its UNet no context.", "Set context_dim in [unet].")
        return None
    settings = ConditioningSettings.from_dict(config.get("conditioning", {}))
    clip = load_joint(settings.joint, device).clip
    if clip.dim != dim:
        raise InputError(f"The joint space has {clip.dim} dims, and context_dim is {dim}.", "Set it to the former.")
    return Conditioning(settings, clip, pictures)
