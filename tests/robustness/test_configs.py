"""Every field of every config with everything that it should not be; a share here, all with pytest -m slow."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak of its memory from /proc")


@pytest.mark.parametrize("share", [pytest.param(0.01, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.slow)])
def test_odd_configs(share, diffusers, request):
    if share == 1 and "slow" not in request.config.getoption("markexpr"):
        pytest.skip("takes half an hour: pytest -m slow")
    command = [sys.executable, str(Path(__file__).with_name("config_sweep.py")), "--share", str(share)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.stdout, done.stderr[-2000:]
    report = json.loads(done.stdout)
    assert not report["failures"], json.dumps(report["failures"], indent=1)[:3000]
    assert report["cases"] > 5000 * share and len(report["kinds"]) == 18 + bool(importlib.util.find_spec("torchaudio"))
