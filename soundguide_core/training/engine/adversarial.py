"""What the trainings of GANs share: their settings, and the run with its checkpoints and sheets of samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import torch
from torch import Tensor

from ...generators.generator import StyleGenerator
from ...media.images import save_image
from . import loop
from .distributed import rank
from .run_settings import RunSettings
from .schedules import linear_decay
from .settings import from_table

Settings = TypeVar("Settings", bound="GANSettings")
OLD_NAMES = {"anchor": "recon_weight", "head_start": "g_warmup_steps"}  # of recipes


@dataclass(frozen=True)
class GANSettings:
    """How a GAN is trained: the recipe's [training]. Defaults are StyleGAN2-ADA's for small pictures unless noted.

    kimg: thousands of real pictures (videos) shown to the discriminator.
    anneal: last share of the run over which the learning rate falls to a twentieth; published: 0.
    g_warmup_steps: steps over which the generator's learning rate rises from 0, for one that has had a warm start and
        meets a fresh discriminator; published: 0.
    noise: the layers' noise: "random", as published; "const", as it is stored, for a warm start that has learned it; or
        "none", where its strength stays 0.
    learn_mapping: False: the mapping network stays as the warm start has set it.
    recon_weight: weight of the reconstruction loss against the pictures that coded latents stand for; published: 0.
    dtype: of features in the adversarial terms; regularisers stay in float32.
    samples: pictures in the sheet that is written at each checkpoint.
    """

    kimg: float
    batch: int = 16
    lr: float = 0.0025
    anneal: float = 0.0
    g_warmup_steps: int = 0
    r1_gamma: float = 0.3
    r1_every: int = 16
    path_weight: float = 2.0
    path_every: int = 4
    style_mixing: float = 0.9
    noise: Literal["random", "const", "none"] | bool = "random"  # of earlier recipes: true and false
    learn_mapping: bool = True
    recon_weight: float = 0.0
    ema_kimg: float = 5.0
    mirror: bool = False
    dtype: str = "float32"
    save_kimg: float = 5.0
    samples: int = 32

    @property
    def steps(self) -> int:
        return round(self.kimg * 1000 / self.batch)

    @property
    def noise_mode(self) -> str:
        if isinstance(self.noise, bool):
            return "random" if self.noise else "none"
        return self.noise

    def lr_at(self, i: int) -> float:
        return self.lr * linear_decay(i, self.steps, self.anneal, last=0.05)

    @classmethod
    def from_dict(cls: type[Settings], table: Mapping) -> Settings:
        return from_table(cls, table, "training", old_names=OLD_NAMES)


class GANTraining(loop.Training, Protocol):
    """A training whose generator's EMA can be looked at and saved."""

    device: torch.device
    seed: int
    sheets: str  # how the names of the sheets' files begin

    @property
    def settings(self) -> GANSettings: ...

    @property
    def pictures(self) -> Any:
        """What it learns from: Pictures or Videos, for a warm start coded ones."""
        ...

    @property
    def generator(self) -> StyleGenerator: ...

    @property
    def g_ema(self) -> StyleGenerator: ...

    def sheet(self, psi: float) -> Tensor:
        """Samples of g_ema at truncation psi, [3,H,W] in -1..1."""
        ...

    def export(self, path: Path) -> None:
        """Writes g_ema."""
        ...

    def validate(self) -> dict[str, float]:
        """Figures of what was held out; none where nothing was."""
        ...


def run_gan_training(
    training: GANTraining,
    out: Path,
    *,
    resume: bool = False,
    on_step: loop.OnStep | None = None,
    warm_start: Callable[[], None] | None = None,
    settings: RunSettings | None = None,
) -> Path:
    """Runs a warm start of the generator, where there is one, then the adversarial training => the generator's path.

    Writes state.safetensors, generator.safetensors and sheets of samples at psi 1 and 0.7 into out.
    """
    own, weights = training.settings, out / "generator.safetensors"
    if warm_start is not None and not (resume and (out / loop.STATE).is_file()):
        warm_start()
        training.g_ema.load_state_dict(training.generator.state_dict())
        if rank() == 0:
            training.export(weights)
        resume = False

    def write(done: int) -> None:
        training.export(weights)
        for psi in (1.0, 0.7):
            kimg = done * own.batch // 1000
            save_image(training.sheet(psi), out / f"{training.sheets}-{kimg:05d}kimg-psi{psi}.png")

    save_every = max(round(own.save_kimg * 1000 / own.batch), 1)
    loop.run(
        training, own.steps, out, resume=resume, save_every=save_every, on_step=on_step, on_save=write,
        settings=settings, validate=training.validate,
    )  # fmt: skip
    return weights


def overfitting(scores: Mapping[str, float]) -> dict[str, float]:
    """The mean scores of D on what it has seen, what was held out, and fakes, with r_v of them."""
    span = scores["seen"] - scores["fake"]
    return {**scores, "overfitting": (scores["seen"] - scores["held_out"]) / span if span else 0.0}
