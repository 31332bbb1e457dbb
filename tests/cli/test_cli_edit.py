"""edit, on untrained models."""

from __future__ import annotations

import itertools
import json
import shutil

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from soundguide_core.audio.waveform import load_audio
from soundguide_core.cli import main
from soundguide_core.media import video, video_writing
from soundguide_core.media.images import from_uint8, save_image, to_uint8

COUNT = 6
FPS = 12.0


@pytest.fixture(scope="module")
def models(tiny, tiny_unet) -> list[str]:
    """The options that name a tiny diffusion model and joint encoder, and few steps."""
    return ["--unet", str(tiny_unet), "--joint", str(tiny.joint), "--steps", "3", "--skip", "1", "--window", "4"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A video as file and folder, masks of every kind, sounds: name => path."""
    folder = tmp_path_factory.mktemp("edit")
    noise = np.random.default_rng(0).integers(256, size=(COUNT, 20, 24, 3), dtype=np.uint8)
    frames = from_uint8(torch.from_numpy(noise))
    square = torch.full((3, 20, 24), -1.0)
    square[:, 4:14, 6:16] = 1
    moving = torch.stack([square.roll(i, dims=2) for i in range(COUNT)])
    save_image(square, folder / "mask.png")
    save_image(square * 0.2, folder / "grey.png")
    save_image(-torch.ones(3, 20, 24), folder / "black.png")
    save_image(torch.ones(3, 40, 20), folder / "tall.png")
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, 8000)
    for name, wave in (("long", noise), ("short", noise[:1600]), ("silent", noise * 0)):
        soundfile.write(folder / f"{name}.wav", wave, 8000)
    for name, pictures, sound in (
        ("frames", frames, None), ("masks", moving, None), ("few-masks", moving[:3], None), ("one", frames[:1], None),
        ("with-sound.mp4", frames, (iter([torch.full((1, 8000), 0.1)]), 8000)), ("masks.mkv", moving, None),
    ):  # fmt: skip
        with video_writing.writing(folder / name, FPS, sound) as write:
            write(pictures)
    (folder / "text.mp4").write_text("no video", encoding="utf-8")
    (folder / "text.png").write_text("no picture", encoding="utf-8")
    return {path.name: path for path in folder.iterdir()}


def run(models, files, out, *more: str, **named: str) -> int:
    options = {"video": files["frames"], "audio": files["long.wav"], "out": out, "flow": "off", **named}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return main(["edit", *models, *words, *more])


def pixels(path) -> torch.Tensor:
    return to_uint8(video.read_video(path)).int()


@pytest.mark.parametrize("mask, moves", [("mask.png", False), ("masks", True), ("masks.mkv", True)])
def test_what_is_outside_the_mask_stays_to_the_bit(models, files, tmp_path, mask, moves):
    assert run(models, files, tmp_path / "out", mask=files[mask]) == 0
    before, after = pixels(files["frames"]), pixels(tmp_path / "out")
    assert before.shape == after.shape == (COUNT, 20, 24, 3)
    changed = (before != after).any(dim=-1)
    for i in range(COUNT):
        shift = i * moves
        inside = torch.zeros(20, 24, dtype=torch.bool)
        inside[4:14, 6 + shift : 16 + shift] = True
        assert not changed[i][~inside].any() and changed[i][inside].float().mean() > 0.5


def test_the_rest_of_the_masks_options(models, files, tmp_path):
    assert run(models, files, tmp_path / "inverted", "--invert-mask", mask=files["mask.png"]) == 0
    changed = (pixels(files["frames"]) != pixels(tmp_path / "inverted")).any(dim=-1)
    assert not changed[:, 4:14, 6:16].any() and changed[:, 14:].float().mean() > 0.5
    assert run(models, files, tmp_path / "soft", "--soft-mask", "--feather", "2", mask=files["grey.png"]) == 0
    assert run(models, files, tmp_path / "whole", mask=files["mask.png"]) == 0
    soft, whole = ((pixels(files["frames"]) - pixels(tmp_path / name)).abs()[:, 6:12, 8:14].float().mean()
                   for name in ("soft", "whole"))  # fmt: skip
    assert 0 < soft < whole


def test_a_report_and_a_video_with_its_own_sound(models, files, tmp_path):
    out, report = tmp_path / "a.mp4", tmp_path / "a.json"
    named = {"video": files["with-sound.mp4"], "mask": files["mask.png"], "json": report, "flow": "tv-l1"}
    assert run(models, files, out, "--text", "a storm", **named) == 0
    assert (len(video.read_video(out)), video.probe(out).fps) == (COUNT, FPS)
    wave, rate = load_audio(out)
    assert wave.shape[-1] / rate == pytest.approx(COUNT / FPS, abs=0.1)
    assert wave[:, 4000:16000].mean() == pytest.approx(0.1, abs=0.01)  # the video's, not the noise
    said = json.loads(report.read_text())
    assert (said["frames"], said["fps"], said["seconds"], said["size"]) == (COUNT, FPS, 0.5, [24, 20])
    assert said["outside"] == 0 and said["change"]["mean"] > 0 and len(said["similarity"]["per_frame"]) == COUNT
    assert said["settings"]["config"]["steps"] == 3 and said["settings"]["text"] == "a storm"


def test_the_recording_as_sound(models, files, tmp_path):
    assert run(models, files, tmp_path / "a.mp4", "--sound", "audio", video=files["with-sound.mp4"]) == 0
    assert abs(load_audio(tmp_path / "a.mp4")[0].mean()) < 0.02
    assert run(models, files, tmp_path / "b") == 0  # frames have no sound of their own
    assert (tmp_path / "b" / "sound.wav").is_file()
    assert run(models, files, tmp_path / "c", "--sound", "none") == 0
    assert not (tmp_path / "c" / "sound.wav").exists()


def test_the_same_seed_gives_the_same_frames(models, files, tmp_path):
    for name, seed in (("one", "1"), ("again", "1"), ("two", "2")):
        assert run(models, files, tmp_path / name, seed=seed) == 0
    one, again, two = (pixels(tmp_path / name) for name in ("one", "again", "two"))
    assert torch.equal(one, again) and not torch.equal(one, two)


def test_a_short_recording(models, files, tmp_path):
    named = {"audio": files["short.wav"]}
    assert run(models, files, tmp_path / "a", "--repeat", **named) == 0
    wave, rate = load_audio(tmp_path / "a" / "sound.wav")
    assert wave.shape[-1] / rate == pytest.approx(COUNT / FPS, abs=0.02)
    assert torch.allclose(wave[:, 2000:4000], wave[:, 2000 + rate // 5 : 4000 + rate // 5], atol=2e-2)
    assert run(models, files, tmp_path / "b", "--whole", "--steady", **named) == 0
    assert run(models, files, tmp_path / "c", "--seconds", "0.2", **named) == 0
    assert len(video.read_video(tmp_path / "c")) == 2
    assert run(models, files, tmp_path / "d", fps="30", **named) == 0  # the six frames then last as long
    assert len(video.read_video(tmp_path / "d")) == COUNT


def test_one_frame(models, files, tmp_path):
    assert run(models, files, tmp_path / "a", video=files["one"], flow="tv-l1") == 0
    assert pixels(tmp_path / "a").shape[0] == 1


@pytest.mark.parametrize("strength", ["0", "3"])
def test_strength(models, files, tmp_path, strength):
    """Guided by nothing, an edit is what the diffusion model alone makes of the video."""
    assert run(models, files, tmp_path / "some", strength=strength) == 0
    assert run(models, files, tmp_path / "none", weight="sound=0") == 0
    same = torch.equal(pixels(tmp_path / "some"), pixels(tmp_path / "none"))
    assert same == (strength == "0")


@pytest.fixture
def stops(monkeypatch):
    """stops(n): the edit is stopped by Ctrl-C after n windows, until stops(None)."""
    from soundguide_core.systems import video_editing

    whole = video_editing.stream_edit

    def after(count: int | None) -> None:
        def stopped(*args, **kwargs):
            yield from itertools.islice(whole(*args, **kwargs), count)
            raise KeyboardInterrupt

        monkeypatch.setattr(video_editing, "stream_edit", whole if count is None else stopped)

    return after


def test_ctrl_c_before_a_window_is_finished_leaves_nothing(models, files, tmp_path, stops, capsys):
    stops(0)
    for out in ("a.mp4", "folder"):
        assert run(models, files, tmp_path / out) == 130
        assert "nothing half done" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_ctrl_c_stops_goes_on_to_the_same_bits(models, files, tmp_path, stops, capsys):
    """Two frames a window: what couples frames, masks that move and the figures of the report go over the stop."""
    more = ("--window", "2", "--weight", "direction=1", "--weight", "flow=1")
    named = {"mask": files["masks"], "flow": "tv-l1"}
    assert run(models, files, tmp_path / "whole", *more, json=tmp_path / "whole.json", **named) == 0
    for windows in (1, 1):
        stops(windows)
        assert run(models, files, tmp_path / "out", *more, json=tmp_path / "out.json", **named) == 130
    assert "4 of 6 frames are kept in" in capsys.readouterr().err
    kept = tmp_path / "out.unfinished"
    assert len(video.frame_files(kept)) == 4 and not (tmp_path / "out").exists()
    stops(None)
    assert run(models, files, tmp_path / "out", *more, json=tmp_path / "out.json", **named) == 0
    assert "4 of 6 frames were made before" in capsys.readouterr().out
    assert torch.equal(pixels(tmp_path / "whole"), pixels(tmp_path / "out"))
    one, two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("whole", "out"))
    assert (one["similarity"], one["change"], one["outside"]) == (two["similarity"], two["change"], two["outside"])
    assert not kept.exists()


def test_an_edit_of_other_settings_starts_anew(models, files, tmp_path, stops, capsys):
    stops(1)
    assert run(models, files, tmp_path / "out") == 130
    stops(None)
    assert run(models, files, tmp_path / "out", strength="2") == 0
    assert "before" not in capsys.readouterr().out
    assert run(models, files, tmp_path / "other", strength="2") == 0
    assert torch.equal(pixels(tmp_path / "other"), pixels(tmp_path / "out"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "out"]


def test_a_folder_of_that_name_that_is_somebodys_is_left_alone(models, files, tmp_path, capsys):
    (tmp_path / "out.unfinished").mkdir()
    (tmp_path / "out.unfinished" / "00000.png").write_text("mine")
    assert run(models, files, tmp_path / "out") == 2
    assert "holds other files" in capsys.readouterr().err
    assert (tmp_path / "out.unfinished" / "00000.png").read_text() == "mine"


def test_a_preview_is_a_sheet_beside_the_video_that_is_not_made(models, files, tmp_path, capsys):
    assert run(models, files, tmp_path / "a.mp4", "--preview", mask=files["mask.png"], flow="tv-l1") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.preview.png"]
    one = Image.open(tmp_path / "a.preview.png").size
    assert run(models, files, tmp_path / "a.mp4", "--preview", "2", mask=files["masks"]) == 0
    several = Image.open(tmp_path / "a.preview.png").size
    assert several[1] > 2 * one[1] and "3 frames" in capsys.readouterr().out, "every second of six"


def test_a_preview_shows_what_the_edit_makes_where_nothing_couples_frames(models, files, tmp_path, monkeypatch):
    from soundguide_core.cli import edit

    shown = {}
    monkeypatch.setattr(edit, "write_preview", lambda out, rows, frames, fps: shown.update(rows, frames=frames))
    more = ("--window", "1", "--weight", "flow=0")
    assert run(models, files, tmp_path / "out", *more) == 0
    assert run(models, files, tmp_path / "out", *more, "--preview", "4") == 0
    assert shown["frames"] == [0, 4]
    assert torch.equal(to_uint8(shown["source"]).int(), pixels(files["frames"])[[0, 4]])
    difference = (to_uint8(shown["edited"]).int() - pixels(tmp_path / "out")[[0, 4]]).abs()
    assert difference[0].max() <= 1, "the first frame is the first of either"


def test_what_lies_beside_the_result_is_no_input(models, files, tmp_path, capsys):
    kept = tmp_path / "a.unfinished"
    shutil.copytree(files["frames"], kept)
    assert run(models, files, tmp_path / "a.mp4", video=kept) == 2
    shutil.copy(files["mask.png"], tmp_path / "b.preview.png")
    assert run(models, files, tmp_path / "b.mp4", "--preview", mask=tmp_path / "b.preview.png") == 2
    assert "is also read" in capsys.readouterr().err and len(video.frame_files(kept)) == COUNT


MISTAKES = {
    "a report of a preview": ({"_": "--preview", "json": "{out}/r.json"}, "has no report"),
    "no such video": ({"video": "none.mp4"}, "There is no video"),
    "a text named mp4": ({"video": "{text.mp4}"}, "cannot be read as a video"),
    "a text named png": ({"mask": "{text.png}"}, "cannot be read as a picture"),
    "a folder without frames": ({"video": "{out}/empty"}, "holds no PNG files"),
    "no such mask": ({"mask": "none.png"}, "There is no picture"),
    "a mask of another shape": ({"mask": "{tall.png}"}, "does not have the shape"),
    "an empty mask": ({"mask": "{black.png}"}, "marks nothing to edit"),
    "fewer masks than frames": ({"mask": "{few-masks}"}, "masks"),
    "nothing to invert": ({"_": "--invert-mask"}, "There is no mask to invert."),
    "no such sound": ({"audio": "none.wav"}, "There is no sound file"),
    "a sound that is too short": ({"audio": "{short.wav}"}, "lasts 0.2 s, the video 0.5 s."),
    "a silent sound": ({"audio": "{silent.wav}"}, "is silent."),
    "a video without sound as sound": ({"audio": "{masks.mkv}"}, "has no sound track"),
    "an empty text": ({"text": " "}, "is empty."),
    "a weight that is no number": ({"text": "rain", "text-weight": "nan"}, "--text-weight is nan."),
    "no steps": ({"steps": "0"}, "number of steps"),
    "more skipped than there are": ({"skip": "3"}, "steps to skip"),
    "no length": ({"seconds": "0"}, "--seconds is 0"),
    "no rate": ({"fps": "0"}, "--fps is 0"),
    "no strength": ({"strength": "inf"}, "The strength is inf."),
    "an unknown term": ({"weight": "colour=1"}, "There is no term 'colour'"),
    "an unknown flow": ({"flow": "fast"}, "no flow called 'fast'"),
    "a joint encoder as diffusion": ({"unet": "{joint}/clip.safetensors"}, "a diffusion UNet"),
    "an unknown ending": ({"out": "{out}/a.tiff"}, "does not end like a video"),
    "over the source": ({"out": "{frames}"}, "is also read"),
    "no such place": ({"out": "{out}/none/a.mp4"}, ""),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_told_in_two_sentences_and_leave_nothing(models, files, tiny, tmp_path, capsys, mistake):
    named, said = MISTAKES[mistake]
    place = {**{name: str(path) for name, path in files.items()}, "out": str(tmp_path), "joint": str(tiny.joint)}
    (tmp_path / "empty").mkdir()
    before = sorted(files["frames"].iterdir())
    named = dict(named)
    for name in named:
        for key, path in place.items():
            named[name] = named[name].replace("{" + key + "}", path)
    flags = [named.pop("_")] if "_" in named else []
    assert run(models, files, named.pop("out", tmp_path / "a.mp4"), *flags, **named) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and said in error and error.endswith(".") and error.count(". ") >= 1
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
    assert sorted(files["frames"].iterdir()) == before


def test_an_output_that_is_there_stays_when_the_work_fails(models, files, tmp_path):
    out = tmp_path / "mine.mp4"
    shutil.copy(files["with-sound.mp4"], out)
    was = out.read_bytes()
    assert run(models, files, out, mask=files["few-masks"]) == 2
    assert out.read_bytes() == was
