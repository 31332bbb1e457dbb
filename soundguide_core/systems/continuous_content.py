"""The content of a video as a continuous signal: chosen by its meaning, moved towards one, or found in a clip.

ws [1,L,D] is shared by all frames of a StyleGAN-V video (continuous_video.py): an edit looks at a few moments of it.
Axes: B batch, F frames, A anchors, L layers, D dims, H W.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..common.errors import InputError, check_number
from ..common.shapes import check_shape
from ..common.types import JointSpace, OnStep, VideoGenerator
from ..generators.latents import mean_direction
from ..generators.motion import Noise
from ..generators.sound_motion import SoundCurve, motion_at
from ..latents.optimisation import OptimiseResult, optimise
from ..latents.schedule import Schedule
from ..losses.latent import layer_masked_distance
from ..losses.perceptual import pyramid_distance
from ..losses.semantic import cosine_distance
from .configs.continuous_video import ContinuousEditConfig


@torch.no_grad()
def choose_content(
    embeds: Tensor,
    *,
    generator: VideoGenerator,
    joint: JointSpace,
    candidates: int = 64,
    psi: float = 0.7,
    seed: int = 0,
    motion_z: int = 0,
) -> Tensor:
    """The content whose video means most what embeds [1,D] mean, among random ones => ws [1,L,D]."""
    check_number(candidates, "The number of candidates", low=1, high=100_000)
    loud = SoundCurve(np.ones(1), 1.0) if generator.sound_dim == 2 else None
    motion_v = motion_at(generator, np.array([0.0]), motion_z, loud)
    best_ws, best = None, -2.0
    for first in range(0, candidates, 16):
        seeds = [(seed + i) % 2**32 for i in range(first, min(first + 16, candidates))]
        ws = generator.sample_ws(seeds, psi)
        imgs = generator.render(ws, motion_v.expand(len(ws), -1, -1))[:, 0]
        nearness = joint.encode_image(imgs) @ embeds[0].to(imgs)
        if float(nearness.max()) > best:
            best, best_ws = float(nearness.max()), ws[nearness.argmax()][None]
    if best_ws is None:
        raise InputError("What the encoder says of the pictures is no number.", "Use other weights.")
    return best_ws


def edit_continuous(
    ws_src: Tensor,
    embeds: Tensor,
    *,
    generator: VideoGenerator,
    joint: JointSpace,
    motion_z: Noise | int = 0,
    config: ContinuousEditConfig | None = None,
    on_step: OnStep | None = None,
) -> OptimiseResult:
    """Move the content [1,L,D] until the whole video means what embeds [1,D] mean; the motion stays => ws, history.

    All layers move by one offset, as in image manipulation; every step looks at other moments of the video.
    """
    config = config or ContinuousEditConfig()
    rng = np.random.default_rng(config.seed)
    ws_src = ws_src.detach()
    check_shape(ws_src, f"1 {generator.num_ws} {generator.w_dim}", name="the source content")

    def moments() -> Tensor:
        with torch.no_grad():
            return motion_at(generator, np.sort(rng.uniform(0, config.seconds, config.frames)), motion_z)

    def losses(offset: Tensor) -> dict[str, Tensor]:
        ws = ws_src + offset
        frames = generator.render(ws, moments())[0]
        terms = {"sound": cosine_distance(joint.encode_image(frames), embeds.to(frames)).mean()}
        if config.similarity:
            terms["source"] = layer_masked_distance(ws, ws_src, None)
        return terms

    offset = torch.zeros_like(ws_src[:, :1])
    if config.samples:
        with torch.no_grad():
            img_src = generator.render(ws_src, moments()[:, :1])[0]
        offset += mean_direction(
            img_src, embeds, generator=generator, joint=joint, samples=config.samples, on_step=on_step
        )
    weights = {"sound": 1.0, "source": config.similarity}
    result = optimise(
        offset,
        losses,
        {name: weight for name, weight in weights.items() if weight},
        config.schedule,
        preview=lambda offset: generator.render(ws_src + offset, moments()[:, :1])[0],
        on_step=on_step,
    )
    return OptimiseResult(ws_src + result.latent, result.history)


@dataclass
class ClipProjection:
    """ws [1,L,D], the motion seed of motion_z [1,A,D] before it was fitted, and the loss history."""

    ws: Tensor
    motion_z: Tensor
    motion_seed: int
    history: list[dict[str, float]]


def project_clip(
    frames: Tensor,
    fps: float,
    *,
    generator: VideoGenerator,
    contents: int = 64,
    motions: int = 16,
    seed: int = 0,
    prior: float = 0.1,
    schedule: Schedule | None = None,
    on_step: OnStep | None = None,
) -> ClipProjection:
    """Find content and motion whose video is most like a clip [F,3,H,W] in -1..1 at fps, of the generator's size.

    Starts from the most similar of random contents (by the clip's mean frame) and of random motions with it, then
    optimises content and motion noise together on all frames; as in projection.py a prior holds the content near w_avg.
    """
    check_shape(frames, f"F 3 {generator.resolution} {generator.resolution}", name="the clip")
    check_number(fps, "The frame rate", low=0.01, high=1000)
    frames, seconds = frames.to(generator.w_avg), np.arange(len(frames)) / fps
    with torch.no_grad():
        start = motion_at(generator, seconds[:1], seed)
        ws = generator.sample_ws([(seed + i) % 2**32 for i in range(contents)], psi=1.0)
        imgs = torch.cat([generator.render(part, start.expand(len(part), -1, -1))[:, 0] for part in ws.split(16)])
        mean = F.adaptive_avg_pool2d(frames.mean(dim=0, keepdim=True), 16)
        ws = ws[(F.adaptive_avg_pool2d(imgs, 16) - mean).abs().mean(dim=(1, 2, 3)).argmin()][None]
        few = np.unique(np.linspace(0, len(frames) - 1, min(8, len(frames))).astype(int))
        tried = [generator.render(ws, motion_at(generator, seconds[few], seed + i))[0] for i in range(motions)]
        distances = [float(pyramid_distance(made, frames[few]).mean()) for made in tried]
    motion_seed = seed + int(np.argmin(distances))
    motion_z = generator.motion_noise([motion_seed]).tensor(
        generator.motion_anchors(float(seconds[-1]) * generator.fps)
    )
    motion_z = motion_z.to(generator.w_avg)
    spread = generator.w_std.clamp(min=0.01 * float(generator.w_std.max()))

    def losses(ws: Tensor) -> dict[str, Tensor]:
        made = generator.render(ws, motion_at(generator, seconds, motion_z))[0]
        terms = {"pixels": pyramid_distance(made, frames).mean()}
        if prior:
            terms["prior"] = ((ws - generator.w_avg) / spread).square().mean(dim=(1, 2))
        return terms

    weights = {"pixels": 1.0, **({"prior": prior} if prior else {})}
    schedule = schedule or Schedule(steps=100, lr=0.05)
    result = optimise(
        ws, losses, weights, schedule, also=[(motion_z, schedule.lr)], on_step=on_step,
        preview=lambda ws: generator.render(ws, motion_at(generator, seconds[:1], motion_z))[0],
    )  # fmt: skip
    return ClipProjection(result.latent, motion_z.detach(), motion_seed, result.history)
