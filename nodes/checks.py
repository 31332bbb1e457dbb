"""What arrives at a node held against its schema, for every node in one place.

The host checks what a person types, not what comes over a link, and any pack may send anything over one.
"""

from __future__ import annotations

import functools
import inspect
import math
from numbers import Integral
from typing import Any

from ..soundguide_core.common.errors import InputError, check_number
from . import sockets
from .host import Model, io

# what is sent over each of our sockets: a class, or of a model the kind of weights in it
SENT = {
    "SOUNDGUIDE_FLOW": sockets.VideoFlow,
    "SOUNDGUIDE_EMBEDS": sockets.Embeds,
    "SOUNDGUIDE_WS": sockets.Latents,
    "SOUNDGUIDE_WORDS": sockets.HeardWords,
    "SOUNDGUIDE_PROMPTS": sockets.PromptSchedule,
    "SOUNDGUIDE_PREVIEW_DECODER": sockets.PreviewDecoder,
}
KINDS = {
    "SOUNDGUIDE_EARS": "sound-classifier",
    "SOUNDGUIDE_JOINT": "joint",
    "SOUNDGUIDE_GENERATOR": "generator",
    "SOUNDGUIDE_TRAJECTORY": "trajectory",
    "SOUNDGUIDE_VIDEO_GENERATOR": "video-generator",
    "SOUNDGUIDE_PIXEL_DIFFUSION": "unet",
    "SOUNDGUIDE_FLOW_ESTIMATOR": "flow",
}


def check_inputs(node: type[io.ComfyNode]) -> type[io.ComfyNode]:  # pyright: ignore[reportInvalidTypeForm] the host's
    """The node, whose execute now refuses by name what does not fit its schema; whole floats become integers."""
    execute = node.execute.__func__
    signature = inspect.signature(execute)
    declared = functools.cache(lambda: {x.id: x for x in node.define_schema().inputs})

    @functools.wraps(execute)
    def checked(cls, *args, **kwargs):
        given = signature.bind(cls, *args, **kwargs)
        gathered = [given.arguments[x.name] for x in signature.parameters.values()
                    if x.kind is x.VAR_KEYWORD and x.name in given.arguments]  # fmt: skip
        for values in (given.arguments, *gathered):  # named one by one, and those of **settings
            for name, value in values.items():
                if name in declared():
                    values[name] = checked_value(declared()[name], value)
        return execute(*given.args, **given.kwargs)

    node.execute = classmethod(checked)
    return node


def checked_value(socket, value):
    """value as that input takes it.

    Raises:
        InputError: it is of another type, or no number within the input's bounds.
    """
    if value is None and socket.optional:
        return None
    kind, name = socket.get_io_type(), f"The input '{socket.id}'"
    linked = socket.optional or getattr(socket, "force_input", False)
    if kind in ("INT", "FLOAT") and not (isinstance(value, (list, tuple)) and linked):  # a curve is a list
        value = _plain(value)
        check_number(value, name, low=socket.min, high=socket.max)
        if kind == "FLOAT":
            return float(value)
        if int(value) != value:
            raise InputError(f"{name} is {value}.", "Give a whole number.")
        return int(value)
    wanted = SENT.get(kind) or {"STRING": str, "COMBO": str, "BOOLEAN": (bool, Integral)}.get(kind)
    if kind in KINDS:
        fits = isinstance(value, Model) and value.kind in (None, KINDS[kind])
    else:
        fits = wanted is None or isinstance(value, wanted)
    if not fits:
        sent = "Nothing" if value is None else f"A {type(value).__name__}"
        raise InputError(f"{sent} has arrived at {name[4:]}.", f"Connect what that input asks for: {kind}.")
    return value


def _plain(value: Any) -> Any:
    """A number in an array or tensor of one element as Python's own; anything else as it is."""
    return value.item() if math.prod(getattr(value, "shape", (2,))) == 1 else value
