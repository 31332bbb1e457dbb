from __future__ import annotations

from fractions import Fraction

import pytest

from soundguide_core.media.times import at_rate, exact_rate, rate_of, rising

NTSC = Fraction(30000, 1001)


@pytest.mark.parametrize(
    "fps, rate",
    [(29.97, NTSC), (30000 / 1001, NTSC), (23.976, Fraction(24000, 1001)), (59.94, Fraction(60000, 1001)), (12.0, 12),
     (30.0, 30), (25, 25), (7.5, Fraction(15, 2)), (0.01, Fraction(1, 100))],
)  # fmt: skip
def test_rates_are_the_fractions_that_they_mean(fps, rate):
    assert exact_rate(fps) == rate


def test_an_hour_of_29_97_does_not_drift():
    frames = 107_892  # of an hour
    times = [(float(round(i / NTSC * 1000)) / 1000, i) for i in range(frames)]  # as Matroska rounds them
    rate = rate_of([time for time, _ in times], [Fraction(2997, 100)])
    assert rate == NTSC
    assert list(at_rate(times, rate)) == list(range(frames))


@pytest.mark.parametrize("unit", [1000, 12288, 90000])
@pytest.mark.parametrize("rate", [Fraction(12), Fraction(24000, 1001), NTSC, Fraction(60), Fraction(1, 2)])
def test_a_constant_rate_gives_every_frame_once(rate, unit):
    times = [(round(float(i / rate) * unit) / unit, i) for i in range(200)]
    assert rate_of([time for time, _ in times], []) == rate
    assert list(at_rate(times, rate)) == list(range(200))


def test_a_variable_rate_keeps_its_length():
    times = [0, 1 / 12, 2 / 12, 3 / 12, 4 / 12, 5 / 12, 6 / 12, 1, 1.5, 2, 2.5, 3]
    assert rate_of(times, [Fraction(16, 3)]) == 12
    for rate in (Fraction(12), Fraction(25), NTSC):
        shown = list(at_rate(list(zip(times, times)), rate))
        assert len(shown) == pytest.approx(float(3.5 * rate), abs=1)
        for i, time in enumerate(shown):  # the last frame that began before the middle of the span
            assert time == max(t for t in times if t <= (i + 0.5) / rate)


def test_the_rate_of_a_telephone_is_a_usual_one():
    times = [i / 30 + 0.0015 * (-1) ** i for i in range(100)]
    assert rate_of(times, []) == 30


def test_a_late_beginning_is_held_and_a_part_is_cut_out():
    assert list(at_rate([(0.5, "a"), (0.75, "b")], Fraction(4))) == ["a", "a", "a", "b"]
    times = [(i / 4, i) for i in range(40)]
    assert list(at_rate(times, Fraction(4), 2.0, 1.0)) == [8, 9, 10, 11]
    assert list(at_rate([], Fraction(4))) == []


def test_a_long_last_gap_does_not_lengthen_the_video():
    assert len(list(at_rate([(0.0, 0), (100.0, 1)], Fraction(2)))) == 202


def test_absent_falling_and_leaping_times_are_mended():
    times = [None, 0.1, 0.05, None, 0.4, 1e9, 1e9 + 0.1, float("-inf")]
    found = [time for time, _ in rising([(time, None) for time in times], 0.1, 600)]
    assert found == pytest.approx([0, 0.1, 0.2, 0.3, 0.55, 0.65, 0.75, 0.85])
    assert found == sorted(found)
