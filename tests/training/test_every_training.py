"""What every training can do: learn from one's own data in each layout, in parts, in two processes, and go on."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from every_training import DATA, DRAWN, LAYOUTS, MODULES, RECIPES, WEIGHTS, config_of, run, write_data

import tolerances as tol
from soundguide_core.checkpoints import safetensors_io
from soundguide_core.training.engine.metrics_log import read_metrics

ROOT = Path(__file__).parents[2]
COUPLED = ("joint", "sound_encoder", "inversion_encoder")  # with BatchNorm


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """what(kind, layout) => --data, made once."""
    folder, made = tmp_path_factory.mktemp("own"), {}

    def what(kind: str, layout: str = "folder") -> str:
        if (kind, layout) not in made:
            made[kind, layout] = write_data(kind, layout, folder / f"{kind}-{layout}")
        return made[kind, layout]

    return what


def figures(out: Path, split: str = "train") -> dict[tuple[int, str], float]:
    """{(step, name): value} of a run's metrics.csv."""
    rows = read_metrics(out / "metrics.csv")
    return {(int(row["step"]), row["name"]): float(row["value"]) for row in rows if row["split"] == split}


def of(module: str, data) -> str:
    """What --data is given, in a folder; nothing for what draws its own."""
    return "" if module in DRAWN else data(DATA[module])


def weights(path: Path) -> dict[str, torch.Tensor]:
    return safetensors_io.load(path)[0]


def test_no_training_is_left_out():
    """What `train` offers, of the library and of its clients, is in the tests below, and what can learn from one's own
    data does."""
    assert set(RECIPES) == set(WEIGHTS) == set(MODULES)
    assert set(DATA) | set(DRAWN) == set(MODULES) and not set(DATA) & set(DRAWN)


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("module", DATA)
def test_own_data_in_each_layout(module, layout, data, tiny, tmp_path):
    """A run leaves weights, its figures, and what it says of what was held out."""
    if layout == "shards":
        pytest.importorskip("webdataset")
    config = config_of(module, data(DATA[module], layout), tiny.folder)
    config["run"] = {"log_every": 1, "validate_every": 2}
    path = run(module, config, tmp_path / "out")
    assert path.name == f"{WEIGHTS[module]}.safetensors" and weights(path)
    losses, held_out = figures(tmp_path / "out"), figures(tmp_path / "out", "held_out")
    assert {step for step, _ in losses} == {1, 2, 3, 4} and {step for step, _ in held_out} == {2, 4}


@pytest.mark.slow
@pytest.mark.parametrize("module", RECIPES)
def test_a_run_whose_time_is_over_goes_on_to_the_same(module, data, tiny, tmp_path):
    config = config_of(module, of(module, data), tiny.folder)
    config["run"] = {"log_every": 1}
    whole = run(module, config, tmp_path / "whole")
    config["run"]["max_time"] = 1e-6  # one step, each time
    for i in range(4):
        parts = run(module, config, tmp_path / "parts", resume=i > 0)
        assert max(step for step, _ in figures(tmp_path / "parts")) == i + 1
    assert figures(tmp_path / "parts") == figures(tmp_path / "whole")
    one, other = weights(whole), weights(parts)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
@pytest.mark.parametrize("module", [m for m in RECIPES if m not in (*COUPLED, "bridge")])
def test_a_batch_in_parts_is_the_batch(module, data, tiny, tmp_path):
    """Networks with BatchNorm see their parts, and are left out; a bridge has no parts."""
    config = config_of(module, of(module, data), tiny.folder)
    found = {}
    for count in (1, 2):
        config["run"] = {"accumulate": count, "log_every": 1}
        run(module, config, tmp_path / str(count))
        found[count] = figures(tmp_path / str(count))
    assert found[2] == pytest.approx(found[1], rel=tol.TRAINED_APART, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("module", COUPLED)
def test_what_couples_its_batch_learns_in_parts_too(module, data, tiny, tmp_path):
    config = config_of(module, data(DATA[module]), tiny.folder)
    config["run"] = {"accumulate": 2, "log_every": 1}
    assert weights(run(module, config, tmp_path / "out"))


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("module", RECIPES)
def test_two_processes_do_what_one_does(module, data, tiny, tmp_path):
    config = config_of(module, of(module, data), tiny.folder)
    config["run"] = {"log_every": 1}
    run(module, config, tmp_path / "1")
    launch(module, config, tmp_path, 2)
    one, two = figures(tmp_path / "1"), figures(tmp_path / "2")
    assert {step for step, _ in one} == {1, 2, 3, 4}
    assert two == pytest.approx(one, rel=tol.TRAINED_APART, abs=1e-5)


def launch(module: str, config: dict, folder: Path, count: int) -> None:
    """The training in so many processes, by accelerate where it is installed, else by torchrun, into folder/<count>."""
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    if importlib.util.find_spec("accelerate") is not None:
        how = ["-m", "accelerate.commands.launch", "--num_machines", "1", "--mixed_precision", "no"]
        how += ["--dynamo_backend", "no", "--main_process_port", port, "--num_processes", str(count)]
        how += ["--cpu"] if count == 1 else ["--multi_gpu"]  # where there is no GPU: gloo
    else:
        how = ["-m", "torch.distributed.run", f"--nproc_per_node={count}", f"--master_port={port}"]
    script = str(ROOT / "tests" / "every_training.py")
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    hidden["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    arguments = [module, str(folder / "config.json"), str(folder / str(count))]
    subprocess.run([sys.executable, *how, script, *arguments], env=hidden, check=True, timeout=600)
