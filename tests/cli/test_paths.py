"""Command lines whose outputs would overwrite inputs, each other, or what is somebody else's."""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from soundguide_core.cli import main, parser, paths


def actions(command: argparse.ArgumentParser):
    """Every option of every command."""
    for action in command._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                yield from actions(sub)
        else:
            yield action


def test_every_option_that_takes_words_says_whether_it_is_a_path():
    known = {*paths.OUTPUTS, *paths.INPUTS, *paths.MODELS, *paths.NEITHER}
    for action in actions(parser()):
        takes_words = action.nargs != 0 and action.choices is None and action.type in (None, str, Path)
        assert not takes_words or action.dest in known, f"say in cli/paths.py what --{action.dest} is"


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder with somebody's files, into which we go."""
    monkeypatch.chdir(tmp_path)
    soundfile.write("rain.wav", np.zeros(8000), 8000)
    for name in ("photos", "frames", "mine"):
        os.mkdir(name)
    for name in ("photos/holiday.png", "photos/00000.png", "frames/00000.png", "mask.png"):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(name)
    soundfile.write("frames/sound.wav", np.zeros(800), 8000)
    Path("clip.mp4").write_bytes(b"a video")
    Path("clip.mp4.part").write_bytes(b"half a download")
    Path("mine/letter.txt").write_text("dear")
    Path("weights.safetensors").write_bytes(b"weights")
    Path("recipe.toml").write_text("a = 1")
    os.symlink("clip.mp4", "link.mp4")
    os.link("rain.wav", "hard.json")
    os.mkfifo("pipe.mp4")
    return tmp_path


def fingerprint(folder: Path) -> dict[str, str]:
    """Everything below a folder: kind and content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else path.is_dir()
        found[str(path.relative_to(folder))] = hashlib.sha256(
            repr((path.lstat().st_mode, content)).encode()
        ).hexdigest()
    return found


COMMANDS = [
    "manipulate --audio rain.wav --out a.png --json rain.wav",
    "manipulate --audio rain.wav --out a.png --json ./photos/../rain.wav",
    "manipulate --audio rain.wav --out a.png --json hard.json",
    "manipulate --text rain --image mask.png --out mask.png",
    "manipulate --text rain --out a.png --json a.png",
    "manipulate --text rain --out mine",
    "generate --audio clip.mp4 --out clip.mp4",
    "generate --audio clip.mp4 --out link.mp4",
    "generate --audio rain.wav --out photos",
    "generate --audio rain.wav --out mine",
    "generate --audio rain.wav --out pipe.mp4",
    "generate --audio rain.wav --out link.mp4",
    "generate --audio rain.wav --out=",
    "generate --audio rain.wav --out new --json new/report.json",
    "continuous --out photos",
    "continuous --audio rain.wav --out new.mp4 --json new.mp4",
    "continuous --out /dev/null",
    "edit --video frames --audio rain.wav --out frames",
    "edit --video frames --audio frames/sound.wav --out frames --overwrite",
    "edit --video frames --audio rain.wav --out new --json frames/00000.png",
    "edit --video frames --audio rain.wav --mask mask.png --out new.mp4 --json mask.png",
    "edit --video clip.mp4 --audio rain.wav --out ./clip.mp4 --overwrite",
    "convert weights.safetensors --out weights.safetensors",
    "train joint --config recipe.toml --out mine",
    "train joint --config recipe.toml --out photos",
    "train joint --config recipe.toml --out=",
    "demo --out mine",
    "classify rain.wav --labels a,b --json=rain.json --joint rain.json --device banana",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_is_lost(command, place, capsys):
    before = fingerprint(place)
    assert main(command.split(" ")) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and error.count(". ") >= 1
    assert fingerprint(place) == before


def test_words_of_the_same_name_as_an_output_are_no_inputs(place):
    args = parser().parse_args(["generate", "--audio", "a.wav", "--out", "waves", "--text", "waves"])
    paths.check_paths(args)
    paths.check_paths(parser().parse_args(["generate", "--audio", "a.wav", "--out", "photos", "--text", "photos"]))


def test_a_terminal_without_the_letters_is_written_to(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stderr", stream)
    assert main(["inspect", "☂█\udcff.safetensors"]) == 2
    stream.flush()
    assert b"error: " in stream.buffer.getvalue() and b"Traceback" not in stream.buffer.getvalue()


@pytest.mark.parametrize("word", ["x" * 5000, "9" * 5000, "\x1b[31m" * 1000])
def test_the_parser_repeats_little_of_what_was_given(word, capsys):
    with pytest.raises(SystemExit):
        main(["manipulate", "--text", "rain", "--out", "a.png", "--steps", word])
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert len(error) < 400 and error.isprintable()


def test_a_report_that_cannot_be_written_is_refused_before_any_work(tmp_path, capsys):
    (tmp_path / "link.json").symlink_to(tmp_path / "notes.json")
    foreign = Path(__file__).parents[1] / "fixtures" / "stylegan2_ada.pkl"
    for report, said in (("link.json", "symbolic link"), ("absent/a.json", "does not exist")):
        out = tmp_path / "new.safetensors"
        assert main(["convert", str(foreign), "--out", str(out), "--json", str(tmp_path / report)]) == 2
        assert said in capsys.readouterr().err and not out.exists()
