"""Files as torch, numpy and NVIDIA's tools write them come back as the same numbers."""

from __future__ import annotations

import argparse
import array
import collections
import datetime
import decimal
import enum
import fractions
import itertools
import pathlib
import pickle
import re
import sys
import types
import uuid

import numpy as np
import pytest
import torch

from soundguide_core.checkpoints import safe_pickle
from soundguide_core.checkpoints.pickles import arrays
from soundguide_core.checkpoints.pickles.values import Budget, Unreadable
from soundguide_core.checkpoints.safe_pickle import Foreign, Persistent, read, state_dict
from soundguide_core.common.errors import InputError

X = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
TENSORS = {
    "plain": X,
    "transposed": X.T,
    "every second": X[:, ::2],
    "half": X.half(),
    "bfloat16": X.bfloat16(),
    "double": X.double(),
    "complex": X.to(torch.complex64),
    "long": torch.arange(3),
    "int": torch.arange(3, dtype=torch.int32),
    "byte": torch.arange(3, dtype=torch.uint8),
    "bool": torch.tensor([True, False]),
    "nothing": torch.empty(0, 3),
    "scalar": torch.tensor(2.0),
    "parameter": torch.nn.Parameter(X + 1),
}
VALUES = {
    "list": [1, -2.5, "ä", None, True, (1, (2, 3)), b"bytes"],
    "long": 2**70,
    "negative": -(2**40),
    "set": {1, "a"},
    "ordered": collections.OrderedDict(b=1, a=2),
    "counter": collections.Counter("aab"),
    "complex": 1 + 2j,
    "numpy float": np.float64(2.5),
    "numpy bool": np.bool_(True),
    "size": torch.Size([2, 3]),
}
ARRAYS = {
    "f4": np.arange(6, dtype="f4").reshape(2, 3),
    "big endian": np.arange(6, dtype=">f4").reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "u2": np.array([0, 65535], dtype="u2"),
    "u4": np.array([0, 2**32 - 1], dtype="u4"),
    "bool": np.array([True, False]),
    "scalar": np.array(3.5),
    "empty": np.empty((0, 2)),
    "large": np.arange(40_000.0),
}


def save_zip(value, path):
    torch.save(value, path)


def save_legacy(value, path):
    torch.save(value, path, _use_new_zipfile_serialization=False)


def dump(protocol):
    return lambda value, path: path.write_bytes(pickle.dumps(value, protocol=protocol))


WRITERS = {"zip": save_zip, "legacy": save_legacy, **{f"pickle {p}": dump(p) for p in (2, 3, 4, 5)}}


@pytest.fixture(params=WRITERS)
def write(request, tmp_path):
    def write(value):
        WRITERS[request.param](value, tmp_path / "a.pt")
        return tmp_path / "a.pt"

    return write


def same(a, b) -> bool:
    return torch.equal(a, b) and a.dtype == b.dtype


def test_tensors(write):
    found = read(write(collections.OrderedDict(TENSORS)))
    assert list(found) == list(TENSORS) and type(found) is dict
    for name, x in TENSORS.items():
        assert same(found[name], x.detach()) and found[name].stride() == x.stride(), name
        assert type(found[name]) is torch.Tensor


def test_plain_values(write):
    found = read(write(VALUES))
    assert found == {**VALUES, "size": (2, 3)}
    assert type(found["numpy float"]) is float and type(found["numpy bool"]) is bool
    assert type(found["ordered"]) is dict and list(found["ordered"]) == ["b", "a"]


def test_arrays_become_tensors(write):
    found = read(write(ARRAYS))
    for name, x in ARRAYS.items():
        assert found[name].shape == x.shape and np.array_equal(found[name].numpy(), x), name


@pytest.mark.parametrize("writer", [save_zip, save_legacy])
def test_memory_is_shared_as_it_was(tmp_path, writer):
    writer({"a": X, "b": X.T, "c": X}, tmp_path / "a.pt")
    found = read(tmp_path / "a.pt")
    found["a"][0, 0] = 7
    assert found["a"] is found["c"] and found["b"][0, 0] == 7


def test_archives_without_checksums(tmp_path):
    """as torch writes them where compute_crc32 is off"""
    torch.save({"a": X}, tmp_path / "a.pt")
    data = (tmp_path / "a.pt").read_bytes()
    data = re.sub(rb"(PK\x01\x02.{12}).{4}", lambda found: found[1] + bytes(4), data, flags=re.DOTALL)
    (tmp_path / "a.pt").write_bytes(data)
    assert torch.equal(read(tmp_path / "a.pt")["a"], X)


def test_nothing_of_the_file_is_needed_afterwards(write):
    path = write({"a": X})
    found = read(path)
    path.write_bytes(b"\0" * path.stat().st_size)
    assert torch.equal(found["a"], X)


def test_records_stand_for_classes(write):
    found = read(write({"args": argparse.Namespace(size=256, name="x"), "type": torch.float16, "class": int}))
    assert found["args"] == found["args"] and type(found["args"]) is Foreign
    assert (found["args"].module, found["args"].name, found["args"].state) == (
        "argparse", "Namespace", {"size": 256, "name": "x"})  # fmt: skip
    assert (found["type"].module, found["type"].name) == ("torch", "float16")


def test_a_whole_network(write):
    network = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.ReLU())
    network.register_buffer("passing", torch.zeros(1), persistent=False)
    found = read(write(network))
    assert found.name == "Sequential"
    ours, theirs = state_dict(found), network.state_dict()
    assert list(ours) == list(theirs) and all(same(ours[k], theirs[k]) for k in ours)


def test_an_optimiser_and_metadata(write):
    state = torch.nn.Linear(2, 3).state_dict()  # an OrderedDict with an attribute
    optimiser = {"state": {0: {"step": 1, "exp_avg": X}}, "param_groups": [{"lr": 0.1, "betas": (0, 0.99)}]}
    found = read(write({"g": state, "o": optimiser}))
    assert same(found["g"]["weight"], state["weight"]) and same(found["o"]["state"][0]["exp_avg"], X)
    assert found["o"]["param_groups"] == optimiser["param_groups"]


# NVIDIA's persistence, made with a stand-in whose source would show itself if it were run

SOURCE = "raise SystemExit('executed')"


@pytest.fixture
def nvidia(monkeypatch):
    """(class name, state, init kwargs) -> an object that pickles as NVIDIA's do, under any prefix of the module."""

    def make(prefix=""):
        module = types.ModuleType(f"{prefix}torch_utils.persistence")

        def _reconstruct_persistent_obj(meta):
            raise SystemExit("executed")

        _reconstruct_persistent_obj.__module__ = module.__name__
        _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
        module._reconstruct_persistent_obj = _reconstruct_persistent_obj
        names = module.__name__.split(".")
        for i in range(1, len(names)):
            monkeypatch.setitem(sys.modules, ".".join(names[:i]), types.ModuleType(".".join(names[:i])))
        monkeypatch.setitem(sys.modules, module.__name__, module)

        class Object:
            def __init__(self, class_name, state, **kwargs):
                self.meta = {"type": "class", "version": 6, "module_src": SOURCE, "class_name": class_name,
                             "state": {**state, "_init_args": (), "_init_kwargs": kwargs}}  # fmt: skip

            def __reduce__(self):
                return module._reconstruct_persistent_obj, (self.meta,)

        return Object

    return make


@pytest.mark.parametrize("prefix", ["", "src."])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_persistence(nvidia, tmp_path, prefix, protocol):
    thing = nvidia(prefix)
    linear = thing("FullyConnectedLayer", {"_parameters": {"weight": torch.nn.Parameter(X), "bias": None},
                                           "_buffers": {}, "_modules": {}, "gain": np.float64(0.5)}, lr=1)  # fmt: skip
    network = thing("Generator", {"_parameters": {}, "_buffers": {"w_avg": X[0]}, "_modules": {"fc": linear}}, z_dim=6)
    value = {"G_ema": network, "training_set_kwargs": None, "augment_pipe": None}
    (tmp_path / "n.pkl").write_bytes(pickle.dumps(value, protocol=protocol))
    found = read(tmp_path / "n.pkl")["G_ema"]
    assert type(found) is Persistent and found.class_name == "Generator"
    assert found.init_args == () and found.init_kwargs == {"z_dim": 6}
    assert found.state["_modules"]["fc"].state["gain"] == 0.5
    weights = state_dict(found)
    assert list(weights) == ["w_avg", "fc.weight"] and same(weights["fc.weight"], X) and same(weights["w_avg"], X[0])
    assert SOURCE not in repr(found)


def test_tensorflow_networks(monkeypatch, tmp_path):
    module = types.ModuleType("dnnlib.tflib.network")
    network_type = type("Network", (), {"__module__": module.__name__})
    module.Network = network_type
    for name in ("dnnlib", "dnnlib.tflib"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    network = network_type()
    weight = np.random.default_rng(0).normal(size=(3, 3, 2, 4)).astype("f4")
    network.__dict__.update(version=4, name="Gs", build_module_src=SOURCE, static_kwargs={"resolution": 8},
                            variables=[("4x4/Conv/weight", weight), ("lod", np.float32(0))])  # fmt: skip
    (tmp_path / "tf.pkl").write_bytes(pickle.dumps((network, network, network), protocol=4))
    found = read(tmp_path / "tf.pkl")
    assert type(found) is tuple and found[0] is found[2] and found[0].name == "Network"
    (name, tensor), (_, lod) = found[0].state["variables"]
    assert name == "4x4/Conv/weight" and np.array_equal(tensor.numpy(), weight) and lod == 0


def test_settings_of_omegaconf_become_plain(monkeypatch, tmp_path):
    """The layout of its nodes: _content or _val, and _parent upwards, which makes a circle."""
    for name in ("omegaconf", "omegaconf.dictconfig", "omegaconf.nodes", "omegaconf.listconfig"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    made = {}
    for module, name in (("dictconfig", "DictConfig"), ("nodes", "AnyNode"), ("listconfig", "ListConfig")):
        made[name] = type(name, (), {"__module__": f"omegaconf.{module}"})
        setattr(sys.modules[f"omegaconf.{module}"], name, made[name])

    def node(value, parent=None):
        kind = {dict: "DictConfig", list: "ListConfig"}.get(type(value), "AnyNode")
        out = made[kind]()
        out._parent = parent
        if kind == "DictConfig":
            out._content = {k: node(v, out) for k, v in value.items()}
        elif kind == "ListConfig":
            out._content = [node(v, out) for v in value]
        else:
            out._val = value
        return out

    root = node({"model": {"fps": 25, "again": "${model.fps}", "lost": "${no.where}", "sizes": [1, "${sampling.n}"]},
                 "sampling": {"n": 3, "via": "${model.again}"}})  # fmt: skip
    (tmp_path / "c.pkl").write_bytes(pickle.dumps({"cfg": root._content["model"], "all": root}))
    found = read(tmp_path / "c.pkl")
    assert found["cfg"] == {"fps": 25, "again": 25, "lost": "${no.where}", "sizes": [1, 3]}
    assert found["all"]["sampling"] == {"n": 3, "via": 25}


def test_state_dict_says_what_is_no_network():
    with pytest.raises(InputError, match="not a network"):
        state_dict(Foreign("a", "b", (), None))
    with pytest.raises(InputError, match="fc is not a network"):
        state_dict(Foreign("a", "b", (), {"_modules": {"fc": 3}}))
    with pytest.raises(InputError, match="x is not a tensor"):
        state_dict(Foreign("a", "b", (), {"_parameters": {"x": 3}}))


def test_limits_are_settings(tmp_path):
    torch.save({"a": X}, tmp_path / "a.pt")
    for limits in (safe_pickle.Limits(file_size=10), safe_pickle.Limits(opcodes=10), safe_pickle.Limits(values=1)):
        with pytest.raises(InputError):
            read(tmp_path / "a.pt", limits)
    assert read(tmp_path / "a.pt", safe_pickle.Limits(opcodes=300))


def test_missing_and_folder(tmp_path):
    with pytest.raises(InputError, match="no file"):
        read(tmp_path / "none.pt")
    with pytest.raises(InputError, match="folder"):
        read(tmp_path)


# Honest files of a rarer kind


class Child(dict):
    pass


class Colour(enum.Enum):
    RED = 1


class Outer:
    class Nested(list):
        pass


HONEST = {
    "deque": (collections.deque([1, 2], maxlen=3), [1, 2]),
    "empty deque": (collections.deque(), []),
    "frozenset": (frozenset({1, 2}), frozenset({1, 2})),
    "tuple keys": ({(0, "a"): 1, frozenset({3}): 2}, {(0, "a"): 1, frozenset({3}): 2}),
    "bytearray": (bytearray(b"ab"), b"ab"),
    "default dict": (collections.defaultdict(list, a=[1]), {"a": [1]}),
    "torch version": (torch.torch_version.TorchVersion("2.1.0"), "2.1.0"),
    "numpy integer": (np.uint16(7), 7),
}
RECORDS = {
    "Decimal": decimal.Decimal("1.5"),
    "Fraction": fractions.Fraction(1, 3),
    "datetime": datetime.datetime(2020, 1, 2, tzinfo=datetime.timezone.utc),
    "date": datetime.date(2020, 1, 2),
    "path": pathlib.PurePosixPath("/a/b"),
    "uuid": uuid.UUID(int=3),
    "range": range(3),
    "slice": slice(1, 2),
    "device": torch.device("cpu"),
    "enum": Colour.RED,
    "subclass of dict": Child(a=1),
    "nested class": Outer.Nested([1]),
    "objects": np.array([{"a": 1}, None], dtype=object),
    "texts": np.array(["a", "bc"]),
    "dates": np.array(["2020-01-01"], dtype="M8[D]"),
    "numpy text": np.str_("a"),
    "exception": ValueError("no"),
    "pattern": re.compile("a+"),
    "counter of a loop": itertools.count(3),
    "sentinel": object(),
    "array": array.array("d", [1.0]),
    "type of None": type(None),
    "function": torch.nn.functional.relu,
    "random state": np.random.RandomState(0),
}


@pytest.mark.parametrize("what", HONEST)
def test_rarer_values(write, what):
    assert read(write({"a": HONEST[what][0], "x": X}))["a"] == HONEST[what][1]


@pytest.mark.parametrize("what", RECORDS)
@pytest.mark.filterwarnings("ignore:.*itertools:DeprecationWarning")
def test_rarer_objects_are_records(write, what):
    found = read(write({"a": RECORDS[what], "x": X}))
    assert isinstance(found["a"], Foreign) and torch.equal(found["x"], X)


@pytest.mark.parametrize("protocol", [0, 1])
def test_old_protocols(tmp_path, protocol):
    value = {"a": [1, -2.5, True, None, "ä\n", (1, 2), 2**70], "b": decimal.Decimal(1), "c": Child(a=1)}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value, protocol=protocol))
    found = read(tmp_path / "a.pkl")
    assert found["a"] == value["a"] and found["c"].name == "Child"


@pytest.mark.parametrize("dtype", [name for name in arrays.RECENT if hasattr(torch, name)])
@pytest.mark.parametrize("writer", [save_zip, save_legacy])
def test_recent_types(tmp_path, dtype, writer):
    x = torch.arange(8, dtype=torch.uint8).view(getattr(torch, dtype))
    writer({"a": x}, tmp_path / "a.pt")
    found = read(tmp_path / "a.pt")["a"]
    assert found.dtype == x.dtype and torch.equal(found.view(torch.uint8), x.view(torch.uint8))


@pytest.mark.skipif(sys.platform == "win32", reason="no colons in names there")
@pytest.mark.parametrize("name", ["epoch_12:30:00.pt", "a:.pt", "a b..c.pt"])
def test_a_name_with_colons(tmp_path, name):
    torch.save({"a": X}, tmp_path / name)
    assert torch.equal(read(tmp_path / name)["a"], X)


@pytest.mark.parametrize("shape", [(0, 2**47), (2**20, 0, 2**20)])
def test_no_numbers_along_a_long_axis(write, shape):
    assert read(write({"a": torch.empty(0).as_strided(shape, (1,) * len(shape))}))["a"].shape == shape


def test_an_impossible_shape_is_one_sentence():
    budget = Budget(1000, 1000)
    with pytest.raises(Unreadable, match="impossible size"):
        arrays.tensor(arrays.Storage("float32", 0, budget), 0, (0, 2**47, 2**47), (1, 1, 1), budget)


def test_a_tar_archive_is_named(tmp_path):
    import tarfile

    with tarfile.open(tmp_path / "a.pt", "w") as archive:
        archive.addfile(tarfile.TarInfo("sys_info"))
    with pytest.raises(InputError, match="a tar archive, as PyTorch wrote before"):
        read(tmp_path / "a.pt")
