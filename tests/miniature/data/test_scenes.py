"""Rendered scenes for training: their cache, and captions of like content."""

from __future__ import annotations

import numpy as np
import pytest

from soundguide_core.miniature.data.captions import draw_captions
from soundguide_core.miniature.data.scenes import render_scenes
from soundguide_core.miniature.world import captions


def test_scenes_are_cached_and_numbered(tmp_path):
    scenes = render_scenes(12, tmp_path / "all", size=32)
    calls = []
    again = render_scenes(4, tmp_path / "some", first=8, size=32, on_step=lambda i, n: calls.append((i, n)))
    assert np.array_equal(again.pixels, scenes.pixels[8:]) and again.shown == scenes.shown[8:]
    assert calls == [(0, 4)]
    render_scenes(4, tmp_path / "some", first=8, size=32, on_step=lambda i, n: pytest.fail("rendered again"))
    batch = scenes.batch(np.array([5, 2]))
    assert batch.shape == (2, 3, 32, 32) and np.array_equal(
        ((batch[0] + 1) * 127.5).round().permute(1, 2, 0), scenes.pixels[5]
    )

    def cancel(i, n):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_scenes(5, tmp_path / "some", size=32, on_step=cancel)
    assert len(list((tmp_path / "some").iterdir())) == 1


def test_paraphrases_keep_the_content():
    rng = np.random.default_rng(0)
    first, second = draw_captions(
        [captions.SceneContent({"rain": 0.9, captions.CALM: 0.1}, 0.9, is_picture=True)] * 4, 60, rng
    )
    assert len(first) == len(second) == 64
    for a, b in zip(first, second, strict=True):
        assert dict(a.content.concepts) == dict(b.content.concepts) and a.content.strength == b.content.strength
    assert any(len(c.content.concepts) == 2 for c in first)
