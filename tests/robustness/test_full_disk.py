"""A disk without room: every writer says so in a sentence, names what it was writing, and leaves nothing behind."""

from __future__ import annotations

import errno
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from soundguide_core.checkpoints import safetensors_io
from soundguide_core.cli.common import emit_json
from soundguide_core.common.errors import InputError
from soundguide_core.common.files import replacing
from soundguide_core.common.outputs import replacing_folder
from soundguide_core.media.images import save_image
from soundguide_core.media.video_writing import writing


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_what_was_to_be_written_is_named(tmp_path, number):
    (tmp_path / "a.txt").write_text("mine")
    for make, name in ((replacing, "a.txt"), (replacing_folder, "frames")):
        with pytest.raises(InputError, match=f"There is no room on the disk for .*{name}"), make(tmp_path / name):
            raise OSError(number, "No space left on device")
    assert [x.name for x in tmp_path.iterdir()] == ["a.txt"] and (tmp_path / "a.txt").read_text() == "mine"


def test_other_errors_of_the_system_stay(tmp_path):
    with pytest.raises(OSError, match="Input/output"), replacing(tmp_path / "a.txt"):
        raise OSError(errno.EIO, "Input/output error")


def picture(folder: Path, ending: str) -> None:
    save_image(torch.rand(3, 900, 900) * 2 - 1, folder / f"a{ending}")


def video(folder: Path, ending: str) -> None:
    sound = torch.rand(1, 48000) - 0.5
    with writing(folder / f"a{ending}", 12.0, (iter([sound]), 48000)) as write:
        for _ in range(12):
            write(torch.rand(1, 3, 256, 256) * 2 - 1)


def report(folder: Path, ending: str) -> None:
    emit_json({"numbers": list(range(100_000))}, folder / f"a{ending}")


def weights(folder: Path, ending: str) -> None:
    safetensors_io.save(folder / f"a{ending}", {"a": torch.rand(100_000)}, {})


WRITERS = [(picture, end) for end in (".png", ".jpg", ".webp")] + [(report, ".json"), (weights, ".safetensors")]
WRITERS += [(video, end) for end in (".mp4", ".mov", ".mkv", ".webm", ".gif", ".webp", "")]


@pytest.fixture
def full(tmp_path):
    """A disk of 100 kB, where this user may make one."""
    (tmp_path / "full").mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(tmp_path / "full")]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("making a small disk needs root, on Linux")
    yield tmp_path / "full"
    subprocess.run(["umount", str(tmp_path / "full")], check=True)


@pytest.mark.parametrize("write, ending", WRITERS, ids=lambda x: getattr(x, "__name__", x))
def test_every_writer_on_a_full_disk(full, write, ending):
    with pytest.raises(InputError, match=r"no room on the disk for .*full/a|full/a.* cannot be written"):
        write(full, ending)
    assert not list(full.iterdir())
