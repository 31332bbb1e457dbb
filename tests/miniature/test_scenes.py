"""The miniature's pictures: deterministic, layout apart from phenomenon, steady in time."""

import numpy as np
import pytest

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.miniature.world.layout import Frame
from soundguide_core.miniature.world.paint import ValueNoise
from soundguide_core.miniature.world.scenes import PHENOMENA, random_layout, render


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


@pytest.mark.parametrize("phenomenon", [*PHENOMENA, None])
def test_a_loop_has_no_seam(phenomenon):
    """The step from the last frame to the first is a step like the others, and every frame comes again."""
    clip = render(4, phenomenon, [0.9] * 49, size=48, fps=12, loop_sec=4.0).astype(float)
    steps = np.abs(np.diff(clip, axis=0)).mean(axis=(1, 2, 3))
    assert np.array_equal(clip[48], clip[0])
    assert steps[47] <= 1.5 * np.delete(steps, 47).max()
    later = render(4, phenomenon, [0.9] * 3, size=48, fps=12, start_sec=8.0, loop_sec=4.0)
    assert np.array_equal(later, clip[:3])
    assert steps.mean() > (0.05 if phenomenon else 0.01)


def test_cycles_of_a_loop_are_whole_and_few_and_near_the_rate():
    free, loop = (Frame(*[None] * 8, 1.0, 1.0, over) for over in (None, 4.0))
    for rate in (0.02, 0.5, 1.0, 1.7, 30.0):
        assert free.cycles(rate) == rate and free.angle(rate) == rate
        whole = 4 * loop.cycles(rate)
        assert whole == round(whole) and 1 <= whole <= 6
        if 0.4 < rate < 3:
            assert abs(whole - 4 * rate / 1.5) <= 0.5
        assert abs(loop.angle(rate) - 2 * np.pi * loop.cycles(rate / (2 * np.pi))) < 1e-12


def test_noise_wraps_where_it_is_told_to():
    noise = ValueNoise(np.random.default_rng(0))
    x, y = np.linspace(0, 3, 20), np.linspace(0, 3, 20)[:, None]
    for wrap in ((4, 64), (64, 8), (2, 2)):
        for value in (noise, noise.fractal):
            assert np.allclose(value(x, y, wrap=wrap), value(x + wrap[0], y + wrap[1], wrap=wrap), atol=tol.FLOAT32_SUM)
    assert not np.allclose(noise(x, y), noise(x + 4, y), atol=0.1)
