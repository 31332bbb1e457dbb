from __future__ import annotations

import json

import pytest
import torch

import tolerances as tol
from soundguide_core.audio.keyframes import QUOTED, prompt_keyframes
from soundguide_core.common.errors import InputError
from soundguide_core.embedding.prompt_config import ALL, STRONGEST, PromptConfig
from soundguide_core.embedding.prompt_weights import PromptSchedule, frame_prompts, joined, prompt_weights

SCORES = torch.rand(40, 3, generator=torch.Generator().manual_seed(0))
PLAIN = PromptConfig(floor=0, scale=False, smoothing=0, hold=0)


def test_weights_are_scores_over_their_sum_where_it_exceeds_one():
    found = prompt_weights(SCORES, 12.0, PLAIN)
    for row, weights in zip(SCORES.tolist(), found.tolist()):
        assert weights == pytest.approx([s / max(1, sum(row)) for s in row], abs=tol.FLOAT32)
    assert float(found.sum(1).max()) <= 1 + tol.FLOAT32


def test_a_floor_is_taken_off_and_doubt_is_one():
    scores = torch.tensor([[0.1, 0.55], [0.2, 1.0], [0.9, 0.1]])
    config = PromptConfig(floor=0.1, scale=False, smoothing=0, hold=0)
    found = prompt_weights(scores, 12.0, config, doubt=torch.tensor([0.0, 0.5]))
    assert found[0].tolist() == pytest.approx([0, 0.1], abs=tol.FLOAT32)  # one of them alone is over its floor
    assert float(found[2, 1]) == 0


def test_of_what_ears_hear_the_weaker_is_told_less_than_its_share():
    scores, nothing = torch.tensor([[0.8, 0.4], [0.8, 0.8], [0.0, 0.4], [0.0, 0.0]]), torch.zeros(2)
    found = prompt_weights(scores, 12.0, PLAIN, doubt=nothing)
    weaker = 0.4 * 0.25
    expected = [[0.8, weaker], [0.5, 0.5], [0, 0.4], [0, 0]]
    assert found.tolist() == [pytest.approx(row, abs=tol.FLOAT32) for row in expected]
    apart = torch.eye(2).view(2, 1, 2)  # in two places they do not share
    assert torch.allclose(prompt_weights(scores, 12.0, PLAIN, doubt=nothing, areas=apart), scores, atol=tol.FLOAT32)


def test_scaled_the_highest_score_is_one():
    found = prompt_weights(torch.tensor([[0.05], [0.2]]), 12.0, PromptConfig(floor=0, smoothing=0, hold=0))
    assert found[:, 0].tolist() == pytest.approx([0.25, 1])
    silence = prompt_weights(torch.zeros(4, 2), 12.0, PromptConfig())
    assert not silence.any()


def test_the_strongest_alone():
    config = PromptConfig(floor=0, scale=False, smoothing=0, hold=0, blend=STRONGEST)
    found = prompt_weights(SCORES, 12.0, config)
    assert ((found > 0).sum(1) == 1).all() and torch.equal(found.argmax(1), SCORES.argmax(1))
    assert ALL != STRONGEST


def test_loudness_leads_and_silence_leaves_the_base():
    lead = torch.linspace(0, 1, 40)
    found = prompt_weights(SCORES, 12.0, PLAIN, lead=lead)
    assert torch.allclose(found, prompt_weights(SCORES, 12.0, PLAIN) * lead[:, None], atol=tol.FLOAT32)
    assert not found[0].any()
    with pytest.raises(InputError, match="39 values of loudness meet 40 frames"):
        prompt_weights(SCORES, 12.0, PLAIN, lead=lead[1:])


def test_a_gap_shorter_than_the_hold_is_closed():
    scores = torch.ones(24, 1)
    scores[8:12] = 0
    held = prompt_weights(scores, 12.0, PromptConfig(floor=0, smoothing=0, hold=0.5))
    assert bool((held == 1).all())
    open_ = prompt_weights(scores, 12.0, PromptConfig(floor=0, smoothing=0, hold=0.1))
    assert float(open_.min()) == 0


def test_what_is_held_gives_way_to_what_is_heard():
    scores = torch.zeros(24, 2)
    scores[:12, 0], scores[12:, 1] = 1, torch.linspace(0, 1, 12)
    found = prompt_weights(scores, 12.0, PromptConfig(floor=0, smoothing=0, hold=0.5, scale=False))
    assert found[12:18, 0].tolist() == pytest.approx((1 - scores[12:18, 1]).tolist(), abs=tol.FLOAT32)
    assert torch.equal(found[:, 1], scores[:, 1]) and not found[19:, 0].any()
    apart = torch.eye(2).view(2, 1, 2)  # in two places none takes the other's
    kept = prompt_weights(scores, 12.0, PromptConfig(floor=0, smoothing=0, hold=0.5, scale=False), areas=apart)
    assert bool((kept[:18, 0] == 1).all())


def test_smoothing_keeps_the_sum_and_slows_the_change():
    scores = torch.zeros(48, 2)
    scores[:24, 0] = scores[24:, 1] = 1
    found = prompt_weights(scores, 12.0, PromptConfig(floor=0, smoothing=1.0, hold=0))
    assert torch.allclose(found.sum(1), torch.ones(48), atol=tol.FLOAT32_SUM)
    assert float(found.diff(dim=0).abs().max()) < 0.1 and bool((found[:, 0].diff() <= tol.FLOAT32).all())


def test_a_prompt_as_text_says_what_is_heard_and_how_strongly():
    weights = torch.tensor([[0.0, 0.0], [0.1, 0.5], [0.3, 0.7], [1.0, 0.0]])
    assert frame_prompts("a bay,", ["rain, wet", "wind"], weights) == [
        "a bay", "a bay, (wind:0.5)", "a bay, (wind:0.75), (rain, wet:0.25)", "a bay, rain, wet",
    ]  # fmt: skip
    schedule = PromptSchedule("a bay", ("rain", "wind"), weights, 12.0)
    assert schedule.texts == ["a bay", "a bay, rain", "a bay, wind"]
    assert len(json.loads("{" + prompt_keyframes(schedule.at_frames(), QUOTED) + "}")) == 4
    assert joined("", "rain") == "rain" and joined("a bay", "") == "a bay"


def test_words_in_two_places_do_not_share_and_those_in_one_place_do():
    scores = torch.ones(3, 3)
    areas = torch.zeros(3, 2, 2)
    areas[0, 0], areas[1, 1], areas[2, 1] = 1, 1, 1
    weights = prompt_weights(scores, 8.0, PromptConfig(smoothing=0.0, hold=0.0, floor=0.0), areas=areas)
    assert torch.allclose(weights, torch.tensor([1.0, 0.5, 0.5]).expand(3, 3))
