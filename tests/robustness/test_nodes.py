"""Random node calls inside the host's modules: refused in two sentences or answered. The long run: fuzz_nodes.py."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HOST = Path(os.environ.get("COMFYUI_PATH", "~/comfy/ComfyUI")).expanduser()
NEEDED = (
    "aiohttp",
    "yaml",
    "alembic",
    "einops",
    "psutil",
    "transformers",
    "open_clip",
    "diffusers",
    "librosa",
)

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(not (HOST / "main.py").is_file(), reason="no ComfyUI here: set COMFYUI_PATH to a checkout"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="its limits are those of Linux"),
    pytest.mark.skipif(
        not all(map(importlib.util.find_spec, NEEDED)), reason=f"this Python lacks one of {', '.join(NEEDED)}"
    ),
]


@pytest.mark.parametrize("count", [60, pytest.param(500, marks=pytest.mark.slow)])
def test_random_node_calls(count, request):
    if count > 100 and "slow" not in request.config.getoption("markexpr"):
        pytest.skip("takes minutes: pytest -m slow")
    command = [sys.executable, Path(__file__).with_name("fuzz_nodes.py"), "--count", str(count), "--seed", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr[-2000:]
    report = json.loads(done.stdout)
    assert not report["failures"], json.dumps(report["failures"][:5], indent=1)
    assert report["calls"]["answered"] > count / 10
