"""Ears by name: a sound classifier, a folder of the transformers library, or any joint encoder."""

from __future__ import annotations

import os
from importlib import import_module

import torch

from ...checkpoints import registry, weights
from ...checkpoints.bounded_build import bounded_build
from ...checkpoints.loading import build_network
from . import transformers_models
from .listening import Ears

KIND = "sound-classifier"
# config["classifier"]["architecture"] -> the module and the class
NETWORKS = {"yamnet": (".yamnet", "YAMNet")}


def ears_names() -> list[str]:
    """What load_ears answers to and is on disk: joint encoders after classifiers."""
    return list(dict.fromkeys([*registry.names(KIND), *registry.names("joint")]))


def ears_kind(name_or_path: str | os.PathLike | None) -> str:
    """ "sound-classifier" or "joint", whichever has this name; None is the default joint encoder."""
    if name_or_path is None:
        return "joint"
    name = os.fspath(name_or_path)
    known = {kind: {row.name for row in registry.rows() if row.kind == kind} for kind in (KIND, "joint")}
    if name in known[KIND] or (name not in known["joint"] and name in registry.names(KIND)):
        return KIND
    joint = name in known["joint"] or name in registry.names("joint") or (os.path.isdir(name) and not _is_model(name))
    return "joint" if joint else KIND


def load_ears(name_or_path: str | os.PathLike | None = None, device: str | torch.device = "cpu") -> Ears:
    """Ears by registry name, by the path of a file of weights or of a folder, frozen; None: the default joint encoder.

    Raises:
        InputError: no such name or file, or weights of another kind.
    """
    if ears_kind(name_or_path) == "joint":
        from ..joint import load_joint
        from .joint import JointEars

        return JointEars(load_joint(name_or_path, device)).eval()
    name = name_or_path
    if name is not None and _is_model(name):
        name = os.path.join(os.fspath(name), "model.safetensors")
    path = registry.find(KIND, name).files["classifier"]
    ears = transformers_models.of_file(path) or _of_weights(path)
    return ears.eval().requires_grad_(False).to(device)


def _is_model(name: str | os.PathLike) -> bool:
    return os.path.isfile(os.path.join(os.fspath(name), transformers_models.CONFIG))


def _of_weights(path: str | os.PathLike) -> Ears:
    tensors, config = weights.load(path, KIND)
    with bounded_build(path, "a sound classifier", tensors):
        values = dict(config["classifier"])
        module, name = NETWORKS[values.pop("architecture")]
    network = getattr(import_module(module, __package__), name)
    return build_network(path, "a sound classifier", tensors, values, network.from_config)
