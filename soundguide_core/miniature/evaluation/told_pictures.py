"""Pictures out of noise by a diffusion that is told what to paint: does the judge name it, and does the diffusion know
such pictures?

The judge is part of no loss. Axes: B pictures, D dims, H W picture, L levels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...common.types import OnStep
from ...diffusion.denoiser import Denoiser, classifier_free
from ...diffusion.sampler import FrameNoise, SamplerConfig, sample
from ...embedding.joint import JointEncoder
from ...media.images import from_uint8
from ..data.scenes import HELD_OUT, draw
from ..sounds import synthesis
from ..world import scenes

SAMPLE_RATE, SECONDS = 22050, 5.0
FIRST_SOUND = 7_000_000  # of which no training and no tuning takes any
# two ways to ask for each phenomenon, as people write
PROMPTS = {
    "rain": ("heavy rain", "it is raining in the mountains"),
    "waves": ("ocean waves", "big waves by a lake"),
    "fire": ("a fire", "a raging wildfire with trees"),
    "wind": ("strong wind", "a windy day"),
    "thunder": ("lightning", "a violent thunderstorm"),
    "birds": ("birds", "a large flock of birds under clouds"),
    "crickets": ("crickets at night", "many fireflies"),
}
KNOWN_AT = (0.1, 0.2, 0.3, 0.4, 0.5)  # of the levels, for `strangeness`


@dataclass(frozen=True)
class Asked:
    """What is asked for: the phenomenon, in which words or by which sound, as a context [1,D]."""

    phenomenon: str
    text: str
    context: Tensor


@torch.no_grad()
def asked_in_words(joint: JointEncoder) -> list[Asked]:
    return [Asked(name, text, joint.encode_text([text])) for name, texts in PROMPTS.items() for text in texts]


@torch.no_grad()
def asked_by_sounds(joint: JointEncoder, seed: int = 0) -> list[Asked]:
    """Two synthesised sounds of each phenomenon, heard as wholes."""
    asked = []
    for k, name in enumerate(name for name in scenes.PHENOMENA for _ in range(2)):
        wave = synthesis.synthesise(name, SECONDS, seed=FIRST_SOUND + 1000 * seed + k, sample_rate=SAMPLE_RATE)
        embeds = joint.encode_audio(torch.from_numpy(wave), SAMPLE_RATE)
        asked.append(Asked(name, f"a sound of {name}", embeds.to(joint.device)))
    return asked


def painted(
    denoiser: Denoiser,
    asked: Sequence[Asked],
    config: SamplerConfig,
    *,
    scale: float,
    pictures: int,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> Tensor:
    """`pictures` of each, of the same noises for all => [B,3,H,W]; scale 0 tells the diffusion nothing."""
    size = denoiser.resolution or 64
    noise = FrameNoise(seed, list(range(pictures)) * len(asked))
    shape = torch.zeros(len(noise.frames), 3, size, size, device=denoiser.device)
    x_t = noise.source(shape, denoiser.num_train_timesteps - 1)
    context = torch.cat([each.context for each in asked]).repeat_interleave(pictures, 0).to(denoiser.device)
    denoise: Callable = classifier_free(denoiser, context, scale) if scale else denoiser
    return sample(denoise, x_t, denoiser.schedule, config, noise=noise, on_step=on_step)


@torch.no_grad()
def strangeness(denoiser: Denoiser, img: Tensor, seed: int = 0) -> Tensor:
    """How far pictures [B,3,H,W] are from what the diffusion knows [B]: its mean squared error in taking noise off
    them, told nothing, over KNOWN_AT."""
    rng = torch.Generator().manual_seed(seed)
    eps = torch.randn(1, *img.shape[1:], generator=rng).to(img)
    ts = [round(share * denoiser.num_train_timesteps) for share in KNOWN_AT]
    errors = [(denoiser(denoiser.add_noise(img, t, eps), t).x0_hat - img).square().mean((1, 2, 3)) for t in ts]
    return torch.stack(errors).mean(0)


def held_out_scenes(count: int, size: int) -> Tensor:
    """Scenes that no training has seen [B,3,size,size]."""
    shown = [draw(HELD_OUT + i) for i in range(count)]
    what = [(s.seed, s.phenomenon, s.intensity, s.variant, s.start_sec) for s in shown]
    return from_uint8(torch.from_numpy(np.stack([scenes.render_still(each, size=size) for each in what])))


def report(img: Tensor, asked: Sequence[Asked], judge, denoiser: Denoiser) -> dict:
    """Figures of pictures [B,3,H,W], equally many of each: shares named, how strange."""
    names = judge.name(img)
    expected = [each.phenomenon for each in asked for _ in range(len(img) // len(asked))]
    right = np.array([name == other for name, other in zip(names, expected, strict=True)])
    per_class = {name: float(right[[other == name for other in expected]].mean()) for name in dict.fromkeys(expected)}
    certainty = judge.predict(img).amax(1).mean().item()
    strange = strangeness(denoiser, img).mean().item()
    return {"named": float(right.mean()), "per_class": per_class, "certainty": certainty, "strangeness": strange}
