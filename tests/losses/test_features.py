"""The distance of a picture tower's features against a loop, and where a tower keeps its stages."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from soundguide_core.common.errors import InputError
from soundguide_core.embedding.joint import load_joint
from soundguide_core.losses.features import TowerDistance, feature_distance, stages_of


def by_hand(a: torch.Tensor, b: torch.Tensor) -> list[float]:
    """[B,C,h,w] twice."""
    found = []
    for x, y in zip(a.double(), b.double()):
        total = 0.0
        for row in range(x.shape[1]):
            for column in range(x.shape[2]):
                f, g = x[:, row, column].tolist(), y[:, row, column].tolist()
                lengths = math.sqrt(sum(v * v for v in f)), math.sqrt(sum(v * v for v in g))
                total += sum((v / lengths[0] - w / lengths[1]) ** 2 for v, w in zip(f, g))
        found.append(total / (x.shape[1] * x.shape[2]))
    return found


def test_features_against_a_loop():
    rng = torch.Generator().manual_seed(0)
    a, b = (torch.randn(2, 5, 3, 4, generator=rng) for _ in range(2))
    expected = by_hand(a, b)
    assert feature_distance(a, b).tolist() == pytest.approx(expected, rel=1e-5)
    tokens = [x.flatten(2).transpose(1, 2) for x in (a, b)]  # [B,N,C]
    assert feature_distance(*tokens).tolist() == pytest.approx(expected, rel=1e-5)
    assert feature_distance(a, 3 * a).abs().max() < 1e-9  # directions alone count


def test_a_distance_of_pictures(tiny):
    joint = load_joint(tiny.joint)
    distance = TowerDistance(joint.clip)
    img = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)).requires_grad_()
    other = img.detach().flip(3)
    found = distance(img, other)
    assert found.shape == (2,) and (found > 0).all() and distance(other, other).abs().max() < 1e-9
    found.sum().backward()
    assert img.grad is not None and img.grad.abs().max() > 0
    assert not any(block._forward_hooks for block in joint.clip.model.visual.modules())


class Tower(nn.Module):
    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


def test_where_the_stages_are():
    blocks = [nn.Identity() for _ in range(12)]
    assert stages_of(Tower(trunk=Tower(blocks=nn.Sequential(*blocks)))) == [blocks[i] for i in (2, 5, 8, 11)]
    layers = {f"layer{i}": nn.Identity() for i in range(1, 5)}
    assert stages_of(Tower(**layers)) == list(layers.values())
    one = nn.Identity()
    assert stages_of(Tower(transformer=Tower(resblocks=nn.ModuleList([one])))) == [one]
    with pytest.raises(InputError, match="no stages"):
        stages_of(nn.Linear(1, 1))
