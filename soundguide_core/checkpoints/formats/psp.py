"""pixel2style2pixel encoders, as the sound inversion encoder of S. H. Lee et al., ECCV 2022 (audio_inversion_.pth).

`Encoder` of gen_sound2video.py in https://github.com/anonymous5584/sound-guided-semantic-video-generation at
78ef97f04729e1897d73faebd3b456bf03757211: a state dict under "encoder.", or under "E" beside the step.
https://github.com/eladrich/pixel2style2pixel at 5cfff385beb7b95fbce775662b48fcc80081928d holds the encoder beside its
generator, options and mean latent; its heads end in a linear layer of equalised learning rate without activation.
"""

from __future__ import annotations

import re

from torch import Tensor

from .ir_se50 import BACKBONE, backbone_config
from .keys import Keys, flat_tensors, recognised

NAME = "pixel2style2pixel encoder"
KIND = "released-trajectory"


def recognises(content) -> bool:
    state = _state(content)
    return state is not None and "encoder.styles.0.convs.0.weight" in state


def convert(content) -> tuple[dict[str, Tensor], dict]:
    state = recognised(_state(content))
    keys = Keys({key: x for key, x in state.items() if not key.startswith("decoder.")}, NAME)
    keys.rename(r"encoder\.(.*)", lambda found: found[1])
    keys.keep(BACKBONE)
    keys.keep(r"styles\.\d+\.(convs\.\d+|linear)\.(weight|bias)|latlayer[12]\.(weight|bias)")
    state = keys.finish()

    heads = {int(key.split(".")[1]): 0 for key in state if key.startswith("styles.")}
    for key in state:
        if found := re.fullmatch(r"styles\.(\d+)\.convs\.\d+\.weight", key):
            heads[int(found[1])] += 1
    halvings = sorted(set(heads.values()))
    config = {
        "network": backbone_config(state),
        "w_dim": state["latlayer1.weight"].shape[0],
        "groups": [list(heads.values()).count(n) for n in halvings],
        "sides": [2**n for n in halvings],
    }
    if "latent_avg" in content:  # of the original, whose weights are divided by sqrt(in) at run time
        config |= {"activated": False, "centred": isinstance(content["latent_avg"], Tensor)}
        for i in heads:
            state[f"styles.{i}.linear.weight"] = state[f"styles.{i}.linear.weight"] / config["w_dim"] ** 0.5
        if config["centred"]:
            state["w_avg"] = content["latent_avg"].expand(len(heads), -1)
    return state, {"inversion": config, "mel": "inversion"}


def _state(content) -> dict[str, Tensor] | None:
    if isinstance(content, dict) and isinstance(content.get("E"), dict):
        content = content["E"]
    return flat_tensors(content)
