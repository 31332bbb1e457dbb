"""Random command lines in a sandbox; the long run: pytest -m slow, or python tests/robustness/fuzz_commands.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="each batch of lines is a fork of its own")


@pytest.mark.parametrize("count", [pytest.param(n, marks=pytest.mark.slow) for n in (80, 2000)])
def test_random_command_lines(count, diffusers, request):
    if count > 100 and "slow" not in request.config.getoption("markexpr"):
        pytest.skip("takes minutes: pytest -m slow")
    command = [
        sys.executable,
        Path(__file__).with_name("fuzz_commands.py"),
        "--count",
        str(count),
        "--seed",
        str(count),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.stdout, done.stderr[-2000:]
    report = json.loads(done.stdout)
    assert not report["failures"], json.dumps(report["failures"][:5], indent=1)
    # the lines are neither all refused nor all right
    assert sum(report["statuses"].values()) == count and all(report["statuses"][x] > count / 10 for x in ("0", "2"))
