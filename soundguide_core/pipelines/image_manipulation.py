"""Sound-guided image manipulation from a picture or a seed, sounds and texts, to the changed picture and a report.

Axes: B batch, L layers, D dims, H W picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..common.errors import InputError
from ..common.types import OnStep
from ..embedding.joint import JointEncoder
from ..embedding.mixing import mix_embeds
from ..generators.generator import StyleGenerator
from ..systems.configs.image_manipulation import ManipulationConfig
from ..systems.image_manipulation import Manipulation, manipulate, mix_styles

Parts = Sequence[Tensor]  # embeds, each [B,D] or [1,D]


def target_embeds(parts: Parts, weights: Sequence[float] | None = None) -> Tensor:
    """What a picture shall mean: one embedding as it is, or the weighted mix of several => [B,D] unit norm."""
    if len(parts) == 1 and (weights is None or (len(weights) == 1 and 0 < weights[0] < math.inf)):
        return parts[0]
    return mix_embeds(parts, weights)


def target_by_layers(sounds: Parts, texts: Parts, weights: Sequence[float] | None = None) -> Tensor:
    """The sounds' meaning and the texts', apart: [2,D], for mixed_layers. weights: of the sounds, then of the texts."""
    if not sounds or not texts:
        raise InputError("Mixing by layers needs a sound and a text.", "Give both --audio and --text.")
    weights = list(weights or [1.0] * (len(sounds) + len(texts)))
    return torch.cat([target_embeds(sounds, weights[: len(sounds)]), target_embeds(texts, weights[len(sounds) :])])


@dataclass
class ChangedPicture:
    """The manipulation, the picture to show [B,3,H,W], and the mean cosine with the meaning before and after."""

    result: Manipulation
    img: Tensor
    before: float
    after: float

    def figures(self) -> dict:
        """For a report."""
        return {
            "similarity": {"before": self.before, "after": self.after},
            "layer_mask": self.result.layer_mask.mean(dim=0).tolist(),
            "layer_moves": self.result.layer_moves.mean(dim=0).tolist(),
            "history": self.result.history,
        }


def change_picture(
    ws_src: Tensor,
    embeds: Tensor,
    *,
    generator: StyleGenerator,
    joint: JointEncoder,
    config: ManipulationConfig,
    by_layers: bool = False,
    sound_layers: str | Sequence[int] | None = None,
    identity: Callable[[Tensor], Tensor] | None = None,
    on_step: OnStep | None = None,
) -> ChangedPicture:
    """One picture and many meanings, many pictures and one, or as many of each; ws_src [B,L,D], embeds [B,D].

    by_layers: embeds are those of target_by_layers, and the picture has sound_layers (None: the coarser half) of the
    sound and the others of the text. identity: where config.identity is not 0, the face recogniser.
    """
    if len(ws_src) == 1:
        ws_src = ws_src.expand(len(embeds), -1, -1)
    elif len(embeds) not in (1, len(ws_src)):
        raise InputError(
            f"{len(embeds)} meanings meet {len(ws_src)} pictures.", "Send one of either, or as many of each."
        )
    result = manipulate(
        ws_src, embeds, generator=generator, joint=joint, identity=identity, config=config, on_step=on_step
    )
    with torch.no_grad():
        mixed = mix_styles(result.ws[:1], result.ws[1:], sound_layers=sound_layers) if by_layers else None
        img = generator.synthesis(mixed) if mixed is not None else result.img
        before, after = ((joint.encode_image(x) * embeds).sum(dim=-1).mean() for x in (result.img_src, img))
    return ChangedPicture(result, img, float(before), float(after))
