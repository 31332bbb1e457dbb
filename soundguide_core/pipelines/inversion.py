"""Your own picture: found in a generator, the generator tuned to it, kept in a file, and edits carried back to it.

    optimise            the nearest of random samples, then steps
    encoder             one pass of an inversion encoder
    encoder+refine      its answer, then a few steps from there
    optimise+tuning, encoder+tuning     then the generator itself learns the picture (pivotal tuning)

An encoder has an answer for everything. What it says of a picture unlike all that its generator paints is some scene, a
fire or a sea by chance, in which changes would begin; steps and tuning then begin at the mean of all scenes, from which
every change is a change.

Axes: B batch, L layers, D dims, H W picture.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoints import registry
from ..common.errors import InputError
from ..common.types import OnStep, PerceptualDistance
from ..embedding.joint import JointEncoder
from ..generators.generator import StyleGenerator
from ..generators.loading import load_found
from ..generators.tuned import save_tuned
from ..latents.encoder import KIND, InversionEncoder, load_inversion_encoder
from ..latents.projection import project
from ..latents.tuning import tune
from ..losses.perceptual import pyramid_distance
from ..media.images import load_image, resize
from ..systems.configs.projection import ENCODER, ProjectionConfig

NEARER = 0.6  # of the mean picture's distance: an encoder's answer that is not as near knows little of the picture


@dataclass
class FoundPicture:
    """ws [B,L,D], its rendering img [B,3,H,W] about -1..1 and the picture it was fitted to, target [B,3,H,W].

    generator: the one that paints img, tuned or as it was. name: what it was called before. history: of the losses.
    """

    ws: Tensor
    img: Tensor
    target: Tensor
    generator: StyleGenerator
    name: str = ""
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def error(self) -> float:
        """Root mean square difference of picture and rendering, in -1..1."""
        return float((self.img - self.target).square().mean().sqrt())

    def save(self, path: str | os.PathLike) -> None:
        """A small file: the latents, and what tuning changed of the generator (generators/tuned.py)."""
        save_tuned(path, self.generator, ws=self.ws, name=self.name)


def find_picture(
    img: Tensor,
    generator: StyleGenerator,
    joint: JointEncoder | None,
    config: ProjectionConfig,
    on_step: OnStep | None = None,
    *,
    encoder: InversionEncoder | None = None,
    perceptual: PerceptualDistance | None = None,
    name: str = "",
) -> FoundPicture:
    """A picture as the generator knows it, by config.method.

    Args:
        img: [B,3,H,W] in -1..1, any size; config.fit says what the generator's square shows of it.
        joint: compares what pictures show, too; None: pixels alone.
        encoder: for the methods that begin with one; None: the default, where it belongs to this generator.
        perceptual: for tuning; None: the joint encoder's picture tower, or pixels at four scales without one.
        name: of the generator, for a file of what was found.

    Raises:
        InputError: the method wants an encoder that is not there, or one of another generator is given.
    """
    img = squared(img, config.fit)
    if config.begins_with_encoder:
        encoder = encoder or default_encoder(generator)
        encoder.check(generator)
        found = _by_encoder(img, generator, joint, config, encoder, on_step)
    else:
        found = _by_steps(img, generator, joint, config, None, on_step)
    found.name = name
    if not config.tunes:
        return found
    tuned = tune(
        found.target, found.ws, generator, perceptual=perceptual or tower_distance(joint),
        config=config.tuning, name=name, on_step=on_step,
    )  # fmt: skip
    return replace(found, img=tuned.img, generator=tuned.generator, history=tuned.history or found.history)


def source_picture(
    generator: StyleGenerator,
    joint: JointEncoder | None,
    *,
    image: str | os.PathLike | None,
    config: ProjectionConfig,
    psi: float,
    class_index: int | None = None,
    on_step: OnStep | None = None,
    **how: Any,
) -> FoundPicture:
    """A picture file as it is found, or the generator's own of config.seed, and of a class where it has some.

    how: encoder, perceptual and name as in find_picture.
    """
    if image is not None:
        check_no_class(class_index)
        return find_picture(load_image(image), generator, joint, config, on_step, **how)
    ws = generator.sample_ws([config.seed], psi=psi, class_index=class_index)
    with torch.no_grad():
        img = generator.synthesis(ws)
    return FoundPicture(ws, img, img, generator, how.get("name", ""))


def saved_picture(path: str | os.PathLike, device: str | torch.device = "cpu") -> FoundPicture:
    """A picture that was found and saved, with the generator that paints it.

    Raises:
        InputError: the file is another, or its generator is not here or not the one that it was found in.
    """
    generator, ws = load_found(path, device)
    if ws is None:
        raise InputError(f"{path} holds a tuned generator without latents.", "Load it with Load StyleGAN.")
    with torch.no_grad():
        img = generator.synthesis(ws)
    return FoundPicture(ws, img, img, generator, Path(path).name)


def check_no_class(class_index: int | None) -> None:
    """Refuse a class where the picture is given, which has its own."""
    if class_index is not None:
        raise InputError("A class is of a random picture, and a picture is given.", "Give one of the two.")


def squared(img: Tensor, fit: str) -> Tensor:
    """What of a picture [B,3,H,W] the generator is shown: its middle, or the whole of it made square."""
    if fit == "crop":
        return img
    side = min(img.shape[2:])
    return resize(img, (side, side), "stretch")


def default_encoder(generator: StyleGenerator) -> InversionEncoder:
    """The inversion encoder that is taken where none is named, if it belongs to this generator.

    Raises:
        InputError: it does not.
    """
    encoder = load_inversion_encoder(device=str(generator.w_avg.device))
    try:
        encoder.check(generator)
    except InputError as error:
        raise InputError(
            f"There is no inversion encoder for this generator: {error.cause}",
            "Load its own (Load Inversion Encoder, --inversion-encoder), train one with `train inversion-encoder`, or "
            "use the method optimise+tuning.",
        ) from error
    return encoder


def tower_distance(joint: JointEncoder | None) -> PerceptualDistance | None:
    """How different pictures look to a joint encoder's picture tower, None without one or where it has no stages."""
    if joint is None:
        return None
    from ..losses.features import TowerDistance

    try:
        return TowerDistance(joint.clip)
    except InputError:
        return None


def encoder_names() -> list[str]:
    return registry.names(KIND)


def _by_steps(
    img: Tensor, generator: StyleGenerator, joint: JointEncoder | None, config: ProjectionConfig, start: Tensor | None,
    on_step: OnStep | None,
) -> FoundPicture:  # fmt: skip
    schedule = config.schedule if start is None else replace(config.schedule, steps=config.refine_steps)
    made = project(
        img, generator, features=None if joint is None else joint.encode_image, schedule=schedule, prior=config.prior,
        candidates=config.candidates, seed=config.seed, start=start, on_step=on_step,
    )  # fmt: skip
    return FoundPicture(made.ws, made.img, made.target, generator, history=made.history)


def _by_encoder(
    img: Tensor, generator: StyleGenerator, joint: JointEncoder | None, config: ProjectionConfig,
    encoder: InversionEncoder, on_step: OnStep | None,
) -> FoundPicture:  # fmt: skip
    target = resize(img, (generator.resolution, generator.resolution), "cover").to(generator.w_avg)
    with torch.no_grad():
        ws = encoder(target)
        if config.method != ENCODER:
            ws = known_or_mean(ws, target, generator)
        if config.method == ENCODER or not config.refine_steps:
            img = generator.synthesis(ws)
            error = float(pyramid_distance(img, target).mean())
            return FoundPicture(ws, img, target, generator, history=[{"pixels": error, "total": error}])
    return _by_steps(target, generator, joint, config, ws, on_step)


@torch.no_grad()
def known_or_mean(ws: Tensor, target: Tensor, generator: StyleGenerator) -> Tensor:
    """An encoder's answers ws [B,L,D] to pictures [B,3,H,W]; the mean latent where they are not much nearer than it."""
    mean = generator.w_avg.expand(len(ws), generator.num_ws, -1)
    known, unknown = (pyramid_distance(generator.synthesis(w), target) for w in (ws, mean))
    return torch.where((known < NEARER * unknown)[:, None, None], ws, mean)
