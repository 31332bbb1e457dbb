"""Work spread over processes: the same results in the same order."""

from __future__ import annotations

import os
from functools import partial

import pytest

from soundguide_core.common.parallel import FEW, parallel_map
from soundguide_core.miniature.world import scenes


def test_the_results_of_other_processes_come_in_order():
    paint = partial(scenes.render, phenomenon="rain", size=8)
    numbers = list(range(FEW + 3))
    here = [paint(number) for number in numbers]
    there = list(parallel_map(paint, numbers, cores=2))
    assert all((a == b).all() for a, b in zip(here, there, strict=True))


def test_a_few_items_stay_in_this_process():
    assert set(parallel_map(_process, range(FEW - 1), cores=8)) == {os.getpid()}


def test_an_error_comes_through():
    with pytest.raises(ZeroDivisionError):
        list(parallel_map(_inverse, range(FEW), cores=2))


def _process(_: int) -> int:
    return os.getpid()


def _inverse(x: int) -> float:
    return 1 / x
