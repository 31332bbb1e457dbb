"""What is written destroys nothing: folders of somebody else, inputs, what was there before a failure."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from soundguide_core.common import outputs
from soundguide_core.common.errors import InputError
from soundguide_core.common.outputs import MARKER, check_apart, check_folder, own_folder, replacing_folder

ROOT = Path(__file__).resolve().parents[2]


def fill(path: Path, files: dict[str, str], **options) -> Path:
    with replacing_folder(path, **options) as folder:
        for name, text in files.items():
            (folder / name).write_text(text)
    return path


def content(folder: Path) -> dict[str, str]:
    return {p.name: p.read_text() for p in folder.iterdir() if p.name != MARKER}


@pytest.fixture
def theirs(tmp_path) -> Path:
    """A folder of somebody's pictures."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("00000.png", "holiday.png"):
        (folder / name).write_text(f"their {name}")
    return folder


def test_a_folder_of_ours_is_replaced_as_a_whole(tmp_path):
    path = fill(tmp_path / "a", {"0.png": "old", "1.png": "old"})
    assert content(path) == {"0.png": "old", "1.png": "old"} and (path / MARKER).is_file()
    fill(path, {"0.png": "new"})
    assert content(path) == {"0.png": "new"}
    assert os.listdir(tmp_path) == ["a"]


def test_a_folder_of_somebody_else_is_refused(theirs):
    before = content(theirs)
    with pytest.raises(InputError, match="holds other files"), replacing_folder(theirs):
        raise AssertionError("not reached")
    assert content(theirs) == before and not (theirs / MARKER).exists()


def test_overwrite_replaces_files_of_the_same_names_and_deletes_none(theirs):
    fill(theirs, {"00000.png": "new", "00001.png": "new"}, overwrite=True)
    assert content(theirs) == {"00000.png": "new", "00001.png": "new", "holiday.png": "their holiday.png"}
    assert not (theirs / MARKER).exists()
    with pytest.raises(InputError, match="holds other files"):
        check_folder(theirs)


def test_overwrite_leaves_what_is_no_regular_file(theirs):
    (theirs / "00001.png").symlink_to(theirs / "holiday.png")
    (theirs / "00002.png").mkdir()
    for name in ("00001.png", "00002.png"):
        with pytest.raises(InputError, match="not a regular file"):
            fill(theirs, {"00000.png": "new", name: "new"}, overwrite=True)
    assert (theirs / "00000.png").read_text() == "their 00000.png"
    assert sorted(os.listdir(theirs)) == ["00000.png", "00001.png", "00002.png", "holiday.png"]


@pytest.mark.parametrize("change", ["added", "retouched", "replaced by a link", "marker lost"])
def test_what_somebody_did_in_a_folder_of_ours_stays(tmp_path, change):
    path = fill(tmp_path / "a", {"0.png": "ours", "1.png": "ours"})
    if change == "added":
        (path / "notes.txt").write_text("mine")
    elif change == "retouched":
        (path / "1.png").write_text("painted over")
    elif change == "replaced by a link":
        (path / "1.png").unlink()
        (path / "1.png").symlink_to(path / "0.png")
    else:
        (path / MARKER).unlink()
    before = content(path)
    with pytest.raises(InputError, match="holds other files"):
        fill(path, {"0.png": "new"})
    assert content(path) == before


def test_an_empty_folder_and_the_files_of_a_file_manager_are_no_obstacle(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".DS_Store").write_text("")
    assert content(fill(tmp_path / "a", {"0.png": "new"})) == {"0.png": "new"}


@pytest.mark.parametrize("kind", ["file", "link to a folder", "broken link", "pipe", "name too long", "no parent"])
def test_what_cannot_become_a_folder_is_refused(tmp_path, kind):
    path = tmp_path / "a"
    if kind == "file":
        path.write_text("mine")
    elif kind == "link to a folder":
        (tmp_path / "b").mkdir()
        path.symlink_to(tmp_path / "b")
    elif kind == "broken link":
        path.symlink_to(tmp_path / "nothing")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "no parent":
        path = tmp_path / "b" / "a"
    else:
        path = tmp_path / ("x" * 300)
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(InputError):
        fill(path, {"0.png": "new"}, overwrite=True)
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("how", ["as it is", "without exchange", "mounted"])
def test_a_failure_leaves_the_old_folder(tmp_path, monkeypatch, how):
    if how == "without exchange":
        monkeypatch.setattr(outputs, "_swap", lambda *_: False)
    if how == "mounted":
        monkeypatch.setattr(os.path, "ismount", lambda path: True)
    path = fill(tmp_path / "a", {"0.png": "old", "1.png": "old"})
    with pytest.raises(KeyboardInterrupt), replacing_folder(path) as folder:
        (folder / "0.png").write_text("half")
        raise KeyboardInterrupt
    assert content(path) == {"0.png": "old", "1.png": "old"}
    fill(path, {"0.png": "new"})
    assert content(path) == {"0.png": "new"} and os.listdir(tmp_path) == ["a"]
    assert not outputs.strangers(path)


FOLDERS = """
import sys
from soundguide_core.common.outputs import replacing_folder
for i in range(10**6):
    with replacing_folder(sys.argv[1]) as folder:
        for k in range(20):
            (folder / f"{k}.png").write_text(str(i))
    print(i, flush=True)
"""


def test_a_killed_process_leaves_the_old_folder_or_the_new(tmp_path):
    path = tmp_path / "a"
    for moment in range(10):
        process = subprocess.Popen([sys.executable, "-c", FOLDERS, str(path)], cwd=ROOT, stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(0.001 + 0.0037 * moment)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        found = content(path)
        assert len(found) == 20 and len(set(found.values())) == 1
        assert not outputs.strangers(path)


def test_a_folder_to_work_in_is_ours_or_empty(tmp_path, theirs):
    with own_folder(tmp_path / "run" / "1") as folder:
        (folder / "state").write_text("")
    with own_folder(folder):
        pass
    with pytest.raises(InputError, match="holds other files"), own_folder(theirs):
        pass
    with own_folder(theirs, overwrite=True):
        pass
    assert sorted(os.listdir(theirs)) == ["00000.png", "holiday.png"]


def test_a_folder_to_work_in_goes_where_nothing_came_of_it(tmp_path):
    with pytest.raises(KeyError), own_folder(tmp_path / "run"):
        raise KeyError
    assert not list(tmp_path.iterdir())


# ---- outputs against inputs


@pytest.mark.parametrize("name", ["same", "relative", "link", "hard link", "inside", "linked folder"])
def test_an_output_that_is_read_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    given = tmp_path / "rain.wav"
    given.write_text("rain")
    out = {"same": given, "relative": "../" + tmp_path.name + "/./rain.wav"}.get(name, tmp_path / "out")
    if name == "link":
        out.symlink_to(given)
    elif name == "hard link":
        os.link(given, out)
    elif name in ("inside", "linked folder"):
        (tmp_path / "frames").mkdir()
        given, out = tmp_path / "frames" / "sound.wav", tmp_path / "frames"
        given.write_text("rain")
        if name == "linked folder":
            (tmp_path / "link").symlink_to(out)
            given = tmp_path / "link" / "sound.wav"
    with pytest.raises(InputError):
        check_apart([given], [out])


def test_a_report_over_a_frame_that_is_read_is_refused(tmp_path):
    (tmp_path / "0.png").write_text("")
    with pytest.raises(InputError, match="which is read"):
        check_apart([tmp_path], [tmp_path / "0.png"])
    check_apart([tmp_path], [tmp_path / "report.json"])


def test_outputs_over_each_other_are_refused(tmp_path):
    for a, b in (("a", "a"), ("a", "./a"), ("a.mp4", "A.MP4"), ("a", "a/report.json"), ("é", "é")):
        with pytest.raises(InputError, match="over each other"):
            check_apart([], [tmp_path / a, tmp_path / b])
    check_apart([tmp_path / "absent"], [tmp_path / "absent", tmp_path / "ab"])
