from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.metrics.video_meter import VideoMeter


def encode(img: torch.Tensor) -> torch.Tensor:
    return F.normalize(F.adaptive_avg_pool2d(img, 2).flatten(1), dim=1)


def video(count: int = 10) -> torch.Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_figures_do_not_depend_on_the_chunks():
    frames, heard = video(), F.normalize(torch.randn(10, 12), dim=1)
    figures = []
    for size in (10, 3, 1):
        meter = VideoMeter(encode)
        for part, sound in zip(frames.split(size), heard.split(size)):
            meter.add(part, sound)
        figures.append(meter.figures())
    embeds = encode(frames)
    for f in figures:
        assert np.allclose(f.similarity, (embeds * heard).sum(1), atol=tol.FLOAT32)
        assert np.allclose(f.adjacent, (embeds[1:] * embeds[:-1]).sum(1), atol=tol.FLOAT32)
        assert np.allclose(f.motion, (frames[1:] - frames[:-1]).abs().mean((1, 2, 3)) / 2, atol=tol.FLOAT32)
        assert np.allclose(np.abs(f.visual_intensity), np.abs(figures[0].visual_intensity), atol=tol.PARITY)
    assert figures[0].summary()["frames"] == 10 and figures[0].summary()["motion"]["largest"] < 1


def test_a_frozen_video_is_consistent_and_does_not_move():
    meter = VideoMeter(encode)
    meter.add(video(1).expand(5, -1, -1, -1))
    summary = meter.figures().summary()
    assert summary["adjacent"]["mean"] == pytest.approx(1) and summary["motion"]["largest"] == 0
    assert "similarity" not in summary and (meter.figures().visual_intensity == 0).all()


def test_without_an_encoder_and_of_one_frame():
    meter = VideoMeter()
    meter.add(video(1))
    assert meter.figures().summary() == {"frames": 1}
    with pytest.raises(InputError, match="no frames"):
        VideoMeter().figures()
