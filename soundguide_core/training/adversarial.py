"""What adversarial trainings share: their settings, and a run that may start warm (training/warm_start.py)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..common.errors import InputError
from ..common.memory import keep_freed_memory
from ..media.images import save_image
from . import loop
from .warm_start import WarmStart, WarmStartSettings, warm_start

if TYPE_CHECKING:
    from .stylegan2 import StyleGAN2Training


@dataclass(frozen=True)
class Settings:
    """How long and how: published values unless said. kimg are thousands of pictures shown to the discriminator."""

    kimg: float
    batch: int = 16
    lr: float = 0.0025
    anneal: float = 0.0  # last share of the run over which the rate falls to a twentieth; published: 0
    head_start: int = 0  # steps over which the generator's rate rises from 0: one that starts warm meets a novice
    r1_gamma: float = 0.3
    r1_every: int = 16
    path_weight: float = 2.0
    path_every: int = 4
    style_mixing: float = 0.9
    noise: bool = True  # off: the layers' noise is never used, and stays at strength 0
    learn_mapping: bool = True  # off: it stays as the warm start wrote it
    anchor: float = 0.0  # weight of likeness to the pictures that coded latents name
    ema_kimg: float = 5.0
    mirror: bool = False
    dtype: str = "float32"  # of features in the main terms; regularisers stay in float32
    save_kimg: float = 5.0
    samples: int = 32  # pictures in the sheet written at each checkpoint

    @property
    def steps(self) -> int:
        return round(self.kimg * 1000 / self.batch)

    def lr_at(self, i: int) -> float:
        left = 1 - i / self.steps
        return self.lr * (0.05 + 0.95 * min(left / self.anneal, 1)) if self.anneal else self.lr

    @classmethod
    def from_dict(cls, table: dict) -> Settings:
        unknown = sorted(table.keys() - cls.__dataclass_fields__.keys())
        if unknown:
            known = ", ".join(cls.__dataclass_fields__)
            raise InputError(f"The recipe's [training] has an unknown entry {unknown[0]!r}.", f"Use {known}.")
        return cls(kimg=table["kimg"], **{name: value for name, value in table.items() if name != "kimg"})


def prepare(device: str | torch.device) -> None:
    """Sets a process up for steps of one shape, thousands of times."""
    loop.join(device)
    if torch.device(device).type == "cpu":
        keep_freed_memory()
    torch.backends.cudnn.benchmark = True


def tame(grads: list[Tensor]) -> None:
    """What is no number becomes 0, what is endless large, as published; in place."""
    flat = torch.cat([grad.flatten() for grad in grads]).nan_to_num_(nan=0.0, posinf=1e5, neginf=-1e5)
    parts = flat.split([grad.numel() for grad in grads])
    torch._foreach_copy_(grads, [part.view(grad.shape) for part, grad in zip(parts, grads)])


def first_warm(
    training: StyleGAN2Training,
    start: type[WarmStart],
    table: dict | None,
    out: Path,
    *,
    resume: bool,
    on_step: loop.OnStep | None,
) -> Path:
    """A recipe's [warm_start], where it has one, then the adversarial training; the generator's path.

    Writes state.safetensors, generator.safetensors and sheets of what the average makes, at psi 1 and 0.7, into out.
    """
    settings, weights = training.settings, out / "generator.safetensors"
    if table is not None and not (resume and (out / loop.STATE).is_file()):
        first = WarmStartSettings.from_dict(table)
        first = start(training.generator, first, training.pictures, training.device, training.seed)
        warm_start(first, out, resume=resume, on_step=on_step)
        training.average.load_state_dict(training.generator.state_dict())
        training.export(weights)
        resume = False

    def write(done: int) -> None:
        training.export(weights)
        for psi in (1.0, 0.7):
            kimg = done * settings.batch // 1000
            save_image(training.sheet(psi), out / f"{training.sheets}-{kimg:05d}kimg-psi{psi}.png")

    save_every = max(round(settings.save_kimg * 1000 / settings.batch), 1)
    loop.run(training, settings.steps, out, resume=resume, save_every=save_every, on_step=on_step, on_save=write)
    return weights
