"""Steps against formulas by hand, whole ways down against a distribution that is known, and the noise of windows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import tolerances as tol
from soundguide_core.common.errors import InputError

pytest.importorskip("diffusers")

LINEAR = {"num_train_timesteps": 1000, "beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}
COSINE = {"num_train_timesteps": 1000, "beta_schedule": "squaredcos_cap_v2"}


@pytest.fixture(scope="module")
def sampler(diffusers):
    from soundguide_core.diffusion import sampler

    return sampler


def linear_alpha_bar() -> np.ndarray:
    return np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))


def noise_like(x: torch.Tensor, seed: int) -> torch.Tensor:
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))


class Says:
    """An estimate that does not listen; remembers at which levels it was asked."""

    def __init__(self, x0_hat, variance_mix=-1.0):
        self.x0_hat, self.variance_mix, self.ts = x0_hat, variance_mix, []

    def __call__(self, x_t, t):
        from soundguide_core.diffusion.denoiser import Estimate

        self.ts.append(t)
        return Estimate(self.x0_hat, self.variance_mix)


def towards_the_mean(schedule, mean, std):
    """The exact denoiser of pixels drawn from N(mean, std^2)."""
    from soundguide_core.diffusion.denoiser import Estimate, alpha_bars

    table = alpha_bars(schedule)

    def denoise(x_t, t):
        alpha_bar = table[t].item()
        gain = math.sqrt(alpha_bar) * std**2 / (alpha_bar * std**2 + 1 - alpha_bar)
        return Estimate(mean + gain * (x_t - math.sqrt(alpha_bar) * mean))

    return denoise


# ---- which levels


def test_levels_are_the_published_respacing(sampler):
    steps = sampler.plan(LINEAR, sampler.SamplerConfig("ddpm", 75))
    assert [step.t for step in steps] == [round(i * 999 / 74) for i in range(75)][::-1]
    assert [step.t_prev for step in steps] == [*(step.t for step in steps[1:]), -1]
    assert steps[0].alpha_bar == pytest.approx(linear_alpha_bar()[999], rel=tol.PARITY)
    assert steps[-1].alpha_bar_prev == 1 and steps[-1].beta_tilde == 0 and steps[-1].x0_coefficient == pytest.approx(1)


def test_low_levels_are_passed_in_few_steps(sampler):
    for name in sampler.SOLVERS:
        whole = sampler.plan(COSINE, sampler.SamplerConfig(name, 20, skip=1))
        high = [step for step in whole if 1 - step.alpha_bar >= 0.4**2]
        few = sampler.plan(COSINE, sampler.SamplerConfig(name, 20, skip=1, finish=2, finish_below=0.4))
        assert few[: len(high) - 1] == high[:-1] and len(few) == len(high) + 2 < len(whole)
        assert [step.t for step in few[-3:]] == [
            high[-1].t, round((high[-1].t + whole[-1].t) / 2), whole[-1].t,
        ]  # fmt: skip
        assert [step.t_prev for step in few] == [*(step.t for step in few[1:]), -1]
        more = sampler.SamplerConfig(name, 20, skip=1, finish=len(whole), finish_below=0.4)
        assert sampler.plan(COSINE, more) == whole
        assert sampler.plan(COSINE, sampler.SamplerConfig(name, 20, skip=1, finish=2)) == whole


def test_skipped_steps_are_the_first_ones(sampler):
    for name in sampler.SOLVERS:
        whole = sampler.plan(COSINE, sampler.SamplerConfig(name, 20))
        assert len(whole) == 20 and whole[0].t == 999
        assert sampler.plan(COSINE, sampler.SamplerConfig(name, 20, skip=7)) == whole[7:]
        x, says = torch.zeros(1, 3, 8, 8), Says(torch.zeros(1, 3, 8, 8))
        config = sampler.SamplerConfig(name, 20, skip=7)
        sampler.sample(says, x, COSINE, config, noise=sampler.FrameNoise(0, [0]))
        assert says.ts == [step.t for step in whole[7:]]


# ---- one step


def test_a_ddpm_step_with_learned_variance(sampler):
    """Ho et al. 2020, equations 6 and 7, and Nichol and Dhariwal 2021, equation 15, on the respaced betas."""
    steps, at = 40, 12
    rng = torch.Generator().manual_seed(0)
    x_t, x0 = torch.randn(2, 3, 8, 8, generator=rng), torch.rand(2, 3, 8, 8, generator=rng) * 2 - 1
    mix = torch.rand(2, 3, 8, 8, generator=rng) * 2 - 1
    noise, seen = sampler.FrameNoise(3, [5, 6]), []
    sampler.sample(
        Says(x0, mix), x_t, LINEAR, sampler.SamplerConfig("ddpm", steps, skip=at), noise=noise,
        after_step=lambda x, t: seen.append((x, t)) or x,
    )  # fmt: skip

    kept = linear_alpha_bar()[[round(i * 999 / (steps - 1)) for i in range(steps)]]
    betas = 1 - kept / np.append(1.0, kept[:-1])
    i = steps - 1 - at
    beta_tilde = betas[i] * (1 - kept[i - 1]) / (1 - kept[i])
    mean = (
        math.sqrt(kept[i - 1]) * betas[i] / (1 - kept[i]) * x0
        + math.sqrt(1 - betas[i]) * (1 - kept[i - 1]) / (1 - kept[i]) * x_t
    )
    share = (mix + 1) / 2
    std = torch.exp(0.5 * (share * math.log(betas[i]) + (1 - share) * math.log(beta_tilde)))
    drawn = torch.cat([torch.randn(1, 3, 8, 8, generator=g) for g in noise.step(round(i * 999 / (steps - 1)))])
    x_prev, t_prev = seen[0]
    assert t_prev == round((i - 1) * 999 / (steps - 1))
    assert torch.allclose(x_prev, mean + std * drawn, atol=tol.FLOAT32_SUM)

    step = sampler.plan(LINEAR, sampler.SamplerConfig("ddpm", steps, skip=at))[0]
    assert torch.allclose(step.variance(Says(x0, mix)(x_t, 0)), std.square(), rtol=tol.HALF)
    assert step.variance(Says(x0, -1.0)(x_t, 0)).item() == pytest.approx(beta_tilde, rel=tol.HALF)
    assert step.variance(Says(x0, 1.0)(x_t, 0)).item() == pytest.approx(betas[i], rel=tol.HALF)


def test_a_change_of_x0_hat_is_a_shift_of_the_mean(sampler):
    config, noise = sampler.SamplerConfig("ddpm", 30, skip=10, clip=False), sampler.FrameNoise(0, [0])
    x_t, x0, g = (noise_like(torch.zeros(1, 3, 8, 8), i) for i in range(3))
    step = sampler.plan(LINEAR, config)[0]
    k = step.variance(Says(x0)(x_t, 0)) / step.x0_coefficient
    first = []
    for x in (x0, x0 + k * g):
        sampler.sample(Says(x), x_t, LINEAR, config, noise=noise, after_step=lambda x, t: first.append(x) or x)
    assert torch.allclose(first[20] - first[0], step.beta_tilde * g, atol=tol.FLOAT32_SUM)


def test_a_ddim_step(sampler):
    x_t, x0 = noise_like(torch.zeros(1, 3, 8, 8), 0), torch.rand(1, 3, 8, 8)
    config, seen = sampler.SamplerConfig("ddim", 10, skip=4), []
    sampler.sample(
        Says(x0), x_t, LINEAR, config, noise=sampler.FrameNoise(0, [0]), after_step=lambda x, t: seen.append(x) or x
    )
    levels = [round(i * 999 / 10) for i in range(1, 11)][::-1]
    now, then = linear_alpha_bar()[levels[4]], linear_alpha_bar()[levels[5]]
    eps = (x_t - math.sqrt(now) * x0) / math.sqrt(1 - now)
    assert torch.allclose(seen[0], math.sqrt(then) * x0 + math.sqrt(1 - then) * eps, atol=tol.FLOAT32_SUM)


# ---- the whole way


@pytest.mark.parametrize("schedule", [LINEAR, COSINE], ids=["linear", "cosine"])
@pytest.mark.parametrize("name, few, many", [("ddpm", 75, 400), ("ddim", 50, 300), ("dpm-solver", 10, 50)])
def test_a_gaussian_comes_out_the_better_the_more_steps(sampler, name, few, many, schedule):
    x_t = noise_like(torch.zeros(1, 3, 64, 64), 0)
    denoise, noise = towards_the_mean(schedule, 0.4, 0.25), sampler.FrameNoise(0, [0])
    errors = []
    for steps in (few, many):
        x = sampler.sample(denoise, x_t, schedule, sampler.SamplerConfig(name, steps, clip=False), noise=noise)
        assert x.mean().item() == pytest.approx(0.4, abs=0.01)  # 12288 pixels are sure of it to 0.002
        errors.append(abs(x.std().item() / 0.25 - 1))
    assert errors[1] < 0.05 and errors[1] < 0.5 * errors[0]


def test_second_order_is_nearer_to_the_end_of_the_way(sampler):
    x_t, denoise = noise_like(torch.zeros(1, 3, 16, 16), 0), towards_the_mean(COSINE, 0.4, 0.25)

    def end(name, steps):
        config = sampler.SamplerConfig(name, steps, clip=False)
        return sampler.sample(denoise, x_t, COSINE, config, noise=sampler.FrameNoise(0, [0]))

    exact = 0.4 + 0.25 * x_t  # the ODE only scales and moves a Gaussian
    error = {name: (end(name, 50) - exact).abs().mean() for name in ("ddim", "dpm-solver")}
    assert error["dpm-solver"] < 0.3 * error["ddim"]


@pytest.mark.parametrize("name", ["ddpm", "ddim", "dpm-solver"])
def test_what_is_estimated_at_the_end_comes_out(sampler, name):
    x0 = torch.rand(1, 3, 8, 8) * 4 - 2
    x = sampler.sample(
        Says(x0), torch.randn(1, 3, 8, 8), COSINE, sampler.SamplerConfig(name, 10), noise=sampler.FrameNoise(0, [0])
    )
    assert torch.allclose(x, x0.clamp(-1, 1), atol=tol.FLOAT32_SUM)


def test_after_each_step_the_level_below_is_told(sampler):
    source, levels = torch.rand(1, 3, 8, 8), []

    def keep(x, t_prev):
        levels.append(t_prev)
        return source if t_prev == -1 else x

    x = sampler.sample(
        Says(torch.zeros(1, 3, 8, 8)), torch.randn(1, 3, 8, 8), LINEAR, sampler.SamplerConfig("ddpm", 5, skip=1),
        noise=sampler.FrameNoise(0, [0]), after_step=keep,
    )  # fmt: skip
    assert levels == [500, 250, 0, -1] and torch.equal(x, source)


# ---- noise


def test_noise_is_that_of_the_frame_in_the_whole_video(sampler):
    zeros = torch.zeros(8, 3, 4, 4)
    whole, window = sampler.FrameNoise(9, range(8)), sampler.FrameNoise(9, range(3, 6))
    draw = torch.cat([torch.randn(1, 3, 4, 4, generator=g) for g in whole.step(40)])
    part = torch.cat([torch.randn(1, 3, 4, 4, generator=g) for g in window.step(40)])
    assert torch.equal(draw[3:6], part)
    assert torch.equal(whole.source(zeros, 40)[3:6], window.source(zeros[:3], 40))
    assert torch.equal(whole.start(zeros)[3:6], window.start(zeros[:3]))
    assert torch.equal(whole.start(zeros)[0], whole.start(zeros)[7])

    kinds = [draw, whole.source(zeros, 40), whole.source(zeros, 41), whole.source(zeros, -1), whole.start(zeros)[:1]]
    kinds += [sampler.FrameNoise(10, range(8)).source(zeros, 40)]
    flat = torch.cat(kinds).flatten(1)
    assert len(flat.unique(dim=0)) == len(flat)
    correlation = torch.corrcoef(flat).fill_diagonal_(0).abs().max()
    assert correlation < 0.65  # of 48 numbers each


def test_shared_noise_is_one_for_all_frames(sampler):
    noise = sampler.FrameNoise(1, range(3), shared=True)
    a, b, c = (torch.randn(4, generator=g) for g in noise.step(7))
    assert torch.equal(a, b) and torch.equal(b, c) and not torch.equal(a, torch.randn(4, generator=noise.step(8)[0]))
    source = noise.source(torch.zeros(3, 3, 4, 4), 7)
    assert torch.equal(source[0], source[2]) and not torch.equal(source[0].flatten()[:4], a)


def test_shared_noise_that_walks(sampler):
    zeros = torch.zeros(9, 3, 16, 16)
    walked = sampler.FrameNoise(1, range(9), shared=True, walk=4.0).walking(zeros, 1, 7)
    here, there = walked[0], walked[4]  # at whole steps of the walk
    assert torch.equal(here, sampler.FrameNoise(1, [0], shared=True, walk=2.0).walking(zeros[:1], 1, 7)[0])
    for i in range(5):
        expected = math.cos(math.pi * i / 8) * here + math.sin(math.pi * i / 8) * there
        torch.testing.assert_close(walked[i], expected)
    assert torch.allclose(walked.std(dim=(1, 2, 3)), torch.ones(9), atol=0.1)
    change = (walked[1:] - walked[:-1]).pow(2).mean((1, 2, 3)).sqrt()  # 2 sin(pi / 16) at each step, no leap
    assert torch.allclose(change, torch.full((8,), 2 * math.sin(math.pi / 16)), rtol=0.1)
    assert float((here * there).mean().abs()) < 0.1


def test_walking_steps_have_the_mean_and_the_variance_of_the_others(sampler):
    frames, config = 400, sampler.SamplerConfig("ddpm", 8)
    x_t = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)).expand(frames, -1, -1, -1)
    made = {
        walk: sampler.sample(
            towards_the_mean(COSINE, 0.1, 0.5), x_t, COSINE, config,
            noise=sampler.FrameNoise(5, range(frames), shared=walk > 0, walk=walk),
        )
        for walk in (0.0, 1.0)
    }  # fmt: skip
    assert torch.allclose(made[0.0].mean(0), made[1.0].mean(0), atol=0.1)
    assert torch.allclose(made[0.0].std(0).mean(), made[1.0].std(0).mean(), rtol=0.05)


@pytest.mark.parametrize(("name", "walk"), [("ddpm", 0.0), ("dpm-solver", 0.0), ("ddpm", 3.5), ("dpm-solver", 3.5)])
def test_windows_get_the_bytes_of_the_whole(sampler, name, walk):
    config = sampler.SamplerConfig(name, 8)

    def edited(frames, seed=5):
        noise = sampler.FrameNoise(seed, frames, walk > 0, walk)
        x_t = noise.start(torch.zeros(len(frames), 3, 8, 8))
        return sampler.sample(towards_the_mean(COSINE, 0.1, 0.5), x_t, COSINE, config, noise=noise)

    whole = edited(range(6))
    assert torch.equal(whole, torch.cat([edited(range(2)), edited(range(2, 6))]))
    assert torch.equal(whole, edited(range(6))) and not torch.equal(whole, edited(range(6), seed=6))


# ---- stopping and bad input


def test_a_stop_is_heard_at_the_next_step(sampler):
    says = Says(torch.full([1, 3, 8, 8], 0.5))

    def stop(i, n, terms, preview):
        assert (n, terms) == (10, {}) and torch.equal(preview(), says.x0_hat)
        if i == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sampler.sample(
            says, torch.zeros(1, 3, 8, 8), COSINE, sampler.SamplerConfig("ddim", 10),
            noise=sampler.FrameNoise(0, [0]), on_step=stop,
        )  # fmt: skip
    assert len(says.ts) == 3


@pytest.mark.parametrize(
    "settings, match",
    [
        ({"sampler": "euler"}, "no sampler"),
        ({"steps": 1}, "steps"),
        ({"steps": 10, "skip": 10}, "skipped"),
        ({"steps": 10.5}, "steps"),
    ],
)
def test_bad_settings_are_refused(sampler, settings, match):
    with pytest.raises(InputError, match=match):
        sampler.SamplerConfig(**settings)


def test_no_more_steps_than_levels(sampler):
    assert len(sampler.plan(COSINE, sampler.SamplerConfig("ddim", 999))) == 999
    for name in sampler.SOLVERS:
        with pytest.raises(InputError, match="at most 999"):
            sampler.plan(COSINE, sampler.SamplerConfig(name, 1001))


def test_noise_for_other_frames_is_refused(sampler):
    with pytest.raises(InputError, match="2 frames"):
        sampler.sample(
            Says(0), torch.zeros(3, 3, 8, 8), COSINE, sampler.SamplerConfig(), noise=sampler.FrameNoise(0, [0, 1])
        )
    with pytest.raises(InputError, match="seed"):
        sampler.FrameNoise(-1, [0])
