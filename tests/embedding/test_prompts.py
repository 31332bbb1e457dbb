"""Words that weigh: the difference that they make; sections of long prompts; no words say nothing."""

from __future__ import annotations

import pytest
import torch

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.embedding import prompts


@pytest.fixture(scope="module")
def clip():
    from soundguide_core.embedding.joint import load_joint

    return load_joint("miniature").clip


def encode(ids: list[int]) -> torch.Tensor:
    """Any function of the tokens."""
    return torch.tensor([float(sum(ids)), float(len(ids)), 1.0])


def test_against_the_equation():
    words = [(3, 1.0), (5, 0.0), (7, 2.5), (9, 2.5)]
    whole = encode([3, 5, 7, 9])
    expected = whole - (whole - encode([3, 7, 9])) + 1.5 * (whole - encode([3, 5]))
    assert torch.allclose(prompts.embed_words(encode, words, 3), expected)
    assert torch.equal(prompts.embed_words(encode, [(3, 0.0), (5, 1.0)], 3), encode([5]))
    assert torch.equal(prompts.embed_words(encode, [(3, 0.5)], 3), 0.5 * encode([3]))
    assert torch.equal(prompts.embed_words(encode, [], 3), torch.zeros(3))


def test_sections():
    words = [(i, 1.0) for i in range(7)]
    assert [len(part) for part in prompts.sections(words, 3)] == [3, 3, 1]
    assert [len(part) for part in prompts.sections([], 3)] == [0]


@torch.no_grad()
def test_the_towers_own_point_where_all_words_weigh_one(clip):
    text = "The sound of heavy rain, at night"
    words = [(token, 1.0) for token in prompts.word_tokenizer(clip).encode(text)]
    points = prompts.embed_sections(clip, [words, ()])
    assert torch.allclose(points[:1], clip.encode_text([text]), atol=tol.FLOAT32_SUM) and points[1].abs().max() == 0


def test_other_tokenizers_are_refused():
    with pytest.raises(InputError, match="no tokenizer of CLIP"):
        prompts.word_tokenizer(type("Towers", (), {"tokenizer": object()})())
