"""The tables of a recipe as dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import TypeVar

from ...common.errors import InputError

T = TypeVar("T")


def from_table(cls: type[T], table: Mapping, name: str, *, old_names: Mapping[str, str] | None = None) -> T:
    """The recipe's table [name] as an instance of a dataclass.

    old_names: {key in recipes of earlier versions: field}.

    Raises:
        InputError: an entry that is no field, or none for a field without a default.
    """
    old_names = old_names or {}
    values = {old_names.get(key, key): value for key, value in table.items()}
    known = {field.name: field for field in fields(cls)}
    if unknown := sorted(values.keys() - known.keys()):
        raise InputError(f"The recipe's [{name}] has an unknown entry {unknown[0]!r}.", f"Use {', '.join(known)}.")
    needed = [key for key, field in known.items() if field.default is MISSING and field.default_factory is MISSING]
    if absent := [key for key in needed if key not in values]:
        raise InputError(f"The recipe's [{name}] does not say {absent[0]!r}.", "Start from one of the shipped recipes.")
    return cls(**values)
