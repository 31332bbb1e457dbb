"""What long work will cost, from its first step."""

from __future__ import annotations

import pytest

from soundguide_core.cli.common import progress
from soundguide_core.cli.cost import Cost, spoken


def reports(steps: int, each: float, before: float = 0.0, size: int = 1) -> list[float | None]:
    """What is told at each report of work whose steps take `each` seconds, `before` of them before the first."""
    clock = iter([0.0, *(before + each * (i + 1) for i in range(0, steps, size))])
    cost = Cost(lambda: next(clock))
    return [cost.step(min(i + size, steps) - 1, steps) for i in range(0, steps, size)]


def test_it_is_told_once_at_the_second_report():
    told = reports(100, each=3.0, before=7.0)
    assert told[0] is None and told[2:] == [None] * 98
    assert told[1] == pytest.approx(307.0)


def test_little_work_is_not_worth_telling():
    assert set(reports(5, each=1.0)) == {None}
    assert reports(1, each=100.0) == [None]


def test_work_of_unknown_length_tells_nothing():
    clock = iter(range(0, 1000, 100))
    cost = Cost(lambda: next(clock))
    assert [cost.step(i, 0) for i in range(4)] == [None] * 4


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(3, "5 s"), (41, "40 s"), (89, "90 s"), (95, "2 min"), (370, "6 min"), (5000, "83 min"), (9000, "2.5 h")],
)
def test_how_long_in_words(seconds, said):
    assert spoken(seconds) == said


def test_a_bar_reads_what_it_shows_and_nothing_between():
    """Losses lie on a device; reading one waits for it. A log is written every 10 seconds."""
    read = []

    class Losses(dict):
        def items(self):
            read.append(self)
            return super().items()

    with progress("training") as on_step:
        for i in range(1000):
            on_step(i, 1000, Losses(square=0.5))
    assert len(read) <= 1
