"""The three recurrent networks of S. H. Lee et al., ECCV 2022: coarseformer_.pth, midformer_.pth, fineformer_.pth.

A plain state dict of `LatentRNN` of gen_sound2video.py in
https://github.com/anonymous5584/sound-guided-semantic-video-generation at 78ef97f04729e1897d73faebd3b456bf03757211,
under its own keys. What the file does not say: a latent has as many dims as the memory, 512.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...common.errors import InputError
from .keys import Keys, flat_tensors, recognised

if TYPE_CHECKING:
    from torch import Tensor

NAME = "recurrent network of sound-guided video generation"
KIND = "released-trajectory"


def recognises(content) -> bool:
    state = flat_tensors(content)
    return state is not None and {"rnn.weight_ih_l0", "rnn.weight_ih_l0_reverse", "fc.weight"} <= set(state)


def convert(content) -> tuple[dict[str, Tensor], dict]:
    keys = Keys(recognised(flat_tensors(content)), NAME)
    keys.keep(r"rnn\.(weight|bias)_(ih|hh)_l\d+(_reverse)?|(fc|audio_noise_fc)\.(weight|bias)")
    state = keys.finish()
    hidden, size = state["rnn.weight_hh_l0"].shape[1], state["fc.weight"].shape[0]
    if size % hidden:
        raise InputError(f"it moves {size} numbers with {hidden} of memory.", "Get the released file.")
    config = {
        "num_ws": size // hidden,
        "w_dim": hidden,
        "hidden": hidden,
        "num_layers": sum(key.startswith("rnn.weight_ih_") for key in state) // 2,
        "mixed": "audio_noise_fc.weight" in state,
    }
    return state, {"latent_rnn": config}
