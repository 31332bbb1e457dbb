"""What arrives at a node held against its schema, for every node in one place.

The host checks what a person types, not what comes over a link, and any pack may send anything over one. What a node
can refuse by its widgets alone it says in `refuse`, and it is refused before anything runs.
"""

from __future__ import annotations

import functools
import inspect
import math
import operator
from numbers import Integral
from typing import Any

from ..soundguide_core.common.errors import InputError, check_number
from ..soundguide_core.common.stop import stopped_by
from . import sockets
from .host import Model, check_choice, io
from .host_waiting import waiting

# what is sent over each of our sockets: a class, or of a model the kind of weights in it
SENT = {
    "SOUNDGUIDE_FLOW": sockets.VideoFlow,
    "SOUNDGUIDE_EMBEDS": sockets.Embeds,
    "SOUNDGUIDE_WS": sockets.Latents,
    "SOUNDGUIDE_WORDS": sockets.HeardWords,
    "SOUNDGUIDE_PROMPTS": sockets.PromptSchedule,
    "SOUNDGUIDE_PREVIEW_DECODER": sockets.PreviewDecoder,
}
HOSTS = {  # of the host's own sockets: what a thing of that kind has
    "MODEL": "model.latent_format",
    "CLIP": "encode_from_tokens_scheduled",
    "VAE": "decode",
}
KINDS = {
    "SOUNDGUIDE_EARS": "sound-classifier",
    "SOUNDGUIDE_JOINT": "joint",
    "SOUNDGUIDE_GENERATOR": "generator",
    "SOUNDGUIDE_TRAJECTORY": "trajectory",
    "SOUNDGUIDE_VIDEO_GENERATOR": "video-generator",
    "SOUNDGUIDE_PIXEL_DIFFUSION": "unet",
    "SOUNDGUIDE_FLOW_ESTIMATOR": "flow",
    "SOUNDGUIDE_FACE_IDENTITY": "identity",
    "SOUNDGUIDE_INVERSION_ENCODER": "inversion-encoder",
}


class SoundGuide(InputError):  # the host shows the class before the sentences: "SoundGuide: The text is empty. ..."
    """Bad input, as the host tells it."""


SoundGuide.__module__ = "builtins"  # whose classes alone the host names without the path of their module


def check_inputs(node: type[io.ComfyNode]) -> type[io.ComfyNode]:  # pyright: ignore[reportInvalidTypeForm] the host's
    """The node, whose execute now refuses by name what does not fit its schema; whole floats become integers.

    Where it has `refuse`, a classmethod of some of its widgets that raises InputError, that is asked before execute and
    already when the graph is queued.
    """
    execute = node.execute.__func__
    refuse = getattr(node, "refuse", None)
    named = () if refuse is None else tuple(inspect.signature(refuse).parameters)
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
        if refuse is not None:
            there = given.arguments | next(iter(gathered), {})
            refuse(**{name: there[name] for name in named if name in there})
        with waiting() as run, stopped_by(run.ask):
            return execute(*given.args, **given.kwargs)

    @functools.wraps(execute)
    def told(cls, *args, **kwargs):
        try:
            return checked(cls, *args, **kwargs)
        except InputError as error:
            raise SoundGuide(error.cause, error.remedy) from error

    node.execute = classmethod(told)
    if refuse is not None:
        node.validate_inputs = classmethod(_validation(refuse, named, declared))
    return node


def _validation(refuse, named: tuple[str, ...], declared):
    """validate_inputs of the host, for the widgets that `refuse` names: what is connected arrives as None.

    The host checks bounds and choices of no widget that is named here; so this does.
    """

    def validate_inputs(cls, **given):
        try:
            for name, value in given.items():
                if value is not None:
                    checked_value(declared()[name], value)
            if all(value is not None for value in given.values()):
                refuse(**given)
            for name, value in given.items():
                options = getattr(declared()[name], "options", None)
                if options and value is not None:
                    check_choice(name, value, options)
        except InputError as error:
            return str(error)
        return True

    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in ("cls", *named)]
    validate_inputs.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    return validate_inputs


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
    elif kind in HOSTS:
        fits = _has(value, HOSTS[kind])
    else:
        fits = wanted is None or isinstance(value, wanted)
    if not fits:
        sent = "Nothing" if value is None else f"A {type(value).__name__}"
        if isinstance(value, Model):
            sent = f"'{value.name}', of the kind {value.kind},"
        raise InputError(f"{sent} has arrived at {name[4:]}.", f"Connect what that input asks for: {kind}.")
    return value


def _has(value: Any, path: str) -> bool:
    try:
        operator.attrgetter(path)(value)
    except AttributeError:
        return False
    return True


def _plain(value: Any) -> Any:
    """A number in an array or tensor of one element as Python's own; anything else as it is."""
    return value.item() if math.prod(getattr(value, "shape", (2,))) == 1 else value
