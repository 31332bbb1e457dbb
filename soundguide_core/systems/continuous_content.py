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

from ..common.arguments import checks_arguments
from ..common.errors import check_number
from ..common.shapes import check_shape
from ..common.types import JointSpace, OnStep, VideoGenerator
from ..generators.latents import mean_direction, nearest_sample
from ..generators.motion import ContinuedNoise, Noise, TrajectoryNoise
from ..generators.sound_motion import SoundCurve, motion_at
from ..latents.optimisation import OptimiseResult, optimise
from ..latents.schedule import Schedule
from ..losses.latent import layer_masked_distance
from ..losses.perceptual import pyramid_distance
from ..losses.semantic import cosine_distance
from .configs.continuous_video import ContinuousEditConfig


@checks_arguments
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
    class_index: int | None = None,
) -> Tensor:
    """The content whose video means most what embeds [1,D] mean, among random ones => ws [1,L,D].

    Args:
        embeds: of a sound or a text, in the space of joint. candidates: random contents that are looked at; psi: how
            far they are from the average; seed: of them. motion_z: the motion seed of the frame that is looked at.
        class_index: of a class-conditional generator; None for all classes.

    Raises:
        InputError: no candidates, or a class that the generator does not have.

    Example:
        generator, joint = sg.load_video_generator(), sg.load_joint()
        ws = sg.choose_content(joint.encode_text(["rain"]), generator=generator, joint=joint, candidates=4)
    """
    check_number(candidates, "The number of candidates", low=1, high=100_000)
    loud = SoundCurve(np.ones(1), 1.0) if generator.sound_dim == 2 else None
    motion_v = motion_at(generator, np.array([0.0]), motion_z, loud)
    return nearest_sample(
        embeds[0], [(seed + i) % 2**32 for i in range(candidates)], psi, generator=generator, joint=joint,
        render=lambda ws: generator.render(ws, motion_v.expand(len(ws), -1, -1))[:, 0], class_index=class_index,
    )  # fmt: skip


@checks_arguments
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

    Args:
        ws_src: of generator. embeds: in the space of joint. motion_z: the motion seed, or motion noise [1,A,D].
        config: weights and schedule. on_step: on_step(i, n, terms, preview) after each step.

    Raises:
        InputError: shapes disagree, or the loss is no longer a number.

    Example:
        generator, joint = sg.load_video_generator(), sg.load_joint()
        config = sg.ContinuousEditConfig(samples=0, schedule=sg.Schedule(steps=2, lr=0.01))
        found = sg.edit_continuous(
            generator.sample_ws([3]), joint.encode_text(["rain"]), generator=generator, joint=joint, config=config
        )
        ws = found.latent
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
    """ws [1,L,D], the motion seed of motion_z [1,A,D] before it was fitted, where in that motion the clip begins, and
    the loss history. motion: motion_z, and after its end the seed's, for a video that goes on."""

    ws: Tensor
    motion_z: Tensor
    motion_seed: int
    history: list[dict[str, float]]
    start_sec: float = 0.0
    after: TrajectoryNoise | None = None

    @property
    def motion(self) -> Noise:
        return self.motion_z if self.after is None else ContinuedNoise(self.motion_z, self.after)


@checks_arguments
def project_clip(
    frames: Tensor,
    fps: float,
    *,
    generator: VideoGenerator,
    contents: int = 64,
    motions: int = 16,
    within_sec: float = 4.0,
    starts: int = 9,
    seed: int = 0,
    prior: float = 0.1,
    schedule: Schedule | None = None,
    on_step: OnStep | None = None,
) -> ClipProjection:
    """Find content and motion whose video is most like a clip [F,3,H,W] in -1..1 at fps, of the generator's size.

    Starts from the best of the contents that are most like the clip's mean frame, of random motions, and of where in
    their first within_sec the clip would begin: `starts` times of each, then halving the distance around the best.
    Then content and motion noise are optimised together on all frames; as in projection.py a prior holds the content
    near w_avg.

    Args:
        frames: of the generator's size, fps a second. contents, motions: random ones that are tried. prior: pull
            towards the generator's usual contents. schedule: of the optimisation, 100 steps where it is None.

    Raises:
        InputError: frames of another size, or the loss is no longer a number.

    Example:
        generator = sg.load_video_generator()
        config = sg.ContinuousConfig(seconds=0.5, fps=8.0)
        clip = sg.generate_continuous(generator.sample_ws([3]), generator=generator, config=config).frames
        found = sg.project_clip(
            clip, 8.0, generator=generator, contents=3, motions=1, starts=2, schedule=sg.Schedule(steps=2)
        )
        again = sg.generate_continuous(
            found.ws, generator=generator, motion_z=found.motion, start_sec=found.start_sec, config=config
        )
    """
    check_shape(frames, f"F 3 {generator.resolution} {generator.resolution}", name="the clip")
    check_number(fps, "The frame rate", low=0.01, high=1000)
    check_number(within_sec, "The time in which a clip may begin", low=0, high=3600)
    frames, seconds = frames.to(generator.w_avg), np.arange(len(frames)) / fps
    near = _nearest_contents(frames, generator, [(seed + i) % 2**32 for i in range(contents)], seed)
    seeds, times = range(seed, seed + motions), np.linspace(0, within_sec, max(starts, 1))
    ws, motion_seed, start_sec = _nearest_motion(frames, seconds, generator, near, seeds, times)
    after = generator.motion_noise([motion_seed])
    motion_z = after.tensor(generator.motion_anchors((start_sec + float(seconds[-1])) * generator.fps))
    motion_z = motion_z.to(generator.w_avg)
    spread = generator.w_std.clamp(min=0.01 * float(generator.w_std.max()))

    def rendered(ws: Tensor, seconds: np.ndarray) -> Tensor:
        return generator.render(ws, motion_at(generator, seconds, motion_z, start_sec=start_sec))[0]

    def losses(ws: Tensor) -> dict[str, Tensor]:
        made = rendered(ws, seconds)
        terms = {"pixels": pyramid_distance(made, frames).mean()}
        if prior:
            terms["prior"] = ((ws - generator.w_avg) / spread).square().mean(dim=(1, 2))
        return terms

    weights = {"pixels": 1.0, **({"prior": prior} if prior else {})}
    schedule = schedule or Schedule(steps=100, lr=0.05)
    result = optimise(
        ws, losses, weights, schedule, also=[(motion_z, schedule.lr)], on_step=on_step,
        preview=lambda ws: rendered(ws, seconds[:1]),
    )  # fmt: skip
    return ClipProjection(result.latent, motion_z.detach(), motion_seed, result.history, start_sec, after)


NEAREST = 3  # contents of which motions are tried


@torch.no_grad()
def _nearest_contents(frames: Tensor, generator: VideoGenerator, seeds: list[int], motion_seed: int) -> Tensor:
    """ws [n,L,D] of the seeds whose first frames are most like the clip's mean, 16 pixels wide."""
    start = motion_at(generator, np.zeros(1), motion_seed)
    ws = generator.sample_ws(seeds, psi=1.0)
    imgs = torch.cat([generator.render(part, start.expand(len(part), -1, -1))[:, 0] for part in ws.split(16)])
    mean = F.adaptive_avg_pool2d(frames.mean(dim=0, keepdim=True), 16)
    distance = (F.adaptive_avg_pool2d(imgs, 16) - mean).abs().mean(dim=(1, 2, 3))
    return ws[distance.argsort()[:NEAREST]]


@torch.no_grad()
def _nearest_motion(
    frames: Tensor, seconds: np.ndarray, generator: VideoGenerator, near: Tensor, seeds: range, starts: np.ndarray
) -> tuple[Tensor, int, float]:
    """(the content [1,L,D], the motion seed, where in its motion a clip begins) of what is most like frames of it."""

    def distance(k: int, seed: int, start_sec: float, count: int) -> float:
        few = np.unique(np.linspace(0, len(frames) - 1, min(count, len(frames))).astype(int))
        motion_v = motion_at(generator, seconds[few], seed, start_sec=start_sec)
        return float(pyramid_distance(generator.render(near[k][None], motion_v)[0], frames[few]).mean())

    tried = [(k, seed, float(start)) for k in range(len(near)) for seed in seeds for start in starts]
    coarse = sorted(tried, key=lambda where: distance(*where, 3))[:16]
    found = {where: distance(*where, 8) for where in coarse}
    step = float(starts[1] - starts[0]) if len(starts) > 1 else 0.0
    while step > 0.1 / generator.fps:  # to a tenth of a frame
        step /= 2
        for k, seed, best in sorted(found, key=found.__getitem__)[:3]:
            for start in (best - step, best + step):
                if start >= 0 and (k, seed, start) not in found:
                    found[k, seed, start] = distance(k, seed, start, 8)
    k, seed, start_sec = min(found, key=found.__getitem__)
    return near[k][None], seed, start_sec
