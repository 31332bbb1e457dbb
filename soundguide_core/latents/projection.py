"""Projecting a picture into W+: the latent whose rendering is most like it.

Beside `optimise` rather than among the latents' arithmetic, because it runs the loop. Axes: B, L, D, H W.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..common.arguments import checks_arguments
from ..common.errors import check_number
from ..common.shapes import check_shape
from ..common.types import ImageGenerator, OnStep, no_preview
from ..losses.perceptual import pyramid_distance
from ..losses.semantic import cosine_distance
from ..media.images import resize
from .optimisation import Schedule, optimise

CHUNK = 16


@dataclass
class Projection:
    """ws [B,L,D], its rendering img [B,3,H,W] about -1..1, the picture it was fitted to, and the loss history."""

    ws: Tensor
    img: Tensor
    target: Tensor
    history: list[dict[str, float]]


@checks_arguments
def project(
    img: Tensor,
    generator: ImageGenerator,
    *,
    features: Callable[[Tensor], Tensor] | None = None,
    schedule: Schedule | None = None,
    prior: float = 0.1,
    candidates: int = 256,
    seed: int = 0,
    start: Tensor | None = None,
    on_step: OnStep | None = None,
) -> Projection:
    """Find ws whose rendering matches a picture.

    Starts from the most similar of `candidates` random samples, or at `start`, then minimises
    pyramid L1 + 0.1 feature distance + prior * mean squared distance from w_avg in standard deviations.

    Args:
        img: [B,3,H,W] in -1..1, any size; cropped to the generator's square.
        generator: the network to render with.
        features: img => unit features [B,D], such as joint.encode_image; None to compare pixels alone.
        schedule: steps and learning rate.
        prior: pull toward the generator's usual latents, without which the edits fall apart. On the default generator
            0.1 is also nearer to the picture than 0.003 was: it keeps the search among pictures.
        candidates: random starts looked at; each costs one rendering.
        seed: of these starts.
        start: [B,L,D] latents to start from instead, such as an encoder's.
        on_step: see optimise; called for each chunk of candidates first, without terms.

    Raises:
        InputError: the picture is no [B,3,H,W], or a setting is out of bounds.

    Example:
        found = sg.project(sg.load_image("lake.png"), sg.load_generator(), candidates=4, schedule=sg.Schedule(steps=2))
        sg.save_image(found.img, "found.png")
    """
    check_shape(img, "B 3 H W", name="the picture")
    check_number(prior, "The prior weight", low=0)
    check_number(candidates, "The number of candidates", low=1)
    target = resize(img, (generator.resolution, generator.resolution), "cover").to(generator.w_avg)
    ws_start = nearest_sample(target, generator, candidates, seed, on_step) if start is None else start
    wanted = None if features is None else features(target).detach()

    spread = generator.w_std.clamp(min=0.01 * float(generator.w_std.max()))  # some dims may never move

    def losses(ws: Tensor) -> dict[str, Tensor]:
        rendering = generator.synthesis(ws)
        terms = {"pixels": pyramid_distance(rendering, target)}
        if wanted is not None and features is not None:
            terms["features"] = cosine_distance(features(rendering), wanted)
        if prior:
            terms["prior"] = ((ws - generator.w_avg) / spread).square().mean(dim=(1, 2))
        return terms

    weights = {"pixels": 1.0, "features": 0.1 if wanted is not None else 0.0, "prior": prior}
    result = optimise(
        ws_start,
        losses,
        {name: weight for name, weight in weights.items() if weight},
        schedule or Schedule(steps=200, lr=0.1),
        preview=generator.synthesis,
        on_step=on_step,
    )
    with torch.no_grad():
        return Projection(result.latent, generator.synthesis(result.latent), target, result.history)


@torch.no_grad()
def nearest_sample(
    target: Tensor, generator: ImageGenerator, candidates: int, seed: int, on_step: OnStep | None = None
) -> Tensor:
    """ws [B,L,D] of the random samples (psi 1) whose renderings, 16 pixels wide, are nearest to target [B,3,H,W]."""
    small = F.adaptive_avg_pool2d(target, 16).flatten(1)  # [B,768]
    best_ws: Tensor | None = None
    best: Tensor | None = None
    for start in range(0, candidates, CHUNK):
        seeds = range(seed + start, seed + min(start + CHUNK, candidates))
        ws = generator.sample_ws(seeds, psi=1.0)
        renderings = F.adaptive_avg_pool2d(generator.synthesis(ws), 16).flatten(1)
        distance, index = torch.cdist(small, renderings, p=1).min(dim=1)
        if best_ws is None or best is None:
            best_ws, best = ws[index], distance
        else:
            closer = distance < best
            best_ws, best = torch.where(closer[:, None, None], ws[index], best_ws), torch.minimum(distance, best)
        if on_step is not None:
            on_step(start // CHUNK, -(-candidates // CHUNK), {}, no_preview)
    assert best_ws is not None  # candidates >= 1
    return best_ws
