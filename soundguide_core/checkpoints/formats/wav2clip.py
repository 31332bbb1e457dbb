"""Wav2CLIP.pt: a Lightning state dict of
https://github.com/descriptinc/lyrebird-wav2clip/blob/1864b3924be5a785e2d49d975b8a26ff93f62951/wav2clip/pre_training/model.py,
of which embedding a sound needs audio_encoder and audio_transform.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .keys import OPENAI_B_32, Keys, flat_tensors, recognised

if TYPE_CHECKING:
    from torch import Tensor

NAME = "Wav2CLIP"
KIND = "sound"

NORM = r"(weight|bias|running_mean|running_var|num_batches_tracked)"
TRAINING = ("image_transform.", "loss_fn", "loss.")  # what only its training used


def recognises(content) -> bool:
    state = flat_tensors(content)
    return state is not None and {"audio_encoder.conv1.weight", "audio_transform.sequential.0.weight"} <= set(state)


def convert(content) -> tuple[dict[str, Tensor], dict]:
    keys = Keys(recognised(flat_tensors(content)), NAME)
    keys.drop("audio_encoder.spectrogram.window", *[key for key in keys.left if key.startswith(TRAINING)])
    keys.keep(r"audio_encoder\.((layer\d\.\d\.)?conv\d|layer\d\.0\.downsample\.0)\.weight")
    keys.keep(rf"audio_encoder\.((layer\d\.\d\.)?bn\d|layer\d\.0\.downsample\.1)\.{NORM}")
    keys.rename(r"(audio_transform\.)sequential\.([03]\.(weight|bias))", lambda found: found[1] + found[2])
    keys.keep(r"audio_transform\.[03]\.(weight|bias)")
    state = keys.finish()
    hidden, dim = state["audio_transform.0.weight"].shape[0], state["audio_transform.3.weight"].shape[0]
    return state, {
        "encoder": {"architecture": "wav2clip", "hidden": hidden, "dim": dim},
        "wave": "wav2clip",
        "space": OPENAI_B_32,
    }
