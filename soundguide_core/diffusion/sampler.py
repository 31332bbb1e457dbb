"""From noise to pictures in few steps, over diffusers' schedulers. Nothing here knows of guidance: `denoise` may be a
Denoiser or anything that wraps one. Each solver is fed x0_hat, so a changed estimate goes through all the same way.

Axes: F frames, H W picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..common.errors import InputError, check_whole
from ..common.rng import torch_generator
from ..common.shapes import check_shape
from ..common.types import Estimate, OnStep
from .denoiser import CLEAN, alpha_bars, levels
from .with_diffusers import DDPMScheduler, DPMSolverMultistepScheduler

Denoise = Callable[[Tensor, int], Estimate]

# name -> (scheduler, its keyword arguments). DPM-Solver-1 is DDIM (Lu et al. 2022, section 4.1).
NO_VARIANCE = -1e9  # of a learned variance: the step goes to its mean
SOLVERS = {
    "ddpm": (DDPMScheduler, {"variance_type": "learned_range", "clip_sample": False}),
    "ddim": (DPMSolverMultistepScheduler, {"solver_order": 1}),
    "dpm-solver": (DPMSolverMultistepScheduler, {"solver_order": 2}),
}


@dataclass(frozen=True)
class SamplerConfig:
    """How many levels of the schedule are visited, and by which solver.

    sampler: "ddpm" is ancestral (Ho et al. 2020, respaced as Nichol and Dhariwal 2021), with fresh noise at every step;
        "ddim" and "dpm-solver" (DPM-Solver++ of order 2, Lu et al. 2022) draw none after the start.
    steps: of the whole way down from pure noise.
    skip: so many of the first of them are left out: what is sampled starts from the source at that level.
    clip: x0_hat is kept within -1..1.
    finish, finish_below: levels whose share of noise sqrt(1 - alpha_bar) is smaller than finish_below are passed in at
        most `finish` steps, evenly; 0 takes them as densely as the others.
    walk: of the noise, see FrameNoise.
    """

    sampler: str = "ddpm"
    steps: int = 50
    skip: int = 0
    clip: bool = True
    finish: int = 0
    finish_below: float = 0.0
    walk: float = 0.0

    def __post_init__(self) -> None:
        if self.sampler not in SOLVERS:
            raise InputError(f"There is no sampler {self.sampler!r}.", f"Use one of {', '.join(SOLVERS)}.")
        check_whole(self.steps, "The number of sampling steps", low=2, high=100_000)
        check_whole(self.skip, "The number of skipped steps", low=0, high=self.steps - 1)
        check_whole(self.finish, "The number of finishing steps", low=0, high=100_000)


@dataclass(frozen=True)
class Step:
    """One step, from level t down to t_prev (CLEAN at the end), and what q(x_prev | x_t, x0) has there:
    mean x0_coefficient x0 + ... x_t, log variance between log beta_tilde and log beta (Ho et al. 2020, equations 6, 7).
    """

    t: int
    t_prev: int
    alpha_bar: float
    alpha_bar_prev: float

    @property
    def beta(self) -> float:
        return 1 - self.alpha_bar / self.alpha_bar_prev

    @property
    def beta_tilde(self) -> float:
        return (1 - self.alpha_bar_prev) / (1 - self.alpha_bar) * self.beta

    @property
    def x0_coefficient(self) -> float:
        return math.sqrt(self.alpha_bar_prev) * self.beta / (1 - self.alpha_bar)

    def variance(self, estimate: Estimate) -> Tensor:
        """Sigma_t, broadcastable to [F,3,H,W]. A change g of x0_hat by (Sigma_t / x0_coefficient) g is one of the
        mean by Sigma_t g."""
        share = (torch.as_tensor(estimate.variance_mix) + 1) / 2
        low, high = math.log(max(self.beta_tilde, 1e-20)), math.log(self.beta)
        return torch.exp(low + share * (high - low))


def plan(schedule: dict, config: SamplerConfig) -> list[Step]:
    """The steps that sample takes, first to last.

    schedule: keyword arguments of diffusers.DDPMScheduler; of it count the levels of noise alone.
    """
    alpha_bar = alpha_bars(schedule)
    # ancestral steps end at level 0, as published; solvers of the ODE go to the clean picture from above it
    count = config.steps if config.sampler == "ddpm" else config.steps + 1
    if count > len(alpha_bar):
        raise InputError(
            f"{config.steps} sampling steps are more than this diffusion model has noise levels.",
            f"Take at most {len(alpha_bar) - 1}.",
        )
    ts = np.linspace(0, len(alpha_bar) - 1, count).round().astype(int)[::-1][config.skip : config.steps].tolist()
    if config.finish:
        ts = _finished_in(config.finish, ts, [math.sqrt(1 - alpha_bar[t].item()) < config.finish_below for t in ts])
    between = [*(alpha_bar[t].item() for t in ts), 1.0]
    return [Step(t, t_prev, *pair) for t, t_prev, *pair in zip(ts, [*ts[1:], CLEAN], between, between[1:])]


def _finished_in(steps: int, ts: list[int], low: list[bool]) -> list[int]:
    """Levels ts, falling, of which those that are low, the last, are replaced by `steps` where they are more."""
    dense = ts[: len(ts) - sum(low)]
    if not dense or sum(low) <= steps:
        return ts
    return dense + np.linspace(dense[-1], ts[-1], steps + 1).round().astype(int)[1:].tolist()


@dataclass(frozen=True)
class FrameNoise:
    """Noise that depends on the seed, the level and the frame's number in the whole video alone, so that windows and
    chunks get what the video edited whole gets. The same on every device.

    frames: [F] the numbers of the frames at hand.
    shared: steps draw one noise for all frames, instead of one for each.
    walk: frames in which the shared noise has become another one, 0 for never. Frame f has, with i + r = f / walk,

        cos(pi r / 2) n_i + sin(pi r / 2) n_{i+1},    n_i independent and of unit variance, and so is it.
    """

    seed: int
    frames: Sequence[int]
    shared: bool = False
    walk: float = 0.0

    def __post_init__(self) -> None:
        check_whole(self.seed, "The seed", low=0, high=2**64 - 1)

    @property
    def walks(self) -> bool:
        return self.shared and self.walk > 0

    def start(self, x: Tensor) -> Tensor:
        """The starting noise, like x [F,3,H,W]: the same in all frames, or walking."""
        if self.walks:
            return self.walking(x, 0, 0)
        return self._draw(x[:1], [self._generator(0, 0, 0)]).expand(x.shape)

    def step(self, t: int) -> list[torch.Generator]:
        """What the step from level t draws from, one generator for each frame."""
        return [self._generator(1, t, 0 if self.shared else frame) for frame in self.frames]

    def walking(self, x: Tensor, purpose: int, t: int) -> Tensor:
        """Noise like x [F,3,H,W] that walks from frame to frame. purpose: 0 for the start, 1 for the step from t."""
        at = [divmod(frame / self.walk, 1) for frame in self.frames]
        here, there = (self._draw(x, [self._generator(purpose, t, int(i) + ahead) for i, _ in at]) for ahead in (0, 1))
        angle = torch.tensor([math.pi / 2 * r for _, r in at]).to(x)[:, None, None, None]
        return angle.cos() * here + angle.sin() * there

    def source(self, x: Tensor, t: int) -> Tensor:
        """Noise like x [F,3,H,W] to bring a source to level t beside the sample, independent of the steps'."""
        return self._draw(x, [self._generator(2, t + 1, 0 if self.shared else frame) for frame in self.frames])

    def _generator(self, purpose: int, t: int, frame: int) -> torch.Generator:
        # the seed last: entropy of fixed length before it keeps keys apart
        return torch_generator(purpose, t, frame, self.seed)

    @staticmethod
    def _draw(x: Tensor, generators: list[torch.Generator]) -> Tensor:
        return torch.cat([torch.randn(1, *x.shape[1:], generator=generator) for generator in generators]).to(x)


@torch.no_grad()
def sample(
    denoise: Denoise,
    x_t: Tensor,
    schedule: dict,
    config: SamplerConfig,
    *,
    noise: FrameNoise,
    after_step: Callable[[Tensor, int], Tensor] | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """x_t [F,3,H,W] at the level of plan(...)[0].t => frames [F,3,H,W].

    Args:
        denoise: (x_t, t) => Estimate; called without gradients being recorded.
        schedule: as for plan: a Denoiser's .schedule.
        noise: where ancestral steps draw from; its frames are those of x_t.
        after_step: (x_prev, t_prev) => x_prev; t_prev is CLEAN after the last step.
        on_step: on_step(i, n, {}, preview) after step i, preview() is x0_hat; an exception from it ends the work.
    """
    if check_shape(x_t, "F 3 H W", name="x_t")["F"] != len(noise.frames):
        raise InputError(f"There is noise for {len(noise.frames)} frames, not for {len(x_t)}.", "Give one each.")
    steps = plan(schedule, config)
    solver, settings = SOLVERS[config.sampler]
    scheduler = solver(**levels(schedule), **settings, prediction_type="sample")
    scheduler.set_timesteps(timesteps=[step.t for step in steps])

    for i, step in enumerate(steps):
        x0_hat, variance_mix = denoise(x_t, step.t)
        if config.clip:
            x0_hat = x0_hat.clamp(-1, 1)
        if solver is DDPMScheduler:
            mix = torch.as_tensor(variance_mix).to(x0_hat).expand_as(x0_hat)

            if noise.walks:
                mix = torch.full_like(mix, NO_VARIANCE)  # the noise is added here
            x_prev = scheduler.step(torch.cat([x0_hat, mix], dim=1), step.t, x_t, noise.step(step.t), return_dict=False)
            x_t = x_prev[0]
            if noise.walks and step.t_prev != CLEAN:
                x_t = x_t + step.variance(Estimate(x0_hat, variance_mix)).sqrt() * noise.walking(x_t, 1, step.t)
        else:
            x_t = scheduler.step(x0_hat, step.t, x_t, return_dict=False)[0]
        if after_step is not None:
            x_t = after_step(x_t, step.t_prev)
        if on_step is not None:
            on_step(i, len(steps), {}, lambda x0_hat=x0_hat: x0_hat)
    return x_t
