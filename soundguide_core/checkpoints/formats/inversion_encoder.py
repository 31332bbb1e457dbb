"""Encoders of pictures into W+: pixel2style2pixel (pSp) and encoder4editing (e4e), as their trainings save them.

https://github.com/eladrich/pixel2style2pixel at 5cfff385beb7b95fbce775662b48fcc80081928d and
https://github.com/omertov/encoder4editing at 99ea50578695d2e8a1cf7259d8ee89b23eea942b: a dictionary with `state_dict`
(the encoder under "encoder.", the generator under "decoder."), `opts` (a dictionary, or its namespace) and, where
styles are offsets from it, `latent_avg`. Linear layers have an equalised learning rate: their weights are divided by
sqrt(in) at run time. e4e's code drops the styles after the sixteenth for cars.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...common.errors import InputError
from ..pickles.numbers import is_tensor
from ..safe_pickle import Foreign
from . import psp
from .keys import flat_tensors, recognised

if TYPE_CHECKING:
    from torch import Tensor

NAME = "pSp or e4e inversion encoder"
KIND = "inversion-encoder"
APART, DELTAS = "GradualStyleEncoder", "Encoder4Editing"
SIDE, CAR_SIZE, CAR_STYLES = 256, (192, 256), 16


def recognises(content) -> bool:
    if not isinstance(content, dict) or not {"opts", "latent_avg"} & set(content):
        return False
    state = flat_tensors(content)
    return state is not None and "encoder.input_layer.0.weight" in state


def convert(content) -> tuple[dict[str, Tensor], dict]:
    state, opts = recognised(flat_tensors(content)), _opts(content.get("opts"))
    kind = opts.get("encoder_type")
    if kind not in (APART, DELTAS) or state["encoder.input_layer.0.weight"].shape[1] != 3:
        what = f"is a {kind}" if isinstance(kind, str) else "does not say which kind it is (opts.encoder_type)"
        raise InputError(
            f"The encoder {what[:100]}, for {state['encoder.input_layer.0.weight'].shape[1]} channels.",
            f"Use one of the kinds {APART} (pSp) and {DELTAS} (e4e), for pictures.",
        )
    cars = "cars" in str(opts.get("dataset_type", ""))[:100]
    tensors, config = psp.pyramid({key: x for key, x in state.items() if not (cars and _surplus(key))}, NAME)
    heads = sum(config["groups"])
    for i in range(heads):
        key = f"styles.{i}.linear.weight"
        tensors[key] = tensors[key] / config["w_dim"] ** 0.5
    mean = content.get("latent_avg")
    if opts.get("start_from_latent_avg", mean is not None):
        if not is_tensor(mean):
            raise InputError(
                "The file lacks the mean latent (latent_avg) that its encoder's styles are offsets from.",
                "Get the file again from the people who made it.",
            )
        tensors["w_avg"] = mean[:heads].expand(heads, -1) if mean.ndim == 2 else mean.expand(heads, -1)
    config |= {"activated": False, "centred": "w_avg" in tensors, "deltas": kind == DELTAS}
    return tensors, {"encoder": {"network": config, "size": list(CAR_SIZE) if cars else [SIDE, SIDE]}}


def _opts(opts: Any) -> dict:
    """{} where there are none."""
    opts = opts.state if isinstance(opts, Foreign) else opts
    return opts if isinstance(opts, dict) else {}


def _surplus(key: str) -> bool:
    part = key.split(".")
    return part[:2] == ["encoder", "styles"] and len(part) > 2 and part[2].isdecimal() and int(part[2]) >= CAR_STYLES
