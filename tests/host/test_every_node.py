"""What holds for every node, whatever it does: inputs stay as they are, the same comes out again, progress, Stop.

The nodes are watched inside a server of their own (watched_nodes.py).
"""

from __future__ import annotations

import json
import time

import pytest
from every_node import ELSEWHERE, long_prompt, tiny_prompt

pytestmark = [pytest.mark.host, pytest.mark.slow]

LONG_SEC = 1.0  # of one core; what takes longer tells of its progress
STOP_AFTER, STOPPED_WITHIN = 0.3, 1.0


class Watched:
    """A server whose nodes of ours are watched."""

    def __init__(self, server):
        self.server, self.report = server, server.base / "watched.jsonl"
        run = server.run({"watch": {"class_type": "TestsWatch", "inputs": {"report": str(self.report)}}})
        assert run.status == "success", run.error

    def run(self, prompt: dict, stop: dict[str, float] | None = None):
        """=> (how it ended, what was seen of each node that ran, by its id)."""
        self.report.write_text("")
        self.report.with_suffix(".stop").write_text(json.dumps(stop or {}))
        run = self.server.run(prompt, 900)
        lines = map(json.loads, self.report.read_text().splitlines())
        return run, {line["id"]: line for line in lines}

    def run_anew(self, prompt: dict, stop: dict[str, float] | None = None):
        """The same with nothing cached: every node runs, with models that are loaded again."""
        for _ in range(20):
            assert self.server.post("/free", {"unload_models": True, "free_memory": True})[0] == 200
            time.sleep(1)  # the server does it between two prompts, when it comes to it
            run, seen = self.run(prompt, stop)
            if seen:
                return run, seen
        raise AssertionError("the server's cache is never freed")


@pytest.fixture(scope="module")
def watched(start_server) -> Watched:
    return Watched(start_server())


@pytest.fixture(scope="module")
def twice(watched, node_infos):
    """What was seen of each node in two runs of the same graph."""
    runs = []
    for _ in range(2):
        run, seen = watched.run_anew(tiny_prompt())
        assert run.status == "success", run.error
        assert {line["node"] for line in seen.values()} >= set(node_infos) - ELSEWHERE
        runs.append(seen)
    return runs


def test_no_node_changes_what_it_is_given(twice):
    assert {id: line["changed"] for id, line in twice[0].items() if line["changed"]} == {}


def test_the_same_graph_gives_the_same_bits(twice):
    first, second = ({id: line["outputs"] for id, line in seen.items()} for seen in twice)
    assert set(first) == set(second)
    assert [id for id in first if first[id] != second[id]] == ["keep"]  # the name of a file, each run one of its own


def test_pytorchs_modes_are_left_as_they_were(twice):
    assert [id for id, line in twice[0].items() if not line["modes"] or line["training"]] == []
    assert {id: line["asks_for_gradients"] for id, line in twice[0].items() if line["asks_for_gradients"]} == {}


@pytest.fixture(scope="module")
def long(watched):
    run, seen = watched.run_anew(long_prompt())
    assert run.status == "success", run.error
    return seen


def test_what_takes_long_tells_of_its_progress(long):
    slow = {id: line for id, line in long.items() if line["cpu"] > LONG_SEC}
    slow = {id: line for id, line in slow.items() if "Load" not in line["node"]}  # a file is read in one step
    assert len(slow) >= 5
    assert {id: round(line["cpu"], 1) for id, line in slow.items() if line["told"] < 3} == {}


def test_stop_ends_every_node_within_a_second(watched, long):
    """Stopped in the first node that takes longer than a moment, then in the next one, and so on to the end."""
    left = {id: STOP_AFTER for id, line in long.items() if line["seconds"] > 2 * STOP_AFTER}
    went_on = {}
    run, seen = watched.run_anew(long_prompt(), stop=left)
    while True:
        for id, line in seen.items():
            if line["on"] is not None:  # also where it was done before it looked up
                went_on[id], _ = line["on"], left.pop(id)
        assert all(line["modes"] and not line["training"] for line in seen.values())
        if run.status == "success":
            break
        assert "execution_interrupted" in run.messages, run.error
        run, seen = watched.run(long_prompt(), stop=left)
    within = STOPPED_WITHIN * watched.server.patience
    assert len(went_on) >= 5
    assert {id: seconds for id, seconds in went_on.items() if seconds > within and "Load" not in long[id]["node"]} == {}


def test_pictures_come_and_go_in_the_precision_that_the_host_is_told(start_server, host_path):
    if "fp16-intermediates" not in (host_path / "comfy" / "cli_args.py").read_text(encoding="utf-8"):
        pytest.skip("this host has one precision for what is between nodes")
    run, seen = Watched(start_server("--fp16-intermediates")).run(tiny_prompt())
    assert run.status == "success", run.error
    painted = {id: line["pictures"] for id, line in seen.items() if line["pictures"]}
    assert len(painted) >= 15
    assert {id: kinds for id, kinds in painted.items() if set(kinds) != {"torch.float16"}} == {}
