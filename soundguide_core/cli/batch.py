"""Many recordings, or whole folders of them, of which one that cannot be heard does not end the rest."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from ..common.errors import InputError
from .common import progress

T = TypeVar("T")
# what is taken for a recording in a folder; a file that is named is tried whatever it is called
SOUNDS = (
    ".wav", ".mp3", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".m4b", ".aac", ".aif", ".aiff", ".aifc", ".wma", ".caf",
    ".au", ".amr", ".ac3", ".w64", ".weba",
    ".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".mts", ".m2ts", ".ts",
    ".ogv",
)  # fmt: skip


class Batch(NamedTuple):
    """results: one for each file that could be heard. refused: (path, why) of the others."""

    results: list
    refused: list[tuple[str, InputError]]

    def refused_rows(self) -> list[dict]:
        """The refused as a report has them."""
        return [{"audio": path, "error": str(error)} for path, error in self.refused]

    def check(self) -> None:
        """Refuse the files that could not be heard, the first by name; to be called when the rest is told."""
        if not self.refused:
            return
        path, error = self.refused[0]
        if not self.results and len(self.refused) == 1:
            raise error
        count, of = len(self.refused), len(self.refused) + len(self.results)
        cause = error.cause.rstrip(".")
        raise InputError(f"{count} of {of} files could not be heard, such as {path} ({cause}).", error.remedy)


def expanded(paths: Sequence[str]) -> list[str]:
    """The files as they are, and for each folder the recordings in it and below it, by name.

    Raises:
        InputError: a folder that holds none.
    """
    files = []
    for path in paths:
        if not os.path.isdir(path):
            files.append(path)
            continue
        found = [
            os.path.join(folder, name)
            for folder, _, names in os.walk(path)
            for name in names
            if Path(name).suffix.lower() in SOUNDS and not name.startswith(".")
        ]
        if not found:
            raise InputError(f"The folder {path} holds no sound files.", "Give a folder with recordings, or files.")
        files += sorted(found)
    return files


def heard_each(paths: Sequence[str], hear: Callable[[str, Callable], T]) -> Batch:
    """hear(path, on_step) of each file, with a progress bar: of the files, or of the stretches of a single one."""
    batch = Batch([], [])
    with progress("listening", "file" if len(paths) > 1 else "it") as on_step:
        for i, path in enumerate(paths):
            try:
                batch.results.append(hear(path, on_step if len(paths) == 1 else lambda *_: None))
            except InputError as error:
                batch.refused.append((path, error))
            if len(paths) > 1:
                on_step(i, len(paths))
    return batch


def table(batch: Batch, within: Sequence[str], best: int = 2) -> list[str]:
    """One line a file: its likeliest labels, or why it could not be heard. within: a folder, whose name is left out."""
    rows = [(result["audio"], _told(result, best)) for result in batch.results]
    rows += [(path, f"not heard: {error.cause}") for path, error in batch.refused]
    if len(within) == 1 and os.path.isdir(within[0]):
        rows = [(os.path.relpath(path, within[0]), said) for path, said in rows]
    width = min(max((len(path) for path, _ in rows), default=0), 60)
    return [f"{path:<{width}}  {said}" for path, said in sorted(rows)]


def _told(result: dict, best: int) -> str:
    """The likeliest labels, and what is to be said against them: silence, or another sound."""
    if not any(result["scores"].values()):
        return "nothing is heard"
    verdict = result.get("verdict", "heard")
    said = "   ".join(f"{label} {score:.0%}" for label, score in _best(result["scores"], best))
    return said if verdict == "heard" else f"{said}   ({verdict})"


def _best(scores: dict[str, float], count: int) -> list[tuple[str, float]]:
    return sorted(scores.items(), key=lambda item: -item[1])[:count]
