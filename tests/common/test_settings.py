"""Settings: checked, built from paths, with defaults that a variant names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest

from soundguide_core.common.errors import InputError
from soundguide_core.common.settings import Former, Setting, build, check_settings, config, leaves, setting


@dataclass(frozen=True)
class Inner:
    steps: int = setting(3, "steps", what="The number of steps", low=1, high=9)

    def __post_init__(self) -> None:
        check_settings(self)


PERCENT = Former("share", lambda percent: percent / 100)


@config({"plain": {"size": 5, "inner": Inner(7)}}, renamed={"extent": "size", "percent": PERCENT})
@dataclass(frozen=True)
class Outer:
    variant: str = setting("ours", "which", what="variant", choices=("ours", "plain"))
    size: int = setting(2, "how large", low=0, high=10, socket="width", offered=(1, 4))
    share: float = setting(0.5, "share", low=0, high=1)
    loop: bool = setting(False, "again")
    span: tuple[float, float] = setting((0.0, 1.0), "from, to", low=0, high=1)
    weights: Mapping[str, float] = setting(
        {"a": 1.0}, "weights", what="term", parts={"a": Setting("first", low=0), "b": Setting("second", socket="bee")}
    )
    inner: Inner = setting(  # noqa: RUF009
        Inner(4), "steps", parts={"steps": Setting("inner steps", low=1, socket="inner_steps")}
    )

    def __post_init__(self) -> None:
        check_settings(self)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"variant": "mine"}, "There is no variant 'mine'. Use one of: ours, plain."),
        ({"size": 11}, "The size is 11. Give a whole number from 0 to 10."),
        ({"size": 2.0}, "The size is 2.0."),
        ({"size": True}, "The size is True."),
        ({"share": float("nan")}, "The share is nan."),
        ({"share": "half"}, "The share is 'half'."),
        ({"loop": 2}, "The loop is 2. Give True or False."),
        ({"span": (0.0, 2.0)}, "The span is 2.0."),
        ({"span": (0.0,)}, "Give 2 numbers."),
        ({"span": 0.3}, "Give 2 numbers."),
        ({"weights": {"c": 1.0}}, "There is no term 'c' to weigh. Use some of: a, b."),
        ({"weights": {"a": -1.0}}, "The term a is -1.0."),
        ({"weights": [1.0]}, "Give a dict with some of: a, b."),
        ({"inner": 3}, "The inner is a int. Give a Inner."),
    ],
)
def test_refuses(wrong, message):
    with pytest.raises(InputError) as error:
        Outer(**wrong)
    assert message in str(error.value)


def test_a_variant_names_defaults_and_what_is_given_wins():
    assert (Outer().size, Outer().inner.steps) == (2, 4)
    assert (Outer("plain").size, Outer(variant="plain").inner.steps) == (5, 7)
    assert Outer("plain", 9).size == Outer(variant="plain", size=9).size == 9
    assert replace(Outer(), variant="plain").size == 2


def test_an_old_name_is_understood_with_a_warning_of_one_line():
    with pytest.warns(FutureWarning, match=r"^Outer: extent is now size; taken as size=4\.$"):
        assert Outer(extent=4).size == 4
    with pytest.warns(FutureWarning, match="taken as share=0.25"):
        assert Outer(percent=25).share == 0.25
    with pytest.warns(FutureWarning):
        assert Outer(extent=4, size=3).size == 3


def test_defaults_that_can_change_are_not_shared():
    Outer().weights["a"] = 5.0
    assert Outer().weights == {"a": 1.0}


def test_leaves_take_mappings_and_dataclasses_apart():
    found = leaves(Outer)
    assert list(found) == ["variant", "size", "share", "loop", "span", "weights.a", "weights.b", "inner.steps"]
    assert {path: leaf.default for path, leaf in found.items() if "." in path} == {
        "weights.a": 1.0, "weights.b": 0.0, "inner.steps": 4,
    }  # fmt: skip
    assert [found[path].socket for path in ("size", "weights.a", "weights.b", "inner.steps")] == [
        "width", "a", "bee", "inner_steps",
    ]  # fmt: skip


def test_build_from_paths():
    made = build(Outer, {"variant": "plain", "weights.b": 2.0, "inner.steps": 8})
    assert made == Outer("plain", size=5, weights={"a": 1.0, "b": 2.0}, inner=Inner(8))
    with pytest.raises(InputError, match=r"The number of steps is 99\. Give a whole number from 1 to 9\."):
        build(Outer, {"inner.steps": 99})


def test_a_dataclass_from_a_mapping():
    from dataclasses import dataclass

    from soundguide_core.common.settings import from_mapping

    @dataclass
    class Sizes:
        width: int
        depth: int = 2

    assert from_mapping(Sizes, {"breadth": 3}, "The table", renamed={"breadth": "width"}) == Sizes(3)
    assert from_mapping(Sizes, {"width": 3, "colour": 1}, "The table", skip_unknown=True) == Sizes(3)
    with pytest.raises(InputError, match=r"The table has an unknown entry 'colour'\. Use width, depth"):
        from_mapping(Sizes, {"width": 3, "colour": 1}, "The table")
    with pytest.raises(InputError, match="The table does not say 'width'"):
        from_mapping(Sizes, {}, "The table")
