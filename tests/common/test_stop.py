from __future__ import annotations

import threading

import pytest

from soundguide_core.common.stop import check_stop, stopped_by
from soundguide_core.miniature.sounds.synthesis import synthesise
from soundguide_core.miniature.world.scenes import render


class Pressed(Exception):
    pass


def pressed_after(calls: int):
    def ask() -> None:
        nonlocal calls
        calls -= 1
        if calls < 0:
            raise Pressed

    return ask


def test_nobody_asks_outside():
    check_stop()
    with stopped_by(pressed_after(1)):
        check_stop()
        with pytest.raises(Pressed):
            check_stop()
    check_stop()


def test_another_thread_has_its_own():
    seen: list[str] = []

    def other() -> None:
        check_stop()
        seen.append("went on")

    with stopped_by(pressed_after(0)):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert seen == ["went on"]


@pytest.mark.parametrize("phenomenon", ["rain", "waves", "fire", "wind", "thunder", "birds", "crickets"])
def test_a_synthesis_is_stopped_within(phenomenon):
    with stopped_by(pressed_after(3)), pytest.raises(Pressed):
        synthesise(phenomenon, 1.0, seed=0, sample_rate=8000)


def test_a_scene_is_stopped_between_frames():
    with stopped_by(pressed_after(2)), pytest.raises(Pressed):
        render(0, "rain", [0.5] * 5, size=16)
