"""Resolves the names in a pickle: to re-implemented constructors (CALLS), to inert records, or to a refusal."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import arrays
from .machine import LONGEST_NAME, REMEDY_DISTRUST, VALUE, Budget, Foreign, Name, Unreadable, key


@dataclass(frozen=True, eq=False)
class Persistent:
    """An object of NVIDIA's persistence: its class's name, how it was made, what it holds. Its source is dropped."""

    class_name: str
    init_args: tuple
    init_kwargs: dict
    state: dict


IDENTIFIERS = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
PERSISTENT = re.compile(r"(\w+\.)*torch_utils\.persistence\._reconstruct_persistent_obj")
EASY_DICT = re.compile(r"(\w+\.)*dnnlib\.util\.EasyDict|easydict\.EasyDict|(\w+\.)*AttributeDict")
PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg", "UserDict": "collections"}

# classes of the standard library, torch and numpy that may stand as records; all others of theirs are refused
INERT = re.compile(
    r"argparse\.Namespace|types\.SimpleNamespace|pathlib\.\w+|datetime\.\w+|functools\.partial|uuid\.UUID"
    r"|typing\.(Any|Union|Optional|List|Dict|Tuple|Sequence)"
    r"|builtins\.(int|float|bool|str|bytes|list|tuple|dict|object|NoneType)"
    r"|torch\.nn\.(modules|parameter|utils)\.[\w.]+|torch\.optim\.[\w.]+|torch\.device|torch\.strided"
    r"|torch\.(storage\.)?\w+Storage|torch\.(float|double|half|bfloat|int|uint|bool|long|complex)\w*|torch\.Tensor"
    r"|numpy\.ndarray|numpy\.random\.[\w.]+|numpy\.(bool|int|uint|float|complex)\w*"
)
GUARDED = {*sys.stdlib_module_names, "torch", "torchvision", "numpy"}
CALLED_INERT = re.compile(r"(pathlib|datetime|functools|uuid|types|numpy\.random)\..*|torch\.device")


class Resolver:
    """Resolves the names, calls, states and persistent ids of one file for the machine.

    storage_of: the storage in a nested torch file's bytes; where files do not nest, it refuses.
    """

    def __init__(self, budget: Budget, storage_of: Callable[[Any], Any]):
        self.budget, self.storage_of = budget, storage_of
        self.named: dict[tuple[str, str], Name] = {}

    def name(self, module: str, name: str) -> Name:
        if (module, name) not in self.named:
            self.named[module, name] = self.checked(module, name)
        return self.named[module, name]

    def checked(self, module: str, name: str) -> Name:
        if len(module) + len(name) > LONGEST_NAME or not IDENTIFIERS.fullmatch(module) or not name.isidentifier():
            raise Unreadable("names something that has no proper name", REMEDY_DISTRUST)
        named = Name(PYTHON_2.get(module, module), name)
        full = str(named)
        if full not in CALLS and module.split(".")[0] in GUARDED and not INERT.fullmatch(full):
            raise _refused(named)
        return named

    def call(self, name: Name, args: tuple) -> Any:
        full = str(name)
        if full in CALLS:
            try:
                return CALLS[full](self, *args)
            except TypeError:
                raise Unreadable(f"is damaged ({full} is given what it does not take)") from None
        if PERSISTENT.fullmatch(full) and len(args) == 1:
            return persistent(args[0], self.budget)
        if EASY_DICT.fullmatch(full) and not args:
            return {}
        if CALLED_INERT.fullmatch(full):
            return Foreign(name.module, name.name, args, None)
        raise _refused(name)

    def new(self, name: Name, args: tuple) -> Any:
        full = str(name)
        if full in ("collections.OrderedDict", "collections.defaultdict") or EASY_DICT.fullmatch(full):
            return {}
        if full in CALLS or full.startswith("builtins."):
            raise _refused(name)
        return Foreign(name.module, name.name, args, None)

    def build(self, value: Any, state: Any) -> None:
        if type(value) is arrays.Array:
            value.set_state(state, self.budget)
        elif type(value) is arrays.Dtype:
            value.set_order(state)
        elif type(value) is Foreign:
            if type(state) is tuple and len(state) == 2 and all(type(s) in (dict, type(None)) for s in state):
                self.budget.spend(VALUE * sum(len(s or ()) for s in state))
                state = {**(state[0] or {}), **(state[1] or {})}  # attributes and slots
            if type(value.state) is dict and type(state) is dict:
                self.budget.spend(VALUE * (len(value.state) + len(state)))
                state = {**value.state, **state}
            object.__setattr__(value, "state", state)
        elif type(value) not in (dict, set):  # attributes of a dict, such as a state_dict's _metadata, are dropped
            raise Unreadable("is damaged (a value that has no state is given one)")

    def persistent(self, pid: Any) -> Any:
        raise Unreadable("refers to data outside itself", REMEDY_DISTRUST)


def persistent(meta: Any, budget: Budget) -> Persistent:
    """NVIDIA's record of an object, without the source text that their own loader would run."""
    state = meta.get("state") if type(meta) is dict else None
    if type(state) is not dict or type(meta.get("class_name")) is not str:
        raise Unreadable("is damaged (an object of NVIDIA's persistence is not whole)")
    budget.spend(VALUE * len(state))
    state = dict(state)
    args, kwargs = state.pop("_init_args", ()), state.pop("_init_kwargs", {})
    if type(args) not in (tuple, list) or type(kwargs) is not dict:
        raise Unreadable("is damaged (an object of NVIDIA's persistence is not whole)")
    return Persistent(meta["class_name"], tuple(args), kwargs, state)


def _refused(name: Name) -> Unreadable:
    return Unreadable(
        f"asks for {ascii(str(name))[1:-1]}, which weights never need; nothing of it was run", REMEDY_DISTRUST
    )


# Constructors, each (resolver, *args); a TypeError means wrong arguments


def _values(resolver: Resolver, values: Any) -> Any:
    if type(values) not in (list, tuple, dict):
        raise TypeError
    resolver.budget.spend(VALUE * len(values))
    return values


def _dict(resolver: Resolver, pairs: Any = ()) -> dict:
    if type(_values(resolver, pairs)) is dict:
        return dict(pairs)
    if not all(type(p) in (list, tuple) and len(p) == 2 for p in pairs):
        raise TypeError
    return {key(k): value for k, value in pairs}


def _default_dict(_: Resolver, factory: Any = None) -> dict:
    return {}


def _set(resolver: Resolver, values: Any = ()) -> set:
    return {key(value) for value in _values(resolver, values)}


def _encode(resolver: Resolver, text: Any, encoding: Any = "latin1") -> bytes:
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise TypeError
    resolver.budget.spend(len(text))
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise TypeError from None


def _bytes(resolver: Resolver, *args: Any) -> bytes:
    return _encode(resolver, *args) if args else b""


def _complex(_: Resolver, real: Any, imag: Any) -> complex:
    if type(real) is not float or type(imag) is not float:
        raise TypeError
    return complex(real, imag)


def _size(resolver: Resolver, values: Any) -> tuple:
    return tuple(_values(resolver, values))


def _reconstructor(_: Resolver, cls: Any, base: Any, state: Any) -> Foreign:
    if type(cls) is not Name or str(cls) in CALLS or str(base) != "builtins.object" or state is not None:
        raise TypeError
    return Foreign(cls.module, cls.name, (), None)


def _tensor(resolver: Resolver, storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> Any:
    return arrays.tensor(storage, offset, shape, stride, resolver.budget)


def _tensor_v3(resolver: Resolver, storage: Any, offset: Any, shape: Any, stride: Any, *rest: Any) -> Any:
    dtype = arrays.DTYPES.get(rest[2].name) if len(rest) > 2 and type(rest[2]) is Name else None
    if dtype is None:
        raise TypeError
    return arrays.tensor(storage, offset, shape, stride, resolver.budget, dtype)


def _parameter(_: Resolver, data: Any, *__: Any) -> Any:
    return data


def _from_type(resolver: Resolver, function: Any, cls: Any, args: Any, state: Any) -> Any:
    if type(function) is not Name or not str(function).startswith("torch._utils._rebuild_") or type(args) is not tuple:
        raise TypeError
    return resolver.call(function, args)


def _load_from_bytes(resolver: Resolver, data: Any) -> Any:
    return resolver.storage_of(data)


def _array(_: Resolver, cls: Any, shape: Any, code: Any) -> arrays.Array:
    if str(cls) != "numpy.ndarray":
        raise TypeError
    return arrays.Array()


def _dtype(_: Resolver, code: Any, *__: Any) -> arrays.Dtype:
    return arrays.Dtype(code)


def _scalar(_: Resolver, dtype: Any, data: Any) -> Any:
    return arrays.scalar(dtype, data)


def _from_buffer(resolver: Resolver, data: Any, dtype: Any, shape: Any, order: Any) -> Any:
    return arrays.array(data, dtype, shape, order, resolver.budget)


CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _dict,
    "collections.Counter": _dict,
    "collections.defaultdict": _default_dict,
    "builtins.set": _set,
    "builtins.frozenset": _set,
    "builtins.bytes": _bytes,
    "builtins.bytearray": _bytes,
    "builtins.complex": _complex,
    "_codecs.encode": _encode,
    "copyreg._reconstructor": _reconstructor,
    "torch.Size": _size,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "torch.storage._load_from_bytes": _load_from_bytes,
    "numpy.dtype": _dtype,
    **{f"{module}.multiarray._reconstruct": _array for module in ("numpy.core", "numpy._core")},
    **{f"{module}.multiarray.scalar": _scalar for module in ("numpy.core", "numpy._core")},
    **{f"{module}.numeric._frombuffer": _from_buffer for module in ("numpy.core", "numpy._core")},
}
