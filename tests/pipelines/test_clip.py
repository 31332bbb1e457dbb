"""The clip that a continuous video goes on from: which of its frames are looked at."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from soundguide_core.common.errors import InputError
from soundguide_core.pipelines import continuous_video


@pytest.mark.parametrize(
    ("count", "fps", "seen", "rate"), [(3, 24.0, 2, 12.0), (2, 24.0, 2, 24.0), (48, 24.0, 12, 6.0)]
)
def test_a_short_clip_is_looked_at_whole(monkeypatch, count, fps, seen, rate):
    given = {}
    monkeypatch.setattr(
        continuous_video, "project_clip", lambda frames, fps, **_: given.update(frames=len(frames), fps=fps)
    )
    continuous_video.Clip(torch.zeros(count, 3, 9, 16), fps).found_by(SimpleNamespace(resolution=8), seed=0)
    assert given == {"frames": seen, "fps": rate}


def test_one_frame_does_not_move():
    with pytest.raises(InputError, match="one frame"):
        continuous_video.Clip(torch.zeros(1, 3, 9, 16), 24.0).found_by(SimpleNamespace(resolution=8), seed=0)
