"""How many frames are rendered at once, found on a renderer whose cost is known and whose memory ends."""

from __future__ import annotations

import random
import time

import pytest
import torch

from soundguide_core.common.batches import Batches

CPU = torch.device("cpu")
FIRST = 5.0  # seconds that the first call takes more


class Renderer:
    """cost(n): seconds of a batch of n. fits: the largest batch that fits into memory. Every call is noted."""

    def __init__(self, cost, fits=1000, error: type[Exception] = torch.OutOfMemoryError):
        self.cost, self.fits, self.error = cost, fits, error
        self.now, self.tried, self.done = 0.0, [], []

    def clock(self) -> float:
        return self.now

    def film(self, batches: Batches, frames: int) -> list[int]:
        """The sizes of the batches of a video; frames are numbers, in order."""
        sizes = []
        while len(self.done) < frames:
            made = batches.run(self.render, frames - len(self.done))
            self.done += made
            sizes.append(len(made))
        assert self.done == list(range(frames))  # none twice, none left out
        return sizes

    def render(self, n: int) -> list[int]:
        self.tried.append(n)
        if n > self.fits:
            raise self.error(f"CUDA out of memory with {n} frames")
        self.now += self.cost(n) + (FIRST if len(self.tried) == 1 else 0)
        return list(range(len(self.done), len(self.done) + n))


def measured(renderer: Renderer, most=16, peak=lambda device: 0, free=lambda device: 0) -> Batches:
    return Batches(most, CPU, clock=renderer.clock, peak=peak, free=free)


def test_it_grows_to_the_most_where_frames_get_cheaper():
    renderer = Renderer(lambda n: 1 + 0.1 * n)
    batches = measured(renderer)
    assert renderer.film(batches, 100) == [1, 1, 2, 4, 8, 16, 16, 16, 16, 16, 4]
    assert batches.size == 16 and batches.settled


@pytest.mark.parametrize("seed", range(10))
def test_chance_changes_nothing(seed):
    """Frames of one cost, measured beside other work: two runs render the same batches, to the same bits."""
    noise = random.Random(seed)
    renderer = Renderer(lambda n: n * noise.uniform(1, 1.9))
    assert renderer.film(measured(renderer), 80) == [1, 1, 2, 4, 8, 16, 16, 16, 16]


def test_it_goes_back_to_what_was_cheaper():
    renderer = Renderer(lambda n: n if n <= 4 else 2.5 * n)
    batches = measured(renderer)
    assert renderer.film(batches, 40) == [1, 1, 2, 4, 8, 8, 4, 4, 4, 4]
    assert batches.size == 4


def test_thousandths_of_a_second_do_not_decide():
    renderer = Renderer(lambda n: 1e-4 * n * n)
    assert max(renderer.film(measured(renderer), 60)) == 16


def test_one_slow_turn_does_not_decide():
    """Something else ran on the machine."""
    renderer = Renderer(lambda n: n * (9 if len(renderer.tried) == 4 else 1))
    assert renderer.film(measured(renderer), 60) == [1, 1, 2, 4, 4, 8, 16, 16, 8]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError, MemoryError])
def test_half_as_many_where_memory_runs_out(error):
    renderer = Renderer(lambda n: 1.0, fits=6, error=error)
    batches = measured(renderer)
    assert renderer.film(batches, 25) == [1, 1, 2, 4, 4, 4, 4, 4, 1]
    assert renderer.tried.count(8) == 1 and batches.size == 4


def test_memory_may_run_out_later_too():
    renderer = Renderer(lambda n: 1.0)
    batches = measured(renderer, most=4)
    renderer.film(batches, 20)
    renderer.fits = 1
    assert set(renderer.film(batches, 30)) == {1} and batches.size == 1


def test_it_stops_before_memory_runs_out():
    """100 MB of 1,000 are taken; a frame takes 50 more."""
    renderer = Renderer(lambda n: 1.0)
    memory = {"peak": lambda device: 100 + 50 * max(renderer.tried, default=0), "free": lambda device: 900}
    assert max(renderer.film(measured(renderer, **memory), 60)) == 16  # with 8, 400 of half of 900
    small = Renderer(lambda n: 1.0)
    memory = {"peak": lambda device: 100 + 50 * max(small.tried, default=0), "free": lambda device: 400}
    assert max(small.film(measured(small, **memory), 60)) == 8  # with 4, 200 of half of 400; with 8, 400


def test_another_error_is_not_memory():
    renderer = Renderer(lambda n: 1.0, fits=2, error=ValueError)
    with pytest.raises(ValueError, match="4 frames"):
        renderer.film(measured(renderer), 20)


def test_one_frame_that_does_not_fit_is_an_error():
    renderer = Renderer(lambda n: 1.0, fits=0)
    with pytest.raises(torch.OutOfMemoryError):
        renderer.film(measured(renderer), 20)


def test_a_number_that_was_asked_for_stays():
    renderer = Renderer(lambda n: n * n)
    assert renderer.film(Batches(7), 20) == [7, 7, 6]
    full = Renderer(lambda n: 1.0, fits=3)
    with pytest.raises(torch.OutOfMemoryError):
        full.film(Batches(7), 20)
    assert full.tried == [7]


@pytest.mark.parametrize(("platform", "clock"), [("linux", time.thread_time), ("win32", time.perf_counter)])
def test_windows_counts_a_threads_time_too_coarsely(monkeypatch, platform, clock):
    monkeypatch.setattr("sys.platform", platform)
    assert Batches(4, CPU).clock is clock and Batches(4, torch.device("cuda")).clock is time.perf_counter
