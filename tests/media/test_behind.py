"""Work behind: in order, at the same time, its errors are heard, and it ends."""

from __future__ import annotations

import threading
import time

import pytest

from soundguide_core.media.behind import Behind


def test_in_order_in_another_thread():
    done = []
    behind = Behind(lambda piece: done.append((piece, threading.current_thread().name)))
    for i in range(20):
        behind.give(i)
    behind.finish()
    assert [piece for piece, _ in done] == list(range(20))
    assert {name for _, name in done} == {"soundguide-encoder"} and not behind.thread.is_alive()


def test_both_go_on_at_once():
    behind = Behind(lambda piece: time.sleep(0.05))
    began = time.perf_counter()
    for i in range(8):
        time.sleep(0.05)  # the making
        behind.give(i)
    behind.finish()
    assert time.perf_counter() - began < 0.05 * 16 * 0.8


def test_it_does_not_run_ahead():
    go, done = threading.Event(), []
    behind = Behind(lambda piece: (go.wait(5), done.append(piece)))
    behind.give(0)
    behind.give(1)
    threading.Timer(0.1, go.set).start()
    began = time.perf_counter()
    behind.give(2)
    behind.give(3)
    assert time.perf_counter() - began > 0.05
    behind.finish()
    assert done == [0, 1, 2, 3]


def test_an_error_reaches_the_one_who_gives():
    def work(piece):
        raise ValueError("no room")

    behind = Behind(work)
    with pytest.raises(ValueError, match="no room"):
        for i in range(50):
            behind.give(i)
            time.sleep(0.01)
    behind.give_up()
    last = Behind(work)
    last.give(0)
    with pytest.raises(ValueError, match="no room"):
        last.finish()


def test_giving_up_ends_it():
    go, done = threading.Event(), []
    behind = Behind(lambda piece: (go.wait(5), done.append(piece)))
    behind.give(0)
    behind.give(1)
    threading.Timer(0.1, go.set).start()
    behind.give_up()
    assert done == [0] and not behind.thread.is_alive()
