"""Silence is told by its level, whatever its spectrum, and then nothing is heard in it."""

from __future__ import annotations

import math

import pytest
import torch

from soundguide_core.audio.mel import SPECS
from soundguide_core.audio.silence import MOMENT, SILENT_DB, Loudest, is_silent, level_db
from soundguide_core.audio.track import MelTrack


def noise(db: float, count: int = 30_000) -> torch.Tensor:
    x = torch.randn(count, generator=torch.Generator().manual_seed(0))
    return x / x.square().mean().sqrt() * 10 ** (db / 20)


def test_the_level_against_a_loop():
    wave = noise(-30, 10_000) * torch.linspace(0, 1, 10_000)
    moments = [wave[i : i + MOMENT] for i in range(0, 10_000, MOMENT)]
    wanted = max(10 * math.log10(sum(float(x) ** 2 for x in part) / len(part)) for part in moments)
    assert level_db(wave) == pytest.approx(wanted, abs=1e-4)
    assert level_db(torch.zeros(0)) == level_db(torch.zeros(5)) == -math.inf


def test_noise_of_a_converter_is_silence():
    assert is_silent(noise(-93)) and is_silent(torch.zeros(2, 100)) and not is_silent(noise(-50))
    knock = noise(-93)
    knock[9000:9600] += 0.01
    assert not is_silent(knock)  # one moment is enough


@pytest.mark.parametrize("size", [100, 5000, 30_000])
def test_blocks_as_they_pass_by(size):
    loudest = Loudest()
    passed = torch.cat([x[0] for x in loudest.of(part[None] for part in noise(-80).split(size))])
    assert torch.equal(passed, noise(-80)) and loudest.silent
    assert loudest.db == pytest.approx(-80, abs=3)


def test_a_track_of_it_holds_nothing():
    quiet, heard = (MelTrack.of_wave(noise(db), 22050, SPECS["released"]) for db in (-85, SILENT_DB + 3))
    assert not quiet.stretch(0, 10).any() and not quiet.loudness(12, 5).any()
    assert heard.stretch(0, 10).any() and heard.loudness(12, 5).any()
