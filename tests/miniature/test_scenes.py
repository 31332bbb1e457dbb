"""The miniature's pictures: deterministic, layout apart from phenomenon, steady in time."""

import numpy as np
import pytest

from soundguide_core.errors import InputError
from soundguide_core.miniature.scenes import PHENOMENA, random_layout, render


def test_shape_range_and_determinism():
    frames = render(3, "rain", [0.2, 0.9], size=32)
    assert frames.shape == (2, 32, 32, 3) and frames.dtype == np.uint8
    assert np.array_equal(frames, render(3, "rain", [0.2, 0.9], size=32))
    assert frames.std() > 5


def test_intensity_zero_is_the_calm_scene_for_every_phenomenon():
    calm = render(5, None, size=32).astype(int)
    for phenomenon in PHENOMENA:
        assert np.abs(render(5, phenomenon, 0.0, size=32) - calm).mean() < 1.5, phenomenon


def test_more_intensity_departs_further_from_calm():
    calm = render(8, None, size=48).astype(int)
    for phenomenon in PHENOMENA:
        change = [np.abs(render(8, phenomenon, p, size=48) - calm).mean() for p in (0.15, 0.4, 0.9)]
        assert change[0] < change[1] < change[2], phenomenon


def test_a_frame_does_not_depend_on_its_neighbours():
    clip = render(2, "birds", [0.5, 0.8, 1.0], size=32)
    alone = render(2, "birds", 0.8, size=32, start_sec=1 / 12)
    assert np.array_equal(clip[1], alone[0])


@pytest.mark.parametrize("phenomenon", PHENOMENA)
def test_motion_is_steady_and_there(phenomenon):
    """Neighbouring frames differ, and less than frames far apart: nothing flickers, nothing stands still."""
    clip = render(4, phenomenon, [0.9] * 13, size=64, fps=24).astype(float)
    neighbours = np.abs(np.diff(clip, axis=0)).mean()
    apart = np.abs(clip[12] - clip[0]).mean()
    assert 0.05 < neighbours < 1.05 * apart


def edges(picture):
    grey = picture.astype(float).mean(axis=-1)
    gx, gy = np.gradient(grey)
    size = np.hypot(gx, gy)
    return size / size.mean()


def test_layout_survives_the_phenomenon():
    """The horizon stays: rows of strongest edges of a calm scene and its windy night agree better than two layouts'."""

    def profile(seed, phenomenon):
        return edges(render(seed, phenomenon, 0.9, size=64)[0]).mean(axis=1)

    own, other = [], []
    for seed in range(8):
        calm = profile(seed, None)
        own.append(np.corrcoef(calm, profile(seed, "crickets"))[0, 1])
        other.append(np.corrcoef(calm, profile(seed + 1, "crickets"))[0, 1])
    assert np.mean(own) > np.mean(other) + 0.1


def test_layout_words_and_unknown_phenomenon():
    words = [set(random_layout(seed).words()) for seed in range(40)]
    assert all(w & {"lake", "sea"} and w & {"hills", "mountains"} for w in words)
    assert any("trees" in w for w in words) and not all("trees" in w for w in words)
    with pytest.raises(InputError, match="phenomenon"):
        render(0, "snow")
