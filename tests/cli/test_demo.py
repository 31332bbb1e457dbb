"""The demo: a page that is whole from the first moment and fills; what is stopped stays; no player without its file."""

from __future__ import annotations

import re

import pytest

from soundguide_core.cli import demo, demo_pictures, main
from soundguide_core.cli.demo_page import WAITING, Page

FIGURES = [("a.png", "A picture. {credit}"), ("b.mp4", "A video & more.")]


def sources(page: Page) -> list[str]:
    return re.findall(r'src="([^"]+)"', page.path.read_text(encoding="utf-8"))


def test_the_page_is_whole_before_anything_is_made(tmp_path):
    page = Page(tmp_path, FIGURES)
    (tmp_path / "a.png").write_bytes(b"of an earlier demo")
    page.write()
    text = page.path.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>") and text.rstrip().endswith("</html>")
    assert sources(page) == [] and text.count(WAITING) == len(FIGURES) + 7
    assert "reload" in text, "it fills while somebody looks"


def test_it_fills_and_what_failed_is_no_broken_player(tmp_path):
    page = Page(tmp_path, FIGURES)
    (tmp_path / "a.png").write_bytes(b"made")
    page.add(["a.png", "b.mp4"], "By somebody.")
    text = page.path.read_text(encoding="utf-8")
    assert sources(page) == ["a.png"] and "A picture. By somebody." in text and "A video &amp; more." in text
    page.write("Stopped before it was made.")
    text = page.path.read_text(encoding="utf-8")
    assert "reload" not in text and WAITING not in text and text.count("Stopped before") == 1 + 7


def test_the_photograph_is_one_and_its_mask_is_its_sky():
    import numpy as np
    from PIL import Image

    path = demo_pictures.photograph()
    assert path is not None, "scikit-learn comes with librosa"
    pixels = np.asarray(Image.open(path).convert("RGB"))
    mask = demo_pictures.sky_mask(pixels)
    assert mask.shape == pixels.shape[:2] and 0.2 < mask.mean() < 0.5
    assert mask[:20].mean() > 0.95 and not mask[260:].any(), "the sky and nothing else"
    assert not mask[130:250, 140:280].any(), "not the tower"


@pytest.fixture
def small(tiny, tiny_unet, tiny_trajectory, tiny_video_generator, monkeypatch):
    """Untrained models under the name of the miniature, and little of everything."""
    from soundguide_core.checkpoints import registry

    joint = {part: tiny.joint / f"{part}.safetensors" for part in ("clip", "sound")}
    rows = [
        registry.Row("miniature", kind, files, "MIT", True, 0, "", "", "")
        for kind, files in {
            "joint": joint,
            "generator": {"generator": tiny.generator},
            "unet": {"unet": tiny_unet},
            "trajectory": {"trajectory": tiny_trajectory},
            "video-generator": {"generator": tiny_video_generator},
        }.items()
    ]
    monkeypatch.setattr(registry, "rows", lambda kind=None: [row for row in rows if kind in (None, row.kind)])
    for name in ("QUICK", "FULL"):
        size = demo.Size(sound_sec=1, edits=1, sources=1, find_steps=2, frames=4, edit_fps=4.0)
        monkeypatch.setattr(demo, name, size)


@pytest.mark.slow
def test_the_demo_leaves_a_page_of_everything(small, tmp_path, capsys):
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out), "--device", "cpu"]) == 0
    named = re.findall(r'src="([^"]+)"', (out / "index.html").read_text(encoding="utf-8"))
    files = [name for part in demo.PARTS for name in part.files]
    assert sorted(named) == sorted([*files, *(name for name in named if name.startswith("sounds/"))])
    assert len(named) == 7 + len(files) and all((out / name).stat().st_size > 500 for name in named)
    written = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    mine = {"my-photograph.png", "my-sky.png", "my-film.mp4", "my-sky.mp4", "sounds/waves-to-fire.wav"}
    assert written == {*named, *mine, "index.html", ".soundguide.json"}
    told = capsys.readouterr().out
    assert told.index("index.html") < told.index("Loading"), "its place is said first"
    assert "Done in" in told


def test_a_demo_that_is_stopped_keeps_its_page(small, tmp_path, monkeypatch, capsys):
    out = tmp_path / "demo"

    def stopped(_):
        text = (out / "index.html").read_text(encoding="utf-8")
        assert text.count("<audio") == 7 and WAITING in text, "the sounds are there while the rest is made"
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "PARTS", (demo.PARTS[0], demo.PARTS[1]._replace(make=stopped)))
    assert main(["demo", "--quick", "--out", str(out), "--device", "cpu"]) == 130
    assert "what was made until then is on" in capsys.readouterr().err
    text = (out / "index.html").read_text(encoding="utf-8")
    assert text.count("<audio") == 7 and "Stopped before it was made." in text and "reload" not in text
