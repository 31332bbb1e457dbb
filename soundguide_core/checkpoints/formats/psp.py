"""pixel2style2pixel encoders, as the sound inversion encoder of S. H. Lee et al., ECCV 2022 (audio_inversion_.pth).

`Encoder` of gen_sound2video.py in https://github.com/anonymous5584/sound-guided-semantic-video-generation at
78ef97f04729e1897d73faebd3b456bf03757211: a state dict under "encoder.", or under "E" beside the step.
Those of pictures are in inversion_encoder.py.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .ir_se50 import BACKBONE, backbone_config
from .keys import Keys, flat_tensors, recognised

if TYPE_CHECKING:
    from torch import Tensor

NAME = "pixel2style2pixel encoder"
KIND = "released-trajectory"


def recognises(content) -> bool:
    state = _state(content)
    return state is not None and "encoder.styles.0.convs.0.weight" in state


def convert(content) -> tuple[dict[str, Tensor], dict]:
    state, config = pyramid(recognised(_state(content)), NAME)
    return state, {"inversion": config, "mel": "inversion"}


def pyramid(state: dict[str, Tensor], name: str) -> tuple[dict[str, Tensor], dict]:
    """What lies under "encoder." => (under our keys, the sizes of a StylePyramid). name: of the layout, for errors."""
    keys = Keys({key: x for key, x in state.items() if not key.startswith("decoder.")}, name)
    keys.rename(r"encoder\.(.*)", lambda found: found[1])
    keys.keep(BACKBONE)
    keys.keep(r"styles\.\d+\.(convs\.\d+|linear)\.(weight|bias)|latlayer[12]\.(weight|bias)")
    state = keys.finish()

    heads = {int(key.split(".")[1]): 0 for key in state if key.startswith("styles.")}
    for key in state:
        if found := re.fullmatch(r"styles\.(\d+)\.convs\.\d+\.weight", key):
            heads[int(found[1])] += 1
    halvings = sorted(set(heads.values()))
    return state, {
        "network": backbone_config(state),
        "w_dim": state["latlayer1.weight"].shape[0],
        "groups": [list(heads.values()).count(n) for n in halvings],
        "sides": [2**n for n in halvings],
    }


def _state(content) -> dict[str, Tensor] | None:
    if isinstance(content, dict) and isinstance(content.get("E"), dict):
        content = content["E"]
    return flat_tensors(content)
