import math

import pytest
import torch

from soundguide_core.checkpoints import registry, safetensors_io
from soundguide_core.errors import InputError


@pytest.fixture(autouse=True)
def no_folders(monkeypatch):
    monkeypatch.setattr(registry, "_folders", {kind: [] for kind in registry.KINDS})


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    safetensors_io.save(path, {"a": torch.zeros(1)}, {})
    return path


@pytest.mark.parametrize("kind", registry.KINDS)
def test_the_miniature_is_a_row_of_every_kind(kind):
    assert registry.names(kind)[0] == "miniature"
    row = next(row for row in registry.rows() if (row.kind, row.name) == (kind, "miniature"))
    assert tuple(row.files) == registry.KINDS[kind] and row.licence == "MIT"


@pytest.mark.parametrize("row", registry.rows(), ids=lambda row: f"{row.kind}-{row.name}")
def test_rows_tell_the_truth_about_their_files(row):
    if row.missing:
        pytest.skip(f"{row.missing[0].name} is not trained yet")
    shapes = [shape for path in row.files.values() for shape in safetensors_io.describe(path)[0].values()]
    assert row.parameters == sum(math.prod(shape) for shape in shapes)


def test_rows_have_no_duplicates():
    keys = [(row.kind, row.name) for row in registry.rows()]
    assert len(set(keys)) == len(keys)


def test_path(tmp_path):
    path = touch(tmp_path / "mine.safetensors")
    assert registry.find("generator", path).files == {"generator": path}
    assert registry.find("generator", str(path)).commercial is False


def test_path_of_a_joint_is_a_folder(tmp_path):
    with pytest.raises(InputError, match="no joint"):
        registry.find("joint", tmp_path / "absent")
    touch(tmp_path / "clip.safetensors")
    with pytest.raises(InputError, match=r"clip\.safetensors and sound\.safetensors"):
        registry.find("joint", tmp_path)
    touch(tmp_path / "sound.safetensors")
    assert registry.find("joint", tmp_path).files["sound"] == tmp_path / "sound.safetensors"


def test_names_in_added_folders(tmp_path):
    touch(tmp_path / "g" / "a.safetensors")
    path = touch(tmp_path / "g" / "sub" / "b.safetensors")
    registry.add_folder("generator", tmp_path / "g")
    registry.add_folder("generator", tmp_path / "g")
    assert registry.names("generator") == ["miniature", "a.safetensors", "sub/b.safetensors"]
    assert registry.find("generator", "sub/b.safetensors").files["generator"] == path
    for part in ("clip", "sound"):
        touch(tmp_path / "j" / "mine" / f"{part}.safetensors")
    touch(tmp_path / "j" / "half" / "clip.safetensors")
    registry.add_folder("joint", tmp_path / "j")
    assert registry.names("joint") == ["miniature", "mine"]
    assert registry.find("joint", "mine").files["clip"] == tmp_path / "j" / "mine" / "clip.safetensors"


@pytest.mark.parametrize("name", ["", "nonsense", "../miniature"])
def test_unknown_names_list_the_known(name):
    with pytest.raises(InputError, match="Use one of: miniature"):
        registry.find("generator", name)


def test_a_folder_is_not_a_generator(tmp_path):
    with pytest.raises(InputError, match="safetensors file"):
        registry.find("generator", tmp_path)


def test_unknown_kind():
    with pytest.raises(InputError, match="joint, generator"):
        registry.find("unet", "miniature")


def test_a_row_whose_file_is_gone(monkeypatch, tmp_path):
    monkeypatch.setattr("soundguide_core.checkpoints.registry.rows", lambda: (lost,))
    lost = registry.Row("lost", "generator", {"generator": tmp_path / "x"}, "MIT", True, 0, "", "", "")
    with pytest.raises(InputError, match="missing"):
        registry.find("generator", "lost")
