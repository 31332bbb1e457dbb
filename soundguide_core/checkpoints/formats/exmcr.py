"""ex_clap.pt: Ex-MCR's head from LAION-CLAP to OpenAI's CLIP ViT-B/32, without either.

A plain state dict of `Ex_MCR_Head` in
https://github.com/MCR-PEFT/Ex-MCR/blob/0f2baa5cd002b646a002ee0fe045ab05271be487/exmcr/exmcr_projector.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .keys import OPENAI_B_32, Keys, flat_tensors, recognised

if TYPE_CHECKING:
    from torch import Tensor

NAME = "Ex-MCR head"
KIND = "sound"


def recognises(content) -> bool:
    state = flat_tensors(content)
    return state is not None and {"Head1.weight", "Head2.mlp1.net1.0.weight"} <= set(state)


def convert(content) -> tuple[dict[str, Tensor], dict]:
    keys = Keys(recognised(flat_tensors(content)), NAME)
    dim = keys.left["Head1.weight"].shape[0]
    keys.rename(r"(Head1\..*|Head2\.mlp[12]\.net[12]\.[01]\..*)", lambda found: f"head.{found[1]}")
    keys.keep(r"head\.(Head1|Head2\.mlp[12]\.net[12]\.0)\.(weight|bias)")
    keys.keep(r"head\.Head2\.mlp[12]\.net[12]\.1\.(weight|bias|running_mean|running_var|num_batches_tracked)")
    return keys.finish(), {
        "encoder": {"architecture": "clap", "clap": None, "dim": dim},
        "wave": "clap",
        "space": OPENAI_B_32,
    }
