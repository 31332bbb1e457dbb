"""Frames of seconds and beats, in lengths that models make: against a search through all of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from soundguide_core.audio.lengths import beats_in_seconds, video_length
from soundguide_core.audio.shaping import at_latent_frames
from soundguide_core.common.errors import InputError


@pytest.mark.parametrize("fps", [8, 12.0, 16, 24000 / 1001, 30000 / 1001, 60])
@pytest.mark.parametrize("n", [1, 4, 6, 8])
def test_the_shortest_that_is_long_enough(fps, n):
    for seconds in (0.01, 1, 2.5, 5, 61.7):
        made = video_length(seconds, fps, n)
        lengths = range(1, 5000, n)
        assert made.frames == next(x for x in lengths if x >= seconds * fps - 1e-6)
        assert made.latent_frames == len(at_latent_frames(np.zeros(made.frames), n))
        assert math.isclose(made.seconds, made.frames / fps) and made.seconds >= seconds - 1e-6


def test_known_lengths():
    assert video_length(5, 16, 4).frames == 81 and video_length(4, 24, 8).frames == 97
    assert video_length(1 / 3 * 3, 24).frames == 24, "no frame more for a rounding"
    said = video_length(5, 16, 4).in_words(4)
    assert said.startswith("5 s at 16 frames a second are 80 frames; this model makes 1 + 4 k of them: 81 frames, 5.06")
    assert said.endswith("21 latent frames.")


def test_beats():
    assert beats_in_seconds(8, 120) == 4 and beats_in_seconds(3, 90) == 2


@pytest.mark.parametrize("values", [(0, 12, 1), (-1, 12, 1), (math.nan, 12, 1), (1, 0, 1), (1, 12, 0), (1e6, 1000, 1)])
def test_refusals(values):
    with pytest.raises(InputError):
        video_length(*values)
    with pytest.raises(InputError):
        beats_in_seconds(4, 0)
