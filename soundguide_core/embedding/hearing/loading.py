"""Ears by name: a sound classifier, a folder of the transformers library, or any joint encoder."""

from __future__ import annotations

import os
from importlib import import_module

import torch

from ...checkpoints import registry, weights
from ...checkpoints.bounded_build import bounded_build
from ...checkpoints.loading import build_network
from ...common.memory import usable_device
from . import transformers_models
from .listening import Ears
from .names import KIND, ears_kind, is_model

# config["classifier"]["architecture"] -> the module and the class
NETWORKS = {"yamnet": (".yamnet", "YAMNet")}


def load_ears(name_or_path: str | os.PathLike | None = None, device: str | torch.device = "cpu") -> Ears:
    """Ears by registry name, by the path of a file of weights or of a folder, frozen; None: the default joint encoder.

    Raises:
        InputError: no such name or file, or weights of another kind.
    """
    device = usable_device(device)
    if ears_kind(name_or_path) == "joint":
        from ..joint import load_joint
        from .joint import JointEars

        return JointEars(load_joint(name_or_path, device)).eval()
    name = name_or_path
    if name is not None and is_model(name):
        name = os.path.join(os.fspath(name), "model.safetensors")
    path = registry.find(KIND, name).files["classifier"]
    ears = transformers_models.of_file(path) or _of_weights(path)
    return ears.eval().requires_grad_(False).to(device)


def _of_weights(path: str | os.PathLike) -> Ears:
    tensors, config = weights.load(path, KIND)
    with bounded_build(path, "a sound classifier", tensors):
        values = dict(config["classifier"])
        module, name = NETWORKS[values.pop("architecture")]
    network = getattr(import_module(module, __package__), name)
    return build_network(path, "a sound classifier", tensors, values, network.from_config)
