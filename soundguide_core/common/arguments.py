"""Arguments of the public functions held against their hints before any work starts."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from types import NoneType, UnionType
from typing import Any, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import InputError

P = ParamSpec("P")
R = TypeVar("R")


def checks_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """The function, which refuses arguments of another kind by name, in place of an AttributeError deep within.

    Tensors, classes of ours and models (protocols: what has none of their methods) are judged, and None where it is
    not said to pass. What a hint says of numbers, texts and collections stays with the function's own checks.
    """
    signature, hints = inspect.signature(function), {}

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        if not hints:
            hints.update(get_type_hints(function))
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            wanted = list(_choices(hints[name]))
            if all(_judged(kind) for kind in wanted) and not any(_is_a(value, kind) for kind in wanted):
                named = " or ".join(kind.__name__ for kind in wanted if kind is not NoneType)
                raise InputError(
                    f"{function.__name__} was given a {type(value).__name__} as {name}.", f"It takes: {named}."
                )
        return function(*args, **kwargs)

    return checked


def _choices(hint: Any) -> Iterator[Any]:
    """What a union allows."""
    if get_origin(hint) in (Union, UnionType):
        for one in get_args(hint):
            yield from _choices(one)
    else:
        yield hint


def _judged(kind: Any) -> bool:
    return (
        isinstance(kind, type)
        and get_origin(kind) is None
        and (kind is NoneType or kind.__module__ not in ("builtins", "typing", "os", "collections.abc"))
    )


def _is_a(value: object, kind: type) -> bool:
    if not _is_protocol(kind):
        return isinstance(value, kind)
    names = _members(kind)
    has = any(hasattr(value, name) for name in names) if names else callable(value)
    return has and type(value).__name__ != "Tensor"  # which has a `dim` and a `device` too


def _is_protocol(kind: type) -> bool:
    return getattr(kind, "_is_protocol", False)


@functools.cache
def _members(kind: type) -> set[str]:
    """The names of a protocol's methods and attributes."""
    own = [base for base in kind.__mro__ if _is_protocol(base) and base.__name__ not in ("Protocol", "Generic")]
    names = {name for base in own for name in (*vars(base), *vars(base).get("__annotations__", {}))}
    return {name for name in names if not name.startswith("_")}
