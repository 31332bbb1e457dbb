from __future__ import annotations

import math

import numpy as np
import pytest

from soundguide_core.common.errors import InputError
from soundguide_core.metrics.inception import inception_score


def test_by_a_loop():
    p = np.random.default_rng(0).dirichlet(np.ones(4), size=10)
    scores = []
    for part in (p[:5], p[5:]):
        total = 0.0
        for row in part:
            total += sum(x * (math.log(x) - math.log(part[:, k].mean())) for k, x in enumerate(row))
        scores.append(math.exp(total / len(part)))
    mean, deviation = inception_score(p, splits=2)
    assert mean == pytest.approx(sum(scores) / 2) and deviation == pytest.approx(abs(scores[0] - scores[1]) / 2)


def test_sure_and_different_is_the_number_of_classes_and_alike_is_one():
    assert inception_score(np.tile(np.eye(5), (4, 1)), splits=1)[0] == pytest.approx(5)
    assert inception_score(np.tile([[0.2, 0.8]], (6, 1)))[0] == pytest.approx(1)


@pytest.mark.parametrize("p", [np.ones((1, 2)) / 2, np.ones((3, 2)), np.full((3, 2), np.nan)])
def test_what_are_no_probabilities(p):
    with pytest.raises(InputError):
        inception_score(p)
