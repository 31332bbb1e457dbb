from __future__ import annotations

import pytest
import torch

from soundguide_core.pipelines.hearing import presence
from soundguide_core.systems.configs.video_editing import CONSTANT, DECIBELS, SONES, LeadConfig


@pytest.mark.parametrize("law", [SONES, DECIBELS, CONSTANT])
def test_an_edit_is_there_where_something_is_heard(law):
    loudness = torch.linspace(0, 1, 61)  # a decibel each
    found = presence(LeadConfig(loudness=law), loudness)
    assert found[0] == 0 and (found[45:] == 1).all() and (found.diff() >= 0).all()
    if law == SONES:  # 40 dB below, where a sixteenth leads
        assert abs(float(found[20]) - 4 / 16) < 1e-6
    if law == CONSTANT:
        assert (found[10:] == 1).all()


def test_a_loudness_that_is_not_known_leaves_all_of_it():
    assert presence(LeadConfig(loudness=CONSTANT), None) is None
