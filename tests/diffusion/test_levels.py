from __future__ import annotations

import math

import pytest

from soundguide_core.diffusion.levels import Level, When


def test_three_families_agree_where_they_mean_the_same():
    ve = 1.7
    exploding = Level.of_ve(ve)
    preserving = Level.of_alpha_bar(1 / (1 + ve**2))  # sigma / alpha = ve
    flow = Level.of_flow(ve / (1 + ve))
    for level, alpha in ((exploding, 1.0), (preserving, 1 / math.sqrt(1 + ve**2)), (flow, 1 / (1 + ve))):
        assert math.isclose(level.ve, ve) and math.isclose(level.noise, alpha * ve)
    assert math.isclose(exploding.share, preserving.share) and math.isclose(flow.share, ve / (1 + ve))


def test_pure_noise_is_a_level():
    assert Level.of_flow(1.0) == (1.0, math.inf, 1.0) and Level.of_alpha_bar(0.0) == (1.0, math.inf, 1.0)


def test_an_interval_and_every_second_step_of_it():
    shares = [0.95, 0.9, 0.7, 0.5, 0.3, 0.1]
    when = When((0.2, 0.9), 2, shares)
    assert [when.guided(share) for share in shares] == [False, True, False, True, False, False]
    assert [When((0.2, 0.9)).guided(share) for share in shares] == [False, True, True, True, True, False]


@pytest.mark.parametrize("between, above", [(0.8, 0.9), (0.6, 0.7), (0.4, 0.5)])
def test_a_second_look_within_a_step_is_guided_like_its_first(between, above):
    when = When((0.2, 1.0), 2, [0.9, 0.7, 0.5, 0.3])
    assert when.guided(between) == when.guided(above)
