from __future__ import annotations

import copy
from fractions import Fraction

import pytest

from soundguide_core.common.errors import InputError, check_number, check_whole, shown

HUGE = [10**400, -(10**400), 10**5000, Fraction(10**400)]


@pytest.mark.parametrize("value", [*HUGE, float("nan"), float("inf"), True, "3", None, 1 + 2j, [1]], ids=type)
def test_what_is_no_number_is_refused_in_a_short_sentence(value):
    for check in (lambda: check_number(value, "It"), lambda: check_whole(value, "It", low=0, high=9)):
        with pytest.raises(InputError) as error:
            check()
        assert len(str(error.value)) < 200


def test_numbers_within_their_bounds_pass():
    check_number(Fraction(1, 3), "It", low=0, high=1)
    check_whole(9, "It", low=0, high=9)


def test_messages_are_printable_and_short():
    error = InputError(f"There is no file \x1b[31mred\n{'x' * 5000}\udcff.", "Check the path.")
    assert error.cause.isprintable() and "\\x1b[31mred\\n" in error.cause
    assert len(error.cause) < 200 and error.cause.endswith(".")
    words = InputError("The text is " + "long and " * 600 + "over.", "Shorten it.")
    assert len(words.cause) < 400 and words.cause.endswith("over.")
    assert str(copy.copy(error)) == str(error)


@pytest.mark.parametrize("text", ["a", "é☂", "x" * 80, "x" * 81, "\n" * 50, "\U0010ffff" * 100, "x" * 10**6])
def test_what_is_shown_is_at_most_80_characters(text):
    assert len(shown(text)) <= 80
