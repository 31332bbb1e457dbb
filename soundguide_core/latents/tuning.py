"""Pivotal tuning: the generator learns one picture around the latent that was found for it, the pivot.

D. Roich et al., "Pivotal Tuning for Latent-based Editing of Real Images", ACM TOG 2022, sections 3.2 and 3.3. With the
tuned generator G, the untuned G0, the picture x, its pivot w_p and d a perceptual distance:

    L_pt = a d(x, G(w_p))  +  b || x - G(w_p) ||^2
    L_R  = d(G0(w_r), G(w_r)) + || G0(w_r) - G(w_r) ||^2
    w_r  = w_p + min(alpha, |w_z - w_p|) (w_z - w_p) / |w_z - w_p|
    L    = L_pt + c L_R

w_z is a random latent, drawn anew whenever L_R is taken: in every n-th step, n times as strong, as StyleGAN2 takes its
regularisers (T. Karras et al., CVPR 2020, section 4.1). Norms are over all of W+ of one picture, those of pictures are
means. The minimum keeps w_r between the two on a generator whose W+ is narrower than alpha, which is the published
one's distance. What is learned: the synthesis network; the mapping stays. Axes: B batch, L layers, D dims, H W.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..common.errors import InputError
from ..common.rng import torch_generator
from ..common.shapes import check_shape
from ..common.types import OnStep, PerceptualDistance
from ..generators.generator import StyleGenerator
from ..generators.tuned import TunedFrom, tuned_from
from ..losses.perceptual import pyramid_distance
from ..media.images import resize
from .adam import Adam
from .tuning_config import TuningConfig

SEEDS = 2**31  # of random latents: any of so many


@dataclass
class Tuning:
    """The tuned generator, what it paints at the pivot [B,3,H,W], and every step's terms with their total."""

    generator: StyleGenerator
    img: Tensor
    history: list[dict[str, float]]


def tune(
    img: Tensor,
    ws: Tensor,
    generator: StyleGenerator,
    *,
    perceptual: PerceptualDistance | None = None,
    config: TuningConfig | None = None,
    name: str = "",
    on_step: OnStep | None = None,
) -> Tuning:
    """A copy of `generator` that paints the picture at ws; the generator itself stays as it is.

    Args:
        img: [B,3,H,W] in -1..1, any size; cropped to the generator's square. Several are learned at once.
        ws: [B,L,D] the pivots, as `project` or an encoder finds them.
        perceptual: img, target => [B], such as LPIPS; None: pixels at four scales.
        name: of the generator, for files that hold the difference alone (generators/tuned.py).
        on_step: see optimise.

    Raises:
        InputError: shapes disagree, or the loss is no longer a number.
    """
    config = config or TuningConfig()
    check_shape(img, "B 3 H W", name="the picture")
    check_shape(ws, f"{len(img)} {generator.num_ws} {generator.w_dim}", name="the pivots")
    target = resize(img, (generator.resolution, generator.resolution), "cover").to(generator.w_avg)
    distance: PerceptualDistance = perceptual or pyramid_distance
    tuned, ws = copy.deepcopy(generator), ws.detach()
    tuned.synthesis.requires_grad_()
    adam = Adam(tuned.synthesis.parameters())
    draw = torch_generator(config.seed, 0)
    history: list[dict[str, float]] = []
    figures: dict[str, float] = {}  # of each term when it was last taken
    for i in range(config.schedule.steps):
        terms = pivot_terms(tuned.synthesis, ws, target, distance)
        if config.locality and i % config.locality_every == 0:
            w_z = generator.sample_ws(torch.randint(SEEDS, (len(ws),), generator=draw).tolist(), psi=1.0)
            terms["locality"] = locality(
                tuned.synthesis, generator.synthesis, near(ws, w_z, config.alpha), distance
            )  # fmt: skip
        total = weighted(terms, config)
        # read at once, for each reading waits for the device
        read = [term.detach().mean() for term in terms.values()]
        *means, furthest, whole = torch.stack([*read, terms["perceptual"].detach().max(), total.detach()]).tolist()
        if not math.isfinite(whole):
            raise InputError(f"The tuning's loss is not a number at step {i}.", "Lower the rate of the tuning.")
        if config.enough and furthest < config.enough:
            break
        adam.zero_grad()
        total.backward()
        adam.step(config.schedule.lr_at(i))
        figures |= dict(zip(terms, means))
        history.append(figures | {"total": whole})
        if on_step is not None:
            on_step(i, config.schedule.steps, history[-1], lambda: _look(tuned, ws))
    tuned.eval().requires_grad_(False)
    tuned.tuned_from = tuned_from(generator) or TunedFrom.of(generator, name)  # of what it was before all tuning
    with torch.no_grad():
        return Tuning(tuned, tuned.synthesis(ws), history)


def pivot_terms(
    synthesis: Callable[[Tensor], Tensor], ws: Tensor, target: Tensor, distance: PerceptualDistance
) -> dict[str, Tensor]:
    """L_pt's two terms, each [B]."""
    made = synthesis(ws)
    return {"l2": (made - target).square().mean(dim=(1, 2, 3)), "perceptual": distance(made, target)}


def near(ws: Tensor, w_z: Tensor, alpha: float) -> Tensor:
    """w_r [B,L,D], alpha away from the pivots towards w_z, or w_z itself where that is nearer."""
    way = w_z - ws
    length = way.flatten(1).norm(dim=1).clamp(min=1e-12).view(-1, 1, 1)
    return ws + way * (alpha / length).clamp(max=1)


def locality(
    synthesis: Callable[[Tensor], Tensor],
    untuned: Callable[[Tensor], Tensor],
    w_r: Tensor,
    distance: PerceptualDistance,
) -> Tensor:
    """L_R [B], of latents [B,L,D] near the pivots."""
    with torch.no_grad():
        target = untuned(w_r)
    terms = pivot_terms(synthesis, w_r, target, distance)
    return terms["l2"] + terms["perceptual"]


def weighted(terms: Mapping[str, Tensor], config: TuningConfig) -> Tensor:
    """L, summed over the batch; L_R counts for the steps until it is taken again."""
    weights = {"l2": config.l2, "perceptual": config.perceptual, "locality": config.locality * config.locality_every}
    return torch.stack([weights[name] * term.sum() for name, term in terms.items()]).sum()


@torch.no_grad()
def _look(tuned: StyleGenerator, ws: Tensor) -> Tensor:
    return tuned.synthesis(ws)
