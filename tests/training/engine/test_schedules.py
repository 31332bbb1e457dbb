from __future__ import annotations

import pytest

import tolerances as tol
from soundguide_core.training.engine.schedules import linear_decay, warmup_cosine


def test_warmup_then_a_half_cosine():
    assert warmup_cosine(0, 100, 10) == pytest.approx(0.1)
    assert warmup_cosine(50, 100, 10) == pytest.approx(0.5)
    assert warmup_cosine(100, 100, 10) == pytest.approx(0.0, abs=tol.FLOAT64)


def test_linear_decay_over_the_last_share():
    assert [linear_decay(i, 100, 0.5, 0.05) for i in (0, 50, 75, 100)] == pytest.approx([1, 1, 0.525, 0.05])
    assert linear_decay(99, 100, 0.0, 0.05) == 1
