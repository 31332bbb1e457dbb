"""Sudden changes, and windows over them."""

from __future__ import annotations

import math

import pytest
import torch

from soundguide_core.embedding.hearing import joint as joint_ears
from soundguide_core.embedding.hearing.changes import sudden_changes, told_apart
from soundguide_core.embedding.hearing.loading import load_ears
from soundguide_core.embedding.hearing.vocabulary import read_vocabulary
from soundguide_core.miniature.sounds.synthesis import synthesise
from soundguide_core.pipelines.recording import Recording
from soundguide_core.pipelines.words import hear_words

RATE, HALF_SEC = 22050, 3.0
WORDS = ["rain", "waves", "fire", "wind", "thunder", "birds", "crickets"]


def crossfaded(first: str, second: str, seed: int) -> torch.Tensor:
    """One sound that gives way to another, as loud, within a quarter of a second in the middle."""
    one, other = (torch.from_numpy(synthesise(x, 2 * HALF_SEC, seed=seed, sample_rate=RATE)) for x in (first, second))
    one, other = (wave / wave.square().mean().sqrt() * 0.1 for wave in (one, other))
    share = ((torch.arange(len(one)) / RATE - HALF_SEC) / 0.25 + 0.5).clamp(0, 1)
    return one * (1 - share).sqrt() + other * share.sqrt()


def test_a_step_is_a_change_and_noise_is_none():
    draw = torch.Generator().manual_seed(0)
    noise = 0.5 + 0.05 * torch.randn(40, 64, generator=draw)
    assert sudden_changes(noise, 4) == []
    stepped = noise.clone()
    stepped[17:, 20:] += 0.3
    assert sudden_changes(stepped, 4) == [17]
    assert sudden_changes(noise[:2], 4) == sudden_changes(noise[:1], 4) == []


def test_the_ratio_by_hand():
    mel = torch.tensor([[0.0], [0.2], [1.0], [1.2]])  # variances .02, means .1 and 1.1
    assert 1 / 0.02 > 4 and sudden_changes(mel, 2) == [2]
    assert sudden_changes(mel * torch.tensor([[1.0], [1.0], [0.2], [0.2]]), 2) == []  # (.22 - .1)^2 / .0104 = 1.4


def test_windows_over_a_change_are_not_asked():
    scores = torch.tensor([[0.9, 0.0], [0.9, 0.1], [0.6, 0.3], [0.5, 0.4], [0.1, 0.8], [0.0, 0.9]])
    told = told_apart(scores, [3], 1, 6)
    assert told[:, 0].tolist() == pytest.approx([0.9, 0.9, 0.9, 0.1, 0.1, 0.0])
    assert told[:, 1].tolist() == pytest.approx([0.0, 0.1, 0.1, 0.8, 0.8, 0.9])


@pytest.mark.parametrize("scores", [[[0.9, 0.1]] * 3 + [[0.5, 0.2]] * 3, [[0.2, 0.1]] * 3 + [[0.1, 0.2]] * 3])
def test_the_same_word_or_none_on_both_sides_is_left(scores):
    assert torch.equal(told_apart(torch.tensor(scores), [3], 1, 6), torch.tensor(scores))


@pytest.mark.parametrize("at_once", [1, 3, 7, 100])
def test_in_parts_as_at_once(monkeypatch, at_once):
    listener = load_ears("miniature").listen_for(WORDS, read_vocabulary())
    wave = torch.cat([crossfaded("wind", "fire", 1), crossfaded("waves", "crickets", 2)])
    whole = torch.cat(list(listener.hear(iter([wave[None]]), RATE)))
    monkeypatch.setattr(joint_ears, "WINDOWS_AT_ONCE", at_once)
    parts = torch.cat(list(listener.hear(iter([wave[None]]), RATE)))
    torch.testing.assert_close(parts, whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("first", "second"), [("birds", "rain"), ("fire", "waves"), ("waves", "crickets"), ("wind", "fire")]
)
def test_what_begins_is_heard_within_a_quarter_of_a_second(first, second):
    heard = hear_words(
        load_ears("miniature"), Recording.of_wave(crossfaded(first, second, 7_500_300), RATE), WORDS, read_vocabulary()
    )
    ahead = heard.scores[:, WORDS.index(second)] > heard.scores[:, WORDS.index(first)]
    late = [float(t) - HALF_SEC for t, second_leads in zip(heard.times, ahead) if bool(second_leads) != (t > HALF_SEC)]
    assert max(map(abs, late), default=0.0) <= 0.25 and math.isfinite(float(heard.scores.sum()))
