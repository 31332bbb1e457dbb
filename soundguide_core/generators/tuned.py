"""A tuned generator as a small file: what pivotal tuning changed of a generator that is on disk anyway.

The file holds, of each weight of the synthesis network that changed, the difference, in 8 bits a number with one scale
for each output channel (or in 16 bits), the name of the generator that it belongs to, and a fingerprint of its weights,
by which another one is refused. Latents that were found with it may lie beside. Axes: B batch, L layers, D dims, O
output channels.
"""

from __future__ import annotations

import copy
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..checkpoints import registry, safetensors_io
from ..common.errors import InputError
from ..common.typed import check_types
from .generator import StyleGenerator

CONFIG = "tuned"  # in a file's config
LATENTS, SCALE = "ws", ".scale"  # a tensor's name; the ending of a difference's scale
BITS = (8, 16)
AGAIN = "Find the picture again, or get the file again from the people who made it."


def fingerprint(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, shapes and single-precision values; the same wherever and in whatever file they are."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        x = weights[name].detach().to("cpu", torch.float32).contiguous()
        digest.update(f"{name} {list(x.shape)} ".encode())
        digest.update(x.numpy().tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class TunedFrom:
    """What a generator was before it was tuned: its name, fingerprint, and the weights that tuning changes."""

    name: str
    fingerprint: str
    weights: dict[str, Tensor]

    @classmethod
    def of(cls, generator: StyleGenerator, name: str) -> TunedFrom:
        """name: one that the registry knows, or a file, of which the last part is kept."""
        weights = {key: x.detach().cpu() for key, x in generator.synthesis.named_parameters()}
        known = name in registry.names("generator")
        return cls(name if known else Path(name).name, fingerprint(weights), weights)


def tuned_from(generator: StyleGenerator) -> TunedFrom | None:
    """None for a generator that has not been tuned."""
    return getattr(generator, "tuned_from", None)


def save_tuned(
    path: str | os.PathLike, generator: StyleGenerator, *, ws: Tensor | None = None, name: str = "", bits: int = 8
) -> None:
    """Write what tuning changed, and ws [B,L,D] where there are some.

    name: of the generator, where it has not been tuned: the file then holds the latents alone.

    Raises:
        InputError: bits other than 8 and 16, or there is nothing to write.
    """
    if bits not in BITS:
        raise InputError(f"Differences cannot be kept in {bits} bits.", "Use 8 or 16.")
    origin = tuned_from(generator)
    if origin is None and ws is None:
        raise InputError("This generator has not been tuned.", "Find a picture in it by a method with tuning first.")
    tensors: dict[str, Tensor] = {} if ws is None else {LATENTS: ws.detach().float().cpu()}
    if origin is not None:
        now = dict(generator.synthesis.named_parameters())
        for key, before in origin.weights.items():
            tensors |= _packed(key, now[key].detach().cpu().float() - before.float(), bits)
    else:
        origin = TunedFrom.of(generator, name)
    about = {"base": origin.name, "fingerprint": origin.fingerprint, "bits": bits}
    safetensors_io.save(path, tensors, {CONFIG: about})


def is_tuned(config: Mapping) -> bool:
    """Is this the config of a file of differences?"""
    return CONFIG in config


def _packed(key: str, change: Tensor, bits: int) -> dict[str, Tensor]:
    """{} where nothing changed."""
    if not change.any():
        return {}
    if bits == 16 or change.ndim < 2:  # biases and the like are few
        return {key: change.half()}
    scale = change.flatten(1).abs().amax(dim=1).clamp(min=1e-30) / 127  # [O]
    steps = (change / scale.view(-1, *[1] * (change.ndim - 1))).round().to(torch.int8)
    return {key: steps, key + SCALE: scale}


def _about(base: str, fingerprint: str, bits: int) -> None:
    """What config["tuned"] says."""


def described(path: str | os.PathLike, config: Mapping) -> dict:
    """config["tuned"] of a file: base, fingerprint, bits.

    Raises:
        InputError: it says something else.
    """
    about = check_types(_about, config[CONFIG], f"What {path} says of its generator")
    if not re.fullmatch("[0-9a-f]{64}", about["fingerprint"]) or about["bits"] not in BITS:
        raise InputError(f"{path} does not say rightly which generator it belongs to.", AGAIN)
    return about


def base_of(path: str | os.PathLike, config: Mapping) -> Path:
    """The file of the generator that a file of differences belongs to: one that `registry` knows, or one beside it.

    Raises:
        InputError: it is not here.
    """
    name = described(path, config)["base"]
    if name in registry.names("generator"):
        return registry.find("generator", name).files["generator"]
    beside = Path(path).parent / Path(name).name if name else Path(path)
    if beside.is_file() and beside.resolve() != Path(path).resolve():
        return beside
    row = next((row for row in registry.rows("generator") if row.name == name), None)
    raise InputError(
        f"{path} holds a picture that was tuned into the generator {name!r}, which is not here.",
        row.how_to_get if row else "Put that generator beside the file, or into the folder of generators.",
    )


def apply(
    generator: StyleGenerator, tensors: Mapping[str, Tensor], config: Mapping, path: str | os.PathLike, base: str
) -> tuple[StyleGenerator, Tensor | None]:
    """(a tuned copy of the generator, which the file belongs to, or the generator itself where the file changes
    nothing; the latents in the file). base: the generator's name.

    Raises:
        InputError: the file belongs to another generator, or does not hold what it says.
    """
    about = described(path, config)
    origin = TunedFrom.of(generator, about["base"])
    if origin.fingerprint != about["fingerprint"]:
        raise InputError(
            f"{path} was tuned from another generator than {base}: its weights have the fingerprint "
            f"{about['fingerprint'][:12]}, these {origin.fingerprint[:12]}.",
            f"Load the generator that it was tuned from, {about['base']!r}.",
        )
    safetensors_io.check_finite(tensors, path)
    changes = {key: x for key, x in tensors.items() if key != LATENTS and not key.endswith(SCALE)}
    scales = {key.removesuffix(SCALE): x for key, x in tensors.items() if key.endswith(SCALE)}
    odd = sorted((changes.keys() - origin.weights.keys()) | (scales.keys() - changes.keys()))
    odd += [key for key, x in changes.items() if not odd and x.shape != origin.weights[key].shape]
    odd += [key for key, x in scales.items() if not odd and x.shape != origin.weights[key].shape[:1]]
    ws = tensors.get(LATENTS)
    if ws is not None and (ws.ndim != 3 or ws.shape[1:] != (generator.num_ws, generator.w_dim) or not len(ws)):
        odd.append(LATENTS)
    if odd:
        raise InputError(f"{path} does not fit the generator that it names ({odd[0][:100]}).", AGAIN)
    if not changes:
        return generator, ws
    tuned = copy.deepcopy(generator)
    with torch.no_grad():
        for key, x in tuned.synthesis.named_parameters():
            if key in changes:
                change = changes[key].float()
                if key in scales:
                    change = change * scales[key].float().view(-1, *[1] * (change.ndim - 1))
                x.add_(change.to(x))
    tuned.tuned_from = origin
    return tuned, ws
