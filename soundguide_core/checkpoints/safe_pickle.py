"""Tensors and plain values out of .pt, .pth, .bin and .pkl files; nothing that a file names is imported or called.

Reads torch.save's zip archives and older files, and plain pickles: NVIDIA's persistence (StyleGAN2-ADA, StyleGAN3,
StyleGAN-V) and TensorFlow-era networks with numpy variables. What is none of a tensor, number, text, bytes, bool, None,
list, tuple, dict or set comes back as a `Foreign` or `Persistent` record, and what no file of weights has need of is
refused (pickles/names.py). Of a TorchScript program, such as OpenAI's CLIP, only the tensors are read.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.errors import InputError
from .file_type import describe_start
from .pickles import omegaconf
from .pickles.arrays import Array, Dtype, Storage
from .pickles.machine import Machine
from .pickles.numbers import Numbers, as_tensor, is_tensor
from .pickles.resolver import Persistent, Resolver
from .pickles.torch_files import is_legacy, read_legacy, read_zip
from .pickles.values import REMEDY_STATE_DICT, Budget, Foreign, Name, Unreadable

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["LIMITS", "Foreign", "Limits", "Persistent", "read", "state_dict"]


@dataclass(frozen=True)
class Limits:
    """What a file may cost. memory: bytes made, against bytes of the file, beyond memory_floor."""

    file_size: int = 16 * 2**30
    opcodes: int = 500_000
    depth: int = 150  # of containers in containers
    values: int = 1_000_000  # counted as often as they are reached
    memory: int = 8
    memory_floor: int = 16 * 2**20


TEXT_PICKLES = (b"(", b"]", b"}", b"c")  # how a list, dict or object begins in protocols 0 and 1
LIMITS = Limits()


def read(path: str | os.PathLike, limits: Limits = LIMITS, *, numbers: bool = True) -> Any:
    """The value in a file of weights, tensors on the CPU in their own types and strides.

    numbers: where they are not wanted, PyTorch is not either: the tensors are pickles/numbers.Numbers, of which the
    large ones have a shape and no values.

    Raises:
        InputError: the file is missing, damaged, of another format, too large to read, or asks for code to be run.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder.", "Give the file inside it.")
    if not path.is_file():
        raise InputError(f"There is no file {path}.", "Check the path, or list what is here with `models`.")
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if not size:
                raise Unreadable("is empty")
            if size > limits.file_size:
                raise Unreadable(f"is larger than {limits.file_size / 2**30:.0f} GB", "Give the weights alone.")
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        return _read(data, limits, numbers)
    except Unreadable as error:
        raise InputError(f"{path} {error.reason}.", error.remedy) from None
    except (MemoryError, RecursionError):
        raise InputError(f"{path} is too large to be read here.", "Use a machine with more memory.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).", "Check the file and the disk.") from error


def _read(data: memoryview, limits: Limits, numbers: bool) -> Any:
    budget = Budget(limits.opcodes, limits.memory * len(data) + limits.memory_floor, numbers)

    def nested(part: Any) -> Storage:
        """The storage that torch wrote into a plain pickle as a file of its own."""
        if type(part) not in (bytes, memoryview) or not is_legacy(memoryview(part)):
            raise Unreadable("is damaged (a storage inside it is not whole)")
        storage = read_legacy(memoryview(part), budget, _no_nesting)
        if type(storage) is not Storage:
            raise Unreadable("holds a file within a file that is no storage")
        return storage

    if bytes(data[:4]) == b"PK\x03\x04":
        value = read_zip(data, budget, nested)
    elif is_legacy(data):
        value = read_legacy(data, budget, nested)
    elif data[0] == 0x80 or (bytes(data[:1]) in TEXT_PICKLES and bytes(data[-1:]) == b"."):
        machine = Machine(data, 0, Resolver(budget, nested), budget)
        value = machine.run()
        if machine.at != len(data):
            raise Unreadable("is damaged (it goes on after its end)")
    else:
        kind = describe_start(bytes(data[:512])) or "not a PyTorch file or a pickle"
        raise Unreadable(f"is {kind}", "Give a .safetensors, .pt, .pth, .bin or .pkl file of weights.")
    value = _Plain(limits, budget).value(value)
    return _program_tensors(value) if _is_program(value) else value


def _no_nesting(_: Any) -> Storage:
    raise Unreadable("holds files within files within files")


class _Plain:
    """Turns what the machine made into plain values; refuses what holds itself, nests deeply or unfolds without end."""

    def __init__(self, limits: Limits, budget: Budget):
        self.limits, self.budget = limits, budget
        self.done: dict[int, tuple[Any, int, int]] = {}  # id => plain value, height, values below
        self.tensors: dict[int, Tensor] = {}  # id of its numbers => tensor
        self.open: set[int] = set()
        self.alive: list[Any] = []  # so that no id is used twice

    def value(self, x: Any) -> Any:
        return self.walk(x, 0)[0]

    def walk(self, x: Any, depth: int) -> tuple[Any, int, int]:
        kind = type(x)
        if kind not in (list, tuple, dict, Foreign, Persistent):
            return self.leaf(x), 0, 1
        if id(x) in self.open:
            raise Unreadable("holds a value that holds itself", REMEDY_STATE_DICT)
        if id(x) not in self.done:
            self.alive.append(x)
            self.open.add(id(x))
            self.done[id(x)] = self.container(x, depth)
            self.open.discard(id(x))
        plain, height, values = self.done[id(x)]
        if depth + height > self.limits.depth:
            raise Unreadable("nests deeper than weights ever do", REMEDY_STATE_DICT)
        if values > self.limits.values:
            raise Unreadable("unfolds into more values than weights ever have", REMEDY_STATE_DICT)
        return plain, height, values

    def container(self, x: Any, depth: int) -> tuple[Any, int, int]:
        kind = type(x)
        if depth > self.limits.depth:
            raise Unreadable("nests deeper than weights ever do", REMEDY_STATE_DICT)
        if kind is Foreign and omegaconf.is_config(x):
            parts = [omegaconf.plain(x, self.budget)]
        elif kind is dict:
            parts = list(x.values())
        elif kind in (list, tuple):
            parts = list(x)
        elif kind is Foreign:
            parts = [x.args, x.state]
        else:
            parts = [x.init_args, x.init_kwargs, x.state]
        height, values, plain = 0, 1, []
        for part in parts:
            made, high, many = self.walk(part, depth + 1)
            plain.append(made)
            height, values = max(height, high + 1), values + many
        if kind is Foreign and omegaconf.is_config(x):
            return plain[0], height, values
        if kind is dict:
            return dict(zip(x, plain)), height, values
        if kind in (list, tuple):
            return kind(plain), height, values
        if kind is Foreign:
            return Foreign(x.module, x.name, *plain), height, values
        return Persistent(x.class_name, *plain), height, values

    def leaf(self, x: Any) -> Any:
        if type(x) is memoryview:
            self.budget.spend(len(x))
            return bytes(x)
        if type(x) is Name:
            return Foreign(x.module, x.name, (), None)
        if type(x) is Array and x.tensor is None:
            raise Unreadable("is damaged (an array is not whole)")
        x = x.tensor if type(x) is Array else x.flat if type(x) is Storage else x
        if type(x) is Numbers and self.budget.numbers:
            if id(x) not in self.tensors:
                self.alive.append(x)
                self.tensors[id(x)] = as_tensor(x)
            return self.tensors[id(x)]
        if type(x) is Dtype:
            return Foreign("numpy", x.code, (), None)
        return x


def state_dict(module: Persistent | Foreign) -> dict[str, Tensor]:
    """The parameters and persistent buffers of a module's record under their dotted names, as torch's state_dict."""
    out: dict[str, Tensor] = {}
    _collect(module, "", out)
    return out


def _is_program(x: Any) -> bool:
    """Is this an object of a TorchScript program, whose state holds tensors and further objects by name?"""
    return isinstance(x, Foreign) and x.module.split(".")[0] == "__torch__"


def _program_tensors(module: Foreign) -> dict[str, Tensor]:
    """The tensors of a TorchScript module under their dotted names; settings beside them are dropped."""
    out: dict[str, Tensor] = {}
    for name, x in module.state.items() if isinstance(module.state, dict) else ():
        if is_tensor(x):
            out[str(name)] = x
        elif _is_program(x):
            out |= {f"{name}.{key}": inner for key, inner in _program_tensors(x).items()}
    return out


def _collect(module: Any, prefix: str, out: dict[str, Tensor]) -> None:
    state = module.state if isinstance(module, (Foreign, Persistent)) else None
    if not isinstance(state, dict) or not all(
        isinstance(state.get(part, {}), dict) for part in ("_parameters", "_buffers", "_modules")
    ):
        raise InputError(f"{prefix.rstrip('.') or 'The object'} is not a network.", "Give a file of weights.")
    passing = state.get("_non_persistent_buffers_set") or ()
    own = {**state.get("_parameters", {}), **{k: x for k, x in state.get("_buffers", {}).items() if k not in passing}}
    for name, x in own.items():
        if is_tensor(x):
            out[f"{prefix}{name}"] = x
        elif x is not None:
            raise InputError(f"{prefix}{name} is not a tensor.", "Give a file of weights.")
    for name, child in state.get("_modules", {}).items():
        if child is not None:
            _collect(child, f"{prefix}{name}.", out)
