from __future__ import annotations

import math

import pytest
import torch

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.embedding.hearing.words import HeardWords
from soundguide_core.embedding.prompt_config import PromptConfig
from soundguide_core.pipelines.prompts import heard_prompts, unheard, words_on_a_curve
from soundguide_core.pipelines.recording import Recording

PLAIN = PromptConfig(floor=0, scale=False, smoothing=0, hold=0)
WORDS = HeardWords(
    ("rain", "wind", "bird"), ("rain, wet", "wind", "birds"),
    torch.tensor([[1.0, 0.1, 0.5]] * 8), hop_sec=0.25, first_sec=0.125, seconds=2.0,
)  # fmt: skip


def test_the_strongest_words_are_told_in_their_order():
    schedule = heard_prompts(WORDS, "a bay", 12.0, PromptConfig(most=2, floor=0, scale=False, smoothing=0, hold=0))
    assert schedule.phrases == ("rain, wet", "birds") and schedule.num_frames == 24
    assert schedule.texts == ["a bay", "a bay, rain, wet", "a bay, birds"]
    assert schedule.weights[5].tolist() == pytest.approx([1 / 1.5, 0.5 / 1.5])


def test_loudness_strength_and_curve_multiply():
    tone = 0.5 * torch.sin(2 * math.pi * 300 * torch.arange(32000) / 16000)
    tone[16000:] *= 10**-0.5  # 10 dB less
    recording = Recording.of_wave(tone, 16000)
    curve = torch.linspace(0, 1, 24).tolist()
    schedule = heard_prompts(
        WORDS, "", 12.0, PLAIN, recording=recording, law="sones", strength=0.5, curve=curve, num_frames=24,
        response="even",
    )
    constant = heard_prompts(WORDS, "", 12.0, PLAIN)
    assert schedule.weights[6] == pytest.approx(constant.weights[6] * 0.5 * curve[6], abs=0.01)
    assert schedule.weights[18] == pytest.approx(constant.weights[18] * 0.25 * curve[18], abs=0.01)
    with pytest.raises(InputError, match="23 values of the curve meet 24 frames"):
        heard_prompts(WORDS, "", 12.0, PLAIN, curve=curve[1:])


def test_the_loudness_is_answered_steeply():
    curve = [0.0, 0.15, 0.35, 0.6, 1.0]
    how = {"curve": curve, "strength": 0.5, "num_frames": 5}
    weights = {r: heard_prompts(WORDS, "", 2.5, PLAIN, response=r, **how).weights for r in ("steep", "even")}
    full = heard_prompts(WORDS, "", 2.5, PLAIN, num_frames=5).weights
    for response, told in {"steep": [0, 0.04, 0.35, 0.77, 1], "even": curve}.items():
        assert weights[response].sum(1).tolist() == pytest.approx(
            [0.5 * c * w for c, w in zip(told, full.sum(1).tolist())], abs=0.005
        )
    assert torch.equal(heard_prompts(WORDS, "", 2.5, PLAIN, curve=curve, num_frames=5).weights, 2 * weights["steep"])


def test_the_negative_says_its_text_or_what_is_not_heard():
    schedule = heard_prompts(WORDS, "a bay", 12.0, PLAIN)
    plain = unheard(schedule, "blurry", words=False)
    assert plain.texts == ["blurry"] and plain.weights.shape == (24, 0)
    also = unheard(schedule, "blurry", words=True)
    assert also.texts[1] == "blurry, rain, wet"
    assert torch.allclose(also.weights, (1 - schedule.weights) / 3) and float(also.weights.sum(1).max()) <= 1


def test_a_curve_moves_through_the_texts():
    words = words_on_a_curve(["a", " ", "b", "c"], [0.0, 0.25, 0.5, 0.9, 1.0], 12.0)
    assert words.words == ("a", "b", "c")
    found = words.at_frames(12.0, 5)
    expected = torch.tensor([[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0.2, 0.8], [0, 0, 1.0]])
    assert torch.allclose(found, expected, atol=tol.FLOAT32_SUM)
    one = words_on_a_curve(["a"], [0.0, 0.3, 1.0], 12.0)
    assert torch.allclose(one.at_frames(12.0, 3)[:, 0], torch.tensor([0, 0.3, 1.0]), atol=tol.FLOAT32_SUM)
    with pytest.raises(InputError, match="no text"):
        words_on_a_curve(["", " "], [0.5], 12.0)
