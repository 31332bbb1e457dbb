"""Foreign layouts of weights, one module each, and the way to the one that a file is in.

A module has NAME (what a person calls the layout), KIND (a key of registry.KINDS), recognises(content) -> bool and
convert(content) -> (tensors under our keys, our config). content is what safe_pickle.read gives, or the tensors of a
.safetensors file without our config or of Keras' .h5. convert is strict: every key is used or known to be unused.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ...common.errors import InputError
from .. import header, keras_h5, safe_pickle
from ..file_type import is_safetensors
from ..pickles.numbers import is_tensor

if TYPE_CHECKING:
    from torch import Tensor

# how tensors of the models that ComfyUI samples are called: people try them here too
HOST_MODELS = ("model.diffusion_model.", "diffusion_model.", "double_blocks.", "transformer_blocks.", "blocks.0.cross_")

# asked in this order
FORMATS: tuple[str, ...] = (
    "other_diffusion",
    "guided_diffusion",
    "sound_resnet",
    "swin",
    "inversion_encoder",
    "psp",
    "latent_rnn",
    "ir_se50",
    "wav2clip",
    "exmcr",
    "open_clip",
    "raft",
    "vgg16",
    "rosinality",
    "nvlabs_stylegan2",
    "nvlabs_stylegan3",
    "stylegan_v",
    "tensorflow_stylegan2",
    "yamnet",
    "hdemucs",
)

SHOWN = 4  # names in a message
LONGEST = 500  # letters in one


@dataclass(frozen=True)
class Converted:
    """A foreign file in our keys. format: what a person calls its layout; kind: a key of registry.KINDS."""

    format: str
    kind: str
    tensors: dict[str, Tensor]
    config: dict


def open_foreign(path: str | os.PathLike, *, numbers: bool = True) -> Converted:
    """A file of any known foreign layout.

    numbers: where they are not wanted, PyTorch is not either: the tensors are pickles/numbers.Numbers, of which the
    large ones have a shape and no values.

    Raises:
        InputError: it cannot be read, no layout fits it (the message says what it holds), or it is not whole.
    """
    content = _content(path, numbers)
    for name in FORMATS:
        layout = import_module(f".{name}", __package__)
        if not layout.recognises(content):
            continue
        try:
            tensors, config = layout.convert(content)
        except InputError as error:
            why = "".join(c if c.isprintable() else "?" for c in error.cause)  # it may quote names out of the file
            raise InputError(f"{path} looks like {layout.NAME}, but: {why[:LONGEST]}", error.remedy) from error
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(
                f"{path} looks like {layout.NAME}, but what it holds does not fit together.",
                "Download or copy it again, or get the weights from the people who made them.",
            ) from error
        return Converted(layout.NAME, layout.KIND, tensors, config)
    if isinstance(content, dict) and any(str(name).startswith(HOST_MODELS) for name in content):
        raise InputError(
            f"{path} holds a diffusion model such as Stable Diffusion, Flux or Wan.",
            "ComfyUI loads it from models/checkpoints or models/diffusion_models; Guide Model by Sound lets it listen.",
        )
    raise InputError(
        f"{path} holds {described(content)}, which is no layout of weights that SoundGuide knows.",
        "Use one of the checkpoints that `models` lists, or a file that SoundGuide has written.",
    )


def _content(path: str | os.PathLike, numbers: bool) -> Any:
    if keras_h5.is_hdf5(path):
        return keras_h5.read(path)
    if not numbers and (tensors := header.tensors(path)) is not None:
        return tensors
    if is_safetensors(path):
        from .. import safetensors_io

        return safetensors_io.tensors_of(path)
    return safe_pickle.read(path, numbers=numbers)


def described(content: Any) -> str:
    """What a file holds, in a few words."""
    if isinstance(content, (safe_pickle.Foreign, safe_pickle.Persistent)):
        name = content.name if isinstance(content, safe_pickle.Foreign) else content.class_name
        return f"one {ascii(name)[1:-1]}"
    if not isinstance(content, dict):
        return f"one {type(content).__name__}"
    if not content:
        return "nothing"
    names = [ascii(name)[:60] for name in list(content)[:SHOWN]]
    more = f" and {len(content) - SHOWN} more" if len(content) > SHOWN else ""
    what = "tensors" if all(is_tensor(x) for x in content.values()) else "entries"
    return f"{what} called {', '.join(names)}{more}"
