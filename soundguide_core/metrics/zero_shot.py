"""Zero-shot accuracy: a sound is given the class whose name lies nearest, in a data set with the layout of ESC-50.

audio/{fold}-{clip}-{take}-{target}.*   meta/esc50.csv with filename, fold, category
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..audio.waveform import load_audio, to_mono
from ..common.errors import InputError
from ..embedding.hearing.listening import Ears
from ..embedding.hearing.vocabulary import read_vocabulary


@dataclass(frozen=True)
class ZeroShot:
    """accuracy and per_class in 0..1; confusions: {class: {wrong answer: count}}."""

    accuracy: float
    clips: int
    per_class: dict[str, float]
    confusions: dict[str, dict[str, int]]
    labels: list[str]


def read_esc(folder: str | os.PathLike) -> list[dict]:
    """Rows of meta/esc50.csv: {"path", "fold", "category"}; InputError where the layout is another."""
    folder = Path(folder)
    table = folder / "meta" / "esc50.csv"
    if not table.is_file():
        raise InputError(f"{folder} has no meta/esc50.csv.", "Give a folder in the layout of ESC-50.")
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    try:
        return [
            {"path": folder / "audio" / row["filename"], "fold": int(row["fold"]), "category": row["category"]}
            for row in rows
        ]
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(
            f"{table} lacks a column or holds a bad value ({error}).",
            "It needs filename, fold and category, as in ESC-50.",
        ) from error


def zero_shot(
    hears,
    folder: str | os.PathLike,
    folds: Sequence[int] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> ZeroShot:
    """Accuracy on the clips of `folds` (None: all) among the classes that the whole table names.

    hears: a joint encoder, or ears that hear in words, of which the mean score over a clip counts.

    Raises:
        InputError: no such layout, no clip in these folds, or a clip that is missing or unreadable; none is skipped. A
            class that ears with classes of their own do not know.
    """
    rows = read_esc(folder)
    known = sorted({row["fold"] for row in rows})
    folds = known if folds is None else sorted(set(folds))
    chosen = [row for row in rows if row["fold"] in folds]
    absent = sorted(set(folds) - set(known))
    if absent or not chosen:
        raise InputError(
            f"{folder} has no clips in fold {', '.join(map(str, absent)) or 'any'}.",
            f"Choose among folds {', '.join(map(str, known))}.",
        )
    labels = sorted({row["category"] for row in rows})
    answer = _ears_answers if isinstance(hears, Ears) else _joint_answers
    answers = answer(hears, _sounds([row["path"] for row in chosen], on_step), labels)
    return _counted([row["category"] for row in chosen], [labels[i] for i in answers], labels)


def _sounds(paths: list[Path], on_step: Callable[[int, int], None] | None) -> Iterator[tuple[Tensor, float]]:
    """(wave [N], sample rate) of each clip."""
    for i, path in enumerate(paths):
        wave, sample_rate = load_audio(path)
        yield to_mono(wave), sample_rate
        if on_step is not None:
            on_step(i + 1, len(paths))


def _joint_answers(joint, sounds: Iterator[tuple[Tensor, float]], labels: list[str]) -> list[int]:
    embeds = [joint.encode_audio(wave, sample_rate) for wave, sample_rate in sounds]
    return joint.classify(torch.cat(embeds), labels).argmax(dim=1).tolist()


def _ears_answers(ears: Ears, sounds: Iterator[tuple[Tensor, float]], labels: list[str]) -> list[int]:
    listener = ears.listen_for(labels, read_vocabulary())
    heard = (torch.cat(list(listener.hear(iter([wave[None]]), sample_rate))) for wave, sample_rate in sounds)
    return [int(scores.mean(dim=0).argmax()) for scores in heard]


def _counted(truth: list[str], answers: list[str], labels: list[str]) -> ZeroShot:
    right = {label: 0 for label in labels}
    total = dict(right)
    confusions: dict[str, dict[str, int]] = {}
    for category, answer in zip(truth, answers, strict=True):
        total[category] += 1
        right[category] += answer == category
        if answer != category:
            wrong = confusions.setdefault(category, {})
            wrong[answer] = wrong.get(answer, 0) + 1
    return ZeroShot(
        accuracy=sum(right.values()) / len(truth),
        clips=len(truth),
        per_class={label: right[label] / total[label] for label in labels if total[label]},
        confusions=confusions,
        labels=labels,
    )
