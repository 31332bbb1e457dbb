"""The package is imported from the checkout, and one thread per test keeps a small machine quick."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of real recordings beside the checkout; a test that needs it is skipped where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not (folder / "esc10" / "meta" / "esc50.csv").is_file():
        pytest.skip("the recordings of ../shared/data are not here")
    return folder
