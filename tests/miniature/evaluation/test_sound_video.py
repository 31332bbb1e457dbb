from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import tolerances as tol
from soundguide_core.metrics.reactivity import Reactivity
from soundguide_core.metrics.video_meter import VideoFigures
from soundguide_core.miniature.evaluation import sound_video as sv
from soundguide_core.miniature.world.scenes import PHENOMENA


def test_when_it_is_crossed():
    later = np.zeros(72, bool)
    later[40:] = True
    assert sv.crossed_sec(later, 12.0) == pytest.approx(40 / 12)
    later[50] = False  # once more not yet over
    assert sv.crossed_sec(later, 12.0) == pytest.approx(51 / 12)
    for never in (np.zeros(72, bool), np.ones(72, bool), ~later):
        assert sv.crossed_sec(never, 12.0) == float("inf")


def test_a_crossfade_is_one_sound_and_then_the_other():
    wave, rate = sv.crossfade("crickets", "fire", seed=3), sv.SAMPLE_RATE
    half, fade = round(sv.HALF_SEC * rate), round(sv.FADE_SEC * rate)
    assert wave.shape == (2 * half,) and wave.dtype == np.float32

    def alone(phenomenon: str, seed: int) -> np.ndarray:
        made = sv.sounds.synthesise(phenomenon, 3.5, intensity=np.full(8, 0.85), seed=seed, sample_rate=rate, fps=2)
        return made / made.std() * 0.1

    first, second = alone("crickets", 3), alone("fire", 4)
    assert wave[: half - fade // 2] == pytest.approx(first[: half - fade // 2], abs=tol.FLOAT32_SUM)
    assert wave[half + fade // 2 :] == pytest.approx(second[-(half - fade // 2) :], abs=tol.FLOAT32_SUM)
    middle = np.sqrt(0.5) * (first[half] + second[len(second) - half])
    assert wave[half] == pytest.approx(middle, abs=tol.PARITY)


def test_sounds_that_rise_and_fall_and_such_as_they_come():
    swelling, natural = (list(sv.new_sounds(8, 2.5, fps=12.0, seed=1, swelling=s)) for s in (True, False))
    assert [phenomenon for phenomenon, _ in swelling] == [*PHENOMENA, PHENOMENA[0]]
    assert all(len(wave) == round(2.5 * sv.SAMPLE_RATE) for _, wave in (*swelling, *natural))
    assert all(not np.array_equal(a, b) for (_, a), (_, b) in zip(swelling, natural))


def test_summary():
    """Two videos, one of which is wrong in a quarter of its audible frames; crossfades of which two are not in time."""
    classes = ("rain", "waves")

    def video(phenomenon: str, wrong: int, r: float, lag: int) -> sv.Judged:
        names = torch.full((24,), classes.index(phenomenon))
        names[:wrong] = 1 - names[0]
        loudness = np.ones(24)
        figures = VideoFigures(
            visual_intensity=np.zeros(24),
            motion=np.full(23, 0.1), adjacent=torch.full((23,), 0.9), embeds=torch.randn(24, 4),
            similarity=torch.full((24,), 0.5),
        )  # fmt: skip
        probabilities = torch.nn.functional.one_hot(names, 2).float()
        reacted = Reactivity(r, lag, 0.4, 1.0, np.zeros(1))
        return sv.Judged(phenomenon, probabilities, figures, reacted, loudness, 12.0, torch.zeros(2, 3, 8, 8))

    results = [video("rain", 6, 0.9, 1), video("waves", 0, 0.3, -3)]
    painted = [torch.randn(24, 4) for _ in results]
    late = (0.1, -0.5, 0.6, None)
    crossings = [{"from": "rain", "to": "waves", "late_sec": sec} for sec in late]
    models = SimpleNamespace(judge=SimpleNamespace(classes=classes))
    report = sv.summary(results, painted, crossings, models)
    assert report["named"] == pytest.approx(0.875) and report["named_per_class"] == {"rain": 0.75, "waves": 1.0}
    assert report["reactive"] == 0.5 and report["lag_frames"] == {"mean": -1.0, "within_2": 0.5}
    assert report["crossfades_in_time"] == 0.5 and report["crossfades_median_sec"] == pytest.approx(0.55)
    never = sv.summary(results, painted, [{**crossing, "late_sec": None} for crossing in crossings], models)
    assert never["crossfades_in_time"] == 0 and never["crossfades_median_sec"] is None
    none = sv.summary(results, painted, [], models)
    assert none["crossfades_in_time"] is None and none["crossfades"] == []
