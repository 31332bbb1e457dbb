"""A head from one hearing space into another picture and text space, in the layout of Ex-MCR's.

Z. Wang et al., "Extending Multi-modal Contrastive Representations" (Ex-MCR), NeurIPS 2024: a linear layer and two
perceptrons. Axes: B batch, D dims of the target.
"""

from __future__ import annotations

from importlib import import_module
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from ..common.errors import InputError, check_whole

LARGEST = 16384  # dims that a file may ask for


def _perceptron(dim: int) -> nn.ModuleDict:
    first = nn.Sequential(nn.Linear(dim, 2 * dim), nn.BatchNorm1d(2 * dim), nn.ReLU())
    return nn.ModuleDict({"net1": first, "net2": nn.Sequential(nn.Linear(2 * dim, dim), nn.BatchNorm1d(dim))})


class Head(nn.Module):
    """Embeds of one space [B,inputs], unit norm => those of another [B,dim], unit norm. Keys as in ex_clap.pt.

    inputs: None for as many as dim, as published.
    """

    def __init__(self, dim: int = 512, inputs: int | None = None) -> None:
        super().__init__()
        inputs = dim if inputs is None else inputs
        for value in (dim, inputs):
            check_whole(value, "A head's number of dims", low=1, high=LARGEST)
        self.Head1 = nn.Linear(inputs, dim)
        self.Head2 = nn.ModuleDict({"mlp1": _perceptron(dim), "mlp2": _perceptron(dim)})

    def forward(self, embeds: Tensor) -> Tensor:
        x = self.Head1(embeds)
        for perceptron in self.Head2.values():
            perceptron = cast(nn.ModuleDict, perceptron)
            x = perceptron["net2"](perceptron["net1"](x))
        return F.normalize(x, dim=-1)


class Encoder(nn.Module):
    """A sound encoder of another space with a head behind it: what it takes => [B,D], unit norm.

    inner: the config of that encoder, as its own file has it.
    """

    def __init__(self, inner: dict, dim: int) -> None:
        super().__init__()
        from .sound import NETWORKS  # which names this module

        values = dict(inner)
        name = values.pop("architecture", "timm")
        if name not in NETWORKS or name == "bridge":
            raise InputError(f"A bridge from an encoder called {name!r} is not known.", "Use another file.")
        self.inner = import_module(NETWORKS[name], __package__).Encoder.from_config(values)
        self.head, self.config, self.dim = Head(dim, self.inner.dim), inner, dim

    @classmethod
    def from_config(cls, values: dict) -> Encoder:
        return cls(**values)

    def to_config(self) -> dict:
        return {"architecture": "bridge", "inner": self.config, "dim": self.dim}

    def forward(self, windows: Tensor) -> Tensor:
        return self.head(F.normalize(self.inner(windows), dim=-1))
