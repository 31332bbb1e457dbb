"""A generator from a file; its config says which network it is."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..common.errors import InputError
from ..common.memory import usable_device
from . import tuned
from .generator import StyleGenerator

if TYPE_CHECKING:
    from .stylegan_v import Generator

# config["architecture"] -> the module whose Generator it is
NETWORKS = {"stylegan2": ".stylegan2", "stylegan3": ".stylegan3", "stylegan-v": ".stylegan_v"}

STILLS = ("generator", "video-generator")  # kinds that paint pictures


def load_generator(name_or_path: str | Path | None = None, device: str | torch.device = "cpu") -> StyleGenerator:
    """A generator for use: evaluation mode, parameters frozen. A registry name (None: its default), or a file; a
    video one gives stills, and a picture that was found and saved gives the generator that was tuned to it.

    Args:
        name_or_path: of `soundguide models`, or a file: StyleGAN2, 3 or V in the formats of their makers.
        device: where it computes, such as "cuda".

    Raises:
        InputError: no such name or file, it is not on this disk (how to get it is said), or of another kind or size.

    Example:
        generator = sg.load_generator()
        ws = generator.sample_ws(seeds=[0, 1], psi=0.7)  # [2,L,D]
        img = generator.synthesis(ws)  # [2,3,H,W] about -1..1
    """
    from ..checkpoints import registry

    device = usable_device(device)
    path = registry.find("generator", name_or_path).files["generator"]
    return load_found(path, device)[0] if _is_found(path) else _load(path, device, *STILLS)


def load_found(
    path: str | os.PathLike, device: str | torch.device = "cpu", base: str | os.PathLike | None = None
) -> tuple[StyleGenerator, Tensor | None]:
    """A picture that was found and saved: (the generator, tuned to it if it was; its latents [B,L,D], None without).

    base: the file of the generator that it was found in; None: by the name that the file gives.

    Raises:
        InputError: the file is another one, or the generator is not here or not the one that it was found in.
    """
    from ..checkpoints import registry, safetensors_io

    device = usable_device(device)
    if not _is_found(path):
        raise InputError(
            f"{path} holds no picture that was found.", "Give a file that finding a picture has saved (--save-found)."
        )
    tensors, config = safetensors_io.load(path)
    place = tuned.base_of(path, config) if base is None else registry.find("generator", base).files["generator"]
    if _is_found(place):
        raise InputError(
            f"{path} belongs to {place}, which is itself a picture that was found.", "Give the generator as it was."
        )
    generator, ws = tuned.apply(_load(place, device, *STILLS), tensors, config, path, str(base or place))
    return generator, None if ws is None else ws.to(device)


def _is_found(path: str | os.PathLike) -> bool:
    from ..checkpoints import safetensors_io

    return safetensors_io.has_config(path) and tuned.is_tuned(safetensors_io.describe(path)[1])


def load_video_generator(name_or_path: str | Path | None = None, device: str | torch.device = "cpu") -> Generator:
    """A generator of videos for use: evaluation mode, parameters frozen. A registry name (None: its default), or a
    file.

    Args:
        name_or_path: of `soundguide models`, or a file.
        device: where it computes, such as "cuda".

    Raises:
        InputError: no such name or file, it is not on this disk (how to get it is said), or of another kind or size.

    Example:
        generator = sg.load_video_generator()
        print(generator.fps, generator.resolution, generator.sound_dim)
    """
    from ..checkpoints import registry

    device = usable_device(device)
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
