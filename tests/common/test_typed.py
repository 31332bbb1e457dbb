from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Optional, Union

import pytest

from soundguide_core.common.errors import InputError
from soundguide_core.common.typed import check_types, fits, known

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("hint", "good", "bad"),
    [
        (int, [0, -3, 2**53], [True, 1.0, "1", None, 2**54, 10**400, [1]]),
        (float, [0, 1.5, -2], [True, NAN, INF, "1", None, 10**400]),
        (bool, [True, False], [0, 1, None, "yes"]),
        (str, ["", "a"], [1, None, "x" * 1001, b"a"]),
        (int | None, [1, None], ["a", 1.5]),
        (Optional[Union[int, tuple[int, int]]], [1, [1, 2], (1, 2), None], [[1], [1, 2, 3], "ab", [1, "2"]]),  # noqa: UP007, UP045
        (tuple[int, ...], [[], [1] * 1000], [[1] * 1001, [1.5], 1, "12", {"a": 1}]),
        (Sequence[str], [["a"]], [["a", None], "ab"]),
        (dict[str, int], [{"a": 1}], [{"a": "1"}, [1], None]),
        (dict, [{"a": None}], [[], 1]),
        (Literal["a", 1], ["a", 1], ["b", True, 1.0, [1]]),
        (Any, [None, object(), NAN], []),
    ],
)
def test_what_fits(hint, good, bad):
    assert all(fits(value, hint) for value in good)
    assert not any(fits(value, hint) for value in bad)


@dataclass
class Sizes:
    width: int
    name: str = ""


def test_values_of_a_class_and_of_a_function():
    def built(width: int, **more) -> None: ...

    assert check_types(built, {"width": 3, "other": "free"}, "The config") == {"width": 3, "other": "free"}
    assert check_types(Sizes, {"width": 3}, "The config") == {"width": 3}
    with pytest.raises(InputError, match="The config has an unknown entry 'other'"):
        check_types(Sizes, {"width": 3, "other": "free"}, "The config")
    with pytest.raises(InputError, match="The config has no width"):
        check_types(Sizes, {"name": "a"}, "The config")
    with pytest.raises(InputError, match="no front end called 'x'. Known are a, b"):
        known({"a": 1, "b": 2}, "x", "front end")
    for takes in (Sizes, built):
        for values, said in (({"width": "3"}, "The config has width '3'"), ([1], "no table"), ({1: 2}, "no table")):
            with pytest.raises(InputError, match=said):
                check_types(takes, values, "The config")
    with pytest.raises(InputError) as caught:
        check_types(Sizes, {"width": 1, "name": "x" * 10**6}, "The config")
    assert len(str(caught.value)) < 500
