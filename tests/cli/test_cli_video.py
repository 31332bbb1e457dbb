"""generate and evaluate sound-video, on untrained models."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import torch

from soundguide_core.audio.waveform import load_audio
from soundguide_core.cli import main
from soundguide_core.media import video


@pytest.fixture
def models(tiny, tiny_trajectory) -> list[str]:
    """The options that name a tiny generator, joint encoder and trajectory."""
    return ["--generator", str(tiny.generator), "--joint", str(tiny.joint), "--trajectory", str(tiny_trajectory)]


def test_generate_writes_a_video_with_its_sound(models, tiny, tmp_path):
    out, report = tmp_path / "a.mp4", tmp_path / "a.json"
    command = ["generate", "--audio", str(tiny.sound), "--seconds", "2.5", "--fps", "10", "--out", str(out)]
    assert main([*command, "--chunk", "7", "--json", str(report), *models]) == 0
    assert len(video.read_video(out)) == 25 and video.probe(out).fps == 10
    wave, rate = load_audio(out)
    assert wave.shape[-1] / rate == pytest.approx(1.0, abs=0.08)  # the sound is shorter than the video
    said = json.loads(report.read_text())
    assert (said["frames"], said["fps"], said["seconds"], said["size"]) == (25, 10.0, 2.5, [32, 32])
    assert len(said["similarity"]["per_frame"]) == 25 and -1 <= said["similarity"]["mean"] <= 1
    assert said["reactivity"]["nulls"] == 200 and said["motion"]["mean"] >= 0
    assert said["settings"]["config"]["chunk"] == 7 and said["settings"]["seed"] == 0


def test_a_folder_of_frames_holds_the_same_pictures(models, tiny, tmp_path):
    for out in ("one", "two"):
        command = ["generate", "--audio", str(tiny.sound), "--out", str(tmp_path / out), "--seed", "3"]
        assert main([*command, "--chunk", {"one": "5", "two": "12"}[out], *models]) == 0
    one, two = (video.read_video(tmp_path / out) for out in ("one", "two"))
    assert one.shape == (12, 3, 32, 32) and (one - two).abs().max() <= 2 / 127.5
    assert (tmp_path / "one" / "sound.wav").is_file()


@pytest.mark.parametrize("command", ["generate", "continuous"])
def test_half_the_frames_at_once_where_memory_runs_out(command, models, tiny, tiny_video_generator, tmp_path, capsys,
                                                       monkeypatch):  # fmt: skip
    """The same video; a number of one's own is kept, and refused."""
    from soundguide_core.generators.stylegan2 import Synthesis

    plain, sizes = Synthesis.run_blocks, []

    def run_blocks(self, ws, *args):
        sizes.append(len(ws))
        if len(ws) > 2:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
        return plain(self, ws, *args)

    own = models if command == "generate" else ["--generator", str(tiny_video_generator), "--content", "seed"]
    given = [command, "--audio", str(tiny.sound), *own, "--fps", "12", "--device", "cpu"]
    assert main([*given, "--out", str(tmp_path / "whole")]) == 0
    monkeypatch.setattr(Synthesis, "run_blocks", run_blocks)
    assert main([*given, "--out", str(tmp_path / "half")]) == 0
    assert sizes == [1, 1, 2, 4, 2, 2, 2, 2]
    one, other = (video.read_video(tmp_path / name) for name in ("whole", "half"))
    assert one.shape == other.shape and len(one) == 12 and (one - other).abs().max() <= 2 / 127.5
    assert main([*given, "--chunk", "3", "--out", str(tmp_path / "fixed")]) == 2
    assert "memory" in capsys.readouterr().err and not (tmp_path / "fixed").exists()


@pytest.mark.parametrize("start", [["--text", "a storm"], ["--image", "{image}"]])
def test_other_starts(models, tiny, tmp_path, start, monkeypatch):
    from soundguide_core.latents import projection
    from soundguide_core.latents.schedule import Schedule
    from soundguide_core.media.images import save_image

    save_image(torch.zeros(3, 40, 50), tmp_path / "mine.png")
    project = projection.project
    quick = {"schedule": Schedule(steps=2), "candidates": 8}
    monkeypatch.setattr(projection, "project", lambda *args, **more: project(*args, **{**more, **quick}))
    start = [word.format(image=tmp_path / "mine.png") for word in start]
    command = ["generate", "--audio", str(tiny.sound), "--out", str(tmp_path / "a.mp4"), *start]
    assert main([*command, *models]) == 0
    assert len(video.read_video(tmp_path / "a.mp4")) == 12


def test_a_preview_shows_frames_of_the_video(models, tiny, tmp_path, monkeypatch):
    from soundguide_core.cli import generate
    from soundguide_core.media.images import to_uint8

    command = ["generate", "--audio", str(tiny.sound), "--out", str(tmp_path / "v"), "--chunk", "5", *models]
    assert main(command) == 0
    assert main([*command, "--preview"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v", "v.preview.png"]
    shown = {}
    monkeypatch.setattr(generate, "write_preview", lambda out, rows, frames, fps: shown.update(rows, frames=frames))
    assert main([*command, "--preview", "5"]) == 0
    whole = video.read_video(tmp_path / "v")
    assert shown["frames"] == [0, 5, 10] and len(whole) == 12
    assert (to_uint8(shown[""]).int() - to_uint8(whole[[0, 5, 10]]).int()).abs().max() <= 1


MISTAKES = {
    "no sound": ["--audio", "none.wav", "--out", "{out}/a.mp4"],
    "unknown ending": ["--audio", "{sound}", "--out", "{out}/a.tiff"],
    "no such folder": ["--audio", "{sound}", "--out", "{out}/none/a.mp4"],
    "a picture as sound": ["--audio", "{out}/a.png", "--out", "{out}/a.mp4"],
    "no length": ["--audio", "{sound}", "--out", "{out}/a.mp4", "--seconds", "0"],
    "no rate": ["--audio", "{sound}", "--out", "{out}/a.mp4", "--fps", "0"],
    "no chunk": ["--audio", "{sound}", "--out", "{out}/a.mp4", "--chunk", "0"],
    "a generator as trajectory": ["--audio", "{sound}", "--out", "{out}/a.mp4", "--trajectory", "{generator}"],
    "an unknown trajectory": ["--audio", "{sound}", "--out", "{out}/a.mp4", "--trajectory", "nothing"],
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_leave_nothing(models, tiny, tmp_path, capsys, mistake):
    from soundguide_core.media.images import save_image

    save_image(torch.zeros(3, 8, 8), tmp_path / "a.png")
    words = {"sound": tiny.sound, "out": tmp_path, "generator": tiny.generator}
    assert main(["generate", *models, *(word.format(**words) for word in MISTAKES[mistake])]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.slow
def test_evaluate_sound_video(models, tiny, tmp_path, capsys):
    command = ["evaluate", "sound-video", "--sounds", "2", "--seconds", "2.5", "--judge", str(tiny.classifier), *models]
    assert main([*command, "--out", str(tmp_path / "sheet.png")]) == 0
    printed = capsys.readouterr().out
    assert "frames in which the judge names the sound" in printed and "crossfades" in printed
    assert (tmp_path / "sheet.png").is_file()
    assert main([*command, "--json", str(tmp_path / "r.json")]) == 0
    (report,) = json.loads((tmp_path / "r.json").read_text())["trajectories"].values()
    assert report["videos"] == 2 and len(report["each"]) == 2 and len(report["crossfades"]) == 42
    assert 0 <= report["named"] <= 1 and report["frechet"]["frames"] > 0


def test_evaluate_sound_video_on_recordings(models, tiny, tmp_path, capsys):
    (tmp_path / "meta").mkdir()
    (tmp_path / "audio").mkdir()
    rows = ["filename,fold,category", "a.wav,4,rain", "b.wav,5,sea_waves", "c.wav,4,dog", "d.wav,1,rain"]
    (tmp_path / "meta" / "esc50.csv").write_text("\n".join(rows))
    for name in "abcd":
        noise = np.random.default_rng(0).uniform(-1, 1, 3 * 44100) * np.linspace(0.1, 1, 3 * 44100)
        soundfile.write(tmp_path / "audio" / f"{name}.wav", noise, 44100)
    command = ["evaluate", "sound-video", "--recordings", str(tmp_path), "--judge", str(tiny.classifier), *models]
    assert main([*command, "--json", str(tmp_path / "r.json")]) == 0
    found = json.loads((tmp_path / "r.json").read_text())
    (report,) = found["trajectories"].values()
    assert [each["phenomenon"] for each in report["each"]] == ["rain", "waves"]
    assert report["crossfades"] == [] and report["crossfades_in_time"] is None
    assert found["settings"]["folds"] == [4, 5] and "natural" not in found["settings"]
    assert main([*command, "--folds", "9"]) == 2
    assert "folds 9" in capsys.readouterr().err
