"""The tables of a recipe as dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from ...common.settings import from_mapping

T = TypeVar("T")


def from_table(cls: type[T], table: Mapping, name: str, *, old_names: Mapping[str, str] | None = None) -> T:
    """The recipe's table [name] as an instance of a dataclass.

    old_names: {key in recipes of earlier versions: field}.

    Raises:
        InputError: an entry that is no field, or none for a field without a default.
    """
    what, remedy = f"The recipe's [{name}]", "Start from one of the shipped recipes."
    return from_mapping(cls, table, what, remedy=remedy, renamed=old_names)
