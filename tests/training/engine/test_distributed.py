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
from soundguide_core.common.errors import InputError
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


def in_two(script: str) -> list[list[str]]:
    """The words that each of two processes prints. What a launcher sets up is two environment variables for the place
    and two for the process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    root = str(Path(distributed.__file__).parents[3])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, root],
            env={**os.environ, **place, "RANK": str(i), "LOCAL_RANK": str(i)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in (0, 1)
    ]
    return [process.communicate(timeout=120)[0].split() for process in processes]


@pytest.mark.slow
def test_two_processes_share_a_batch():
    outputs = in_two(SHARE)
    assert outputs[0] == outputs[1]
    assert outputs[0][:2] == ["2", "0.5"]
    layer = with_seed(0, lambda: nn.Linear(3, 1))
    layer(torch.arange(12.0).view(4, 3)).square().mean().backward()
    expected = [*layer.weight.grad.flatten().tolist(), layer.bias.grad.item()]
    assert [float(x) for x in outputs[0][2:]] == pytest.approx(expected, rel=tol.FLOAT32_SUM)


TOGETHER = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
from soundguide_core.common.rng import with_seed
from soundguide_core.training.engine import distributed

distributed.init_distributed()
net = with_seed(0, lambda: torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2)))
distributed.synchronise_batch_norms(net)
x = torch.randn(8, 3, generator=torch.Generator().manual_seed(1))
(own,) = distributed.shares(8)
embeds = distributed.whole_batch(net(x[own]), 8)
(embeds @ embeds.T).softmax(1).diagonal().log().mean().backward()  # every row against every other
distributed.mean_gradients(net.parameters())
late = distributed.any_process(distributed.rank() == 1)
norm = net[1]
numbers = [*net[0].weight.grad.flatten().tolist(), *norm.weight.grad.tolist(), *norm.running_var.tolist()]
print(late, *numbers)
"""


@pytest.mark.slow
def test_a_loss_over_all_rows_and_batch_norm_are_those_of_one_process():
    outputs = in_two(TOGETHER)
    assert outputs[0] == outputs[1] and outputs[0][0] == "True"
    build = lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))  # noqa: E731
    net = with_seed(0, build)
    embeds = net(torch.randn(8, 3, generator=torch.Generator().manual_seed(1)))
    (embeds @ embeds.T).softmax(1).diagonal().log().mean().backward()
    expected = [*net[0].weight.grad.flatten().tolist(), *net[1].weight.grad.tolist(), *net[1].running_var.tolist()]
    assert [float(x) for x in outputs[0][1:]] == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_shares_are_rows_far_apart():
    assert distributed.shares(8, 2) == [slice(0, None, 2), slice(1, None, 2)]
    with pytest.raises(InputError, match="multiple of 8"):
        distributed.shares(12, 2, 4)
