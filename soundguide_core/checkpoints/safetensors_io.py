"""Tensors and their config in one safetensors file; reading one executes nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..common.errors import InputError
from ..common.files import replacing
from .file_type import describe_start, first_bytes, is_safetensors
from .header import CONFIG_KEY, LONGEST_HEADER, MOST_TENSORS

GET_AGAIN = "Get the file again from the people who made it."


def save(
    path: str | os.PathLike, tensors: Mapping[str, Tensor], config: dict, *, half: bool = False, whole: str = " "
) -> None:
    """Write tensors and config, whole or not at all.

    half: floating tensors as fp16; ValueError where a value does not fit fp16's range. Those whose names begin with
    `whole` stay as they are.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    out = {}
    for key, x in tensors.items():
        x = x.detach().cpu()
        if half and x.is_floating_point() and not key.startswith(whole):
            x = x.half()
            if not torch.isfinite(x).all():
                raise ValueError(f"{key} holds values beyond fp16; save it in full precision")
        out[key] = x.clone(memory_format=torch.contiguous_format)
    with replacing(path) as temporary:
        try:
            save_file(out, temporary, metadata={CONFIG_KEY: json.dumps(config, sort_keys=True)})
        except SafetensorError as error:  # a full disk
            raise InputError(f"{path} cannot be written ({error}).", "Check the space on the disk.") from error


def load(path: str | os.PathLike, *, channels_last: bool = False) -> tuple[dict[str, Tensor], dict]:
    """Read a file written by `save`: (tensors on the CPU, floating ones as fp32; config).

    channels_last: that order of memory for kernels [O,I,K,K], as the one copy of them is made.

    Raises:
        InputError: the file is missing, damaged, of another format, or has no SoundGuide config.
    """
    path = Path(path)
    with _opened(path) as file:
        config = _config(path, file.metadata())
        keys = file.keys()
        return {key: _tensor(path, file, key, lambda x: _copy(x, channels_last)) for key in keys}, config


def _tensor(path: str | os.PathLike, file, key: str, made: Callable[[Tensor], Tensor] = lambda x: x) -> Tensor:
    """One tensor of an open file; InputError for sizes and types that PyTorch does not have."""
    try:
        x = file.get_tensor(key)
        torch.empty(1, dtype=x.dtype).float()  # four-bit floats are a type, and nothing can be done with them
        return made(x)
    except Exception as error:  # safetensors and PyTorch have six kinds between them
        raise InputError(f"{path} holds {key}, of a size or a type that cannot be used here.", GET_AGAIN) from error


def _copy(x: Tensor, channels_last: bool) -> Tensor:
    """Out of the mapped file into memory of its own."""
    layout = torch.channels_last if channels_last and x.ndim == 4 else torch.contiguous_format
    dtype = torch.float32 if x.is_floating_point() else x.dtype
    return x.to(dtype, copy=True, memory_format=layout)


def describe(path: str | os.PathLike) -> tuple[dict[str, list[int]], dict]:
    """The shape of every tensor and the config, from the header alone. Errors as `load`."""
    path = Path(path)
    with _opened(path) as file:
        shapes = {key: list(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
        return shapes, _config(path, file.metadata())


def fill(
    module: torch.nn.Module, tensors: Mapping[str, Tensor], source: str | os.PathLike, *, assign: bool = False
) -> None:
    """Load tensors into module, every key and every shape; InputError names the first that does not fit.

    assign: the tensors themselves become the module's, in its types; so it may be built on the meta device.
    """
    wanted, tensors = module.state_dict(), _current_names(module, tensors)
    odd = sorted(wanted.keys() ^ tensors.keys()) or [k for k in wanted if wanted[k].shape != tensors[k].shape]
    if odd:
        raise InputError(
            f"{source} does not hold the weights that its config describes ({odd[0]} does not fit).",
            "Export the file again with the program that made it.",
        )
    check_finite(tensors, source)
    module.load_state_dict({key: x.to(wanted[key].dtype) for key, x in tensors.items()}, assign=assign)


def _current_names(module: torch.nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """tensors by the names that module has for them now; a class lists those of earlier files in OLD_NAMES."""
    names = {key: key for key in tensors}
    for prefix, part in module.named_modules():
        for old, new in getattr(part, "OLD_NAMES", {}).items():
            before, after = ".".join(filter(None, (prefix, old))) + ".", ".".join(filter(None, (prefix, new))) + "."
            names |= {key: after + key[len(before) :] for key in names if key.startswith(before)}
    return {names[key]: x for key, x in tensors.items()}


def check_finite(tensors: Mapping[str, Tensor], source: str | os.PathLike) -> None:
    """InputError naming the first tensor that holds NaN or infinity, as those of a training that broke down do."""
    for key, x in tensors.items():
        if x.is_floating_point() and not torch.isfinite(x).all():
            raise InputError(
                f"{source} holds NaN or infinite numbers in {key}.", "Take a checkpoint from before it broke down."
            )


def has_config(path: str | os.PathLike) -> bool:
    """Was this file written by `save`? Errors as `load` where a .safetensors file is damaged."""
    if not is_safetensors(path):
        return False
    with _opened(Path(path)) as file:
        return CONFIG_KEY in (file.metadata() or {})


def tensors_of(path: str | os.PathLike) -> dict[str, Tensor]:
    """The tensors of any .safetensors file, in their own types. Errors as `load`, but for a config."""
    with _opened(Path(path)) as file:
        return {key: _tensor(path, file, key) for key in file.keys()}  # noqa: SIM118 (a handle, not a dict)


def _opened(path: Path):
    from safetensors import SafetensorError, safe_open

    start = first_bytes(path)
    # a safetensors file opens with the length of its JSON header in eight bytes
    if start[8:9] != b"{":
        kind = describe_start(start)
        if kind is not None:
            raise InputError(
                f"{path} is {kind}; SoundGuide reads .safetensors files only.",
                "Get the .safetensors version of these weights.",
            )
    _check_header(path, start)
    try:
        return safe_open(path, framework="pt", device="cpu")
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"{path} is not a whole .safetensors file ({str(error).splitlines()[0]}).", "Download or copy it again."
        ) from error


def _check_header(path: Path, start: bytes) -> None:
    """InputError for a header so long, or of so many tensors, that reading them one by one would take minutes."""
    size = int.from_bytes(start[:8], "little")
    if start[8:9] != b"{" or size > path.stat().st_size:
        return  # safetensors says what is wrong
    with path.open("rb") as file:
        file.seek(8)
        count = file.read(size).count(b'"data_offsets"') if size <= LONGEST_HEADER else MOST_TENSORS + 1
    if count > MOST_TENSORS:
        raise InputError(f"{path} has a header of {size:,} bytes, of far more tensors than a network has.", GET_AGAIN)


def _config(path: Path, metadata: dict[str, str] | None) -> dict:
    try:
        config = json.loads((metadata or {})[CONFIG_KEY])
    except (KeyError, ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise InputError(
            f"{path} holds tensors but no SoundGuide config.",
            "Use a file that SoundGuide has written, or convert this one first.",
        )
    return config
