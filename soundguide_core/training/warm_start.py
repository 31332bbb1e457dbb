"""A warm start for a generator where there is time for thousands of steps, not for hundreds of thousands.

Where the data's maker can say which picture a latent z should stand for, the generator learns that first by plain
regression, small pictures before large ones. It teaches where things are and their colours in a tenth of the time; the
adversarial training that follows judges every other z too.
Axes: B batch, D dims, H W.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..common.errors import InputError
from ..common.memory import to_device
from ..generators.generator import StyleGenerator
from ..generators.stylegan2 import StyleGAN2Config, SynthesisLayer
from ..losses.perceptual import pyramid_distance
from ..media.images import grid, save_image
from .engine import distributed, loop
from .engine.adversarial import GANTraining
from .engine.gradients import match_grad_strides
from .engine.settings import from_table
from .recipe import names_of


class Coded(Protocol):
    """Pictures that latents name: data of a maker who can say which z stands for which."""

    def draw(self, batch: int, z_dim: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """z [B,D] standard normal, and the indices [B] of their pictures."""
        ...

    def batch(self, indices) -> Tensor:
        """indices [B] => [B,3,H,W] in -1..1"""
        ...

    def write_mapping(self, mapping: nn.Module) -> None:
        """Sets a mapping that keeps the pictures' latents apart, and gives them a plain code in w."""
        ...


@dataclass(frozen=True)
class WarmStartSettings:
    """How long and how.

    stages: (resolution, kimg) in turn, kimg being thousands of pictures shown.
    psi: the smallest truncation at which w must still render its picture.
    square: weight of the mean squared difference beside the mean absolute one; it minds small bright things, such as
    stars, whose absence costs little on average.
    detail: weight of the difference in fine lines and dots (losses/perceptual.py), such as streaks of rain.
    learn_noise: the layers' constant noise is learned too. Without it a picture grows out of a map of 4 x 4, and small
    things in fixed places must be told by every layer on the way; each layer's noise is one map at its own resolution.
    change: of videos, weight of the likeness of the changes between two moments, in which all that stays cancels.
    """

    stages: tuple[tuple[int, float], ...]
    batch: int = 16
    lr: float = 0.01
    psi: float = 0.5
    square: float = 2.0
    detail: float = 0.0
    learn_noise: bool = False
    change: float = 0.0
    dtype: str = "float32"

    @property
    def steps(self) -> int:
        return sum(round(kimg * 1000 / self.batch) for _, kimg in self.stages)

    def resolution_at(self, i: int) -> int:
        for resolution, kimg in self.stages:  # noqa: B007
            i -= round(kimg * 1000 / self.batch)
            if i < 0:
                break
        return resolution

    def lr_factor(self, done: float) -> float:
        """Factor on the rate with the share done in 0..1: constant, then falling to a tenth over the last third."""
        return min(1.0, 0.1 + 2.7 * (1 - done))

    @classmethod
    def from_dict(cls, table: dict) -> WarmStartSettings:
        return from_table(cls, {**table, "stages": tuple(map(tuple, table["stages"]))}, "warm_start")


class WarmStart:
    """The synthesis learns to render w = mapping(z), one regression step at a time; the mapping is the data's own."""

    def __init__(self, generator: StyleGenerator, settings: WarmStartSettings, coded: Coded, device, seed: int):
        self.settings, self.coded, self.device, self.seed = settings, coded, torch.device(device), seed
        self.generator, self.dtype = generator, getattr(torch, settings.dtype)
        self.write_codes()
        generator.measure_w(keep_avg=False)
        self.noise_mode = "const" if settings.learn_noise else "none"
        learned = [p for p in generator.synthesis.parameters() if p.requires_grad]
        learned += start_noise(generator) if settings.learn_noise else []
        which = {"fused": True} if self.device.type == "cuda" else {"foreach": True}
        self.adam = torch.optim.Adam(learned, betas=(0.9, 0.99), **which)
        self.modules, self.optimisers = {"generator": generator}, {"adam": self.adam}

    def write_codes(self) -> None:
        self.coded.write_mapping(self.generator.mapping)

    def pair(self, batch: int, size: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Renderings, and the pictures that they should be, [B,3,size,size]."""
        (rows,) = distributed.shares(batch)
        z, indices = self.coded.draw(batch, self.generator.z_dim, rng)
        real = F.interpolate(to_device(self.coded.batch(indices[rows]), self.device), size, mode="area")
        return self.generator.synthesis(self.ws(z, rng, rows), self.noise_mode, None, self.dtype, size), real

    @torch.no_grad()
    def ws(self, z: Tensor, rng: torch.Generator, rows: slice) -> Tensor:
        """The rows of z [B,D] => ws [B,L,D], truncated at random down to the smallest psi."""
        w, least = self.generator.mapping(to_device(z[rows], self.device)), self.settings.psi
        psi = least + (1 - least) * to_device(torch.rand(len(z), 1, generator=rng)[rows], self.device)
        return self.generator.broadcast(torch.lerp(self.generator.w_avg.expand_as(w), w, psi))

    def step(self, i: int) -> loop.StepLosses:
        return loop.StepLosses(self.update(i))

    def update(self, i: int) -> dict[str, Tensor]:
        """Step i, its losses left where they are."""
        s, rng, size = self.settings, loop.step_rng(self.seed, i), self.settings.resolution_at(i)
        img, real = self.pair(s.batch, size, rng)
        loss = self.loss(img, real)
        self.adam.param_groups[0]["lr"] = s.lr * s.lr_factor(i / s.steps)
        self.adam.zero_grad()
        loss.backward()
        distributed.mean_gradients(learned := self.adam.param_groups[0]["params"])
        match_grad_strides(learned)
        self.adam.step()
        return {"recon": loss}

    def loss(self, img: Tensor, real: Tensor) -> Tensor:
        return pyramid_distance(img, real, 3, self.settings.square, self.settings.detail).mean()

    @torch.no_grad()
    def sheet(self, count: int = 16) -> Tensor:
        """Pictures over their renderings [3,H',W']."""
        z, indices = self.coded.draw(count, self.generator.z_dim, loop.step_rng(self.seed, 2**31))
        made = self.generator(z.to(self.device), noise_mode=self.noise_mode)
        return grid(torch.cat([self.coded.batch(indices).to(self.device), made]), count // 2)


@torch.no_grad()
def start_noise(generator: StyleGenerator) -> list[Tensor]:
    """The layers' constant noise [H,W] made ready to be learned: all 0, at a strength of 1, wanting gradients."""
    maps = []
    for layer in generator.synthesis.modules():
        if isinstance(layer, SynthesisLayer) and layer.noise:
            layer.noise_strength.fill_(1)
            maps.append(layer.noise_const.zero_().requires_grad_(True))
    if not maps:
        raise InputError("learn_noise needs a generator whose layers have noise.", "Leave it out of the recipe.")
    return maps


@torch.no_grad()
def finish_noise(generator: StyleGenerator) -> None:
    """Learned noise in the published form, a standard deviation of 1 times the layer's strength, and fixed."""
    for layer in generator.synthesis.modules():
        if isinstance(layer, SynthesisLayer) and layer.noise:
            noise = layer.noise_const.requires_grad_(False)
            strength = noise.std().clamp(min=1e-8)
            layer.noise_strength.mul_(strength)
            noise.div_(strength)


def gan_entries(network: type[StyleGAN2Config]) -> dict[str, set[str] | None]:
    """What a recipe of a GAN may hold, for check_entries; the sizes of its generator are the fields of `network`."""
    tables = dict.fromkeys(("data", "scenes", "clips", "training", "run"))
    sizes = names_of(network) | network.OLD_NAMES.keys()
    return {**tables, "generator": sizes, "warm_start": names_of(WarmStartSettings)}


def warm_start_of(
    training: GANTraining,
    kind: type[WarmStart],
    table: dict | None,
    out: Path,
    *,
    resume: bool,
    on_step: loop.OnStep | None,
) -> Callable[[], None] | None:
    """What run_gan_training is given: a call that does what a recipe's [warm_start] says; None without that table."""
    if table is None:
        return None
    settings = WarmStartSettings.from_dict(table)
    if not any(hasattr(training.pictures, name) for name in ("write_mapping", "write")):
        raise InputError(
            "A warm start needs pictures that latents stand for.",
            "Leave [warm_start] out of the recipe, or give coded data.",
        )

    def run() -> None:
        start = kind(training.generator, settings, training.pictures, training.device, training.seed)
        warm_start(start, out, resume=resume, on_step=on_step)

    return run


def warm_start(training: WarmStart, out: Path, *, resume: bool, on_step: loop.OnStep | None) -> None:
    """Train its generator in place, with checkpoints and a sheet of renderings in out/warm_start."""
    settings, folder = training.settings, Path(out) / "warm_start"
    resume = resume and (folder / loop.STATE).is_file()

    def write(done: int) -> None:
        save_image(training.sheet(), folder / f"renderings-{done * settings.batch // 1000:05d}kimg.png")

    loop.run(training, settings.steps, folder, resume=resume, save_every=500, on_step=on_step, on_save=write)
    if settings.learn_noise:
        finish_noise(training.generator)
