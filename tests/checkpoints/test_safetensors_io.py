import json
import os
import pickle
import struct

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from soundguide_core.checkpoints import safetensors_io as io
from soundguide_core.common.errors import InputError

TENSORS = {"a.weight": torch.randn(3, 4), "steps": torch.tensor([1, 2], dtype=torch.int64)}
CONFIG = {"kind": "thing", "sizes": [1, 2], "deep": {"x": 0.5}}


def test_round_trip(tmp_path):
    io.save(tmp_path / "a.safetensors", TENSORS, CONFIG)
    tensors, config = io.load(tmp_path / "a.safetensors")
    assert config == CONFIG and tensors.keys() == TENSORS.keys()
    for key, x in TENSORS.items():
        assert torch.equal(tensors[key], x) and tensors[key].dtype == x.dtype


def test_half_comes_back_as_fp32(tmp_path):
    io.save(tmp_path / "a.safetensors", TENSORS, CONFIG, half=True)
    tensors, _ = io.load(tmp_path / "a.safetensors")
    assert torch.equal(tensors["a.weight"], TENSORS["a.weight"].half().float())
    assert tensors["steps"].dtype == torch.int64


def test_half_refuses_what_does_not_fit(tmp_path):
    with pytest.raises(ValueError, match="big"):
        io.save(tmp_path / "a.safetensors", {"big": torch.tensor([1e6])}, {}, half=True)
    assert not list(tmp_path.iterdir())


def test_views_and_shared_tensors_are_saved(tmp_path):
    x = torch.randn(4, 4)
    io.save(tmp_path / "a.safetensors", {"a": x.T, "b": x, "c": x[:, ::2]}, {})
    tensors, _ = io.load(tmp_path / "a.safetensors")
    assert torch.equal(tensors["a"], x.T) and torch.equal(tensors["c"], x[:, ::2])


def test_loaded_tensors_outlive_the_file(tmp_path):
    path = tmp_path / "a.safetensors"
    io.save(path, TENSORS, CONFIG)
    tensors, _ = io.load(path)
    path.write_bytes(b"\0" * path.stat().st_size)
    assert torch.equal(tensors["a.weight"], TENSORS["a.weight"])


def test_saving_again_replaces_the_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    io.save(path, TENSORS, {"version": 1})
    monkeypatch.setattr("safetensors.torch.save_file", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        io.save(path, TENSORS, {"version": 2})
    assert io.load(path)[1] == {"version": 1} and len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX")
def test_others_may_read_what_is_saved(tmp_path):
    io.save(tmp_path / "a.safetensors", TENSORS, CONFIG)
    (tmp_path / "plain").touch()
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_describe_reads_the_header(tmp_path):
    io.save(tmp_path / "a.safetensors", TENSORS, CONFIG)
    assert io.describe(tmp_path / "a.safetensors") == ({"a.weight": [3, 4], "steps": [2]}, CONFIG)


def _header(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


class Bomb:
    def __reduce__(self):
        return open, ("exploded", "w")


TENSOR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
HOSTILE = {
    "empty": b"",
    "seven bytes": b"1234567",
    "no header": struct.pack("<Q", 100),
    "length beyond the file": struct.pack("<Q", 2**62) + b"{}",
    "header is not JSON": _header(b"{not json"),
    "header is a list": _header([]),
    "deep nesting": _header(b'{"__metadata__":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "offsets beyond the data": _header({"a": {**TENSOR, "data_offsets": [0, 8000]}}, b"\0" * 8),
    "offsets backwards": _header({"a": {**TENSOR, "data_offsets": [8, 0]}}, b"\0" * 8),
    "shape does not fill the offsets": _header({"a": {**TENSOR, "shape": [2**40, 2**40]}}, b"\0" * 8),
    "unknown dtype": _header({"a": {**TENSOR, "dtype": "EVIL"}}, b"\0" * 8),
    "overlapping tensors": _header({"a": TENSOR, "b": TENSOR}, b"\0" * 8),
    "data cut short": _header({"a": TENSOR}, b"\0" * 4),
    "config is not JSON": _header({"a": TENSOR, "__metadata__": {"config": "{"}}, b"\0" * 8),
    "config is a number": _header({"a": TENSOR, "__metadata__": {"config": "3"}}, b"\0" * 8),
    "config nests deeply": _header({"a": TENSOR, "__metadata__": {"config": "[" * 100_000}}, b"\0" * 8),
    "no config": _header({"a": TENSOR}, b"\0" * 8),
    "pickle": pickle.dumps({"a": Bomb()}),
    "zip": b"PK\x03\x04" + b"\0" * 100,
    "web page": b"<!DOCTYPE html><html>404</html>",
    "git lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_bad_files_are_refused_and_never_run(tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.safetensors"
    path.write_bytes(HOSTILE[what])
    for read in (io.load, io.describe):
        with pytest.raises(InputError) as error:
            read(path)
        assert error.value.cause and error.value.remedy and "\n" not in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_pickle_is_called_by_its_name(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pt")
    (tmp_path / "b.pkl").write_bytes(pickle.dumps([1]))
    with pytest.raises(InputError, match=r"zip archive, as \.pt .* SoundGuide reads \.safetensors"):
        io.load(tmp_path / "a.pt")
    with pytest.raises(InputError, match="Python pickle"):
        io.load(tmp_path / "b.pkl")


def test_foreign_safetensors(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="no SoundGuide config"):
        io.load(tmp_path / "a.safetensors")


def test_missing_and_folder(tmp_path):
    with pytest.raises(InputError, match="no file"):
        io.load(tmp_path / "none.safetensors")
    with pytest.raises(InputError, match="folder"):
        io.load(tmp_path)


def test_a_header_of_very_many_tensors_is_refused_at_once(tmp_path):
    import json
    import time

    header = json.dumps({f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(300_000)})
    (tmp_path / "a.safetensors").write_bytes(len(header).to_bytes(8, "little") + header.encode())
    started = time.process_time()
    for read in (io.load, io.tensors_of, io.describe, io.has_config):
        with pytest.raises(InputError, match="far more tensors"):
            read(tmp_path / "a.safetensors")
    assert time.process_time() - started < 5


@pytest.mark.parametrize(("dtype", "shape", "size"), [("F32", [0, 2**63], 0), ("F4", [2], 1), ("F6_E2M3", [4], 3)])
def test_sizes_and_types_that_pytorch_does_not_have(tmp_path, dtype, shape, size):
    entry = {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}
    header = json.dumps({"__metadata__": {"config": "{}"}, "odd": entry}).encode()
    (tmp_path / "a.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(size))
    for read in (io.load, io.tensors_of):
        with pytest.raises(InputError, match="a size or a type|not a whole"):
            read(tmp_path / "a.safetensors")


def test_a_disk_that_fills_up_leaves_what_was_there(tmp_path, monkeypatch):
    import safetensors.torch

    def full(*_, **__):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    io.save(tmp_path / "a.safetensors", {"a": torch.zeros(3)}, {})
    before = (tmp_path / "a.safetensors").read_bytes()
    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(InputError, match="No space left"):
        io.save(tmp_path / "a.safetensors", {"a": torch.ones(3)}, {})
    assert (tmp_path / "a.safetensors").read_bytes() == before and len(list(tmp_path.iterdir())) == 1
