"""Hybrid Demucs as torchaudio publishes it: hdemucs_high_trained.pt and its kin, under their own keys.

A plain state dict of https://github.com/pytorch/audio/blob/v2.9.0/src/torchaudio/models/_hdemucs.py. Its sizes stand in
its tensors; the names of the stems do not: audio/stem_names.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .keys import Keys, flat_tensors, recognised

if TYPE_CHECKING:
    from torch import Tensor

NAME = "Hybrid Demucs"
KIND = "stem-separator"

FIRST, LAST, BANDS = "freq_encoder.0.conv.weight", "freq_decoder.{}.conv_tr.bias", "freq_emb.embedding.weight"
FIRST_STRIDE = 4  # of the frequencies, in the first layer


def recognises(content) -> bool:
    state = flat_tensors(content)
    return state is not None and {FIRST, BANDS, "time_encoder.0.conv.weight"} <= set(state)


def convert(content) -> tuple[dict[str, Tensor], dict]:
    keys = Keys(recognised(flat_tensors(content)), NAME)
    keys.keep(r"(freq|time)_(encoder|decoder)\.\d+\..+|freq_emb\.embedding\.weight")
    state = keys.finish()
    depth = len({key.split(".")[1] for key in state if key.startswith("freq_encoder.")})
    channels, inputs = state[FIRST].shape[:2]  # of the spectrum: a real and an imaginary one of each of the sound
    sound_channels = inputs // 2
    config = {
        "stems": len(state[LAST.format(depth - 1)]) // (2 * sound_channels),
        "audio_channels": sound_channels,
        "channels": channels,
        "n_fft": 2 * FIRST_STRIDE * len(state[BANDS]),
        "depth": depth,
    }
    return state, {"hdemucs": config}
