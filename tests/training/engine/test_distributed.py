from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import tolerances as tol
from soundguide_core.common.rng import with_seed
from soundguide_core.training.engine import distributed


def test_one_process_needs_no_launcher():
    distributed.init_distributed()
    assert (distributed.rank(), distributed.num_processes()) == (0, 1)
    assert distributed.all_reduce_mean(torch.tensor(2.0)) == 2


SHARE = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
from soundguide_core.common.rng import with_seed
from soundguide_core.training.engine import distributed

distributed.init_distributed()
layer = with_seed(0, lambda: torch.nn.Linear(3, 1))
x = torch.arange(12.0).view(4, 3)[distributed.rank() :: distributed.num_processes()]
layer(x).square().mean().backward()
distributed.mean_gradients(layer.parameters())
mean = distributed.all_reduce_mean(torch.tensor(float(distributed.rank())))
distributed.barrier()
print(distributed.num_processes(), mean.item(), *layer.weight.grad.flatten().tolist(), layer.bias.grad.item())
"""


@pytest.mark.slow
def test_two_processes_share_a_batch():
    """What a launcher sets up is two environment variables for the place and two for the process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    root = str(Path(distributed.__file__).parents[3])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SHARE, root],
            env={**os.environ, **place, "RANK": str(i), "LOCAL_RANK": str(i)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in (0, 1)
    ]
    outputs = [process.communicate(timeout=120)[0].split() for process in processes]
    assert outputs[0] == outputs[1]
    assert outputs[0][:2] == ["2", "0.5"]
    layer = with_seed(0, lambda: nn.Linear(3, 1))
    layer(torch.arange(12.0).view(4, 3)).square().mean().backward()
    expected = [*layer.weight.grad.flatten().tolist(), layer.bias.grad.item()]
    assert [float(x) for x in outputs[0][2:]] == pytest.approx(expected, rel=tol.FLOAT32_SUM)
