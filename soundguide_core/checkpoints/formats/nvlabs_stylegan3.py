"""StyleGAN3-T and -R as the stylegan3 repository pickles them; our state keys are the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...common.errors import InputError
from .. import safe_pickle
from .keys import recognised
from .nvidia import averaged_generator, check_classes, check_mapping, check_rgb, layers, warn_not_averaged
from .stylegan2_sizes import mapping_sizes

if TYPE_CHECKING:
    from torch import Tensor

NAME = "NVIDIA's StyleGAN3"
KIND = "generator"

KEYS = re.compile(
    r"mapping\.((fc\d+|embed)\.(weight|bias)|w_avg)"
    r"|synthesis\.input\.(weight|affine\.weight|affine\.bias|transform|freqs|phases)"
    r"|synthesis\.L\d+_\d+_\d+\.(weight|bias|affine\.weight|affine\.bias|magnitude_ema|up_filter|down_filter)"
)
# what the synthesis network was built with => our config; the rest of its arguments are known not to matter
SETTINGS = {
    "img_resolution": "resolution",
    "w_dim": "w_dim",
    "channel_base": "channel_base",
    "channel_max": "channel_max",
    "num_layers": "layers",
    "num_critical": "critical",
    "first_cutoff": "first_cutoff",
    "first_stopband": "first_stopband",
    "last_stopband_rel": "last_stopband_rel",
    "margin_size": "margin",
    "output_scale": "output_scale",
    "conv_kernel": "conv_kernel",
    "use_radial_filters": "radial",
    "filter_size": "filter_size",
    "lrelu_upsampling": "lrelu_upsampling",
    "conv_clamp": "conv_clamp",
}
UNUSED = {"img_channels", "num_fp16_res", "magnitude_ema_beta"}


def recognises(content) -> bool:
    synthesis = layers(layers(averaged_generator(content)).get("synthesis"))
    return "input" in synthesis and any(str(name).startswith("L0_") for name in synthesis)


def convert(content) -> tuple[dict[str, Tensor], dict]:
    generator = recognised(averaged_generator(content))
    warn_not_averaged(content)
    check_rgb(generator)
    check_mapping(generator)
    tensors = safe_pickle.state_dict(generator)
    odd = [key for key in tensors if not KEYS.fullmatch(key)]
    settings = layers(generator)["synthesis"].init_kwargs
    odd += [name for name in settings if name not in SETTINGS and name not in UNUSED]
    odd += [name for name, value in settings.items() if not isinstance(value, (int, float, type(None)))]
    if odd:
        raise InputError(
            f"{odd[0]} does not belong to one.",
            "It may be a variant that SoundGuide does not know; please report it with the file's source.",
        )
    config = {"architecture": "stylegan3", **mapping_sizes(tensors)}
    check_classes(generator, config["c_dim"])
    config["mapping_layers"] = sum(re.fullmatch(r"mapping\.fc\d+\.weight", key) is not None for key in tensors)
    config |= {SETTINGS[name]: value for name, value in settings.items() if name in SETTINGS}
    return tensors, config
