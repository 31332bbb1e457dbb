"""docs/host-checklist.md: all points are there, their count is told, and the tests that it names exist."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "host-checklist.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\d+) \| (.*?) \| (yes|partly|no|unchecked) \| (.*) \|$", PAGE, re.M)
NAMED = re.findall(r"`((?:host|tests)/[\w/.]+\.py)(?: -k (\"[^\"]+\"|\w+))?`", PAGE)


def test_every_point_has_its_answer_and_the_count_is_theirs():
    assert [int(number) for number, *_ in ROWS] == list(range(1, 46))
    count = Counter(answer for _, _, answer, _ in ROWS)
    told = {answer: int(number) for number, answer in re.findall(r"(\d+) (yes|partly|no|unchecked)", PAGE)}
    assert told == count and count["yes"] >= 38


@pytest.mark.parametrize(("path", "chosen"), sorted(set(NAMED)))
def test_the_tests_that_it_names_are_there(path, chosen):
    file = ROOT / "tests" / path if path.startswith("host/") else ROOT / path
    names = f"{file.stem} " + " ".join(re.findall(r"def (test_\w+)", file.read_text(encoding="utf-8")))
    for words in filter(None, chosen.strip('"').split(" or ")):
        assert words in names, words
