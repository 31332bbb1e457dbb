"""Where commands run: narrow encodings, outputs that take nothing, no home, a folder that is not to be written."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from soundguide_core.cli import COMMANDS, main

ROOT = Path(__file__).resolve().parents[2]
DEVICES = [
    "hpu",
    "xpu",
    "meta",
    "mkldnn",
    "lazy",
    "privateuseone",
    "ort",
    "fpga",
    "cuda:99",
    "cuda:-1",
    "cpu:x",
    "",
    "Ω",
]


def said(monkeypatch, line: list[str], encoding: str = "utf-8") -> tuple[int, str, str]:
    """(status, stdout, stderr) in a terminal of that encoding."""
    out, err = io.BytesIO(), io.BytesIO()
    with monkeypatch.context() as terminal:
        terminal.setattr(sys, "stdout", io.TextIOWrapper(out, encoding=encoding))
        terminal.setattr(sys, "stderr", io.TextIOWrapper(err, encoding=encoding))
        try:
            status = main(line)
        except SystemExit as end:
            status = end.code
        sys.stdout.flush()
        sys.stderr.flush()
        texts = [x.getvalue().decode(encoding) for x in (out, err)]
    return status, *texts


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_in_a_narrow_encoding(monkeypatch, command, encoding):
    status, out, _ = said(monkeypatch, [command, "--help"], encoding)
    assert status == 0 and f"soundguide_core {command}" in out


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_names_that_the_encoding_lacks_are_escaped(monkeypatch, tiny, tmp_path, encoding):
    sound = tmp_path / "雨.wav"
    sound.write_bytes(tiny.sound.read_bytes())
    line = ["classify", str(sound), "--labels", "rain,雪", "--joint", str(tiny.joint)]
    status, out, _ = said(monkeypatch, line, encoding)
    assert status == 0 and "\\u96e8.wav" in out and "\\u96ea" in out
    status, out, _ = said(monkeypatch, [*line, "--json"], encoding)
    assert status == 0 and json.loads(out)["results"][0]["audio"] == str(sound)
    status, _, err = said(monkeypatch, ["inspect", str(tmp_path / "雪\udcff")], encoding)
    assert status == 2 and "\\u96ea\\udcff" in err


def test_a_bar_where_the_encoding_has_one(monkeypatch, tiny):
    line = ["classify", str(tiny.sound), "--labels", "rain,snow", "--joint", str(tiny.joint)]
    assert "█" in said(monkeypatch, line)[1]
    assert "#" in said(monkeypatch, line, "cp1252")[1] and "\\u2588" not in said(monkeypatch, line, "cp1252")[1]


@pytest.mark.skipif(os.name == "nt", reason="no such letters in a name")
@pytest.mark.parametrize("command", ["classify", "inspect", "convert", "models", "download"])
def test_no_name_moves_the_cursor(monkeypatch, tiny, tmp_path, command):
    """ESC, its 8-bit form CSI, and an override of the direction of writing, out of file names, words and folders."""
    evil = "\x1b[2J\x9b31m\u202e\r"
    folder = tmp_path / evil
    folder.mkdir()
    sound, weights, made = folder / "a.wav", folder / "g.safetensors", folder / "new.safetensors"
    sound.write_bytes(tiny.sound.read_bytes())
    weights.write_bytes(tiny.generator.read_bytes())
    foreign = ROOT / "tests" / "fixtures" / "stylegan2_ada.pkl"
    monkeypatch.setenv("SOUNDGUIDE_MODELS", str(folder))
    right = {
        "classify": [str(sound), f"--labels=rain,{evil}snow", f"--joint={tiny.joint}"],
        "inspect": [str(weights), "--tensors"],
        "convert": [str(foreign), "--out", str(made)],
        "models": [],
    }
    wrong = {
        "classify": [str(folder / "none.wav"), "--labels=a,b", f"--joint={tiny.joint}"],
        "inspect": [str(folder / "none.pt")],
        "convert": [str(folder / "none.pt"), "--out", str(made)],
        "models": ["--kind", evil],
        "download": [evil],
    }
    for lines, expected in ((right, 0), (wrong, 2)):
        if command in lines:
            status, out, err = said(monkeypatch, [command, *lines[command]])
            assert status == expected, err
            assert all(c.isprintable() or c == "\n" for c in out + err), repr(out + err)
            assert "\\x1b[2J" in out + err


class Refusing(io.RawIOBase):
    def __init__(self, error: OSError):
        self.error = error

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        raise self.error


def test_a_full_disk_is_told_and_a_closed_pipe_is_not(monkeypatch, capsys):
    for error, status in ((OSError(28, "No space left on device"), 2), (BrokenPipeError(32, "Broken pipe"), 0)):
        with monkeypatch.context() as terminal:
            terminal.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(Refusing(error))))
            assert main(["models"]) == status
            monkeypatch.setattr(sys.stdout, "flush", lambda: None)
        err = capsys.readouterr().err
        assert err.startswith("error: The output cannot be read or written") if status else err == "", err


@pytest.mark.skipif(os.name == "nt", reason="a shell's pipe")
@pytest.mark.slow
def test_pipes_of_a_shell(tmp_path):
    for command in ("models | head -1", "models >&-", "models --help | true", "classify 2>&- >&-"):
        done = subprocess.run(
            ["sh", "-c", f"'{sys.executable}' -m soundguide_core {command}"], cwd=ROOT, capture_output=True, text=True
        )
        assert not done.stderr or command.startswith("classify"), done.stderr


@pytest.mark.parametrize("device", DEVICES)
def test_devices_that_are_not_here(monkeypatch, tiny, device):
    line = ["classify", str(tiny.sound), "--labels", "rain,snow", "--joint", str(tiny.joint), f"--device={device}"]
    if device == "xpu":
        monkeypatch.setattr("torch.zeros", lambda *args, **kwargs: 1 / 0)
    status, _, err = said(monkeypatch, line)
    assert status == 2 and err.startswith("error: The device ") and err.endswith("Use cpu.\n")


def test_a_number_of_the_processor_is_the_processor(monkeypatch, tiny):
    line = [
        "classify",
        str(tiny.sound),
        "--labels",
        "rain,snow",
        "--joint",
        str(tiny.joint),
        "--device=cpu:0",
        "--json",
    ]
    status, out, _ = said(monkeypatch, line)
    assert status == 0 and json.loads(out)["settings"]["device"] == "cpu"


@pytest.mark.parametrize(
    "line",
    [
        ["x" * 5000],
        ["inspect", "x" * 5000],
        ["inspect", "x/" * 2500],
        ["models", "--kind", "x " * 2500],
        ["models", "--seed", "9" * 4999],
        ["models", "--seed", "4294967296"],
        ["models", "--device", "x" * 5000, "--unknown=" + "y" * 5000],
        ["download", "x" * 5000],
        ["classify", "a.wav", "--labels", "x " * 2500 + ",,"],
        ["train", "joint", "--config", "x" * 5000],
        ["inspect", "nul\0.pt"],
        ["classify", "a.wav", "--labels=--"],
        ["continuous", "--out", "a.mp4", "--motion-seed", "1" + "0" * 4000],
        ["continuous", "--out", "a.mp4", "--fps", "1e400"],
    ],
)
def test_long_arguments_are_not_echoed(monkeypatch, line):
    status, _, err = said(monkeypatch, line)
    last = err.strip().splitlines()[-1]
    assert status == 2 and "error: " in last and len(last) < 700 and "x" * 130 not in err


@pytest.mark.parametrize("folds", ["²", "1²", "9" * 5000, "1,,2", "-1", "1.0"])
def test_folds(monkeypatch, tmp_path, folds):
    status, _, err = said(monkeypatch, ["evaluate", "zero-shot", str(tmp_path), f"--folds={folds}"])
    assert status == 2 and err.startswith("error: --folds")


def test_no_home_and_nowhere_to_write(monkeypatch, tiny, tmp_path):
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: (_ for _ in ()).throw(KeyError(uid)))
    tmp_path.chmod(0o555)
    monkeypatch.chdir(tmp_path)
    try:
        status, out, err = said(monkeypatch, ["classify", str(tiny.sound), "--labels=a,b", f"--joint={tiny.joint}"])
        assert status == 0 and out, err
        assert said(monkeypatch, ["models"])[0] == 0
    finally:
        tmp_path.chmod(0o755)
    assert not list(tmp_path.iterdir())


def test_memory_that_is_not_there(monkeypatch, tiny):
    def refuse(*args, **kwargs):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99999999999 bytes.")

    monkeypatch.setattr("soundguide_core.embedding.joint.load_joint", refuse)
    status, _, err = said(monkeypatch, ["classify", str(tiny.sound), "--labels=a,b", f"--joint={tiny.joint}"])
    assert status == 2 and err.startswith("error: This does not fit into the memory")
