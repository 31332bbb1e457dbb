"""classify over many files and folders: a table, JSON, and one bad file that does not lose the rest."""

from __future__ import annotations

import json
import shutil

import pytest

from soundguide_core.cli import main
from soundguide_core.cli.batch import expanded
from soundguide_core.common.errors import InputError


@pytest.fixture
def folder(tiny, tmp_path):
    """Four recordings, one of them below, a broken one, and a letter."""
    place = tmp_path / "sounds"
    (place / "below").mkdir(parents=True)
    for name in ("b.wav", "a.wav", "below/c.wav", "d.WAV"):
        shutil.copy(tiny.sound, place / name)
    (place / "broken.mp3").write_text("no sound")
    (place / "letter.txt").write_text("dear")
    return place


@pytest.fixture
def hear(tiny):
    return lambda *words: main(["classify", "--joint", str(tiny.joint), "--labels", "rain,wind", *map(str, words)])


def test_a_folder_becomes_a_table_without_its_bad_file(folder, hear, capsys):
    assert hear(folder) == 2, "as one could not be heard"
    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert [line.split()[0] for line in lines] == ["a.wav", "b.wav", "below/c.wav", "broken.mp3", "d.WAV"]
    assert all("rain" in line and "wind" in line and "%" in line for line in lines if "broken" not in line)
    assert "not heard: " in lines[3]
    assert "error: 1 of 5 files could not be heard, such as" in told.err and "broken.mp3" in told.err


def test_a_folder_as_json(folder, hear, capsys):
    assert hear(folder, "--json") == 2
    report = json.loads(capsys.readouterr().out)
    assert len(report["results"]) == 4 and all(set(each["scores"]) == {"rain", "wind"} for each in report["results"])
    (refused,) = report["refused"]
    assert refused["audio"].endswith("broken.mp3") and refused["error"].count(". ") >= 1
    (folder / "broken.mp3").unlink()
    assert hear(folder, "--json") == 0
    assert "refused" not in json.loads(capsys.readouterr().out)


def test_over_time_too(folder, hear, capsys):
    assert hear(folder, "--over-time") == 2
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_few_files_are_shown_in_full(folder, hear, capsys):
    assert hear(folder / "a.wav", folder / "broken.mp3", folder / "b.wav") == 2
    told = capsys.readouterr()
    assert told.out.count("rain") == 2 and "1 of 3 files" in told.err


def test_a_folder_without_sounds_is_refused(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="holds no sound files"):
        expanded([str(tmp_path)])
