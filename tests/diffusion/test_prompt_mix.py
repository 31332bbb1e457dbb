from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.diffusion.prompt_mix import blend_rows, equal_length, mixed_attention

RNG = torch.Generator().manual_seed(0)


def random(*shape):
    return torch.randn(*shape, generator=RNG)


def attend(q, k, v, mask=None):
    return F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None], attn_mask=mask)[:, 0]


def test_rows_are_the_base_moved_towards_each_prompt():
    prompts = [random(1, 5, 8) for _ in range(3)]
    weights = torch.rand(7, 2, generator=RNG) / 2
    rows = blend_rows(prompts, weights)
    for t in range(7):
        expected = prompts[0] + sum(weights[t, k] * (prompts[k + 1] - prompts[0]) for k in range(2))
        assert torch.allclose(rows[t], expected[0], atol=tol.FLOAT32_SUM)
    assert torch.equal(blend_rows(prompts[:1], torch.zeros(4, 0)), prompts[0].expand(4, -1, -1))
    with pytest.raises(InputError, match="meet 1 prompts"):
        blend_rows(prompts[:2], weights)


def test_a_repeated_text_attends_as_itself():
    q, short, long = random(2, 6, 8), random(2, 4, 8), random(2, 12, 8)
    same, other = equal_length([short, long])
    assert same.shape == other.shape and torch.equal(other, long)
    assert torch.allclose(attend(q, same, same), attend(q, short, short), atol=tol.FLOAT32_SUM)
    padded, _ = equal_length([random(1, 5, 8), long[:1]])
    assert padded.shape[1] == 12 and not padded[:, 5:].any()


def mix(q, k, v, lengths, weights):
    """The mean of what each prompt alone gives, a loop."""
    total, first = torch.zeros_like(q), 0
    for i, length in enumerate(lengths):
        total = total + weights[..., i, None] * attend(q, k[:, first : first + length], v[:, first : first + length])
        first += length
    return total


def test_mixed_attention_is_the_mean_of_each_prompts_own():
    lengths = (5, 3, 4)
    q, k, v = random(2, 10, 8), random(2, 12, 8), random(2, 12, 8)
    weights = torch.rand(2, 10, 3, generator=RNG)
    weights[:, :4, 1] = 0
    weights[:, 6:] = torch.tensor([1.0, 0, 0])
    weights = weights / weights.sum(-1, keepdim=True)
    found = mixed_attention(lambda q, k, v, m: attend(q, k, v), q, k, v, None, lengths, weights)
    assert torch.allclose(found, mix(q, k, v, lengths, weights), atol=tol.FLOAT32_SUM)
    assert torch.allclose(found[:, 6:], attend(q, k[:, :5], v[:, :5])[:, 6:], atol=tol.FLOAT32_SUM)


def test_a_prompt_without_weight_is_not_asked():
    asked = []

    def counting(q, k, v, mask):
        asked.append((q.shape[1], k.shape[1]))
        return attend(q, k, v)

    weights = torch.zeros(1, 6, 3)
    weights[:, :4, 0] = weights[:, 4:, 1] = 1
    mixed_attention(counting, random(1, 6, 8), random(1, 9, 8), random(1, 9, 8), None, (2, 3, 4), weights)
    assert asked == [(4, 2), (2, 3)]


def test_padding_of_each_text_is_masked_by_its_own_part():
    lengths, q, k, v = (3, 4), random(1, 5, 8), random(1, 7, 8), random(1, 7, 8)
    mask = torch.zeros(1, 1, 1, 7)
    mask[..., 2] = mask[..., 5:] = -torch.inf
    weights = torch.full((1, 5, 2), 0.5)
    found = mixed_attention(attend, q, k, v, mask, lengths, weights)
    expected = 0.5 * attend(q, k[:, :2], v[:, :2]) + 0.5 * attend(q, k[:, 3:5], v[:, 3:5])
    assert torch.allclose(found, expected, atol=tol.FLOAT32_SUM)
