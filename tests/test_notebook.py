"""The example notebook runs from top to bottom.

Its cells are executed in one namespace, in order, as a notebook does, without nbclient: that needs a Jupyter kernel and
a connection to it, which is much to install for running code, and shows the same errors. IPython's display is a stub
where it is not installed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

NOTEBOOK = Path(__file__).resolve().parents[1] / "examples" / "soundguide.ipynb"


@pytest.fixture(scope="module")
def cells() -> list[dict]:
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


@pytest.fixture
def shown(monkeypatch) -> list:
    """What the notebook displays."""
    displayed: list = []
    module = ModuleType("IPython.display")
    module.display = displayed.append  # type: ignore[attr-defined]
    module.Audio = lambda data, rate: ("audio", len(data) / rate)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return displayed


def test_it_is_a_clean_notebook(cells):
    document = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (document["nbformat"], document["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in cells}) == len(cells)
    for cell in cells:
        assert cell["cell_type"] in ("markdown", "code") and "".join(cell["source"]).strip()
        assert not cell.get("outputs") and cell.get("execution_count") is None, "without what somebody's run left"


@pytest.mark.slow
def test_it_runs(cells, shown, capsys):
    names: dict = {"__name__": "__main__"}
    for i, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{NOTEBOOK.name}[{i}]", "exec"), names)  # noqa: S102
    told = capsys.readouterr().out
    assert told.splitlines()[0].startswith("waves"), "what is heard first"
    assert "where the mask is black: 0.0" in told and "waves.png" in told
    sizes = [each.size for each in shown if not isinstance(each, tuple)]
    assert ("audio", 6.0) in shown and len(sizes) == 5 and sizes[0] == (512, 256)
