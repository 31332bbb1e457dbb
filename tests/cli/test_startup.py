"""Commands that need no network answer without importing PyTorch; those that do import no more than they use."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from soundguide_core.checkpoints import header, safetensors_io
from soundguide_core.checkpoints.registry import PACKAGE
from soundguide_core.cli import COMMANDS

HEAVY = ("torch", "numpy", "open_clip", "timm", "torchvision", "librosa", "numba", "scipy", "diffusers", "safetensors")
RUN = """
import sys, time, json, contextlib, io
from soundguide_core.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main(sys.argv[1:])
print(json.dumps([time.process_time(), sorted(sys.modules)]))
"""


def run(*arguments: str) -> tuple[float, set[str]]:
    """(seconds of the processor, modules that were imported)"""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, check=True, cwd=PACKAGE.parent,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
    )  # fmt: skip
    seconds, modules = json.loads(done.stdout.splitlines()[-1])
    return seconds, set(modules)


QUICK = [["--help"], ["--version"], ["models"], ["models", "--json"], *([name, "--help"] for name in COMMANDS)]


@pytest.mark.parametrize("arguments", QUICK, ids=" ".join)
def test_answers_at_once(arguments):
    seconds, modules = run(*arguments)
    assert not modules & set(HEAVY)
    assert seconds < 0.6  # 0.12 to 0.18 on an idle machine


def test_inspect_reads_the_header_alone():
    files = sorted((PACKAGE / "miniature" / "weights").glob("*.safetensors"))
    for file in files:
        assert header.read_own(file) == safetensors_io.describe(file)
    if files:
        seconds, modules = run("inspect", str(files[0]))
        assert not modules & set(HEAVY) and seconds < 0.6


@pytest.mark.parametrize("name", ["stylegan2_ada.pkl", "stylegan3.pkl", "stylegan_v.pkl", "tensorflow.pkl", "a.pt"])
def test_inspect_describes_a_foreign_file_without_pytorch(tmp_path, name):
    file = PACKAGE.parent / "tests" / "fixtures" / name
    if name == "a.pt":
        import torch

        file = tmp_path / name
        torch.save({f"Head{i}.{leaf}": torch.zeros(2) for i in (1, 2) for leaf in ("weight", "bias")}, file)
    seconds, modules = run("inspect", str(file))
    assert not modules & set(HEAVY) - {"numpy"} and seconds < 0.8  # 0.2 on an idle machine


def test_only_whole_files_of_ours_are_read_so(tmp_path):
    import torch
    from safetensors.torch import save_file

    file = tmp_path / "a.safetensors"
    safetensors_io.save(file, {"x": torch.zeros(3, 2), "y": torch.zeros(0, dtype=torch.int64)}, {"resolution": 8})
    assert header.read_own(file) == ({"x": [3, 2], "y": [0]}, {"resolution": 8})
    whole = file.read_bytes()
    for broken in (whole[:-1], whole + b"x", whole[:40], b"", whole.replace(b"[3,2]", b"[3,3]"), b"{" + whole):
        file.write_bytes(broken)
        assert header.read_own(file) is None
    save_file({"x": torch.zeros(2)}, file)  # no config
    assert header.read_own(file) is None and header.read_own(tmp_path) is None and header.read_own("absent") is None


@pytest.mark.slow
def test_classify_imports_no_more_than_pytorch(tmp_path):
    import numpy
    import soundfile

    soundfile.write(tmp_path / "a.wav", numpy.random.RandomState(0).randn(16000) * 0.1, 16000)
    _, modules = run("classify", str(tmp_path / "a.wav"), "--labels", "rain,fire", "--device", "cpu")
    assert "torch" in modules
    assert not modules & {"open_clip", "timm", "torchvision", "torch._dynamo", "librosa.core", "numba", "transformers"}


def test_the_miniature_is_rendered_without_compiled_loops():
    """Whose import takes longer than the pictures."""
    code = """
import sys, torch
from soundguide_core.generators.loading import load_generator
generator = load_generator(sys.argv[1])
with torch.inference_mode():
    generator.synthesis(generator.sample_ws(range(16)))
assert "numba" not in sys.modules
"""
    where = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    file = PACKAGE / "miniature" / "weights" / "generator.safetensors"
    subprocess.run([sys.executable, "-c", code, str(file)], check=True, env=where)


def test_the_collector_rests_while_torch_is_imported_and_works_after_it():
    code = """
import gc, sys
from soundguide_core.cli.collector import resting_while_torch_is_imported
ran = []
importing = lambda: "torch" in sys.modules and sys.modules["torch"].__spec__._initializing
gc.callbacks.append(lambda phase, info: ran.append(importing()))
with resting_while_torch_is_imported():
    import torch
assert sum(ran) < 6, "the collector ran in the middle, not as it was woken"
assert gc.isenabled() and len(sys.meta_path) == count and type(torch.__spec__.loader).__name__ == "SourceFileLoader"
"""
    code = "import sys; count = len(sys.meta_path)\n" + code
    where = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    subprocess.run([sys.executable, "-c", code], check=True, env=where)


def test_one_command_imports_no_other():
    modules = run("models")[1]
    assert "soundguide_core.cli.models" in modules and "soundguide_core.cli.edit" not in modules
