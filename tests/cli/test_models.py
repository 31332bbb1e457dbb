"""models: what is here, one line each; all of it; all about one."""

from __future__ import annotations

import pytest

from soundguide_core.checkpoints import registry
from soundguide_core.cli import main


@pytest.fixture
def listed(capsys):
    def run(*words: str) -> list[str]:
        assert main(["models", *words]) == 0
        return capsys.readouterr().out.splitlines()

    return run


def test_the_short_list_has_one_line_for_each_that_is_here(listed):
    here = [row for row in registry.rows() if not row.missing]
    lines = listed()
    assert len(lines) == len(here) + 3
    assert [line.split()[:2] for line in lines[: len(here)]] == [[row.kind, row.name] for row in here]
    assert lines[len(here)].startswith("Can be had: ") and "generator" in lines[len(here)]


def test_all_and_a_kind(listed):
    rows = registry.rows()
    assert len(listed("--all")) == len(rows) + 1
    assert len(listed("--kind", "flow")) == len([row for row in rows if row.kind == "flow"]) + 1
    assert max(map(len, listed("--all"))) < 160


def test_one_by_name_in_full(listed, capsys):
    (lines) = listed("stylegan2-ffhq")
    assert "not on this disk" in lines[0] and any("Licence: Nvidia" in line for line in lines)
    assert main(["models", "nobody"]) == 2
    assert "models --all" in capsys.readouterr().err
