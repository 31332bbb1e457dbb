"""Files of honest people that look odd: containers, types, prefixes and names that real checkpoints have."""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import json
import operator
import pathlib
import struct
import time
import uuid
import zipfile

import numpy as np
import pytest
import torch

from soundguide_core.checkpoints import safetensors_io, weights
from soundguide_core.checkpoints.formats.keys import flat_tensors, without_wrappers
from soundguide_core.checkpoints.pickles import arrays
from soundguide_core.checkpoints.pickles.resolver import Resolver
from soundguide_core.checkpoints.pickles.values import Budget, Unreadable
from soundguide_core.checkpoints.safe_pickle import read
from soundguide_core.cli import main
from soundguide_core.common.errors import InputError
from soundguide_core.generators.loading import load_generator
from soundguide_core.generators.stylegan2 import Generator, StyleGAN2Config

X = torch.arange(6.0).reshape(2, 3)
VALUES = {
    "deque": collections.deque([1, 2], maxlen=3),
    "Decimal": decimal.Decimal("1.5"),
    "Fraction": fractions.Fraction(3, 4),
    "OrderedDict": collections.OrderedDict(a=1),
    "defaultdict": collections.defaultdict(list, a=[1]),
    "Counter": collections.Counter("aab"),
    "datetime": datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc),
    "timedelta": datetime.timedelta(1),
    "struct_time": time.gmtime(0),
    "Path": pathlib.PurePosixPath("/x"),
    "UUID": uuid.UUID(int=3),
    "numpy scalar": np.float32(3),
    "numpy generator": np.random.default_rng(0),
    "set": {1, 2},
    "frozenset": frozenset([3]),
    "complex": 2j,
    "range": range(3),
    "slice": slice(1, 2),
    "bytearray": bytearray(b"x"),
    "dtype": torch.float16,
    "Size": torch.Size([1, 2]),
    "a tuple as a key": {(1, "a"): 2},
    "activations": [torch.relu, torch.tanh, torch.nn.functional.gelu, torch.Tensor.relu, operator.add, hash],
}


@pytest.mark.parametrize("what", VALUES)
@pytest.mark.parametrize("protocol", [2, 4])
def test_what_stands_beside_weights(tmp_path, what, protocol):
    torch.save({"beside": VALUES[what], "weight": X}, tmp_path / "a.pt", pickle_protocol=protocol)
    assert torch.equal(read(tmp_path / "a.pt")["weight"], X)


def test_values_of_containers(tmp_path):
    torch.save([VALUES["deque"], VALUES["Counter"], VALUES["OrderedDict"]], tmp_path / "a.pt")
    assert read(tmp_path / "a.pt") == [[1, 2], {"a": 2, "b": 1}, {"a": 1}]


@pytest.mark.parametrize("name", ["uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2", "bfloat16"])
def test_types_of_numbers(tmp_path, name):
    x = torch.tensor([0, 1, 2]).to(getattr(torch, name))
    torch.save({"weight": x}, tmp_path / "a.pt")
    found = read(tmp_path / "a.pt")["weight"]
    assert found.dtype == x.dtype and found.float().tolist() == [0, 1, 2]


@pytest.mark.parametrize("shape", [(5,), (1000, 512)])
def test_an_expanded_tensor(tmp_path, shape):
    torch.save({"weight": torch.ones(1).expand(shape)}, tmp_path / "a.pt")
    assert torch.equal(read(tmp_path / "a.pt")["weight"], torch.ones(shape))


def test_quantized_weights_are_no_damage(tmp_path):
    torch.save({"weight": X}, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as old, zipfile.ZipFile(tmp_path / "b.pt", "w") as new:
        for entry in old.namelist():
            new.writestr(entry, old.read(entry).replace(b"FloatStorage", b"QInt8Storage"))
    with pytest.raises(InputError, match="QInt8Storage.*before they were quantized"):
        read(tmp_path / "b.pt")


@pytest.mark.parametrize("name", ["epoch_12:30:00.pt", "a b.pt", "back\\slash.pt", "ünï.pt"])
def test_names_under_which_files_are_saved(tmp_path, name):
    torch.save({"weight": X}, tmp_path / name)
    assert torch.equal(read(tmp_path / name)["weight"], X)


@pytest.mark.parametrize("axes", ["0 x 2^47", "2^47 x 0"])
def test_an_empty_tensor_of_absurd_shape_is_read_or_a_sentence(tmp_path, axes):
    path = tmp_path / "a.pt"
    torch.save({"weight": torch.empty(0, 1)}, path)
    shape = (0, 2**47) if axes.startswith("0") else (2**47, 0)
    resolver = Resolver(Budget(100, 10**6), lambda data: data)
    storage = arrays.Storage("float32", 0, resolver.budget)
    try:
        found = arrays.tensor(storage, 0, shape, (1, 1), resolver.budget)
    except Unreadable as error:
        assert "impossible size" in str(error)
    else:
        assert tuple(found.shape) == shape


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_prefixes_of_wrappers(prefix):
    state = {"a.weight": X, "b.bias": X[0]}
    assert flat_tensors({"state_dict": {prefix + key: x for key, x in state.items()}}).keys() == state.keys()
    assert without_wrappers({prefix + key: x for key, x in state.items()}).keys() == state.keys()


@pytest.fixture
def generator_file(tmp_path):
    """A SoundGuide generator; what(tensors, config) changes what is in it."""

    def write(change=lambda tensors, config: None):
        config = StyleGAN2Config(resolution=8, z_dim=8, w_dim=8, mapping_layers=1, channel_base=64, channel_max=8)
        tensors, values = dict(Generator(config).state_dict()), config.to_dict()
        change(tensors, values)
        safetensors_io.save(tmp_path / "g.safetensors", tensors, values)
        return tmp_path / "g.safetensors"

    return write


def test_weights_that_are_no_numbers_are_named(generator_file):
    load_generator(generator_file())
    for value in (float("nan"), float("inf")):
        path = generator_file(lambda tensors, _, value=value: tensors["mapping.fc0.weight"][0].fill_(value))
        with pytest.raises(InputError, match=r"mapping\.fc0\.weight"):
            load_generator(path)


@pytest.mark.parametrize("value", ["8", [8], None, 8.5, {"a": 1}, True, -1, 2**70, float("nan")])
def test_config_values_of_the_wrong_type_are_a_sentence(generator_file, value):
    for key in ("resolution", "z_dim", "mapping_layers", "channel_base"):
        path = generator_file(lambda _, config, key=key: config.update({key: value}))
        with pytest.raises(InputError):
            load_generator(path)


def inspected(tmp_path, capsys, config: dict) -> tuple[int, str]:
    header = json.dumps({"__metadata__": {"config": json.dumps(config)}}).encode()
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    status = main(["inspect", str(tmp_path / "a.safetensors")])
    out = capsys.readouterr()
    return status, out.out + out.err


@pytest.mark.parametrize("value", [["a"], 3, None, {"b": 1}, True])
@pytest.mark.parametrize("key", ["kind", "format", "file", "sha256"])
def test_inspect_of_a_source_that_is_no_text(tmp_path, capsys, key, value):
    status, said = inspected(tmp_path, capsys, {"source": {key: value}})
    assert status == 2 and said.startswith("error: ") and "Traceback" not in said


@pytest.mark.parametrize(
    "config",
    [
        {"resolution": "\x1b]0;t\x07\x1b[2J"},
        {"unet": {"block_out_channels": ["\x1b[2J", 3]}},
        {"unet": {"block_out_channels": 7, "sample_size": "a"}},
        {"unet": [1]},
        {"source": {"format": "\x1b[2J", "kind": "generator"}},
    ],
)
def test_inspect_prints_no_terminal_escapes(tmp_path, capsys, config):
    status, said = inspected(tmp_path, capsys, config)
    assert status == 0 and "\x1b" not in said and "\x07" not in said


def test_a_header_of_very_many_tensors_is_refused_at_once(tmp_path):
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({f"t{i}": entry for i in range(300_000)}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    began = time.process_time()
    with pytest.raises(InputError, match="far more tensors"):
        weights.load(path, "generator")
    assert time.process_time() - began < 5


@pytest.mark.parametrize("value", [collections.ChainMap({}), datetime.time(1)])
def test_harsh_words_are_kept_for_what_asks_to_run(tmp_path, value):
    torch.save({"beside": value, "weight": X}, tmp_path / "a.pt")
    try:
        read(tmp_path / "a.pt")
    except InputError as error:
        assert "trust" not in str(error)
