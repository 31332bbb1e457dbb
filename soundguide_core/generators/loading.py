"""A generator from a file; its config says which network it is."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch.overrides import TorchFunctionMode

from ..common.errors import InputError
from .generator import StyleGenerator

if TYPE_CHECKING:
    from .stylegan_v import Generator

# config["architecture"] -> the module whose Generator it is
NETWORKS = {"stylegan2": ".stylegan2", "stylegan3": ".stylegan3", "stylegan-v": ".stylegan_v"}


def load_generator(name_or_path: str | Path | None = None, device: str | torch.device = "cpu") -> StyleGenerator:
    """A generator for use: evaluation mode, parameters frozen. A registry name (None: its default), or a file; a
    video one gives stills."""
    from ..checkpoints import registry

    return _load(registry.find("generator", name_or_path).files["generator"], device, "generator", "video-generator")


def load_video_generator(name_or_path: str | Path | None = None, device: str | torch.device = "cpu") -> Generator:
    """A generator of videos for use: evaluation mode, parameters frozen. A registry name (None: its default), or a
    file."""
    from ..checkpoints import registry

    path = registry.find("video-generator", name_or_path).files["generator"]
    generator = _load(path, device, "video-generator")
    if not hasattr(generator, "motion_codes"):
        raise InputError(
            f"{path} holds a generator of pictures, which has no motion.", "Choose a StyleGAN-V checkpoint."
        )
    return cast("Generator", generator)


def _load(path: Path, device: str | torch.device, *kinds: str) -> StyleGenerator:
    from ..checkpoints import weights
    from ..checkpoints.loading import build_network

    tensors, config = weights.load(path, *kinds, channels_last=True)
    network = _network(path, config)
    measured = "mapping.w_avg" in tensors

    def build(config: dict) -> StyleGenerator:
        with SkipInit():
            generator = network(network.config_type.from_dict(config))
        for name in ("mapping.w_avg", "mapping.w_std"):  # a foreign checkpoint may lack both
            tensors.setdefault(name, torch.zeros(generator.w_dim))
        return generator

    generator = build_network(path, "a generator", tensors, config, build)
    if not measured:
        generator.measure_w(keep_avg=False)
    return generator.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] not in torch's stubs


class SkipInit(TorchFunctionMode):
    """Replaces torch.randn by torch.empty while a network is built, whose weights come from a file.

    The meta device would do the same, but its first use in a process imports for seconds.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return (torch.empty if func is torch.randn else func)(*args, **(kwargs or {}))


def _network(path: Path, config: dict) -> Any:
    """A subclass of StyleGenerator, which is built from its config_type alone."""
    architecture = config.get("architecture", "stylegan2")
    if not isinstance(architecture, str) or architecture not in NETWORKS:
        raise InputError(
            f"{path} holds a generator of architecture {architecture!r}, which this build cannot render yet.",
            f"Use one of {', '.join(NETWORKS)}.",
        )
    return import_module(NETWORKS[architecture], __package__).Generator
