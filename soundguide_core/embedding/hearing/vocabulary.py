"""The words that can be heard: AudioSet's 527 classes with groups and prompts, from a table that anybody may edit.

J. Gemmeke et al., "Audio Set: An ontology and human-labeled dataset for audio events", ICASSP 2017. The table
(audioset.csv beside this file, or the path of one's own) has the columns word, group, prompt (what a picture model is
told) and also (other words for the same, separated by commas).
"""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ...checkpoints import registry
from ...common.errors import InputError
from ...common.files import check_input

TABLE = Path(__file__).with_name("audioset.csv")
SHIPPED = "AudioSet"
COLUMNS = ("word", "group", "prompt", "also")
MOST_WORDS = 10_000
SUGGESTED = 4


@dataclass(frozen=True)
class Entry:
    """One row of the table. also: other words for it."""

    word: str
    group: str
    prompt: str
    also: tuple[str, ...] = ()


class Vocabulary:
    """Words with groups and prompts. Words are found whatever their case, with "_" for a space, or by what a class is
    also called: "crying baby" is "Baby cry, infant cry"."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = tuple(entries)
        self.names: dict[str, list[Entry]] = {}
        for entry in self.entries:
            for name in (*names_of(entry.word), *map(plain, entry.also)):
                if entry not in self.names.setdefault(name, []):
                    self.names[name].append(entry)

    @property
    def groups(self) -> list[str]:
        """In the order of the table."""
        return list(dict.fromkeys(entry.group for entry in self.entries))

    def in_groups(self, groups: Sequence[str]) -> list[Entry]:
        """The rows of some groups; of all where none is named."""
        if unknown := [group for group in groups if group not in self.groups]:
            raise InputError(f"There is no group of words {unknown[0]!r}.", f"Use some of: {', '.join(self.groups)}.")
        return [entry for entry in self.entries if not groups or entry.group in groups]

    def prompt(self, word: str) -> str:
        """What to tell a picture model where this is heard; the word itself where the table has none."""
        found = self._called(word)
        return found[0].prompt if found else " ".join(word.replace("_", " ").split())

    def group(self, word: str) -> str:
        found = self._called(word)
        return found[0].group if found else ""

    def columns(self, word: str, classes: Sequence[str]) -> list[int]:
        """Which of a network's classes a word stands for: that of this very name, or all that are also called so.

        Raises:
            InputError: none; it names the nearest.
        """
        if word in classes:
            return [list(classes).index(word)]
        wanted = {plain(word)} | {plain(entry.word) for entry in self._called(word)}
        found = [i for i, name in enumerate(classes) if wanted & {plain(name)}]
        found = found or [i for i, name in enumerate(classes) if wanted & set(names_of(name))]
        if not found:
            import difflib

            known = sorted({name for each in classes for name in names_of(each)} | set(self.names))
            near = difflib.get_close_matches(plain(word), known, n=SUGGESTED, cutoff=0.5)
            hint = f"Say {' or '.join(near)}" if near else "Choose among its classes"
            raise InputError(f"These ears know no word {word!r}.", f"{hint}, or take ears that know any words.")
        return found

    def _called(self, word: str) -> list[Entry]:
        """Rows that have this name: the one whose own name it is first, then those that say it early among others."""
        word = plain(word)

        def place(entry: Entry) -> int:
            return -1 if word in names_of(entry.word) else list(map(plain, entry.also)).index(word)

        return sorted(self.names.get(word, []), key=place)


def tables() -> dict[str, Path]:
    """Tables of words by name: the shipped one, and the .csv files in the folders of sound classifiers."""
    found = {SHIPPED: TABLE}
    for folder in registry.folders("sound-classifier"):
        found |= {path.name: path for path in sorted(folder.glob("*.csv"))}
    return found


def plain(word: str) -> str:
    """ "Sea_Waves " => "sea waves" """
    return " ".join(word.replace("_", " ").lower().split())


def names_of(word: str) -> list[str]:
    """ "Roaring cats (lions, tigers)" => itself, "roaring cats"; "Waves, surf" => itself, "waves", "surf"."""
    bare = re.sub(r"\s*\([^)]*\)", "", word)
    parts = [part for part in bare.split(",") if part.strip()]
    return list(dict.fromkeys([plain(word), plain(bare), *map(plain, parts)]))


def read_vocabulary(path: str | os.PathLike | None = None) -> Vocabulary:
    """The table at path, or the one that comes with the package.

    Raises:
        InputError: no such file, a column that is missing, no rows, or a word that stands there twice.
    """
    return _shipped() if path is None else _read(check_input(path, "table of words"))


@cache
def _shipped() -> Vocabulary:
    return _read(TABLE)


def _read(path: Path) -> Vocabulary:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is not a table of words ({error}).", f"Save it as CSV with {_columns()}.") from error
    if not rows or not set(COLUMNS[:1]) <= set(rows[0]):
        raise InputError(f"{path} has no column 'word'.", f"Save it as CSV with {_columns()}.")
    if len(rows) > MOST_WORDS:
        raise InputError(f"{path} has {len(rows)} words.", f"Give at most {MOST_WORDS}.")
    entries = []
    for row in rows:
        word, group, prompt, also = ((row.get(column) or "").strip() for column in COLUMNS)
        if not word:
            raise InputError(f"{path} has a row without a word.", "Give every row one, or take it out.")
        others = tuple(name.strip() for name in also.split(",") if name.strip())
        entries.append(Entry(word, group, prompt or plain(word), others))
    if twice := [word for word, n in Counter(plain(entry.word) for entry in entries).items() if n > 1]:
        raise InputError(f"{path} names {twice[0]!r} twice.", "Keep one of the rows.")
    return Vocabulary(entries)


def _columns() -> str:
    return f"the columns {', '.join(COLUMNS)}"
