"""Which of some words a recording sounds like, of files of any length, and whether it is any of them at all.

A share of 89 % says how the words share a sound out among them, not that it is one. So a sound is also held against
what chance gets: its score is the cosine to the nearest word, times how familiar the encoder finds it where it can tell
that, and `sure` is the share of random sounds (audio/random_sounds.py) that score less.
Axes: B recordings, D dims, K labels, R random sounds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ..audio.random_sounds import SAMPLE_RATE, random_sounds
from ..embedding.hearing.listening import EVERYDAY
from .hearing import encode_recording
from .recording import Recording

if TYPE_CHECKING:
    from ..embedding.joint import JointEncoder

SURE = 0.8  # share of random sounds that have to score less
KNOWN = 0.5  # familiarity from which a sound is one that the encoder has learned
LISTEN_SEC = 60.0  # of a recording, for its familiarity
SILENT, AMONG, NOT_AMONG, UNSURE = "nothing heard", "heard", "not among these words", "no nearer than random sounds"

_chance: WeakKeyDictionary = WeakKeyDictionary()  # JointEncoder => (embeds [R,D], familiarity [R]), measured once


def classify_files(
    joint: JointEncoder,
    paths: Sequence[str | os.PathLike],
    labels: Sequence[str],
    on_step: Callable[[int, int], None] | None = None,
) -> list[dict]:
    """For each recording {"audio": path, "label": the likeliest, "scores": {label: probability}, "verdict", "sure",
    "familiar", "nearer"}; of a silent one "label" is "", and every score 0. See `judged`."""
    found = []
    for i, path in enumerate(paths):
        recording = Recording.of_file(path)
        found.append(
            {"audio": os.fspath(path), **classify(joint, recording, labels, on_step if len(paths) == 1 else None)}
        )
        if on_step is not None and len(paths) > 1:
            on_step(i, len(paths))
    return found


def classify(
    joint: JointEncoder, recording: Recording, labels: Sequence[str],
    on_step: Callable[[int, int], None] | None = None,
) -> dict:  # fmt: skip
    """The same of one recording, without its path."""
    if recording.silent:
        nothing = {"verdict": SILENT, "sure": 0.0, "familiar": None, "nearer": ""}
        return {"label": "", "scores": dict.fromkeys(labels, 0.0), **nothing}
    embeds = encode_recording(joint, recording, on_step)
    p = joint.classify(embeds, labels)[0]
    familiar = joint.familiarity(*recording.mono(LISTEN_SEC))
    scores = dict(zip(labels, p.tolist()))
    return {"label": labels[int(p.argmax())], "scores": scores, **judged(joint, embeds, familiar, labels)}


@torch.no_grad()
def judged(joint: JointEncoder, embeds: Tensor, familiar: float | None, labels: Sequence[str]) -> dict:
    """embeds [1,D] of a sound => {"verdict", "sure": share of random sounds that score less, "familiar": 0..1 or None,
    "nearer": an everyday word that it is nearer to than to these, or ""}."""
    words = joint.encode_labels(labels)
    nearest = float((embeds @ words.T).max())
    random, known = chance(joint)
    of_chance = (random @ words.T).amax(dim=1) * known  # [R]
    score = nearest * (1.0 if familiar is None else familiar)
    sure = float((of_chance < score).float().mean())
    nearer = _nearer(joint, embeds, nearest, labels)
    verdict = AMONG
    if nearer or (familiar is not None and familiar < KNOWN):
        verdict = NOT_AMONG
    elif sure < SURE:
        verdict = UNSURE
    return {"verdict": verdict, "sure": sure, "familiar": familiar, "nearer": nearer}


def _nearer(joint: JointEncoder, embeds: Tensor, nearest: float, labels: Sequence[str]) -> str:
    """The everyday word that takes over two thirds when it is asked for beside the labels; "" where none does."""
    said = {" ".join(label.replace("_", " ").lower().split()) for label in labels}
    others = [word for word in EVERYDAY if word not in said]
    p = joint.classify(embeds, [*labels, *others])[0][len(labels) :]
    best = int(p.argmax())
    return others[best] if float(p[best]) > 2 / 3 else ""


@torch.no_grad()
def chance(joint: JointEncoder) -> tuple[Tensor, Tensor]:
    """What random sounds are to this encoder: embeds [R,D] and familiarity [R], ones where it cannot say."""
    if joint not in _chance:
        waves = random_sounds()
        embeds = torch.cat([joint.encode_audio(wave, SAMPLE_RATE) for wave in waves])
        known = [joint.familiarity(wave, SAMPLE_RATE) for wave in waves]
        _chance[joint] = embeds, embeds.new_tensor([1.0 if x is None else x for x in known])
    return _chance[joint]


def in_words(result: dict) -> str:
    """One line on how sure a result of `classify` is."""
    if result["verdict"] == SILENT:
        return "nothing is heard: the sound is silent"
    nearer = f"; it is nearer to '{result['nearer']}'" if result["nearer"] else ""
    return f"{result['verdict']}{nearer} (nearer to them than {result['sure']:.0%} of random sounds)"
