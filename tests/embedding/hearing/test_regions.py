from __future__ import annotations

import pytest
import torch

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.embedding.hearing.regions import placed, together
from soundguide_core.embedding.hearing.words import HeardWords
from soundguide_core.embedding.prompt_weights import PromptSchedule

LEFT, RIGHT = torch.zeros(4, 6), torch.zeros(2, 3)
LEFT[:, :3] = 1
RIGHT[:, 2:] = 1


def words(*names, hop_sec=0.5, seconds=2.0, score=1.0):
    rows = round(seconds / hop_sec)
    scores = torch.full((rows, len(names)), score)
    return HeardWords(names, names, scores, hop_sec=hop_sec, seconds=seconds, first_sec=hop_sec / 2)


def test_words_of_two_recordings_stand_side_by_side_in_their_areas():
    bird = words("bird", hop_sec=0.25, seconds=3.0, score=0.5)
    both = together([placed(words("rain", "wind"), LEFT), placed(bird, RIGHT)])
    assert both.words == ("rain", "wind", "bird") and both.hop_sec == 0.25 and both.seconds == 3.0
    assert both.areas.shape == (3, 4, 6) and torch.equal(both.areas[0], LEFT) and torch.equal(both.areas[1], LEFT)
    assert torch.equal(both.areas[2][:, 4:], torch.ones(4, 2)) and not both.areas[2][:, :4].any()
    at = both.at_frames(4.0, 12)
    assert torch.allclose(at[:8], torch.tensor([1.0, 1.0, 0.5]).expand(8, -1), atol=tol.FLOAT32)
    assert torch.allclose(at[9:], torch.tensor([0.0, 0.0, 0.5]).expand(3, -1), atol=tol.FLOAT32)  # the first has ended
    assert torch.equal(both.only([2]).areas[0], both.areas[2])


def test_without_a_mask_words_act_everywhere():
    both = together([words("rain"), placed(words("bird"), LEFT)])
    assert bool((both.areas[0] == 1).all()) and 0 < float(both.areas[1].mean()) < 1


def test_a_mask_of_nothing_is_refused():
    with pytest.raises(InputError, match="marks nothing"):
        placed(words("rain"), torch.zeros(4, 4))
    with pytest.raises(InputError, match="No words"):
        together([])


def test_phrases_are_gathered_by_area():
    areas = torch.stack([LEFT, 1 - LEFT, LEFT])
    schedule = PromptSchedule("", ("a", "b", "c"), torch.zeros(5, 3), 12.0, areas)
    assert [columns for _, columns in schedule.by_area()] == [[0, 2], [1]]
    assert PromptSchedule("", ("a",), torch.zeros(5, 1), 12.0).by_area() == []
