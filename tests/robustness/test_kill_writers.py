"""SIGKILL at random moments of every writer: what was there is there, what is new is whole or absent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a writer is a fork of its own")
@pytest.mark.slow
def test_killed_writers():
    script = Path(__file__).with_name("kill_writers.py")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr[-2000:]
    report = json.loads(done.stdout)
    assert len(report) == 11 and not any(found["broken"] for found in report.values()), report
