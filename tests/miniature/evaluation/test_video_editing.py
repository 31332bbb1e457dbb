"""Figures of edited videos, on edits whose figures are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tolerances as tol

pytest.importorskip("diffusers")

from soundguide_core.flow.optical_flow import Flow
from soundguide_core.miniature.evaluation import video_editing as metrics

FRAMES, SIZE, FPS = 12, 16, 4.0


class Judge(torch.nn.Module):
    """Names "rain" where a frame is bright."""

    classes = ("calm", "rain")

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def predict(self, img):
        bright = (img.mean(dim=(1, 2, 3)) > 0).float()
        return torch.stack([1 - bright, bright], dim=1)


def pair(region: str = "above") -> metrics.Pair:
    rng = np.random.default_rng(0)
    frames = torch.zeros(1, 3, SIZE, SIZE).expand(FRAMES, -1, -1, -1) - 0.1
    loudness = rng.permutation(FRAMES) / FRAMES
    mask = metrics.region_mask(region, SIZE)
    return metrics.Pair("rain", None, region, frames, mask, torch.ones(1, 1), loudness, frames + 1, True)


def still() -> Flow:
    moved, seen = torch.zeros(FRAMES - 1, 2, SIZE, SIZE), torch.ones(FRAMES - 1, 1, SIZE, SIZE)
    return Flow(moved, moved, seen, seen)


def test_louder_frames_that_change_more_are_found():
    p = pair()
    edited = p.frames + p.mask * torch.from_numpy(p.loudness).float().view(-1, 1, 1, 1)
    figures = metrics.judged(p, edited, Judge(), still(), FPS)
    assert figures.rank == pytest.approx(1) and (figures.nulls < 0.99).mean() > 0.95 and figures.kept
    assert figures.change == pytest.approx(p.loudness / 2, abs=tol.FLOAT32)
    bright = (edited.mean(dim=(1, 2, 3)) > 0).numpy()
    assert 0 < bright.sum() < FRAMES and (figures.named == bright).all()
    steps = np.diff(p.loudness) ** 2 / 4 * float(p.mask.mean())
    assert figures.warp_error == pytest.approx(steps.mean(), rel=tol.PARITY) and figures.warp_error_src == 0


def test_one_pixel_outside_is_seen():
    p = pair()
    edited = p.frames.clone()
    edited[3, 1, SIZE - 1, 0] += 2 / 255
    assert not metrics.judged(p, edited, Judge(), still(), FPS).kept
    constant = metrics.judged(p, p.frames, Judge(), still(), FPS)
    assert constant.kept and constant.rank == 0 and constant.change.max() == 0


def test_rank_correlation_by_hand():
    a, b = np.array([3.0, 1.0, 2.0, 9.0]), np.array([0.2, 0.1, 0.4, 0.3])  # ranks 3 1 2 4 and 2 1 4 3
    assert metrics.rank_correlation(a, b) == pytest.approx(1 - 6 * (1 + 0 + 4 + 1) / (4 * 15))
    assert metrics.rank_correlation(a, -a) == pytest.approx(-1) and metrics.rank_correlation(a, 0 * a) == 0


def test_summary_weighs_videos_alike():
    p, q = pair(), pair("whole")
    bright = metrics.judged(p, p.frames + 1, Judge(), still(), FPS)
    dark = metrics.judged(q, q.frames, Judge(), still(), FPS)
    report = metrics.summary([bright, dark])
    assert report["named"] == report["named_of_heard"] == 0.5 and report["painted"] == report["heard"] == 1
    assert report["outside_equal"] == 0.5 and report["videos"] == 2
    assert report["named_per_region"] == {"above": 1.0, "whole": 0.0} and report["rank"]["mean"] == 0


def test_pairs_are_the_same_for_the_same_numbers(tiny):
    from soundguide_core.embedding.joint import load_joint

    joint = load_joint(tiny.joint)
    one, again, other = (metrics.make_pair(k, joint, num_frames=4, fps=4.0, size=16) for k in (1, 1, 8))
    assert torch.equal(one.frames, again.frames) and torch.equal(one.embeds, again.embeds)
    assert one.phenomenon == other.phenomenon and not torch.equal(one.frames, other.frames)
    assert one.shown is not None and one.shown != one.phenomenon and one.embeds.shape == (4, 16)
