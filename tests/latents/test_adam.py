"""Adam without torch.optim.Adam: the same steps, and PyTorch's compiler is not imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from soundguide_core.latents.adam import Adam

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_steps_are_those_of_pytorch(dtype):
    rng = torch.Generator().manual_seed(0)
    start = [torch.randn(3, 2, generator=rng, dtype=dtype), torch.randn(4, generator=rng, dtype=dtype)]
    ours, theirs = ([x.clone().requires_grad_() for x in start] for _ in range(2))
    adam, reference = Adam(ours), torch.optim.Adam(theirs)
    for i in range(20):
        lr = 0.1 / (i + 1)
        reference.param_groups[0]["lr"] = lr
        for params, optimiser in ((ours, adam), (theirs, reference)):
            optimiser.zero_grad()
            loss = params[0].square().sum() + (params[1].sin().sum() if i % 3 else 0)  # one has no gradient at times
            loss.backward()
        adam.step(lr)
        reference.step()
        assert all(torch.equal(x, y) for x, y in zip(ours, theirs))


def test_no_gradient_no_step():
    x = torch.ones(2, requires_grad=True)
    Adam([x]).step(0.1)
    assert x.tolist() == [1, 1]


@pytest.mark.slow
def test_the_compiler_is_not_imported():
    code = (
        "import sys, torch; from soundguide_core.latents.optimisation import optimise;"
        "from soundguide_core.latents.schedule import Schedule;"
        "optimise(torch.ones(1, 2), lambda x: {'a': x.square().sum()}, {'a': 1.0}, Schedule(steps=2));"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
