"""Hostile files under an audit hook: nothing is started, connected to or written; 500 MB and 5 s at most."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak of its memory from /proc")
@pytest.mark.parametrize("count", [pytest.param(n, marks=pytest.mark.slow) for n in (40, 200)])
def test_hostile_files(count, diffusers, request):
    if count > 100 and "slow" not in request.config.getoption("markexpr"):
        pytest.skip("takes a minute: pytest -m slow")
    command = [sys.executable, Path(__file__).with_name("hostile_files.py"), "--count", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr[-2000:]
    report = json.loads(done.stdout)
    assert sum(report["files"].values()) == count and not report["failures"], json.dumps(report, indent=1)
