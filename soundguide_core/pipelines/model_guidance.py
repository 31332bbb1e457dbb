"""Any diffusion model guided by a sound: from a noisy latent and the model's estimate to the moved estimate.

    z -> decode -> pictures -> encode -> 1 - <image_embeds, embeds>;  its gradient at x0_hat moves x0_hat by a rule

The model arrives as `look`, x => D(x); the decoder as the protocol below. Axes: N latent frames, F pictures of the
video, P pictures that the decoder makes (F, or one a latent frame), B videos, C channels, D dims, H W picture, h w
latent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from ..common.errors import InputError
from ..common.types import JointSpace
from ..diffusion.guidance import Gradient, gradient, steep
from ..diffusion.levels import Level
from ..diffusion.rules import LENGTHS, RULES, Look
from ..diffusion.warm_up import WarmUp, look_repeatedly
from ..losses.semantic import cosine_distance
from ..losses.views import Views, encode_views
from ..systems.configs.model_guidance import STEEP, GuideConfig


class LatentDecoder(Protocol):
    """What makes pictures of latents, for losses to look at."""

    def decode(self, latent: Tensor, chunk: int, /) -> Tensor:
        """latent [B,C,h,w] or [B,C,T,h,w] => pictures [P,3,H,W] about -1..1, differentiable."""
        ...

    def frames(self, latents: int, /) -> Sequence[int]:
        """Of a video of so many latent frames: how many pictures of the video each stands for."""
        ...

    def spans(self, latents: int, /) -> Sequence[tuple[int, int]]:
        """Of each picture that it makes of such a video: the first picture of the video shown, and the end."""
        ...

    @property
    def every(self) -> bool:
        """Whether it makes a picture for each one of a video, from all latent frames together."""
        ...

    @property
    def causal(self) -> bool:
        """Whether it does so a chunk of time after the other, and has a `gradient`."""
        ...

    def gradient(self, latent: Tensor, chunk: int, pull: Callable[[Tensor, int], Tensor], /) -> Tensor:
        """dL/dlatent [1,C,T,h,w]; pull: (pictures [f,3,H,W], number of the first) => dL/dpictures of a chunk."""
        ...


class Wanted(NamedTuple):
    """What a sound asks of one latent. targets: [P,D] or [1,D]. curve: [N]. mask: [N,1,h,w] or [1,1,h,w], or None."""

    targets: Tensor
    curve: Tensor
    mask: Tensor | None


class Sound(NamedTuple):
    """What is heard and where it counts. embeds: [F,D] or [1,D]. curve: [F], [1] or None. masks: [F,1,H,W], [1,1,H,W]
    or None; 1 where the sound may change something."""

    embeds: Tensor
    curve: Tensor | None = None
    masks: Tensor | None = None


def wanted(sound: Sound, decoder: LatentDecoder, shape: Sequence[int]) -> Wanted:
    """The sound against a latent [B,C,h,w] of B pictures, or [B,C,T,h,w] of B videos.

    Raises:
        InputError: there are neither as many embeddings, values of the curve or masks as pictures, nor one of them.
    """
    videos, latents = (shape[0], shape[2]) if len(shape) == 5 else (1, shape[0])
    still = len(shape) == 4 or latents == 1
    if still:  # a picture in each row of the batch
        counts, spans, videos = [1] * shape[0], [(i, i + 1) for i in range(shape[0])], 1
    else:
        counts, spans = list(decoder.frames(latents)), list(decoder.spans(latents))
    pictures, ends = sum(counts), torch.tensor(counts).cumsum(0).tolist()
    parts = list(zip([0, *ends[:-1]], ends))  # the pictures of each latent frame

    def each(values: Tensor, what: str, over: Sequence[tuple[int, int]]) -> Tensor:
        if len(values) == 1:
            return values
        if len(values) == videos * pictures:
            rows = values.unflatten(0, (videos, pictures))
        elif len(values) == pictures:
            rows = values[None].expand(videos, *values.shape)
        else:
            raise InputError(*_mismatch(len(values), what, pictures, None if still else latents))
        return torch.stack([rows[:, first:end].mean(1) for first, end in over], dim=1).flatten(0, 1)

    targets = F.normalize(each(sound.embeds, "embeddings", spans), dim=-1)
    curve = torch.ones(1) if sound.curve is None else each(sound.curve, "values of the curve", parts)
    mask = None
    if sound.masks is not None:
        small = F.interpolate(sound.masks, tuple(shape[-2:]), mode="area")
        mask = each(small, "masks", parts)
    return Wanted(targets, curve.expand(videos * len(counts)), mask)


def _mismatch(given: int, what: str, pictures: int, latents: int | None) -> tuple[str, str]:
    held = f"{pictures} pictures" if latents is None else f"a video of {pictures} frames ({latents} in its latent)"
    return f"{given} {what} meet {held}.", f"Give {pictures}, one for each, or one for all."


def answered(sound: Sound, response: str) -> Sound:
    """The sound with its curve as the response of the config has it."""
    return sound._replace(curve=steep(sound.curve)) if response == STEEP and sound.curve is not None else sound


def move_estimate(
    look: Look,
    x: Tensor,
    x0: Tensor,
    asked: Wanted,
    gradient_of: Callable[[Tensor], Tensor],
    level: Level,
    config: GuideConfig,
    *,
    unit: float = 1.0,
    looks: int = 0,
) -> Tensor:
    """x and x0 = D(x) [N,C,...] => the estimate moved by the config's rule, or in a warm-up by so many looks.

    gradient_of: an estimate => g of `sound_gradient`. unit: standard deviation of a clean latent in the model's own
    scale.
    """
    mask = None if asked.mask is None else asked.mask.to(x0).reshape(-1, *[1] * (x0.ndim - 3), *asked.mask.shape[-2:])
    if looks:
        length = config.strength * WarmUp.length * unit
        with torch.no_grad():
            return look_repeatedly(
                look, x, x0, lambda x0: Gradient(gradient_of(x0), None, {}), level, length, looks,
                asked.curve.to(x0), mask=mask,
            )  # fmt: skip
    length, g = config.strength * LENGTHS[config.rule] * unit, gradient_of(x0)
    moved = RULES[config.rule](look, x, x0, g, level, length, asked.curve.to(x0), mask=mask)
    if config.rule == "look again" and mask is not None:  # the model has looked at everything again
        moved = x0 + mask * (moved - x0)
    return moved


def sound_gradient(
    frames: Tensor,
    shape: Sequence[int],
    asked: Wanted,
    decoder: LatentDecoder,
    joint: JointSpace,
    chunk: int,
    check: Callable[[], None],
) -> Tensor:
    """g [N,C,h,w] = -d(1 - <image_embeds, targets>)/dframes, of the clean estimate frames [N,C,h,w].

    shape: of the latent that they are of. chunk: latent frames at once; a decoder that needs the whole video and is not
    causal keeps all of its pictures. check: called between chunks, to stop by raising.
    """
    together = shape[2] if len(shape) == 5 and decoder.every else 1
    size = together * (1 if together > 1 and decoder.causal else max(1, chunk // together))
    targets, eyes = asked.targets.to(frames), cast(JointSpace, Stoppable(joint, check))
    each = 1 if len(targets) == 1 else len(targets) // (len(frames) // together)  # pictures of what belongs together
    parts = []
    for first in range(0, len(frames), size):
        part = frames[first : first + size]
        own = targets if len(targets) == 1 else targets[first // together * each :][: len(part) // together * each]
        latent = part.unflatten(0, (-1, together)).transpose(1, 2) if len(shape) == 5 else part
        if together > 1 and decoder.causal:
            g = decoder.gradient(latent, chunk, partial(_pull, eyes, own, chunk))
        else:
            losses = lambda z, own=own: {"sound": _distance(eyes, decoder.decode(z, chunk), own, chunk)}  # noqa: E731
            g = gradient(latent, losses, {"sound": 1.0}, lead="sound").g
        parts.append(g.transpose(1, 2).flatten(0, 1) if len(shape) == 5 else g)
    return torch.cat(parts)


def _distance(eyes: JointSpace, pictures: Tensor, heard: Tensor, chunk: int) -> Tensor:
    return cosine_distance(encode_views(eyes, pictures, None, None, Views(chunk=chunk))[0], heard)


def _pull(eyes: JointSpace, heard: Tensor, chunk: int, pictures: Tensor, first: int) -> Tensor:
    """-dL/dpictures, of some from number `first` on of the video that `heard` belongs to."""
    own = heard if len(heard) == 1 else heard[first : first + len(pictures)]
    return gradient(pictures, lambda p: {"sound": _distance(eyes, p, own, chunk)}, {"sound": 1.0}, lead="sound").g


class Stoppable:
    """An encoder of pictures on its own device, that asks `check` before each look."""

    def __init__(self, joint: JointSpace, check: Callable[[], None]) -> None:
        self.joint, self.check = joint, check

    def encode_image(self, img: Tensor) -> Tensor:
        """img [B,3,H,W] in -1..1 => [B,D] on the device of img."""
        self.check()
        return self.joint.encode_image(img.to(self.joint.device)).to(img.device)
