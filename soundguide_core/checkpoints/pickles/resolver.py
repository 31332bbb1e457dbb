"""Resolves the names in a pickle: to re-implemented constructors (CALLS), to inert records, or to a refusal."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import arrays
from .constructors import CALLS
from .machine import LONGEST_NAME
from .values import REMEDY_DISTRUST, REMEDY_STATE_DICT, VALUE, Budget, Foreign, Name, Unreadable


@dataclass(frozen=True, eq=False)
class Persistent:
    """An object of NVIDIA's persistence: its class's name, how it was made, what it holds. Its source is dropped."""

    class_name: str
    init_args: tuple
    init_kwargs: dict
    state: dict


MODULE = re.compile(r"[\w-]+(\.[\w-]+)*")
NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
# a class of a package that is not guarded; what begins with a small letter is taken for a function
CLASS = re.compile(r"(.*\.)?_*[A-Z]\w*")
PERSISTENT = re.compile(r"(\w+\.)*torch_utils\.persistence\._reconstruct_persistent_obj")
EASY_DICT = re.compile(r"(\w+\.)*dnnlib\.util\.EasyDict|easydict\.EasyDict|(\w+\.)*AttributeDict")
PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg", "UserDict": "collections", "exceptions": "builtins"}

GUARDED = {*sys.stdlib_module_names, "torch", "torchvision", "numpy"}
NAMED_FREELY = {"torch", "torchvision", "numpy"}  # guarded only where something of theirs is to be called
# of the standard library: values, which may stand as records whatever is done with them
VALUES = re.compile(
    r"(datetime|decimal|enum|fractions|ipaddress|itertools|pathlib(\._local)?|uuid|zoneinfo)\.\w+"
    r"|argparse\.Namespace|types\.SimpleNamespace|collections\.(User(Dict|List|String)|ChainMap|deque)|functools\.partial"
    r"|array\.(array|_array_reconstructor)|logging\.(getLogger|Logger)|random\.Random|re\._compile|time\.struct_time"
    r"|builtins\.(x?range|slice|iter|enumerate|zip|reversed|object|\w+(Error|Exception|Warning))"
    r"|numpy\.random(\.\w+)*|torch\.(device|Generator)|torch\.serialization\._get_layout"
)
# and what may be named, but not called
NAMED = re.compile(
    r"(typing|numbers|collections\.abc|math|cmath|_?operator|dataclasses|string|statistics)\.\w+|logging\.\w+"
    r"|builtins\.(int|long|unicode|basestring|float|bool|str|bytes|bytearray|complex|list|tuple|dict|set|frozenset|NoneType|Ellipsis"
    r"|NotImplemented|print|len|sum|min|max|abs|sorted|round|repr|callable|isinstance|hash)"
)
OPERATIONS = re.compile(r"torch\._C\.(_VariableFunctionsClass|TensorBase)\.[a-z]\w*")  # what torch.relu is named by
REBUILT = re.compile(r"(torch|numpy)\.[\w.]*_\w*(rebuild|reconstruct)\w*")  # tensors and arrays of rare kinds


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
        if len(module) + len(name) > LONGEST_NAME or not MODULE.fullmatch(module) or not NAME.fullmatch(name):
            raise Unreadable("is damaged (it names something that has no proper name)")
        named = Name(PYTHON_2.get(module, module), name)
        full = str(named)
        root = named.module.split(".")[0]
        if "." in name and (root in GUARDED or "__" in name) and not OPERATIONS.fullmatch(full):
            raise _refused(named)
        if full in CALLS or root not in GUARDED or root in NAMED_FREELY:
            return named
        if not VALUES.fullmatch(full) and not NAMED.fullmatch(full):
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
        foreign_class = full.split(".")[0] not in GUARDED and CLASS.fullmatch(name.name)
        if VALUES.fullmatch(full) or foreign_class:
            return Foreign(name.module, name.name, args, None)
        if REBUILT.fullmatch(full):
            raise Unreadable(f"holds numbers of a kind ({full}) that is not read", REMEDY_STATE_DICT)
        raise _refused(name)

    def new(self, name: Name, args: tuple) -> Any:
        full = str(name)
        if full in ("collections.OrderedDict", "collections.defaultdict") or EASY_DICT.fullmatch(full):
            return {}
        if full in CALLS or (full.startswith("builtins.") and not VALUES.fullmatch(full)):
            raise _refused(name)
        if full == "torch.torch_version.TorchVersion" and args and type(args[0]) is str:
            return args[0]
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
        elif type(value) not in (dict, set, list):  # attributes, such as a state_dict's _metadata, are dropped
            raise Unreadable("is damaged (a value that has no state is given one)")

    def persistent(self, pid: Any) -> Any:
        raise Unreadable("refers to data outside itself", REMEDY_STATE_DICT)


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
