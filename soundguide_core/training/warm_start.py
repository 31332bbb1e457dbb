"""A warm start for a generator where there is time for thousands of steps, not for hundreds of thousands.

Auto-Encoding Variational Bayes (Kingma and Welling 2014): a small encoder reads z from a picture, the generator renders it
again, and the KL term keeps z near the normal distribution that the adversarial training then draws from. It teaches
where things are and their colours in a tenth of the time; sharpness is left to the discriminator.
Axes: B batch, D dims, H W.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..generators.discriminators import DiscriminatorBlock
from ..generators.ops import FullyConnected
from ..generators.stylegan2 import Generator, StyleGAN2Config
from ..images import grid, save_image
from ..losses.perceptual import pyramid_distance
from . import loop


@dataclass(frozen=True)
class WarmStartSettings:
    """How long and how.

    kimg: thousands of pictures shown, the first small_kimg of them at `small` pixels a side, several times quicker.
    small: at this size the encoder looks all the time; None for the generator's own.
    kl: weight of the KL term, per nat, against the mean absolute difference.
    """

    kimg: float
    small_kimg: float = 0.0
    small: int | None = None
    batch: int = 16
    lr: float = 0.0025
    kl: float = 1e-4
    dtype: str = "float32"

    @property
    def steps(self) -> int:
        return round(self.kimg * 1000 / self.batch)

    def lr_at(self, i: int) -> float:
        """Constant, then falling to a tenth over the last third."""
        return self.lr * min(1.0, 0.1 + 2.7 * (1 - i / self.steps))


class Encoder(nn.Module):
    """img [B,3,H,W] in -1..1 => mean and log variance of z, each [B,D]; the discriminator's blocks without its verdict."""

    def __init__(self, config: StyleGAN2Config):
        super().__init__()
        self.blocks = nn.Sequential(*(DiscriminatorBlock(r, config) for r in config.resolutions[:0:-1]))
        size = config.channels(4)
        self.fc = FullyConnected(size * 16, size, act=True)
        self.out = FullyConnected(size, 2 * config.z_dim)

    def forward(self, img: Tensor, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
        mean, log_var = self.out(self.fc(self.blocks(img.to(dtype)).float().flatten(1))).chunk(2, dim=1)
        return mean, log_var.clamp(-10, 4)


def kl_to_normal(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mean, var) || N(0, 1)), summed over D: [B,D], [B,D] => [B] in nats."""
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(dim=1)


class WarmStart:
    """Encoder and generator, one update per step."""

    def __init__(self, generator: Generator, settings: WarmStartSettings, pictures, device, seed: int):
        self.settings, self.pictures, self.device, self.seed = settings, pictures, torch.device(device), seed
        self.generator, self.dtype = generator, getattr(torch, settings.dtype)
        layout = {"device": self.device, "memory_format": torch.channels_last}
        self.full = generator.resolution
        self.small = settings.small or self.full
        sight = replace(generator.config, resolution=self.small)
        self.encoder = loop.seeded(seed + 2, lambda: Encoder(sight)).to(**layout)
        parameters = [*generator.parameters(), *self.encoder.parameters()]
        self.adam = torch.optim.Adam(parameters, betas=(0.9, 0.99), foreach=True)
        self.modules = {"generator": generator, "encoder": self.encoder}
        self.optimisers = {"adam": self.adam}

    def step(self, i: int) -> dict[str, float]:
        rng = loop.step_rng(self.seed, i)
        self.adam.param_groups[0]["lr"] = self.settings.lr_at(i)
        indices = torch.randint(len(self.pictures), (self.settings.batch,), generator=rng).numpy()
        real = self.pictures.batch(indices).to(self.device, memory_format=torch.channels_last)
        seen = F.interpolate(real, self.small, mode="area")
        size = self.small if i * self.settings.batch < self.settings.small_kimg * 1000 else self.full
        target = seen if size == self.small else real
        mean, log_var = self.encoder(seen, self.dtype)
        z = mean + (0.5 * log_var).exp() * torch.randn(mean.shape, generator=rng).to(mean)
        w = self.generator.mapping(z)
        self.generator.mapping.track(loop.mean(w.detach().mean(dim=0)))
        img = self.generator.synthesis(self.generator.broadcast(w), "none", None, self.dtype, size)
        likeness, kl = pyramid_distance(img, target).mean(), kl_to_normal(mean, log_var).mean()
        self.adam.zero_grad()
        (likeness + self.settings.kl * kl).backward()
        loop.mean_gradients(self.adam.param_groups[0]["params"])
        self.adam.step()
        return {"likeness": float(likeness.detach()), "kl": float(kl.detach())}

    @torch.no_grad()
    def sheet(self, count: int = 16) -> Tensor:
        """Pictures over their renderings [3,H',W']."""
        real = self.pictures.batch(torch.arange(count).numpy()).to(self.device)
        mean, _ = self.encoder(F.interpolate(real, self.small, mode="area"))
        ws = self.generator.broadcast(self.generator.mapping(mean))
        return grid(torch.cat([real, self.generator.synthesis(ws, "none")]), count // 2)


def warm_start(
    generator: Generator,
    settings: WarmStartSettings,
    pictures,
    out: Path,
    *,
    device: str | torch.device,
    seed: int,
    resume: bool,
    on_step: loop.OnStep | None,
) -> None:
    """Train `generator` in place, with checkpoints and a sheet of renderings in out/warm_start."""
    training = WarmStart(generator, settings, pictures, device, seed)
    folder = Path(out) / "warm_start"
    resume = resume and (folder / loop.STATE).is_file()

    def write(done: int) -> None:
        save_image(training.sheet(), folder / f"renderings-{done * settings.batch // 1000:05d}kimg.png")

    loop.run(training, settings.steps, folder, resume=resume, save_every=250, on_step=on_step, on_save=write)
