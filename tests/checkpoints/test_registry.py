import math
from pathlib import Path

import pytest
import torch

from soundguide_core.checkpoints import registry, safetensors_io
from soundguide_core.common.errors import InputError


@pytest.fixture(autouse=True)
def no_folders(monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "_folders", {kind: [] for kind in registry.KINDS})
    monkeypatch.setenv(registry.MODELS_VARIABLE, str(tmp_path / "models"))


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    safetensors_io.save(path, {"a": torch.zeros(1)}, {})
    return path


SHIPPED = [row for row in registry.rows() if not row.sources]
PUBLISHED = [row for row in registry.rows() if row.sources]


def name_of(row):
    return f"{row.kind}-{row.name}"


@pytest.mark.parametrize("row", SHIPPED, ids=name_of)
def test_shipped_rows_tell_the_truth_about_their_files(row):
    assert tuple(row.files) == registry.KINDS[row.kind] and row.licence == "MIT"
    if row.missing:
        pytest.skip(f"{row.missing[0].name} is not trained yet")
    assert registry.names(row.kind)[0] == row.name
    shapes = [shape for path in row.files.values() for shape in safetensors_io.describe(path)[0].values()]
    assert row.parameters == sum(math.prod(shape) for shape in shapes)


@pytest.mark.parametrize("row", PUBLISHED, ids=name_of)
def test_published_rows_say_where_they_come_from(row):
    parts = registry.KINDS[row.kind]
    assert tuple(row.sources)[: len(parts)] == parts  # and what must lie beside them
    assert row.licence and row.description.endswith(".") and row.citation
    for source in row.sources.values():
        assert bool(source.url) != bool(source.page) and Path(source.file).suffix in (*registry.SUFFIXES, ".json")
        assert source.url.startswith("https://") or not source.url
        assert set(source.sha256) <= set("0123456789abcdef") and source.size >= 0
    assert row.how_to_get.endswith(".") and "\n" not in row.how_to_get


def test_notice_has_every_licence():
    notice = " ".join((Path(__file__).resolve().parents[2] / "NOTICE").read_text(encoding="utf-8").split())
    allowed = notice[notice.index("commercial use allowed") :]
    for row in PUBLISHED:
        assert row.licence in notice
        assert (row.name in allowed) == row.commercial


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
    with pytest.raises(InputError, match=r"Give a \.safetensors, .*file\."):
        registry.find("generator", tmp_path)


def test_unknown_kind():
    with pytest.raises(InputError, match="joint, .*generator"):
        registry.find("harp", "miniature")


def test_published_weights_that_are_not_here():
    assert "cvpr2022-landscape" not in registry.names("generator")
    with pytest.raises(InputError, match=r"landscape\.pt is missing.* `python -m soundguide_core download cvpr2022-l"):
        registry.find("generator", "cvpr2022-landscape")
    with pytest.raises(InputError, match=r"by hand from https://drive.* save it as .*model_ir_se50\.pth\.$"):
        registry.find("identity", "ir-se50")


def test_published_weights_are_found_where_they_lie(tmp_path):
    place = tmp_path / "models" / "generator" / "landscape.pt"
    assert registry.find("generator", touch(place)).files["generator"] == place
    assert registry.names("generator") == ["miniature", "cvpr2022-landscape"]  # and not its file once more
    row = registry.find("generator", "cvpr2022-landscape")
    assert row.files["generator"] == place and row.licence == "CC BY-NC-SA 4.0" and not row.commercial
    registry.add_folder("generator", tmp_path / "host")
    assert registry.find("generator", "cvpr2022-landscape").files["generator"] == place
    other = touch(tmp_path / "host" / "landscape.pt")
    assert registry.find("generator", "cvpr2022-landscape").files["generator"] == other


def test_weights_of_several_files_have_a_folder_of_their_own(tmp_path):
    folder = tmp_path / "models" / "released-trajectory" / "eccv2022-trajectory"
    for name in ("audio_inversion_.pth", "coarseformer_.pth", "midformer_.pth"):
        touch(folder / name)
    assert registry.names("released-trajectory") == []
    touch(folder / "fineformer_.pth")
    assert registry.names("released-trajectory") == ["eccv2022-trajectory"]
    assert registry.find("released-trajectory", "eccv2022-trajectory").files["mid"] == folder / "midformer_.pth"


@pytest.mark.parametrize("suffix", registry.SUFFIXES)
def test_every_ending_is_listed(tmp_path, suffix):
    touch(tmp_path / "g" / f"mine{suffix}")
    for name in ("mine.txt", "mine.pkl.part", "mine.ckpt.zip"):
        touch(tmp_path / "g" / name)
    registry.add_folder("generator", tmp_path / "g")
    assert registry.names("generator") == ["miniature", f"mine{suffix}"]


def test_a_joint_may_hold_a_foreign_sound_encoder(tmp_path):
    touch(tmp_path / "clip.safetensors")
    touch(tmp_path / "sound.pth")
    assert registry.find("joint", tmp_path).files["sound"] == tmp_path / "sound.pth"


def test_where_downloads_go(tmp_path, monkeypatch):
    assert registry.models_folder() == tmp_path / "models"
    monkeypatch.delenv(registry.MODELS_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert registry.models_folder() == tmp_path / "cache" / "soundguide"
    pack = tmp_path / "ComfyUI" / "custom_nodes" / "SoundGuide" / "soundguide_core"
    (tmp_path / "ComfyUI" / "models").mkdir(parents=True)
    monkeypatch.setattr(registry, "PACKAGE", pack)
    assert registry.models_folder() == tmp_path / "ComfyUI" / "models" / "soundguide"


def test_a_row_whose_file_is_gone(monkeypatch, tmp_path):
    monkeypatch.setattr("soundguide_core.checkpoints.registry.rows", lambda kind=None: (lost,))
    lost = registry.Row("lost", "generator", {"generator": tmp_path / "x"}, "MIT", True, 0, "", "", "")
    with pytest.raises(InputError, match="missing"):
        registry.find("generator", "lost")


def test_every_default_is_a_row_and_what_none_means():
    listed = {(row.kind, row.name) for row in registry.rows()}
    defaults = registry._file()["default"]
    assert defaults.keys() <= registry.KINDS.keys() and set(defaults.items()) <= listed
    for kind, name in defaults.items():
        assert registry.default(kind) == name
    assert registry.find("joint") == registry.find("joint", registry.default("joint"))
    with pytest.raises(InputError, match="There is no identity that is taken by default. Name one"):
        registry.find("identity")


def test_a_client_is_offered_where_it_is_installed(monkeypatch, tmp_path):
    (client,) = registry.clients()
    assert (client.folder / "__init__.py").is_file() and client.recipes.is_dir()
    monkeypatch.setattr(registry, "PACKAGE", tmp_path)
    monkeypatch.setattr(registry, "_file", lambda: {"client": [CLIENT]})
    assert registry.clients() == []
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").touch()
    (mine,) = registry.clients()
    assert mine.recipes == tmp_path / "mine" / "recipes" and mine.evaluate == {"taste": "evaluation.taste"}


CLIENT = {"folder": "mine", "recipes": "recipes", "train": {}, "evaluate": {"taste": "evaluation.taste"}}
