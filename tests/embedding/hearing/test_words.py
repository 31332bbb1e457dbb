import pytest
import torch

from soundguide_core.common.errors import InputError
from soundguide_core.embedding.hearing.words import HeardWords


def heard(scores, **also) -> HeardWords:
    scores = torch.tensor(scores)
    count = scores.shape[1]
    given = {"words": ("rain", "bird")[:count], "prompts": ("heavy rain", "a bird")[:count], "hop_sec": 0.5}
    return HeardWords(**{**given, "scores": scores, "seconds": 2.0, "first_sec": 0.5, **also})


def test_frames_lie_between_rows_by_proportion():
    found = heard([[0.0], [1.0], [0.0]]).at_frames(4.0, 10)[:, 0]  # rows at 0.5, 1.0, 1.5 s, frames at 0.125, 0.375...
    expected = [0, 0, 0.25, 0.75, 0.75, 0.25, 0, 0, 0, 0]
    assert torch.allclose(found, torch.tensor(expected))


def test_beyond_the_recording_nothing_is_heard():
    found = heard([[1.0, 0.5]] * 3).at_frames(2.0, 6)
    assert found[:4].eq(torch.tensor([1.0, 0.5])).all() and not found[4:].any()


def test_the_strongest_and_only_those():
    words = heard([[0.1, 0.2], [0.3, 0.9]])
    assert words.strongest(1) == [1]
    one = words.only([1])
    assert one.words == ("bird",) and one.prompts == ("a bird",)
    assert torch.equal(one.scores, torch.tensor([[0.2], [0.9]]))


def test_columns_that_are_no_words_are_refused():
    with pytest.raises(InputError, match="Scores of shape"):
        heard([[0.1, 0.2]], words=("rain",), prompts=("rain",))
    with pytest.raises(InputError, match="prompts"):
        heard([[0.1, 0.2]], prompts=("rain",))
