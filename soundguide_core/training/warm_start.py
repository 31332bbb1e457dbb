"""A warm start for a generator where there is time for thousands of steps, not for hundreds of thousands.

Where the data's maker can say which picture a latent z should stand for, the generator learns that first by plain
regression, small pictures before large ones. It teaches where things are and their colours in a tenth of the time; the
adversarial training that follows judges every other z too.
Axes: B batch, D dims, H W.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from ..generators.stylegan2 import Generator
from ..images import grid, save_image
from ..losses.perceptual import pyramid_distance
from . import loop


class Coded(Protocol):
    """Pictures that are known by factors, and by latents: datasets of a maker who can say what z should stand for."""

    factors: tuple[int, ...]  # how many values each factor has

    def draw(self, batch: int, dims: int, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """z [B,D] standard normal, factors [B,K] of what they stand for, and anything [B] that picture() needs."""
        ...

    def picture(self, factors: Tensor, indices: Tensor) -> Tensor:
        """=> [B,3,H,W] in -1..1"""
        ...


@dataclass(frozen=True)
class WarmStartSettings:
    """How long and how.

    stages: (resolution, kimg) in turn, kimg being thousands of pictures shown.
    psi: the smallest truncation at which a latent must still render its picture.
    mapping_*: of the mapping, which sees no pictures.
    """

    stages: tuple[tuple[int, float], ...]
    batch: int = 16
    lr: float = 0.01
    psi: float = 0.6
    dtype: str = "float32"
    mapping_steps: int = 4000
    mapping_batch: int = 512
    mapping_lr: float = 0.003

    @property
    def synthesis_steps(self) -> int:
        return sum(round(kimg * 1000 / self.batch) for _, kimg in self.stages)

    @property
    def steps(self) -> int:
        return self.synthesis_steps + self.mapping_steps

    def resolution_at(self, i: int) -> int:
        for resolution, kimg in self.stages:  # noqa: B007
            i -= round(kimg * 1000 / self.batch)
            if i < 0:
                break
        return resolution

    def fall(self, done: float) -> float:
        """Factor on the rate with the share done in 0..1: constant, then falling to a tenth over the last third."""
        return min(1.0, 0.1 + 2.7 * (1 - done))

    @classmethod
    def from_dict(cls, table: dict) -> WarmStartSettings:
        unknown = sorted(table.keys() - cls.__dataclass_fields__.keys())
        if unknown:
            known = ", ".join(cls.__dataclass_fields__)
            raise InputError(f"The recipe's [warm_start] has an unknown entry {unknown[0]!r}.", f"Use {known}.")
        return cls(**{**table, "stages": tuple(map(tuple, table["stages"]))})


class WarmStart:
    """First the synthesis, from free latents w that are sums over factors; then the mapping, from z to those w."""

    def __init__(self, generator: Generator, settings: WarmStartSettings, coded: Coded, device, seed: int):
        self.settings, self.coded, self.device, self.seed = settings, coded, torch.device(device), seed
        self.generator, self.dtype = generator, getattr(torch, settings.dtype)
        spread = len(coded.factors) ** -0.5
        self.tables = loop.seeded(
            seed + 2, lambda: nn.ModuleList(nn.Embedding(n, generator.w_dim) for n in coded.factors)
        ).to(self.device)
        for table in self.tables:
            table.weight.data.mul_(spread)  # w has unit variance
        synthesis = [*generator.synthesis.parameters(), *self.tables.parameters()]
        self.synthesis_adam = torch.optim.Adam(synthesis, betas=(0.9, 0.99), foreach=True)
        self.mapping_adam = torch.optim.Adam(generator.mapping.parameters(), betas=(0.9, 0.99), foreach=True)
        self.modules = {"generator": generator, "tables": self.tables}
        self.optimisers = {"synthesis_adam": self.synthesis_adam, "mapping_adam": self.mapping_adam}

    def step(self, i: int) -> dict[str, float]:
        rng = loop.step_rng(self.seed, i)
        if i < self.settings.synthesis_steps:
            return self._synthesis_step(i, rng)
        return self._mapping_step(i - self.settings.synthesis_steps, rng)

    def w_of(self, factors: Tensor) -> Tensor:
        """factors [B,K] => w [B,D]"""
        return sum(table(column) for table, column in zip(self.tables, factors.to(self.device).unbind(1)))

    def _synthesis_step(self, i: int, rng: torch.Generator) -> dict[str, float]:
        s, size = self.settings, self.settings.resolution_at(i)
        _, factors, indices = self.coded.draw(s.batch, self.generator.z_dim, rng)
        real = F.interpolate(self.coded.picture(factors, indices).to(self.device), size, mode="area")
        w = self.w_of(factors)
        self.generator.mapping.track(loop.mean(w.detach().mean(dim=0)))
        psi = s.psi + (1 - s.psi) * torch.rand(len(w), 1, generator=rng).to(w)
        ws = self.generator.broadcast(torch.lerp(self.generator.w_avg.expand_as(w), w, psi))
        img = self.generator.synthesis(ws, "none", None, self.dtype, size)
        loss = pyramid_distance(img, real, levels=3).mean()
        self._update(self.synthesis_adam, loss, s.lr * s.fall(i / s.synthesis_steps))
        return {"likeness": float(loss.detach())}

    def _mapping_step(self, i: int, rng: torch.Generator) -> dict[str, float]:
        s = self.settings
        z, factors, _ = self.coded.draw(s.mapping_batch, self.generator.z_dim, rng)
        with torch.no_grad():
            w = self.w_of(factors)
        loss = (self.generator.mapping(z.to(self.device)) - w).square().mean()
        lr = s.mapping_lr / self.generator.mapping.fc0.lr_mul  # undoes the slow learning of published mappings
        self._update(self.mapping_adam, loss, lr * s.fall(i / s.mapping_steps))
        return {"mapping": float(loss.detach() / w.var())}

    def _update(self, adam: torch.optim.Adam, loss: Tensor, lr: float) -> None:
        adam.param_groups[0]["lr"] = lr
        adam.zero_grad()
        loss.backward()
        loop.mean_gradients(adam.param_groups[0]["params"])
        adam.step()

    @torch.no_grad()
    def sheet(self, count: int = 16) -> Tensor:
        """Pictures, their renderings from the tables, and those from z [3,H',W']."""
        z, factors, indices = self.coded.draw(count, self.generator.z_dim, loop.step_rng(self.seed, 2**31))
        rows = [self.coded.picture(factors, indices).to(self.device)]
        for w in (self.w_of(factors), self.generator.mapping(z.to(self.device))):
            rows.append(self.generator.synthesis(self.generator.broadcast(w), "none"))
        return grid(torch.cat(rows), count // 2)


def warm_start(
    generator: Generator,
    settings: WarmStartSettings,
    coded: Coded,
    out: Path,
    *,
    device: str | torch.device,
    seed: int,
    resume: bool,
    on_step: loop.OnStep | None,
) -> None:
    """Train `generator` in place, with checkpoints and a sheet of renderings in out/warm_start."""
    training = WarmStart(generator, settings, coded, device, seed)
    folder = Path(out) / "warm_start"
    resume = resume and (folder / loop.STATE).is_file()

    def write(done: int) -> None:
        save_image(training.sheet(), folder / f"renderings-{done * settings.batch // 1000:05d}kimg.png")

    loop.run(training, settings.steps, folder, resume=resume, save_every=500, on_step=on_step, on_save=write)
