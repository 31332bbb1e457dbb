"""StyleGAN-V as its training code pickles it: StyleGAN2 without noise, and a motion network; settings from its cfg."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ...common.errors import InputError
from .. import safe_pickle
from .keys import Keys, all_close, recognised
from .nvidia import (
    averaged_generator,
    check_attribute,
    check_mapping,
    check_rgb,
    check_unconditional,
    conv_clamp,
    layers,
    warn_not_averaged,
    without_filters,
)
from .stylegan2_sizes import sizes

if TYPE_CHECKING:
    from torch import Tensor

NAME = "StyleGAN-V"
KIND = "video-generator"

MOTION = "synthesis.motion_encoder."
MOTION_KEYS = [f"{MOTION}conv.{i}.{leaf}" for i in (0, 1) for leaf in ("weight", "bias")] + [
    f"{MOTION}time_encoder.{name}.weight" for name in ("periods_predictor", "phase_predictor", "aligners_predictor")
]
# (path in cfg, the value that our network has)
WANTED = (
    (("input", "type"), "temporal"),
    (("motion", "gen_strategy"), "conv"),
    (("motion", "fourier"), True),
    (("time_enc", "cond_type"), "concat_const"),
)
# path in cfg => our config
SETTINGS = {
    ("motion", "z_dim"): "motion_z_dim",
    ("motion", "v_dim"): "motion_u_dim",
    ("motion", "kernel_size"): "motion_kernel",
    ("motion", "motion_z_distance"): "motion_distance",
    ("time_enc", "dim"): "waves",
    ("time_enc", "min_period_len"): "min_period",
    ("time_enc", "max_period_len"): "max_period",
    ("sampling", "fps"): "fps",
}


def recognises(content) -> bool:
    return "motion_encoder" in layers(layers(averaged_generator(content)).get("synthesis"))


def convert(content) -> tuple[dict[str, Tensor], dict]:
    generator = recognised(averaged_generator(content))
    warn_not_averaged(content)
    check_unconditional(generator)
    check_rgb(generator)
    check_mapping(generator)
    check_attribute(generator, "architecture", "skip", where=r"synthesis\.b\d+")
    cfg = generator.state["cfg"]
    for path, wanted in WANTED:
        if _at(cfg, path) != wanted:
            raise InputError(
                f"It was trained with {'.'.join(path)} {_at(cfg, path)!r}; SoundGuide knows {wanted!r} only.",
                "Use a StyleGAN-V trained with the published settings.",
            )
    config = {ours: float(_at(cfg, path)) for path, ours in SETTINGS.items()}
    config |= {name: int(config[name]) for name in ("motion_z_dim", "motion_u_dim", "motion_kernel", "waves")}

    keys = Keys(without_filters(safe_pickle.state_dict(generator)), NAME)
    _check_waves(keys, config)
    keys.put("synthesis.b4.const", keys.take("synthesis.b4.input.input.const")[0])
    for key in MOTION_KEYS:
        keys.move(key, key)
    motion, image = keys.made, {**keys.left, "synthesis.b4.const": keys.made["synthesis.b4.const"]}
    config |= {"architecture": "stylegan-v", "variant": "released", "conv_clamp": conv_clamp(generator), **sizes(image)}
    return {**motion, **image}, config


def _at(cfg: dict, path: tuple[str, str]):
    return cfg[path[0]][path[1]]


def _check_waves(keys: Keys, config: dict) -> None:
    """The frequencies are a constant that our network computes; InputError where the file's are others."""
    low, high = math.log2(config["min_period"]), math.log2(config["max_period"])
    step = (low - high) / max(config["waves"] - 1, 1)
    frequencies = [2 * math.pi / 2 ** (high + i * step) for i in range(config["waves"])]
    wanted = [frequency * config["max_period"] / (2 * math.pi) for frequency in frequencies]
    for name, expected in (("freqs", frequencies), ("phase_scales", wanted)):
        stored = keys.take(f"{MOTION}time_encoder.{name}").double().reshape(-1).tolist()
        if not all_close(stored, expected, rel=1e-5, absolute=1e-8):
            raise InputError("Its motion has other frequencies than its settings say.", "Use another checkpoint.")
