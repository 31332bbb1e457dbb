from __future__ import annotations

import json
import re

import numpy as np
import pytest

from soundguide_core.audio import keyframes
from soundguide_core.common.errors import InputError

CURVE = np.abs(np.sin(np.linspace(0, 9, 200))) ** 3


def drawn(points, count):
    """Straight lines between (frame, value) pairs, as schedulers draw them."""
    return np.interp(np.arange(count), *zip(*points))


def test_lines_between_the_keyframes_are_the_curve():
    text = keyframes.value_keyframes(CURVE, 12.0, keyframes.FIZZ)
    points = [(int(i), float(v)) for i, v in re.findall(r"(\d+):\(([-\d.]+)\)", text)]
    assert len(points) < len(CURVE) / 2
    assert np.abs(drawn(points, 200) - CURVE).max() < 0.006
    as_json = json.loads(keyframes.value_keyframes(CURVE, 12.0, keyframes.JSON_FRAMES))
    assert [(int(i), v) for i, v in as_json.items()] == points
    seconds = [line.split(": ") for line in keyframes.value_keyframes(CURVE, 12.0, keyframes.SECONDS).splitlines()]
    assert [round(float(t) * 12) for t, _ in seconds] == [i for i, _ in points]


def test_a_list_has_every_frame():
    text = keyframes.value_keyframes([0.0, 0.5, 1.0], 12.0, keyframes.CSV)
    assert text == "0, 0.5, 1"


@pytest.mark.parametrize("values", ([0.25], [1.0, 1.0, 1.0], [-2.0, 0.0]))
def test_short_and_constant_curves(values):
    text = keyframes.value_keyframes(values, 12.0, keyframes.JSON_FRAMES)
    assert drawn([(int(i), v) for i, v in json.loads(text).items()], len(values)).tolist() == values


def test_a_prompt_is_named_where_it_begins():
    prompts = ['a "red" sea', 'a "red" sea', "fire, wet", "fire, wet", 'a "red" sea']
    assert json.loads("{" + keyframes.prompt_keyframes(prompts, keyframes.QUOTED) + "}") == {
        "0": prompts[0], "2": prompts[2], "4": prompts[0],
    }  # fmt: skip
    assert list(json.loads(keyframes.prompt_keyframes(prompts, keyframes.DEFORUM))) == ["0", "2", "4"]
    assert keyframes.prompt_keyframes(prompts, keyframes.PIPES).split(" | ") == [prompts[0], prompts[2], prompts[0]]


def test_an_unknown_format_is_refused():
    with pytest.raises(InputError):
        keyframes.value_keyframes(CURVE, 12.0, "xml")
    with pytest.raises(InputError):
        keyframes.prompt_keyframes(["a"], "xml")
