"""Folders, shards and named sources."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from soundguide_core.common.errors import InputError
from soundguide_core.training.data import sources
from soundguide_core.training.data.captions import open_captioned
from soundguide_core.training.data.pictures import open_pictures, open_split
from soundguide_core.training.data.videos import open_videos
from soundguide_core.training.recipe import named_function


def save(path: Path, grey: int, size=(20, 30)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (grey,) * 3).save(path)
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "pictures"
    for i in range(4):
        save(folder / f"{i}.png", 50 * i)
    save(folder / "more" / "deep.jpg", 200)
    (folder / "notes.md").write_text("not a picture")
    return folder


def test_pictures_of_a_folder_in_any_depth(folder, tmp_path):
    pictures = open_pictures(folder=folder, size=16, cache=tmp_path / "cache")
    assert list(pictures.names) == ["0.png", "1.png", "2.png", "3.png", str(Path("more") / "deep.jpg")]
    img = pictures.batch(torch.tensor([2, 0]).numpy())
    assert img.shape == (2, 3, 16, 16) and img.min() >= -1
    assert ((img.mean((1, 2, 3)) + 1) * 127.5).round().tolist() == [100, 0]


def test_unreadable_pictures_are_left_out_and_named(folder, tmp_path, caplog):
    (folder / "broken.png").write_bytes((folder / "0.png").read_bytes()[:40])
    (folder / "text.png").write_text("words")
    pictures = open_pictures(folder=folder, size=16, cache=tmp_path / "cache")
    assert len(pictures) == 5
    assert "text.png" in caplog.text and "broken.png" in caplog.text and len(caplog.records) == 2


def test_a_folder_is_decoded_once_until_it_changes(folder, tmp_path):
    calls = []
    for _ in range(2):
        open_pictures(folder=folder, size=16, cache=tmp_path / "cache", on_step=lambda i, n: calls.append(n))
    assert calls == [5]
    save(folder / "new.png", 10)
    assert len(open_pictures(folder=folder, size=16, cache=tmp_path / "cache")) == 6


def test_a_tenth_is_held_out(tmp_path):
    for i in range(30):
        save(tmp_path / "pictures" / f"{i:02d}.png", 8 * i)
    learned, held = open_split(folder=tmp_path / "pictures", size=8, cache=tmp_path / "cache")
    assert (len(learned), len(held)) == (27, 3) and not set(learned.names) & set(held.names)
    assert ((held.batch([1])[0, 0, 0, 0] + 1) * 127.5).round() == 8 * int(held.names[1][:2])


@pytest.mark.parametrize("opener", [open_pictures, open_videos, open_captioned])
def test_folders_without_data_are_refused(opener, tmp_path):
    more = {"fps": 12} if opener is open_videos else {}
    with pytest.raises(InputError, match="no folder"):
        opener(folder=tmp_path / "absent", size=16, cache=tmp_path / "cache", **more)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no"):
        opener(folder=tmp_path / "empty", size=16, cache=tmp_path / "cache", **more)


def test_captions_beside_pictures(folder, tmp_path):
    (folder / "0.txt").write_text("black\nnight\n\n")
    (folder / "1.txt").write_text("  dark   grey ")
    data, _ = open_captioned(folder=folder, size=16, cache=tmp_path / "cache", augmentation=0.0)
    assert len(data) == 2 and data.vocabulary == ["black", "dark grey", "night"]
    batch = data.draw(2, 0, 16, np.random.default_rng(0))
    assert batch.img.shape == (2, 3, 16, 16) and torch.equal(batch.image_text, torch.eye(2))
    pairs = dict(zip(batch.texts, batch.paraphrases))
    assert all(pairs.get(a, b) == b for a, b in (("black", "night"), ("night", "black"), ("dark grey", "dark grey")))


def test_captions_of_a_table_fit_all_pictures_that_have_them(folder, tmp_path):
    rows = "file_name,caption\n0.png,grey\n1.png,grey\nmore/deep.jpg,light\nabsent.png,nothing\n"
    (folder / "captions.csv").write_text(rows)
    data, _ = open_captioned(folder=folder, size=16, cache=tmp_path / "cache")
    batch = data.draw(3, 0, 16, np.random.default_rng(1))
    same = torch.tensor([[float(a == b) for b in batch.texts] for a in batch.texts])
    assert torch.equal(batch.image_text, same) and same.sum() == 5 and batch.paraphrases is None
    (folder / "captions.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="file_name"):
        open_captioned(folder=folder, size=16, cache=tmp_path / "cache")


def test_clips_keep_the_distances_of_times(tmp_path):
    for k, count in enumerate((4, 9)):
        for i in range(count):
            save(tmp_path / "clips" / str(k) / f"{i}.png", 100 * k + 10 * i, (16, 16))
    (tmp_path / "clips" / "bad.mp4").write_text("no video")
    videos = open_videos(folder=tmp_path / "clips", size=16, fps=12, cache=tmp_path / "cache")
    assert len(videos) == 2 and videos.longest == 9
    times = torch.tensor([[0.0, 1.0, 6.0], [5.0, 6.0, 7.0], [2.0, 4.0, 10.0]])
    for seed in range(5):
        rng = torch.Generator().manual_seed(seed)
        got = videos.draw(times, torch.zeros(3, 2), None, rng)
        assert torch.equal(got.t - got.t[:, :1], (times - times[:, :1]).double())
        grey = ((got.frames[:, :, 0, 0, 0] + 1) * 127.5).round().double()
        clip = (grey[:, :1] >= 100).double()
        assert torch.equal(grey, 100 * clip + 10 * got.t) and clip[[0, 2]].all()
    with pytest.raises(InputError, match="10 frames"):
        videos.draw(torch.tensor([[0.0, 9.0]]), torch.zeros(1, 2), None, rng)


def test_shards_of_pictures(tmp_path, monkeypatch):
    png = save(tmp_path / "a.png", 120).read_bytes()
    samples = [
        {"__key__": "x/1", "png": png, "txt": b"grey"},
        {"__key__": "x/2", "txt": b"nothing"},
        {"__key__": "x/3", "jpg": b"broken", "txt": b"broken"},
    ]
    shards = SimpleNamespace(expand_urls=lambda pattern: ["x-0.tar"])
    fake = SimpleNamespace(WebDataset=lambda urls, **_: iter(samples), shardlists=shards)
    monkeypatch.setitem(sys.modules, "webdataset", fake)
    data, _ = open_captioned(folder="x-{0..0}.tar", size=16, cache=tmp_path / "cache")
    assert len(data) == 1 and data.vocabulary == ["grey"]


def numbers(*, size, cache, on_step, count=1):
    return [size] * count


def test_named_sources(tmp_path):
    def opened(table):
        return sources.open_data("none", {"data": table}, open_pictures, out=tmp_path, on_step=None, size=3)

    sys.modules["recipes_own"] = SimpleNamespace(numbers=numbers)
    try:
        assert opened({"source": "recipes_own:numbers", "count": 2}) == [3, 3]
        with pytest.raises(InputError, match="does not fit"):
            opened({"source": "recipes_own:numbers", "colour": 2})
    finally:
        del sys.modules["recipes_own"]
    assert named_function(".training.data.pictures:open_pictures") is open_pictures
    for name in ("nowhere:x", ".training.data.pictures:nothing", "", "os"):
        with pytest.raises(InputError, match="There is no"):
            opened({"source": name})
    with pytest.raises(InputError, match="names no data"):
        opened({})


def test_recipes_without_a_source_get_the_clients(tmp_path, monkeypatch):
    """As recipes of earlier versions, whose table was called [scenes] or [clips]."""
    monkeypatch.setitem(sys.modules, "recipes_own", SimpleNamespace(numbers=numbers))
    client = SimpleNamespace(sources={"stylegan2": "recipes_own:numbers"})
    monkeypatch.setattr("soundguide_core.training.recipe.registry.clients", lambda: [client])
    for config in ({"scenes": {"count": 2}}, {"clips": {"count": 2}}, {"data": {"count": 2}}):
        assert sources.open_data("stylegan2", config, open_pictures, out=tmp_path, on_step=None, size=5) == [5, 5]


def test_results_do_not_go_among_the_data(folder):
    table = {"folder": str(folder)}
    with pytest.raises(InputError, match="data's folder"):
        sources.open_data("x", {"data": table}, open_pictures, out=folder / "run", on_step=None, size=16)
