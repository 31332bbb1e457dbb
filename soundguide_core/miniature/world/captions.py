"""The words of the miniature world: one concept per sound or phenomenon, many ways to say it.

The words themselves are in words.toml. A caption is its text plus what the text means: a distribution over concepts,
how strong the phenomenon is said to be, and which layout facts it names. `affinity` turns two lists of contents into
soft targets for a contrastive loss, so paraphrases attract, "light rain" prefers light rain, and "rain and wind" lies
between its parts.
Axes: N, M captions or pictures, K concepts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...common.files import read_toml

CALM = "calm"  # silence for the ear, a landscape with nothing going on for the eye

_WORDS = read_toml(Path(__file__).parent / "words.toml")

# concept -> phrases, the plain name first
PHRASES: dict[str, tuple[str, ...]] = {concept: tuple(phrases) for concept, phrases in _WORDS["phrases"].items()}
CONCEPTS: tuple[str, ...] = tuple(PHRASES)
# strength -> (middle in 0..1, adjectives)
STRENGTHS: dict[str, tuple[float, tuple[str, ...]]] = {
    name: (band["middle"], tuple(band["adjectives"])) for name, band in _WORDS["strengths"].items()
}
# concept -> strength -> phrases
STRONG_PHRASES: dict[str, dict[str, tuple[str, ...]]] = {
    concept: {name: tuple(phrases) for name, phrases in bands.items()}
    for concept, bands in _WORDS["strong_phrases"].items()
}
LAYOUT_PHRASES: dict[str, tuple[str, ...]] = {fact: tuple(phrases) for fact, phrases in _WORDS["layout"].items()}
TEMPLATES: tuple[str, ...] = (*_WORDS["templates"]["bare"], *_WORDS["templates"]["framed"])

_WORDS_TO_CONCEPT = {phrase: concept for concept, phrases in PHRASES.items() for phrase in (concept, *phrases)}


@dataclass(frozen=True)
class SceneContent:
    """What a caption says or a picture shows.

    concepts: weights that sum to 1. strength: 0..1, or None where nothing is said. layout: facts named or shown.
    is_picture: pictures show all of their layout, captions name a part of it.
    """

    concepts: Mapping[str, float]
    strength: float | None = None
    layout: frozenset[str] = field(default_factory=frozenset)
    is_picture: bool = False


@dataclass(frozen=True)
class Caption:
    """A text and what it means."""

    text: str
    content: SceneContent


def plain(label: str) -> str:
    """A label as words: "Sea_Waves" => "sea waves"."""
    return " ".join(label.replace("_", " ").replace("-", " ").lower().split())


def concept_of(label: str) -> str | None:
    """The concept that a label or phrase names ("crackling_fire" => "fire"), or None for words outside this world."""
    return _WORDS_TO_CONCEPT.get(plain(label))


def presence(intensity: float) -> float:
    """How much of a picture's meaning is its phenomenon, 0..1, for an intensity in 0..1; the rest is calm."""
    return float(np.clip(intensity, 0.0, 1.0))


def _choice(rng: np.random.Generator, items: Sequence[str]) -> str:
    return items[int(rng.integers(len(items)))]


def caption_for_concept(concept: str, rng: np.random.Generator, *, strength: float | None = None) -> Caption:
    """A random caption for one of CONCEPTS; strength in 0..1 picks the words that fit, None says nothing of it."""
    if strength is None:
        return Caption(_choice(rng, TEMPLATES).format(_choice(rng, PHRASES[concept])), SceneContent({concept: 1.0}))
    band = min(STRENGTHS, key=lambda name: abs(STRENGTHS[name][0] - strength))
    centre, adjectives = STRENGTHS[band]
    own = STRONG_PHRASES.get(concept, {}).get(band, ())
    if own and rng.random() < 0.4:
        phrase = _choice(rng, own)
    else:
        phrase = f"{_choice(rng, adjectives)} {_bare(_choice(rng, PHRASES[concept][:4]))}"
    return Caption(_choice(rng, TEMPLATES).format(phrase), SceneContent({concept: 1.0}, strength=centre))


def caption_for_pair(first: str, second: str, rng: np.random.Generator) -> Caption:
    """A caption that names two concepts, half of its meaning each."""
    joiner = _choice(rng, ("and", "with", "and then", "together with", "mixed with"))
    text = f"{_choice(rng, PHRASES[first][:6])} {joiner} {_choice(rng, PHRASES[second][:6])}"
    return Caption(_choice(rng, TEMPLATES).format(text), SceneContent({first: 0.5, second: 0.5}))


def caption_for_sound(label: str, rng: np.random.Generator) -> str:
    """A random caption for a labelled sound; a label outside this world is put into a template as it is."""
    concept = concept_of(label)
    if concept is None:
        return _choice(rng, TEMPLATES).format(plain(label))
    return caption_for_concept(concept, rng).text


def _bare(phrase: str) -> str:
    for article in ("a ", "an ", "the ", "it is "):
        phrase = phrase.removeprefix(article)
    return phrase


def caption_for_scene(
    shown: SceneContent, rng: np.random.Generator, *, say_strength: float = 0.35, say_layout: float = 0.25
) -> Caption:
    """A random caption for a picture: what goes on in it, sometimes how strongly, sometimes where."""
    names, weights = zip(*shown.concepts.items(), strict=True)
    concept = names[int(rng.choice(len(names), p=np.asarray(weights) / sum(weights)))]
    speaks = shown.strength is not None and concept != CALM and rng.random() < say_strength
    caption = caption_for_concept(concept, rng, strength=shown.strength if speaks else None)
    known = sorted(shown.layout & LAYOUT_PHRASES.keys())
    if not known or rng.random() >= say_layout:
        return caption
    fact = _choice(rng, known)
    text = f"{caption.text} {_choice(rng, LAYOUT_PHRASES[fact])}"
    return Caption(text, SceneContent(caption.content.concepts, caption.content.strength, frozenset({fact})))


def affinity(
    rows: Sequence[SceneContent],
    columns: Sequence[SceneContent],
    *,
    strength_width: float = 0.45,
    mismatch: float = 0.4,
) -> np.ndarray:
    """How well contents fit each other, [N,M] in 0..1; rows divided by their sums are soft targets.

    The product of: the overlap of their concepts; a bell of strength_width over the difference of their strengths,
    where both speak of it; and mismatch for every layout fact that a caption names and the other side does not have.
    """
    a = np.array([[m.concepts.get(c, 0.0) for c in CONCEPTS] for m in rows])  # [N,K]
    b = np.array([[m.concepts.get(c, 0.0) for c in CONCEPTS] for m in columns])  # [M,K]
    fit = a @ b.T
    # a strength is a strength of one concept: calm against "heavy rain" overlaps nowhere, so needs no exception
    va, vb = (np.array([np.nan if m.strength is None else m.strength for m in side]) for side in (rows, columns))
    bell = np.exp(-(((va[:, None] - vb[None, :]) / strength_width) ** 2))
    fit = fit * np.where(np.isnan(bell), 1.0, bell)
    absent = np.array([[_absent(m, n) for n in columns] for m in rows])
    return fit * mismatch**absent


def _absent(a: SceneContent, b: SceneContent) -> int:
    """Layout facts that one side names and the other lacks; what a caption leaves out is not denied."""
    if a.is_picture and b.is_picture:
        return len(a.layout ^ b.layout)
    if a.is_picture:
        return len(b.layout - a.layout)
    return len(a.layout - b.layout) if b.is_picture or b.layout else 0
