"""Files damaged at random: refused or read, and nothing else happens. The figures of a long run: fuzz.py itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="limits are POSIX")


@pytest.mark.parametrize("count", [pytest.param(n, marks=pytest.mark.slow) for n in (300, 10_000)])
def test_damaged_files(count, request):
    if count > 1000 and "slow" not in request.config.getoption("markexpr"):
        pytest.skip("takes minutes: pytest -m slow")
    command = [sys.executable, Path(__file__).with_name("fuzz.py"), "--count", str(count), "--seed", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr[-2000:]
    report = json.loads(done.stdout)
    assert not report["failures"] and done.returncode == 0
    # the damage is neither so small that all is read nor so large that nothing is looked at
    assert len(report["files"]) >= 15 and 0 < report["converted"] < count / 2
