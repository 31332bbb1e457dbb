"""Captions: labels and paraphrases, strengths and layouts, and the affinity that makes soft targets of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tolerances as tol
from soundguide_core.miniature.world import captions, scenes
from soundguide_core.miniature.world.captions import CALM, CONCEPTS, SceneContent

ESC10 = [
    "dog",
    "rain",
    "sea_waves",
    "crying_baby",
    "clock_tick",
    "sneezing",
    "helicopter",
    "chainsaw",
    "rooster",
    "crackling_fire",
]


def test_every_phenomenon_and_esc10_class_is_a_concept():
    assert set(scenes.PHENOMENA) <= set(CONCEPTS)
    assert {captions.concept_of(label) for label in ESC10} <= set(CONCEPTS)
    assert captions.concept_of("Crackling_Fire") == "fire" and captions.concept_of("sea waves") == "waves"
    assert captions.concept_of("silence") == CALM and captions.concept_of("xylophone") is None


def test_no_phrase_names_two_concepts():
    phrases = [phrase for group in captions.PHRASES.values() for phrase in group]
    assert len(phrases) == len(set(phrases))


def test_captions_for_sounds_are_seeded_and_varied():
    draw = [captions.caption_for_sound("sea_waves", np.random.default_rng(i)) for i in range(40)]
    assert draw == [captions.caption_for_sound("sea_waves", np.random.default_rng(i)) for i in range(40)]
    assert len(set(draw)) > 15
    assert "hammer drill" in captions.caption_for_sound("hammer_drill", np.random.default_rng(0))


def test_scene_captions_say_what_is_shown():
    rng = np.random.default_rng(0)
    shown = SceneContent({"rain": 1.0}, 0.97, frozenset({"lake"}), is_picture=True)
    drawn = [captions.caption_for_scene(shown, rng) for _ in range(60)]
    assert {c.content.strength for c in drawn} == {None, captions.STRENGTHS["heavy"][0]}
    assert all(c.content.layout <= {"lake"} for c in drawn)
    calm = [captions.caption_for_scene(SceneContent({CALM: 1.0}, is_picture=True), rng).content for _ in range(5)]
    assert all(m.concepts == {CALM: 1.0} for m in calm)


@pytest.mark.parametrize("seed", [0, 1])
def test_affinity_equals_a_loop(seed):
    rng = np.random.default_rng(seed)
    facts = list(captions.LAYOUT_PHRASES)

    def meaning(is_picture):
        a, b = rng.choice(CONCEPTS[:4], 2, replace=False)
        p = float(rng.random())
        layout = frozenset(rng.choice(facts, int(rng.integers(0, 3))).tolist())
        return SceneContent({a: p, b: 1 - p}, float(rng.random()) if rng.random() < 0.6 else None, layout, is_picture)

    pictures, texts = [meaning(True) for _ in range(5)], [meaning(False) for _ in range(6)]
    got = captions.affinity(pictures, texts, strength_width=0.5, mismatch=0.25)
    for i, picture in enumerate(pictures):
        for j, text in enumerate(texts):
            want = sum(weight * text.concepts.get(name, 0) for name, weight in picture.concepts.items())
            if picture.strength is not None and text.strength is not None:
                want *= math.exp(-(((picture.strength - text.strength) / 0.5) ** 2))
            want *= 0.25 ** sum(fact not in picture.layout for fact in text.layout)
            assert got[i, j] == pytest.approx(want, abs=tol.FLOAT64)


def test_presence_grows_with_intensity():
    values = [captions.presence(v) for v in (0.0, 0.2, 0.5, 1.0)]
    assert values == sorted(values) and values[0] == 0 and values[-1] == 1
