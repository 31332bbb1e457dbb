"""Sounds of no phenomenon: made anew from their seeds, drawn in their share, and judged."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from soundguide_core.audio.mel import MelSpec
from soundguide_core.common.errors import InputError
from soundguide_core.miniature.data.outside_sounds import EVERY, OutsideSounds, outside_wave
from soundguide_core.miniature.evaluation.outside import Watched, figures
from soundguide_core.miniature.sounds import breath, outside
from soundguide_core.miniature.sounds.synthesis import render

SPEC = MelSpec(
    sample_rate=8000, n_fft=256, hop_length=128, n_mels=16, fmin=0, fmax=4000, top_db=80, columns=64, stride=32,
    layout="plain", fill="mirror", focus=0,
)  # fmt: skip
TABLE = {
    "share": 0.4, "per_kind": 1, "first_seed": 0, "recorded": 0.5, "folds": [], "ambience": [], "without": ["speech"],
}  # fmt: skip


@pytest.mark.parametrize("kind", [*outside.SOUNDS, *breath.SOUNDS])
def test_a_sound_from_a_seed(kind):
    first, again, other = (
        render(EVERY[kind], 2.0, intensity=None, seed=seed, sample_rate=8000, fps=12) for seed in (3, 3, 4)
    )
    assert first.shape == (16000,) and np.isfinite(first).all() and 0.25 < np.abs(first).max() < 1
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_noise_is_even():
    wave = outside_wave("noise", 5_000_000, 4.0, 12.0)
    power = np.square(wave[: len(wave) // 8 * 8]).reshape(8, -1).mean(axis=1)
    assert power.max() < 4 * power.min()


def test_each_kind_as_often_as_another(tmp_path):
    sounds = OutsideSounds(TABLE, tmp_path, SPEC, 12.0, parts=lambda x: x[None], cache=tmp_path / "kept")
    assert len(sounds.levels) == len(EVERY) - 1 and sounds.levels.shape[1] == 16  # without speech
    u = torch.rand(3, 4000, generator=torch.Generator().manual_seed(0))
    counts = torch.bincount(sounds.choose(u), minlength=len(EVERY) - 1)
    assert len(counts) == len(EVERY) - 1 and counts.min() > 0.7 * counts.max()
    with pytest.raises(InputError, match="does not say folds"):
        OutsideSounds({k: x for k, x in TABLE.items() if k != "folds"}, tmp_path, SPEC, 12.0, parts=len, cache=tmp_path)


def test_calm_frames_and_flips_are_counted():
    frames = torch.zeros(1, 3, 4, 4)
    videos = [
        Watched("speech", ["calm"] * 30 + ["birds"] * 3 + ["calm"] * 27, 12.0, frames),
        Watched("music", ["fire", "rain"] * 30, 12.0, frames),
    ]
    found = figures(videos)
    assert found["calm"] == 57 / 120 and found["calm_per_kind"] == {"speech": 57 / 60, "music": 0.0}
    assert found["flips_per_minute"] == pytest.approx((2 + 59) / (10 / 60))
    assert found["named"] == {"birds": 3 / 120, "calm": 57 / 120, "fire": 0.25, "rain": 0.25}
