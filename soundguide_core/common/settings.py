"""Settings: fields of frozen dataclasses that carry their default, bounds, choices and one line of help.

From them the bounds are checked (check_settings), the options of the command line are built (cli/settings.py) and the
inputs of the nodes (nodes/settings.py), so that each is said once. Imports nothing heavy.
"""

from __future__ import annotations

import copy
import functools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass, replace
from typing import Any, NamedTuple, TypeVar

from .errors import InputError, check_number, check_whole
from .typed import check_types

KEY = "setting"
SEED_HIGH = 2**32 - 1
T = TypeVar("T")


@dataclass(frozen=True)
class Setting:
    """What is known about one setting besides its name and default.

    help: one line, without a full stop. what: its name in an error, "The number of steps"; of a word or a mapping the
    noun alone, "variant".
    low, high: bounds, both included; offered: the narrower ones that a node offers. step: of a node's number.
    choices: all values that a word may have.
    option, socket: its name on the command line and as a node's input, where that is not the field's.
    tooltip: of the node's input, where it says more than help.
    parts: of a setting that is a mapping, what is known about each key; of one that is itself a dataclass, what differs
    here from what that dataclass says.
    """

    help: str = ""
    what: str = ""
    low: float | None = None
    high: float | None = None
    offered: tuple[float, float] | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    option: str = ""
    socket: str = ""
    tooltip: str = ""
    parts: Mapping[str, Setting] | None = None


def setting(default: Any, help: str = "", **known: Any) -> Any:
    """A dataclass field with this default and a Setting of `help` and `known`; the rest reads like a plain default."""
    metadata = {KEY: Setting(help, **known)}
    if default.__class__.__hash__ is None:  # a dict, say: every config gets its own
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def seed_setting(help: str, **known: Any) -> Any:
    """A seed: 0 to 2^32 - 1."""
    return setting(0, help, what="The seed", low=0, high=SEED_HIGH, **known)


class Leaf(NamedTuple):
    """One number, word or switch of a config. path: "steps", or of a part "weights.flow", "schedule.lr"."""

    path: str
    default: Any
    setting: Setting

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    @property
    def socket(self) -> str:
        return self.setting.socket or self.name

    @property
    def option(self) -> str:
        return self.setting.option or self.name.replace("_", "-")


def leaves(config: type) -> dict[str, Leaf]:
    """All settings of a config class by path; mappings and dataclasses within it are taken apart."""
    return {leaf.path: leaf for each in fields(config) if KEY in each.metadata for leaf in _leaves_of(each)}


def _default_of(each: Field) -> Any:
    if each.default is not MISSING:
        return each.default
    assert each.default_factory is not MISSING  # a setting always has a default
    return each.default_factory()


def _leaves_of(each: Field) -> Iterator[Leaf]:
    known: Setting = each.metadata[KEY]
    default = _default_of(each)
    if isinstance(default, Mapping):
        for name, part in (known.parts or {}).items():
            yield Leaf(f"{each.name}.{name}", default.get(name, 0.0), part)
    elif is_dataclass(default):
        own = leaves(type(default))
        for name, part in {**{name: leaf.setting for name, leaf in own.items()}, **(known.parts or {})}.items():
            yield Leaf(f"{each.name}.{name}", getattr(default, name), part)
    else:
        yield Leaf(each.name, default, known)


def documented(config: type) -> str:
    """Its docstring with a line for each of its settings: name, default, bounds or choices, help."""
    lines = []
    for leaf in leaves(config).values():
        s = leaf.setting
        bounds = f", {s.low:g} to {s.high:g}" if s.low is not None and s.high is not None else ""
        bounds = f", {s.low:g} or more" if s.low is not None and s.high is None else bounds
        choices = f", one of {', '.join(map(str, s.choices))}" if s.choices else ""
        lines.append(f"    {leaf.path} ({leaf.default!r}{bounds}{choices}): {s.help}")
    own = (config.__doc__ or "").rstrip()
    return f"{own}\n\n    Settings:\n" + "\n".join(f"    {line}" for line in lines) + "\n    " if lines else own


def build(config: type[T], values: Mapping[str, Any]) -> T:
    """A config from values by path; what has no value keeps the default, or that of the variant among the values."""
    made = config(**{path: value for path, value in values.items() if "." not in path})
    parts: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        if "." in path:
            name, _, key = path.partition(".")
            parts.setdefault(name, {})[key] = value
    changed = {}
    for name, part in parts.items():
        now = getattr(made, name)
        changed[name] = {**now, **part} if isinstance(now, Mapping) else replace(now, **part)
    return replace(made, **changed) if changed else made  # type: ignore[type-var]


def from_mapping(
    cls: type[T], values: Mapping[str, Any], what: str, *, remedy: str = "",
    renamed: Mapping[str, str] | None = None, skip_unknown: bool = False,
) -> T:  # fmt: skip
    """A dataclass from a mapping such as the config of a file or a table of a recipe.

    what: the mapping's name in an error, "The recipe's [model]"; remedy: of an absent entry.
    renamed: key in files of earlier versions => field. skip_unknown: leave out entries that are no field.

    Raises:
        InputError: an entry that is no field, none for a field without a default, or one of another type.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"{what} is no table of names and values.", remedy or "Get or write it again, complete.")
    given = {(renamed or {}).get(key, key): value for key, value in values.items()}
    known = {each.name: each for each in fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(given.keys() - known.keys())
    if unknown and not skip_unknown:
        raise InputError(f"{what} has an unknown entry {unknown[0]!r}.", f"Use {', '.join(known)}.")
    needed = [key for key, each in known.items() if each.default is MISSING and each.default_factory is MISSING]
    if absent := [key for key in needed if key not in given]:
        raise InputError(f"{what} does not say {absent[0]!r}.", remedy or "Get or write it again, complete.")
    taken = {key: value for key, value in given.items() if key in known}
    return cls(**check_types(cls, taken, what, remedy or "Give a value of the right type."))


class Former(NamedTuple):
    """What became of a setting that was said in another unit: its field now, and its value there."""

    name: str
    value: Callable[[Any], Any]


def config(
    variants: Mapping[str, Mapping[str, Any]] | None = None,
    renamed: Mapping[str, str | Former] | None = None,
    presets: Mapping[str, Mapping[str, Any]] | None = None,
) -> Callable[[type[T]], type[T]]:
    """Decorates a dataclass of settings.

    variants: value of the field `variant` => the defaults of other fields under that variant, where they differ.
        dataclasses.replace changes the variant alone: it hands over all fields.
    renamed: old name of a field => name, or a Former; the old one is still understood, with a warning of one line.
    presets: name => values of fields, the variant among them; preset_fields gives what a preset says.
    """

    def decorate(cls: type[T]) -> type[T]:
        init, names = cls.__init__, [each.name for each in fields(cls)]  # type: ignore[arg-type]

        @functools.wraps(init)
        def __init__(self, *args, **kwargs):
            given = {**dict(zip(names, args)), **_by_new_names(cls, kwargs, renamed or {})}
            variant = given.get("variant")
            usual = (variants or {}).get(variant, {}) if isinstance(variant, str) else {}
            init(self, *args[len(names) :], **{**copy.deepcopy(usual), **given})

        cls.__init__ = __init__  # type: ignore[method-assign]
        cls.VARIANT_DEFAULTS = dict(variants or {})  # type: ignore[attr-defined]
        cls.PRESETS = dict(presets or {})  # type: ignore[attr-defined]
        return cls

    return decorate


def _by_new_names(cls: type, given: Mapping[str, Any], renamed: Mapping[str, str | Former]) -> dict[str, Any]:
    """Keyword arguments under the names that fields have now. Of two names of one field the new one counts."""
    found = {name: value for name, value in given.items() if name not in renamed}
    for old in given.keys() & renamed.keys():
        new = renamed[old]
        name, value = (new.name, new.value(given[old])) if isinstance(new, Former) else (new, given[old])
        warnings.warn(f"{cls.__name__}: {old} is now {name}; taken as {name}={value!r}.", FutureWarning, stacklevel=3)
        found.setdefault(name, value)
    return found


def preset_names(config: type) -> tuple[str, ...]:
    """The variants that have defaults of their own, and the presets."""
    return (*getattr(config, "VARIANT_DEFAULTS", ()), *getattr(config, "PRESETS", ()))


def preset_fields(config: type, name: str) -> dict[str, Any]:
    """All fields that a preset, or a variant as one, says something of, with its values."""
    named = getattr(config, "PRESETS", {}).get(name, {"variant": name})
    return {**getattr(config, "VARIANT_DEFAULTS", {}).get(named["variant"], {}), **named}


def check_settings(config: Any) -> None:
    """Refuse a config one of whose settings is out of its bounds or not among its choices: for __post_init__.

    Raises:
        InputError: saying which, and what would do.
    """
    for each in fields(config):
        if KEY in each.metadata:
            default = _default_of(each)
            check_setting(getattr(config, each.name), default, each.metadata[KEY], each.name)


def check_setting(value: Any, default: Any, known: Setting, name: str) -> None:
    """One setting: of the kind of its default, within its bounds, among its choices."""
    what = known.what or f"The {name.replace('_', ' ')}"
    if known.choices:
        if value not in known.choices:
            noun = known.what or name.replace("_", " ")
            raise InputError(f"There is no {noun} {value!r}.", f"Use one of: {', '.join(known.choices)}.")
    elif isinstance(default, bool):
        if not isinstance(value, bool):
            raise InputError(f"{what} is {value!r}.", "Give True or False.")
    elif isinstance(default, int):
        check_whole(value, what, low=int(known.low or 0), high=int(SEED_HIGH if known.high is None else known.high))
    elif isinstance(default, float):
        check_number(value, what, low=known.low, high=known.high)
    elif isinstance(default, tuple):
        if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != len(default):
            raise InputError(f"{what} is {value!r}.", f"Give {len(default)} numbers.")
        for number in value:
            check_number(number, what, low=known.low, high=known.high)
    elif isinstance(default, Mapping):
        _check_mapping(value, known, what)
    elif is_dataclass(default) and not isinstance(value, type(default)):
        raise InputError(f"{what} is a {type(value).__name__}.", f"Give a {type(default).__name__}.")


def _check_mapping(value: Any, known: Setting, noun: str) -> None:
    parts = known.parts or {}
    if not isinstance(value, Mapping):
        raise InputError(f"The {noun}s are {value!r}.", f"Give a dict with some of: {', '.join(parts)}.")
    if unknown := sorted(set(map(str, value)) - set(parts)):
        raise InputError(f"There is no {noun} {unknown[0]!r} to weigh.", f"Use some of: {', '.join(parts)}.")
    for key, number in value.items():
        part = parts[key]
        check_number(number, part.what or f"The {noun} {key}", low=part.low, high=part.high)
