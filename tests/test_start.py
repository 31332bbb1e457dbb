"""start.py: what it installs, and that it leaves alone what is already there."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def start(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("soundguide_start", ROOT / "start.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    venv = tmp_path / ".venv"
    monkeypatch.setattr(module, "VENV", venv)
    monkeypatch.setattr(module, "PYTHON", venv / "bin" / "python")
    monkeypatch.setattr(module, "STAMP", venv / "soundguide.json")
    return module


@pytest.fixture
def ran(start, monkeypatch):
    """Every command line that start.py would have run; all succeed."""
    commands = []

    def pretend(command, **_):
        commands.append([str(part) for part in command])
        if "venv" in commands[-1]:
            start.PYTHON.parent.mkdir(parents=True)
            start.PYTHON.touch()
        return SimpleNamespace(returncode=0)

    fakes = {"run": pretend, "Popen": lambda command, **_: as_process(start, command)}
    monkeypatch.setattr(start, "subprocess", SimpleNamespace(**fakes, DEVNULL=-3, PIPE=-1))
    monkeypatch.setattr(start, "answers", lambda url: url.startswith(start.FOR_PROCESSORS))
    return commands


def as_process(start, command, *lines: str):
    """What subprocess.Popen gives: it prints these lines, and ends as subprocess.run of the command does."""
    returncode = start.subprocess.run(command).returncode
    return SimpleNamespace(stdout=iter(lines), wait=lambda: returncode)


PIP = """Collecting torch
  Downloading torch-2.14.1-cp311-cp311-manylinux_2_28_x86_64.whl.metadata (28 kB)
Downloading https://a.place/whl/cpu/torch-2.14.1%2Bcpu-cp311-cp311-manylinux_2_28_x86_64.whl (188.4 MB)
Progress 0 of 188400000
Progress 94200000 of 188400000
Using cached numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.whl (16.6 MB)
Downloading scikit_image-0.26.0-cp311-cp311-manylinux_2_24_x86_64.whl (13.9 MB)
Downloading tqdm-4.70.1-py3-none-any.whl (78 kB)
Installing collected packages: tqdm, numpy, torch
Successfully installed numpy-2.4.6 torch-2.14.1 tqdm-4.70.1
"""


@pytest.mark.parametrize("terminal", [False, True])
def test_what_is_fetched_and_how_much_is_said_in_a_line(start, ran, monkeypatch, capsys, terminal):
    lines = PIP.splitlines(keepends=True)
    monkeypatch.setattr(start.subprocess, "Popen", lambda command, **_: as_process(start, command, *lines))
    monkeypatch.setattr(start.sys.stderr, "isatty", lambda: terminal)
    count = {"megabytes": 100.0}
    assert start.fetch(["pip"], "torch", last=count)
    assert count["megabytes"] == pytest.approx(100 + 188.4 + 13.9 + 0.078)
    told = [line.strip() for line in re.split(r"[\r\n]", capsys.readouterr().err)]
    assert "[SoundGuide] fetching torch, 188 MB; 288 MB with it" in told
    assert "[SoundGuide] unpacking 3 packages, 302 MB fetched" in told
    assert ("scikit_image" in "".join(told)) == terminal, "small ones only where the line is replaced"


def test_where_windows_has_its_python(start):
    assert start.python_in(Path("a"), windows=True) == Path("a/Scripts/python.exe")
    assert start.python_in(Path("a"), windows=False) == Path("a/bin/python")


def test_requirements_are_those_of_the_card(start):
    packages = start.requirements("demo")
    card = {"open_clip_torch", "diffusers", "librosa", "safetensors", "numpy", "kornia"}
    assert {"torch", "torchvision"} | card <= {*packages}
    assert start.requirements("test") == [*packages, "pytest", "scikit-image"]


def test_nothing_that_the_host_ships_is_pinned(start):
    assert not [p for p in start.requirements("demo") if any(c in p.split(";")[0] for c in "=<>~")]


def test_makes_installs_runs_and_the_second_time_only_runs(start, ran):
    assert start.main(["demo", "--out", "x"]) == 0
    assert ran[0][1:3] == ["-m", "venv"] and any("install" in command for command in ran)
    assert ran[-1][1:] == ["-m", "soundguide_core", "demo", "--out", "x"]
    ran.clear()
    start.main(["demo"])
    assert not any("install" in command or "venv" in command for command in ran)
    ran.clear()
    start.main(["test", "-k", "mel"])
    assert any("pytest" in command for command in ran if "install" in command)
    assert ran[-1][1:] == ["-m", "pytest", "-k", "mel"]
    ran.clear()
    start.main(["demo"])
    assert not any("install" in command for command in ran), "either order"


def test_runs_any_command_where_the_user_stands(start, ran, monkeypatch):
    seen = {}
    run = start.subprocess.run
    monkeypatch.setattr(start.subprocess, "run", lambda c, **k: seen.update(k) or run(c, **k))
    assert start.main(["run", "classify", "rain.wav", "--labels", "rain,wind"]) == 0
    assert ran[-1][1:] == ["-m", "soundguide_core", "classify", "rain.wav", "--labels", "rain,wind"]
    assert seen["cwd"] is None and seen["env"]["PYTHONPATH"] == str(ROOT)
    assert seen["env"]["SOUNDGUIDE_CALLED"].endswith(" run")
    start.main(["test"])
    assert "SOUNDGUIDE_CALLED" not in seen["env"], "the tests start commands in their own way"


@pytest.mark.parametrize("useless", [True, False])
def test_pytorch_for_processors_where_there_is_no_gpu(start, ran, monkeypatch, useless):
    monkeypatch.setattr(start, "cuda_is_of_no_use", lambda: useless)
    start.main(["demo"])
    small = [command for command in ran if start.FOR_PROCESSORS in command]
    assert len(small) == useless
    if useless:
        assert small[0][-2:] == ["torch", "torchvision"], "together, as they fit each other"
        everything = next(command for command in ran if "open_clip_torch" in command)
        assert ran.index(small[0]) < ran.index(everything)
        ran.clear()
        start.main(["test"])
        assert not [command for command in ran if start.FOR_PROCESSORS in command], "once"


@pytest.mark.parametrize("fails", [["--index-url"], ["import torchvision"]])
def test_where_the_small_pytorch_does_not_work_the_usual_one_is_taken(start, ran, monkeypatch, capsys, fails):
    run = start.subprocess.run
    monkeypatch.setattr(start, "cuda_is_of_no_use", lambda: True)
    monkeypatch.setattr(
        start.subprocess,
        "run",
        lambda c, **k: run(c, **k) if not set(fails) & set(map(str, c)) else SimpleNamespace(returncode=1),
    )
    assert start.main(["demo"]) == 0
    assert "usual one is taken" in capsys.readouterr().err and start.STAMP.exists()
    uninstalled = next(i for i, command in enumerate(ran) if "uninstall" in command)
    after = next(command for command in ran[uninstalled + 1 :] if "--help" not in command)
    assert {"torch", "torchvision", "open_clip_torch"} <= set(after), "both anew, beside the rest"


def test_where_the_place_does_not_answer_pip_is_not_sent_there(start, ran, monkeypatch):
    monkeypatch.setattr(start, "cuda_is_of_no_use", lambda: True)
    monkeypatch.setattr(start, "answers", lambda url: False)
    assert start.main(["demo"]) == 0
    assert not [command for command in ran if start.FOR_PROCESSORS in command or "uninstall" in command]


def test_what_the_tests_need_is_enough_for_the_demo(start, ran):
    start.main(["test"])
    ran.clear()
    start.main(["demo"])
    assert not any("install" in command for command in ran)


def test_a_failed_install_is_not_remembered(start, ran, monkeypatch):
    run = start.subprocess.run
    monkeypatch.setattr(
        start.subprocess, "run", lambda c, **k: SimpleNamespace(returncode=1) if "install" in c else run(c, **k)
    )
    with pytest.raises(SystemExit, match="pip could not install"):
        start.main(["demo"])
    assert not start.STAMP.exists()


def test_unknown_command_explains_itself(capsys):
    done = subprocess.run([sys.executable, ROOT / "start.py", "dance"], capture_output=True, text=True)
    assert done.returncode == 2 and "start.py demo" in done.stdout
