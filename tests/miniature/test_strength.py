from __future__ import annotations

import numpy as np
import pytest

import tolerances as tol
from soundguide_core.miniature.sounds import strength as law


def strength(db: list[float]) -> np.ndarray:
    return law.strength(1 + np.array(db) / 60, 12.0)


def test_a_phenomenon_is_as_strong_as_it_is_loud():
    assert strength([0.0] * 30) == pytest.approx(1) and strength([-60.0] * 30) == pytest.approx(0)
    steps = strength([0.0] * 30 + [-15.0] * 30 + [-40.0] * 30)
    assert steps[[10, 45, 80]] == pytest.approx([1, 0.3 + 0.7 / 2, 0.3], abs=tol.HALF)


def test_a_gap_between_two_calls_is_no_silence():
    short, long = (strength([0.0] * 30 + [-60.0] * gap + [0.0] * 30) for gap in (8, 60))
    assert short.min() > 0.2 and long.min() == pytest.approx(0)
    heard = law.heard(1 + np.array([0.0] * 30 + [-60.0] * 60) / 60, 12.0)
    assert heard[:36].min() > 0.5 and heard[45:].max() < 0.5


def test_it_is_neither_early_nor_late():
    call = strength([-20.0] * 20 + [0.0] + [-20.0] * 20)
    assert call == pytest.approx(call[::-1]) and call.argmax() == 20
