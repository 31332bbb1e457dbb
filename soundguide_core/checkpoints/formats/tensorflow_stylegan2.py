"""StyleGAN2 of the TensorFlow releases (stylegan2, stylegan2-ada): a pickled tuple G, D, Gs of networks, each a record
of its variables, its static settings and its component networks. Gs is the averaged generator.

Convolutions are stored [K,K,I,O], and those that upsample are flipped against ours; dense weights are [I,O].
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...common.errors import InputError
from ..safe_pickle import Foreign
from .keys import Keys
from .stylegan2_sizes import sizes

if TYPE_CHECKING:
    from torch import Tensor

NAME = "NVIDIA's StyleGAN2 (TensorFlow)"
KIND = "generator"

OLDEST = 4  # before it: progressive growing and StyleGAN1
# setting => the value that our network has; absent is the same
WANTED = {
    "num_channels": 3,
    "architecture": "skip",
    "nonlinearity": "lrelu",
    "mapping_nonlinearity": "lrelu",
    "mapping_lrmul": 0.01,
    "resample_kernel": [1, 3, 3, 1],
    "use_noise": True,
    "normalize_latents": True,
}


def recognises(content) -> bool:
    return (
        isinstance(content, tuple)
        and len(content) == 3
        and all(isinstance(network, Foreign) and network.name == "Network" for network in content)
        and all(isinstance(network.state, dict) and "variables" in network.state for network in content)
    )


def convert(content) -> tuple[dict[str, Tensor], dict]:
    averaged = content[2].state
    if averaged["version"] < OLDEST:
        raise InputError(
            f"It is of version {averaged['version']}, from before StyleGAN2.", "Use a StyleGAN2 checkpoint."
        )
    settings = averaged["static_kwargs"]
    for name, wanted in WANTED.items():
        if settings.get(name, wanted) not in (wanted, None):
            raise InputError(
                f"It was built with {name} {settings[name]!r}; SoundGuide knows {wanted!r} only.",
                "Use a generator trained with the published settings.",
            )
    keys = Keys(_variables(averaged), NAME)
    keys.drop("lod", "synthesis/lod")  # of progressive growing, which StyleGAN2 has not
    keys.move("dlatent_avg", "mapping.w_avg")
    if settings.get("label_size"):
        keys.put("mapping.embed.weight", keys.take("mapping/LabelEmbed/weight").t())
        keys.move("mapping/LabelEmbed/bias", "mapping.embed.bias")
    for i in range(sum(re.fullmatch(r"mapping/Dense\d+/weight", key) is not None for key in keys.left)):
        keys.put(f"mapping.fc{i}.weight", keys.take(f"mapping/Dense{i}/weight").t())
        keys.move(f"mapping/Dense{i}/bias", f"mapping.fc{i}.bias")

    grown = [found for key in keys.left if (found := re.fullmatch(r"synthesis/(\d+)x(\d+)/Const/const", key))]
    if grown and grown[0].groups() != ("4", "4"):
        raise InputError(
            f"Its pictures are not square (they grow from {grown[0][1]} x {grown[0][2]}).",
            "SoundGuide renders square ones only: use such a generator.",
        )
    keys.put("synthesis.b4.const", keys.take("synthesis/4x4/Const/const")[0])
    _convolution(keys, "synthesis/4x4/Conv", "synthesis.b4.conv1", noise=0)
    _modulated(keys, "synthesis/4x4/ToRGB", "synthesis.b4.torgb")
    found = [re.fullmatch(r"synthesis/(\d+)x\1/Conv1/weight", key) for key in keys.left]
    for resolution in sorted(int(match[1]) for match in found if match):
        theirs, ours = f"synthesis/{resolution}x{resolution}", f"synthesis.b{resolution}"
        noise = 2 * resolution.bit_length() - 7  # 1 at 8 pixels, 3 at 16
        _convolution(keys, f"{theirs}/Conv0_up", f"{ours}.conv0", noise=noise, flip=True)
        _convolution(keys, f"{theirs}/Conv1", f"{ours}.conv1", noise=noise + 1)
        _modulated(keys, f"{theirs}/ToRGB", f"{ours}.torgb")
    tensors = keys.finish()
    clamp = settings.get("conv_clamp")
    return tensors, {**sizes(tensors), "conv_clamp": None if clamp is None else float(clamp)}


def _variables(network: dict, prefix: str = "") -> dict[str, Tensor]:
    """All variables of a network and its components under their paths."""
    out = {prefix + name: x for name, x in network["variables"]}
    for name, component in network["components"].items():
        out |= _variables(component.state, f"{prefix}{name}/")
    return out


def _convolution(keys: Keys, theirs: str, ours: str, *, noise: int, flip: bool = False) -> None:
    _modulated(keys, theirs, ours, flip=flip)
    strength = keys.take(f"{theirs}/noise_strength")  # a number
    keys.put(f"{ours}.noise_strength", keys.made[f"{ours}.bias"].new_tensor(float(strength)))
    keys.put(f"{ours}.noise_const", keys.take(f"synthesis/noise{noise}")[0, 0])


def _modulated(keys: Keys, theirs: str, ours: str, *, flip: bool = False) -> None:
    weight = keys.take(f"{theirs}/weight")  # [K,K,I,O]
    keys.put(f"{ours}.weight", (weight.flip(0, 1) if flip else weight).permute(3, 2, 0, 1))
    keys.move(f"{theirs}/bias", f"{ours}.bias")
    keys.put(f"{ours}.affine.weight", keys.take(f"{theirs}/mod_weight").t())
    keys.put(f"{ours}.affine.bias", keys.take(f"{theirs}/mod_bias") + 1)
