"""Values out of files held against the type hints of what takes them: JSON, TOML and pickles may state anything."""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import InputError, shown, value_shown

T = TypeVar("T")
MOST, MOST_ENTRIES, MOST_LETTERS = 2**53, 1000, 1000  # of a number, a list, a word
AGAIN = "Get the file again from the people who made it, or convert it again."


def fits(value: object, hint: Any) -> bool:
    """Is the value what a hint says? Lists pass for tuples, whole numbers for floats, True and False for no number.

    Numbers must be finite. What is neither a plain type nor a collection of them is not judged.
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(fits(value, one) for one in inner)
    if origin is Literal:
        return any(value is one or (type(value) is type(one) and value == one) for one in inner)
    if hint is None or hint is type(None):
        return value is None
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MOST
    if hint is float:
        return fits(value, int) or (isinstance(value, float) and math.isfinite(value))
    if hint is str:
        return isinstance(value, str) and len(value) <= MOST_LETTERS
    kind = origin or hint
    if not isinstance(kind, type):
        return True
    if issubclass(kind, Mapping):
        return isinstance(value, Mapping) and all(fits(x, inner[1]) for x in value.values() if len(inner) == 2)
    if issubclass(kind, Sequence):
        return isinstance(value, (list, tuple)) and _entries_fit(value, kind, inner)
    return True


def _entries_fit(values: Sequence, kind: type, inner: tuple) -> bool:
    if len(values) > MOST_ENTRIES:
        return False
    if kind is tuple and inner and inner[-1] is not Ellipsis:
        return len(values) == len(inner) and all(map(fits, values, inner))
    return not inner or all(fits(value, inner[0]) for value in values)


def check_types(takes: Callable, values: Any, what: str, remedy: str = AGAIN) -> dict[str, Any]:
    """The values, which a class or a function shall take by name.

    what: the values' name in an error.

    Raises:
        InputError: they are no mapping, or one of them is of another type than the hint says; of a dataclass also
            where one is no field of it, or one that it needs is not there.
    """
    if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
        raise InputError(f"{what} is no table of names and values.", remedy)
    ours = {each.name for each in fields(takes)} if is_dataclass(takes) else values.keys()
    if unknown := sorted(values.keys() - ours):
        raise InputError(f"{what} has an unknown entry {shown(unknown[0])!r}.", remedy)
    if missing := sorted(_needed(takes) - values.keys()):  # pyright: ignore[reportArgumentType] it narrows takes
        raise InputError(f"{what} has no {missing[0]}.", remedy)
    for name, hint in _hints(takes).items():  # pyright: ignore[reportArgumentType] as above
        if name in values and not fits(values[name], hint):
            raise InputError(f"{what} has {name} {value_shown(values[name])}.", remedy)
    return dict(values)


def known(table: Mapping[str, T], name: str, what: str) -> T:
    """table[name]; what: the kind of entry, as an error calls it."""
    if name not in table:
        raise InputError(f"There is no {what} called {shown(name)!r}.", f"Known are {', '.join(table)}.")
    return table[name]


def _needed(takes: Callable) -> set[str]:
    """The fields of a dataclass that have no default."""
    ours = fields(takes) if is_dataclass(takes) else ()
    return {each.name for each in ours if each.init and each.default is each.default_factory is MISSING}


def _hints(takes: Callable) -> dict[str, Any]:
    function = takes.__init__ if inspect.isclass(takes) else takes
    try:
        return get_type_hints(takes if hasattr(takes, "__dataclass_fields__") else inspect.unwrap(function))
    except (NameError, TypeError):  # hints that only a type checker can follow
        return {}
