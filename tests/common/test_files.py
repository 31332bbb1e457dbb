"""Files appear whole or not at all, and never in place of what is no regular file."""

from __future__ import annotations

import os
import socket
import stat

import pytest

from soundguide_core.common.errors import InputError
from soundguide_core.common.files import check_input, check_name, check_writable, replacing


@pytest.fixture
def special(tmp_path):
    """name -> path of something that is no regular file"""
    (tmp_path / "target").write_text("mine")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "broken").symlink_to(tmp_path / "nothing")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    return {p.name: p for p in tmp_path.iterdir() if p.name != "target"}


@pytest.mark.parametrize("name", ["folder", "pipe", "link", "loop", "broken", "socket"])
def test_only_regular_files_are_replaced(special, name, tmp_path):
    before = special[name].lstat()
    with pytest.raises(InputError), replacing(special[name]) as temporary:
        temporary.write_text("new")
    assert special[name].lstat() == before and (tmp_path / "target").read_text() == "mine"


def test_a_device_is_not_replaced():
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    with pytest.raises(InputError, match="device"):
        check_writable("/dev/null")


def test_a_write_protected_file_stays(tmp_path):
    (tmp_path / "a").write_text("mine")
    (tmp_path / "a").chmod(0o444)
    with pytest.raises(InputError, match="write-protected"):
        check_writable(tmp_path / "a")


def test_a_failure_leaves_the_old_file_and_what_stands_beside_it(tmp_path):
    for name in ("a.mp4", "a.mp4.part", "a.part", ".a.mp4"):
        (tmp_path / name).write_text(name)
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "a.mp4") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    with replacing(tmp_path / "a.mp4") as temporary:
        assert temporary.suffix == ".mp4"
        temporary.write_text("new")
    assert (tmp_path / "a.mp4").read_text() == "new"
    assert sorted(os.listdir(tmp_path)) == [".a.mp4", "a.mp4", "a.mp4.part", "a.part"]
    assert all((tmp_path / name).read_text() == name for name in (".a.mp4", "a.mp4.part", "a.part"))


def test_another_name_of_the_same_file_keeps_the_old_content(tmp_path):
    (tmp_path / "a").write_text("old")
    os.link(tmp_path / "a", tmp_path / "b")
    with replacing(tmp_path / "a") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "b").read_text() == "old"


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 256, "ab/" * 2000, "\ud800"])
def test_names_that_no_file_can_have(name):
    for check in (check_name, check_input, check_writable):
        with pytest.raises(InputError) as error:
            check(name)
        assert len(error.value.cause) < 200


@pytest.mark.parametrize("name", ["folder", "pipe", "loop", "broken", "socket"])
def test_only_regular_files_are_read(special, name):
    with pytest.raises(InputError):
        check_input(special[name], "picture")


@pytest.mark.parametrize("path", ["/proc/self/mem", "/proc/self/fd/0", "/dev/zero", "/dev/stdin", "/proc/cpuinfo"])
def test_files_of_the_system_are_not_read(path):
    with pytest.raises(InputError):
        check_input(path)


def test_a_link_to_a_file_is_read(special):
    assert check_input(special["link"]) == special["link"]
