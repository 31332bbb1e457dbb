"""One kernel on a GPU: in every training, and with gradients as it wants them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

import soundguide_core
from soundguide_core.training.engine.optimisers import fused, take_step

PACKAGE = Path(soundguide_core.__file__).parent
ON_A_PROCESSOR = {"familiarity.py", "outside_sounds.py"}  # one row of weights, whatever the device
MADE = re.compile(r"torch\.optim\.(?:Adam|AdamW|SGD)\(|OPTIMISERS\[")


def test_every_training_asks_for_it():
    seen = 0
    for file in PACKAGE.rglob("training/**/*.py"):
        text = file.read_text(encoding="utf-8")
        if MADE.search(text) and file.name not in ON_A_PROCESSOR:
            seen += 1
            assert "fused" in text and ("take_step(" in text or "match_grad_strides(" in text), file
    assert seen >= 9


def test_only_on_a_gpu():
    assert fused(torch.device("cuda")) is True and fused(torch.device("cuda:1")) is True
    assert fused(torch.device("cpu")) is None


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD])
def test_gradients_are_laid_out_as_their_parameters(kind):
    conv = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    optimisers = [kind(conv.parameters(), lr=0.1, fused=True), kind(conv.parameters(), lr=0.1)]
    start, gradient = conv.weight.detach().clone(), torch.randn(4, 3, 3, 3)
    ends = []
    for optimiser in optimisers:
        with torch.no_grad():
            conv.weight.copy_(start)
        conv.weight.grad, conv.bias.grad = gradient.clone(), torch.ones(4)
        take_step(optimiser)
        ends.append(conv.weight.detach().clone())
    assert not torch.equal(ends[0], start)
    torch.testing.assert_close(ends[0], ends[1])
