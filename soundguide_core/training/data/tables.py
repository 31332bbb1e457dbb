"""Tables of files: a CSV with a row for each, beside which or under which the files lie."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...common.errors import InputError

FILE_COLUMNS = ("file_name", "filename", "file", "path")
TEXT_COLUMNS = ("label", "class", "caption", "text", "title")


def is_table(path: str | Path) -> bool:
    return str(path).lower().endswith(".csv")


def table_rows(path: Path, columns: Mapping[str, Sequence[str]], optional: Sequence[str] = ()) -> list[dict[str, str]]:
    """The rows of a CSV in UTF-8 whose first column is not empty.

    columns: {what: the names that its column may have}, in any case; those that are `optional` may be absent, and are
    then "". White space is made plain.

    Raises:
        InputError: there is no such file, it is no CSV, or lacks a column.
    """
    if not path.is_file():
        raise InputError(f"There is no table {path}.", "Check the path.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            known = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
            found = {what: next((known[n] for n in names if n in known), None) for what, names in columns.items()}
            for what, name in found.items():
                if name is None and what not in optional:
                    raise InputError(f"{path} has no column {columns[what][0]}.", "Name it in its first line.")
            first = next(iter(columns))
            rows = [
                {what: "" if name is None else " ".join((row[name] or "").split()) for what, name in found.items()}
                for row in reader
            ]
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise InputError(f"{path} cannot be read as CSV ({error}).", "Save it as UTF-8, with commas.") from error
    rows = [row for row in rows if row[first]]
    if not rows:
        raise InputError(f"{path} names no files.", "Give it a row for each.")
    return rows
