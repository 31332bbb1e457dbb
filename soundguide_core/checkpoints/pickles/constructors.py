"""Constructors that a pickle may ask for by name, written anew: containers, tensors, arrays. None is the real one."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import arrays
from .numbers import HELD, Numbers
from .values import REMEDY_STATE_DICT, VALUE, Foreign, Name, Unreadable, key

if TYPE_CHECKING:
    from .resolver import Resolver

BASES = r"builtins\.(object|dict|list|tuple|set|frozenset|int|float|str|bytes)"

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
    return {key(k, resolver.budget): value for k, value in pairs}


def _default_dict(_: Resolver, factory: Any = None) -> dict:
    return {}


def _set(resolver: Resolver, values: Any = ()) -> set:
    return {key(value, resolver.budget) for value in _values(resolver, values)}


def _frozenset(resolver: Resolver, values: Any = ()) -> frozenset:
    return frozenset(_set(resolver, values))


def _deque(resolver: Resolver, values: Any = (), maxlen: Any = None) -> list:
    return list(_values(resolver, values))


def _type(_: Resolver, value: Any) -> Name:
    return Name("builtins", type(value).__name__)


def _getattr(resolver: Resolver, owner: Any, name: Any) -> Name:
    """A class within a class, or a member of an enum, as protocols before 4 name them."""
    if type(owner) is not Name or type(name) is not str:
        raise TypeError
    return resolver.name(owner.module, f"{owner.name}.{name}")


def _encode(resolver: Resolver, text: Any, encoding: Any = "latin1") -> bytes:
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise TypeError
    resolver.budget.spend(len(text))
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise TypeError from None


def _bytes(resolver: Resolver, *args: Any) -> bytes:
    if len(args) == 1 and type(args[0]) is bytes:
        return args[0]
    return _encode(resolver, *args) if args else b""


def _complex(_: Resolver, real: Any, imag: Any) -> complex:
    if type(real) is not float or type(imag) is not float:
        raise TypeError
    return complex(real, imag)


def _size(resolver: Resolver, values: Any) -> tuple:
    return tuple(_values(resolver, values))


def _reconstructor(_: Resolver, cls: Any, base: Any, state: Any) -> Foreign:
    """An object of protocols 0 and 1; one of a class derived from a container or a number has that as its argument."""
    if type(cls) is not Name or str(cls) in CALLS or not re.fullmatch(BASES, str(base)):
        raise TypeError
    return Foreign(cls.module, cls.name, () if state is None else (state,), None)


def _new_object(resolver: Resolver, cls: Any, *args: Any) -> Any:
    if type(cls) is not Name:
        raise TypeError
    return resolver.new(cls, args)


def _new_object_ex(resolver: Resolver, cls: Any, args: Any, _: Any) -> Any:
    if type(args) is not tuple:
        raise TypeError
    return _new_object(resolver, cls, *args)


def _tensor(resolver: Resolver, storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> Any:
    return arrays.tensor(storage, offset, shape, stride, resolver.budget)


def _tensor_v3(resolver: Resolver, storage: Any, offset: Any, shape: Any, stride: Any, *rest: Any) -> Any:
    kind = _dtype_named(rest[2] if len(rest) > 2 else None)
    return arrays.tensor(storage, offset, shape, stride, resolver.budget, kind)


def _dtype_named(name: Any) -> str:
    if type(name) is not Name or name.module != "torch":
        raise TypeError
    if name.name not in HELD:
        raise Unreadable(f"holds numbers of a kind ({name}) that is not read", REMEDY_STATE_DICT)
    return name.name


def _moved_tensor(resolver: Resolver, data: Any, dtype: Any, *_: Any) -> Any:
    """A tensor of an accelerator that was brought to the processor to be saved. data: an array or a tensor."""
    x = data.tensor if type(data) is arrays.Array else data
    if not isinstance(x, Numbers):
        raise TypeError
    resolver.budget.spend(8 * x.size)
    return Numbers.of(x, _dtype_named(dtype))


def _no_numbers(*_: Any) -> Any:
    raise Unreadable("holds a tensor without numbers (of the device meta)", "Save it again with its weights.")


def _parted(_: Resolver, values: Any, *__: Any) -> Any:
    return values


def _parameter(_: Resolver, data: Any, *__: Any) -> Any:
    return data


def _from_type(resolver: Resolver, function: Any, cls: Any, args: Any, _: Any) -> Any:
    if type(function) is not Name or not str(function).startswith("torch._utils._rebuild_") or type(args) is not tuple:
        raise TypeError
    return resolver.call(function, args)


def _load_from_bytes(resolver: Resolver, data: Any) -> Any:
    return resolver.storage_of(data)


def _array(_: Resolver, cls: Any, shape: Any, code: Any) -> arrays.Array:
    if type(cls) is not Name or cls.module.split(".")[0] != "numpy":
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
    "builtins.frozenset": _frozenset,
    "builtins.type": _type,
    "builtins.getattr": _getattr,
    "collections.deque": _deque,
    "builtins.bytes": _bytes,
    "builtins.bytearray": _bytes,
    "builtins.complex": _complex,
    "_codecs.encode": _encode,
    "copyreg._reconstructor": _reconstructor,
    "copyreg.__newobj__": _new_object,
    "copyreg.__newobj_ex__": _new_object_ex,
    "torch.Size": _size,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "torch._tensor._rebuild_from_type": _from_type,
    "torch._utils._rebuild_device_tensor_from_numpy": _moved_tensor,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _moved_tensor,
    "torch._utils._rebuild_xla_tensor": _moved_tensor,
    "torch._utils._rebuild_meta_tensor_no_storage": _no_numbers,
    **{f"torch.jit._pickle.build_{kind}list": _parted for kind in ("int", "double", "bool", "tensor")},
    "torch.jit._pickle.restore_type_tag": _parted,
    "torch.storage._load_from_bytes": _load_from_bytes,
    "numpy.dtype": _dtype,
    **{f"{module}.multiarray._reconstruct": _array for module in ("numpy.core", "numpy._core")},
    **{f"{module}.multiarray.scalar": _scalar for module in ("numpy.core", "numpy._core")},
    **{f"{module}.numeric._frombuffer": _from_buffer for module in ("numpy.core", "numpy._core")},
}
