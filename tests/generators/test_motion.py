"""Motion codes: functions of time alone, continuous, without a period unless one is asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.generators.motion import MotionEncoder, TrajectoryNoise
from soundguide_core.generators.stylegan_v import StyleGANVConfig

CONFIG = StyleGANVConfig(32, motion_z_dim=16, motion_u_dim=24, waves=7, min_period=16.0, max_period=1024.0)
DISTANCE = CONFIG.motion_distance


def encoder(**changes) -> MotionEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return MotionEncoder(replace(CONFIG, **changes)).requires_grad_(False)


def noise(*seeds: int) -> TrajectoryNoise:
    return TrajectoryNoise(seeds, CONFIG.motion_z_dim)


def codes(times, motion: MotionEncoder | None = None, seed: int = 3, **how) -> torch.Tensor:
    """[F] => [F,V]"""
    t = torch.as_tensor(times, dtype=torch.float64)
    return (motion or encoder())(t[None], noise(seed), **how)[0]


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_a_code_does_not_depend_on_the_other_times(variant):
    motion = encoder(variant=variant)
    times = [0.0, 517.25, 16.0, 3.5, 90.125, 1000.75]
    together = codes(times, motion)
    for i in (4, 0, 2, 1, 5, 3):
        assert torch.allclose(codes([times[i]], motion)[0], together[i], atol=tol.PARITY)


def test_one_video_does_not_depend_on_another():
    motion, t = encoder(), torch.tensor([[1.0, 40.0], [300.0, 2.0]])
    both = motion(t, noise(1, 2))
    assert torch.allclose(motion(t[1:], noise(2)), both[1:], atol=tol.FLOAT32_SUM)
    assert not torch.allclose(motion(t[1:], noise(1)), both[1:], atol=1e-2)


def test_rates_agree_where_their_times_meet():
    motion = encoder()
    slow = codes([i * 25 / 24 for i in range(49)], motion)
    fast = codes([i * 25 / 60 for i in range(121)], motion)
    assert torch.allclose(slow[::2], fast[::5], atol=tol.PARITY)


def test_a_tensor_of_noise_is_the_same_noise():
    motion = encoder()
    t = torch.tensor([[0.0, 20.0, 47.9]])
    assert torch.equal(motion(t, noise(5).tensor(motion.anchors(47.9))), motion(t, noise(5)))
    with pytest.raises(InputError, match="ends before"):
        motion(t, noise(5).tensor(motion.anchors(47.9) - 1))


def test_continuous_at_the_anchors():
    motion = encoder(motion_distance=8.0)
    for anchor in (8.0, 80.0, 808.0):
        left, at, right = codes([anchor - 1e-4, anchor, anchor + 1e-4], motion)
        assert torch.allclose(left, at, atol=1e-2) and torch.allclose(right, at, atol=1e-2)
    left, right = codes([8 - 1e-4, 8 + 1e-4], encoder(codes="unaligned", motion_distance=8.0))
    assert (left - right).abs().max() > 0.1


def test_at_an_anchor_the_code_is_its_alignment_vector():
    motion = encoder()
    u = motion.motion_u(noise(3), torch.tensor([7]))[:, 0]
    assert torch.allclose(codes([7 * DISTANCE], motion), motion.time_encoder.aligners_predictor(u), atol=tol.PARITY)


def test_between_anchors_computed_another_way():
    """Eq. 2 to 4 with scalars: numpy, one wave at a time."""
    import math

    motion = encoder()
    t, wave = 5 * DISTANCE + 3.7, 4
    u, v = motion.motion_u(noise(3), torch.tensor([5, 6]))[0]
    e = motion.time_encoder

    def dot(weight, x):
        return float((weight.double() @ x.double()) / math.sqrt(len(x)))

    omega = 2 * math.pi / 2 ** (math.log2(1024) + (math.log2(16) - math.log2(1024)) * wave / 6)
    sigma = math.tanh(dot(e.periods_predictor.weight[wave], u)) + 1
    rho = dot(e.phase_predictor.weight[wave], u) * 1024 * omega / (2 * math.pi)
    left, right = 5 * DISTANCE, 6 * DISTANCE
    a = (t - left) / DISTANCE
    for index, f in ((wave, math.sin), (wave + 7, math.cos)):
        value, start, end = (f(omega * sigma * x + rho) for x in (t, left, right))
        stitched = dot(e.amplitudes_predictor.weight[index], u) * (value - (1 - a) * start - a * end)
        aligner = e.aligners_predictor.weight[index]
        expected = stitched + (1 - a) * dot(aligner, u) + a * dot(aligner, v)
        assert float(codes([t], motion)[0, index]) == pytest.approx(expected, abs=tol.PARITY)


def autocorrelation(v: torch.Tensor, lags: range) -> torch.Tensor:
    """[F,V] => for each lag the correlation of the codes with themselves that much later, in -1..1"""
    v = v - v.mean(dim=0)
    return torch.stack([(v[:-lag] * v[lag:]).sum() / (v[:-lag].norm() * v[lag:].norm()) for lag in lags])


def test_no_period_in_ten_thousand_frames():
    times, lags = range(10_000), range(64, 5000, 4)
    assert autocorrelation(codes(times), lags).max() < 0.5
    assert autocorrelation(codes(times, encoder(codes="sinusoidal")), lags).max() > 0.99  # the period is found
    looped = autocorrelation(codes(times, loop=500.0), lags)
    assert looped[(500 - 64) // 4] > 0.999


@pytest.mark.parametrize("period", [37.5, 64.0, 5.0])
def test_a_loop_closes_exactly(period):
    motion = encoder()
    v = codes([0.0, period, 2 * period, 0.25 * period, 1.25 * period], motion, loop=period)
    assert torch.equal(v[0], v[1]) and torch.equal(v[0], v[2]) and torch.allclose(v[3], v[4], atol=tol.FLOAT32_SUM)
    near = codes([period * (1 - 1e-6)], motion, loop=period)
    assert torch.allclose(near[0], v[0], atol=tol.HALF)
    assert (v[3] - v[0]).abs().max() > 0.05


def test_an_hour_in_needs_no_more_noise_than_the_start(monkeypatch):
    drawn = []
    at = TrajectoryNoise.at
    monkeypatch.setattr(TrajectoryNoise, "at", lambda self, anchors: drawn.append(len(anchors)) or at(self, anchors))
    codes(range(16))
    codes(range(90_000, 90_016))
    assert drawn[1] <= drawn[0] + 1


def test_sound_joins_the_codes_and_its_absence_does_not():
    motion = encoder(sound_dim=2)
    t = torch.tensor([[0.0, 9.0]])
    plain = motion(t, noise(1))
    assert torch.equal(motion(t, noise(1), sound=torch.zeros(1, 2, 2)), plain)
    assert torch.equal(motion(t, noise(1), amplitude=torch.ones(1, 2)), plain)
    assert not torch.allclose(motion(t, noise(1), sound=torch.ones(1, 2, 2)), plain, atol=1e-2)
    moved = motion(t, noise(1), amplitude=torch.full((1, 2), 3.0))
    assert torch.equal(moved[:, 0], plain[:, 0]) and not torch.allclose(moved[:, 1], plain[:, 1], atol=1e-2)
    with pytest.raises(InputError, match="takes 0 numbers"):
        encoder()(t, noise(1), sound=torch.ones(1, 2, 2))


@pytest.mark.parametrize("t", [[[-0.5]], [[float("nan")]], [0.0]])
def test_times_that_cannot_be(t):
    with pytest.raises(InputError, match="from 0 up"):
        encoder()(torch.tensor(t), noise(0))
    with pytest.raises(InputError, match="loop of 0"):
        codes([0.0], loop=0)


def test_random_noise_is_normal_and_reaches_the_last_time():
    motion = encoder()
    noise = motion.random_noise(50, 200.0, torch.Generator().manual_seed(0))
    assert noise.shape[0] == 50 and abs(float(noise.mean())) < 0.02 and abs(float(noise.std()) - 1) < 0.02
    assert motion(torch.full((50, 1), 200.0), noise).isfinite().all()
    with pytest.raises(InputError, match="ends before"):
        motion(torch.full((50, 1), 200.0 + CONFIG.motion_distance), noise)
