"""What an encoder of pictures is shown of frames, and how far that is from what is heard.

Axes: F frames, P frames of which pairs are compared, D dims, H W picture.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..common.memory import each_part
from ..common.types import JointSpace
from ..embedding.clip import augmented_crops
from ..media.images import resize
from .editing import direction_distance
from .semantic import cosine_distance


@dataclass(frozen=True)
class Views:
    """How an encoder looks at frames.

    crops: augmented views beside the whole, the same ones for all frames, drawn by seed and level. around: what it is
    shown around a mask, "source" or "grey". chunk: frames at once.
    """

    crops: int = 0
    around: str = "source"
    seed: int = 0
    chunk: int = 8


def encode_views(
    joint: JointSpace, x: Tensor, x_src: Tensor | None, mask: Tensor | None, views: Views, t: int = 0
) -> Tensor:
    """f_v(x . m), x and x_src [F,3,H,W], mask [F,1,H,W] or None => [1 + crops,F,D]: of the whole, and of crops of it.

    Of a chunk of frames the encoder keeps or computes again what their gradient needs: see memory.each_part.
    """

    def encode_chunk(img: Tensor, x_src: Tensor | None, m: Tensor | None) -> Tensor:
        if m is not None:
            img = m * img + (1 - m) * x_src if views.around == "source" and x_src is not None else m * img
        if img.shape[2] != img.shape[3]:  # an encoder that crops the centre would miss the sides
            side = min(img.shape[2:])
            img = resize(img, (side, side), "stretch")
        rng = torch.Generator().manual_seed((views.seed << 20) + t)
        imgs = [img, augmented_crops(img, views.crops, rng, alike=True)] if views.crops else [img]
        return joint.encode_image(torch.cat(imgs)).unflatten(0, (1 + views.crops, -1))

    n = -(-len(x) // views.chunk)
    given = [[None] * n if part is None else part.split(views.chunk) for part in (x_src, mask)]
    parts = zip(x.split(views.chunk), *given)
    return torch.cat(each_part(encode_chunk, list(parts)), dim=1)


@dataclass(frozen=True)
class SoundTerms:
    """Frames x0 [F,3,H,W] against what is heard, audio [P,D] or [1,D] unit norm: x0 => {"sound": [F], "direction":
    [P-1]}, those that are named. See SG and DSG of editing.py.

    before: [1,D], what a finished frame in front of the first shows; then P = F + 1, else P = F.
    x_src, mask: where frames are edited alone, [F,3,H,W] and [F,1,H,W].
    """

    names: Collection[str]
    joint: JointSpace
    audio: Tensor
    views: Views = Views()
    x_src: Tensor | None = None
    mask: Tensor | None = None
    before: Tensor | None = None

    def __call__(self, x0: Tensor, t: int = 0) -> dict[str, Tensor]:
        """t: the level, of which the crops are drawn."""
        terms = {}
        if not {"sound", "direction"} & set(self.names):
            return terms
        embeds = encode_views(self.joint, x0, self.x_src, self.mask, self.views, t)  # [1 + crops,F,D]
        if "sound" in self.names:
            audio = self.audio if len(self.audio) == 1 else self.audio[-len(x0) :]
            terms["sound"] = cosine_distance(embeds, audio).mean(dim=0)
        if "direction" in self.names:
            shown = embeds[0] if self.before is None else torch.cat([self.before, embeds[0]])
            terms["direction"] = direction_distance(shown, self.audio.expand(len(shown), -1))
        return terms


@dataclass(frozen=True)
class PlacedSounds:
    """Several sounds, each with a place of its own: x0 [F,3,H,W] => sum_k s_k[i] term_k[i] for each term of SoundTerms.

    shares: s_k [F] in 0..1 of each; of a pair of frames the mean of both.
    """

    parts: Sequence[SoundTerms]
    shares: Sequence[Tensor]

    def __call__(self, x0: Tensor, t: int = 0) -> dict[str, Tensor]:
        total: dict[str, Tensor] = {}
        for part, share in zip(self.parts, self.shares):
            for name, term in part(x0, t).items():
                own = share.to(term)
                if name == "direction":
                    own = torch.cat([own[:1], own]) if part.before is not None else own
                    own = (own[1:] + own[:-1]) / 2
                total[name] = total.get(name, 0) + own * term
        return total
