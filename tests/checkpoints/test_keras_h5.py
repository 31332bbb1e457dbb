"""HDF5 files of weights: numbers come out, and what a file of weights has no need of is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from soundguide_core.checkpoints import keras_h5
from soundguide_core.checkpoints.formats import open_foreign
from soundguide_core.common.errors import InputError

h5py = pytest.importorskip("h5py")


def test_names_and_numbers(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("one/one/kernel:0", data=np.arange(6, dtype=">f4").reshape(2, 3))
        file.attrs["layer_names"] = ["one"]
    found = keras_h5.read(tmp_path / "a.h5")
    assert list(found) == ["one/one/kernel:0"] and torch.equal(found["one/one/kernel:0"], torch.arange(6.0).view(2, 3))
    with pytest.raises(InputError, match="no layout of weights"):
        open_foreign(tmp_path / "a.h5")


def soft(file):
    file["link"] = h5py.SoftLink("/etc/passwd")


def external(file):
    file["link"] = h5py.ExternalLink("other.h5", "/x")


def compressed(file):
    file.create_dataset("x", data=np.zeros(1000, "f4"), compression="gzip")


def unwritten(file):
    file.create_dataset("x", shape=(2**34,), dtype="f4", chunks=(2**20,))


def elsewhere(file):
    file.create_dataset("x", shape=(4,), dtype="f4", external=[("/etc/passwd", 0, 16)])


def words(file):
    file.create_dataset("x", data=np.array([b"a"]))


def itself(file):
    file.create_group("a")["b"] = file["/"]


CASES = {
    soft: "a link", external: "a link", compressed: "compressed or kept elsewhere", unwritten: "larger than their file",
    elsewhere: "compressed or kept elsewhere", words: "no floating numbers", itself: "nested or divided",
}  # fmt: skip


@pytest.mark.parametrize("build", CASES, ids=lambda f: f.__name__)
def test_what_is_refused(tmp_path, build):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        build(file)
    with pytest.raises(InputError, match=CASES[build]):
        keras_h5.read(tmp_path / "a.h5")


def test_a_damaged_file(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=np.zeros(5000, "f4"))
    whole = (tmp_path / "a.h5").read_bytes()
    (tmp_path / "b.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="not a whole HDF5 file"):
        keras_h5.read(tmp_path / "b.h5")
