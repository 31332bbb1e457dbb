"""The layout figure: the same edges in any colours agree, other layouts do not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from soundguide_core.common.errors import InputError
from soundguide_core.media.images import from_uint8
from soundguide_core.metrics.layout import layout_report, layout_similarity
from soundguide_core.miniature.world import scenes


def rendered(seeds, phenomenon=None, intensity=0.0):
    frames = [scenes.render(seed, phenomenon, intensity, size=64, start_sec=2.0) for seed in seeds]
    return from_uint8(torch.from_numpy(np.concatenate(frames)))


@pytest.fixture(scope="module")
def sources():
    return rendered(range(5))


def test_recoloured_inverted_and_dimmed_pictures_keep_their_layout(sources):
    mix = torch.tensor([[0.2, 0.5, 0.1], [0.6, -0.1, 0.2], [0.1, 0.3, 0.7]])
    assert layout_similarity(sources, torch.einsum("ij,bjhw->bihw", mix, sources)).min() > 0.9
    assert layout_similarity(sources, -0.5 * sources + 0.2).min() > 0.99


def test_other_layouts_are_far(sources):
    assert layout_similarity(sources, sources.roll(1, 0)).max() < 0.5
    assert layout_similarity(sources, sources.flip(3)).max() < 0.6
    assert layout_similarity(sources, torch.zeros_like(sources)).abs().max() < 1e-3


def test_a_phenomenon_over_a_layout_is_nearest_to_that_layout(sources):
    edited = torch.cat([rendered(range(5), "birds", 0.8), rendered(range(5), "waves", 0.8)])
    report = layout_report(edited, sources, [*range(5)] * 2)
    assert report.nearest == 1.0 and report.rank == 1.0 and report.margin == pytest.approx(report.own - report.others)
    wrong = layout_report(edited, sources, [1, 2, 3, 4, 0] * 2)
    assert wrong.nearest == 0.0 and wrong.margin < 0.1


def test_one_source_cannot_be_ranked(sources):
    with pytest.raises(InputError, match="two or more"):
        layout_report(sources, sources[:1], [0] * 5)
