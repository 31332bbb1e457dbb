"""ArcFace on IR-SE50: model_ir_se50.pth of InsightFace_Pytorch, which pixel2style2pixel and StyleCLIP use.

A plain state dict of https://github.com/TreB1eN/InsightFace_Pytorch/blob/350ff7aa9c9db8d369d1932e14d2a4d11a3e9553/model.py,
under its own keys.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .keys import Keys, flat_tensors, recognised

if TYPE_CHECKING:
    from torch import Tensor

NAME = "IR-SE ArcFace"
KIND = "identity"

NORM = r"\.(weight|bias|running_mean|running_var|num_batches_tracked)"
BACKBONE = (
    rf"input_layer\.0\.weight|input_layer\.1{NORM}|input_layer\.2\.weight"
    rf"|body\.\d+\.shortcut_layer\.(0\.weight|1{NORM})"
    rf"|body\.\d+\.res_layer\.([123]\.weight|5\.fc[12]\.weight|[04]{NORM})"
)


def recognises(content) -> bool:
    state = flat_tensors(content)
    return state is not None and {"body.0.res_layer.5.fc1.weight", "output_layer.3.weight"} <= set(state)


def convert(content) -> tuple[dict[str, Tensor], dict]:
    keys = Keys(recognised(flat_tensors(content)), NAME)
    keys.keep(BACKBONE)
    keys.keep(rf"output_layer\.([04]{NORM}|3\.(weight|bias))")
    state = keys.finish()
    config = backbone_config(state)
    dim, features = state["output_layer.3.weight"].shape
    config |= {"dim": dim, "side": 16 * math.isqrt(features // config["widths"][-1])}
    return state, {"arcface": config}


def backbone_config(state: dict[str, Tensor]) -> dict:
    """The sizes of an IR-SE body, keys input_layer.* and body.*: a stage begins where the width changes."""
    blocks = [state[f"body.{i}.res_layer.1.weight"].shape[:2] for i in range(_count(state))]  # (out, in)
    starts = [0] + [i for i in range(1, len(blocks)) if blocks[i][0] != blocks[i][1]]
    units = [end - start for start, end in zip(starts, [*starts[1:], len(blocks)])]
    widths = [state["input_layer.0.weight"].shape[0], *(blocks[i][0] for i in starts)]
    squeezed = state["body.0.res_layer.5.fc1.weight"].shape[0]
    return {"widths": widths, "units": units, "reduction": widths[1] // squeezed}


def _count(state: dict[str, Tensor]) -> int:
    return len({key.split(".")[1] for key in state if key.startswith("body.")})
