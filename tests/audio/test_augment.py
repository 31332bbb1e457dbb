"""Augmentations: on the right axes, within their bounds, powers and decibels as they should add."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tolerances as tol
from soundguide_core.audio import augment as a


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_spec_augment_masks_whole_bands_of_the_right_size():
    mel = torch.ones(200, 1, 40, 100)
    out = a.spec_augment(mel, 0.15, 0.30, 1, gen())
    rows, columns = out[:, 0].amax(2) == 0, out[:, 0].amax(1) == 0  # [B,M], [B,T]
    assert rows.sum(1).max() <= 0.15 * 40 + 1 and columns.sum(1).max() <= 0.30 * 100 + 1
    assert rows.sum(1).float().mean() == pytest.approx(0.15 * 40 / 2, rel=0.2)
    assert columns.sum(1).float().mean() == pytest.approx(0.30 * 100 / 2, rel=0.2)
    assert torch.equal(out[:, 0] == 0, rows[:, :, None] | columns[:, None, :])
    assert torch.equal(mel, torch.ones_like(mel))
    assert torch.equal(out, a.spec_augment(mel, 0.15, 0.30, 1, gen()))


def test_add_power_is_the_sum_of_powers():
    x, y = torch.tensor([-10.0, 0.0, -100.0]), torch.tensor([-10.0, -20.0, 3.0])
    assert torch.allclose(a.add_power(x, y), 10 * torch.log10(10 ** (x / 10) + 10 ** (y / 10)), atol=tol.FLOAT32_SUM)


def test_stretch_moves_time_and_pitch():
    level = torch.full((64, 32, 130), -80.0)
    level[:, 16, :] = 0
    out = a.stretch(level, 100, gen(), speed=1.25, bins=3)
    assert out.shape == (64, 32, 100)
    assert ((out.mean(2).argmax(1) - 16).abs() <= 3).all() and len(out.mean(2).argmax(1).unique()) > 3
    ramp = torch.arange(130.0).expand(64, 32, 130)
    slope = a.stretch(ramp, 100, gen(), speed=1.25, bins=0).diff(dim=2)[:, 0, 50]
    assert slope.min() >= 0.79 and slope.max() <= 1.26 and slope.std() > 0.05


def test_smear_only_looks_back_and_adds_power():
    level = torch.full((4, 3, 90), -120.0)
    level[:, :, 30] = 0
    out = a.smear(level, gen(), chance=1.0, longest=20)
    assert (out[:, :, :30] < -110).all() and (out[:, :, 30] >= 0).all()
    assert (out[:, :, 31] < 0).all() and (out[:, :, 32] < out[:, :, 31]).all()
    assert torch.allclose(a.smear(level, gen(), chance=0.0), level, atol=tol.HALF)


def test_chain_is_bounded_and_seeded():
    level = -60 * torch.rand(8, 64, 166, generator=gen())
    one = a.augment_level(level, 128, gen(3), other=level.roll(1, 0))
    assert one.shape == (8, 1, 64, 128) and one.min() >= 0 and one.max() <= 1
    assert torch.equal(one, a.augment_level(level, 128, gen(3), other=level.roll(1, 0)))
    assert not torch.equal(one, a.augment_level(level, 128, gen(4), other=level.roll(1, 0)))


def test_compress_takes_out_slow_swings_and_keeps_the_spectrum():
    swing = torch.linspace(-30, 0, 200).expand(16, 64, 200) + torch.linspace(0, -20, 64)[:, None]
    out = a.compress(swing, gen(), chance=1.0, most=0.6)
    span = (out[:, 0, 180] - out[:, 0, 20]) / (swing[:, 0, 180] - swing[:, 0, 20])  # [B]
    assert span.min() > 0.35 and span.max() <= 1 and span.min() < 0.8
    assert torch.allclose(out[:, 0] - out[:, -1], swing[:, 0] - swing[:, -1], atol=tol.PARITY)
    assert torch.equal(a.compress(swing, gen(), chance=0.0), swing)


def test_gate_sinks_the_floor_only():
    level = torch.linspace(0, -90, 64)[:, None].expand(16, 64, 50)
    out = a.gate(level, gen(), chance=1.0)
    assert torch.equal(out[:, :20], level[:, :20])  # above -30 dB
    assert (out[:, -1] < -120).all() and (out.diff(dim=1) < 0).all()
    assert torch.equal(a.gate(level, gen(), chance=0.0), level)


def test_a_clean_recorder_adds_nothing():
    level = torch.full((64, 64, 166), -100.0)
    level[:, 5] = 0.0
    kinds = dict(mix=0.0, rooms=0.0, spread_db=0.0, noisiest_db=-30.0)
    share = [
        (a.augment_level(level, 128, gen(), cleanest_db=db, **kinds)[:, 0, 40] > 0).float().mean() for db in (-85, -150)
    ]
    assert share[0] > share[1] + 0.1


def test_silence_stays_quiet():
    level = torch.full((32, 64, 166), -110.0)
    loud = -60 * torch.rand(32, 64, 166, generator=gen())
    out = a.augment_level(level, 128, gen(), other=loud, noisiest_db=-40.0)
    assert out.mean() < 0.25 and out.max() < 0.9


def test_text_keeps_its_sense():
    rng = np.random.default_rng(0)
    texts = {a.augment_text("the sound of rain", rng) for _ in range(200)}
    assert len(texts) > 10
    for text in texts:
        words = text.split()
        assert len(words) == 5 and {"the", "of"} <= set(words)
        assert {"rain", "rainfall", "raindrops", "noise"} & set(words)
    assert a.augment_text("zebra", rng) == "zebra" and a.augment_text("", rng) == ""
    assert sorted(a.augment_text("one two", rng).split()) == ["one", "two"]
