"""Every template in the page of the host, in both renderers, before and after a run: nothing lies over anything else.

Slow: each template runs once. SOUNDGUIDE_SHOTS names a folder for pictures of all of it.
"""

from __future__ import annotations

import json
import os
from itertools import combinations
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = sorted((ROOT / "workflows").glob("*.json"))
SUFFIX = " - SoundGuide audio reactive"
SLACK = 3  # pixels by which borders may meet
NOTE = "MarkdownNote"

pytestmark = [pytest.mark.host, pytest.mark.slow]


@pytest.fixture(scope="module", params=[False, True], ids=["classic", "nodes 2.0"])
def page(request, chromium, server):
    from browser import Page

    page = Page(chromium, f"http://127.0.0.1:{server.port}", nodes2=request.param)
    yield page
    page.close()


def overlap(one: list[float], two: list[float]) -> bool:
    (x, y, w, h), (X, Y, W, H) = one, two
    return x + w - SLACK > X and x < X + W - SLACK and y + h - SLACK > Y and y < Y + H - SLACK


def inside(one: list[float], two: list[float]) -> bool:
    (x, y, w, h), (X, Y, W, H) = one, two
    return x >= X - SLACK and y >= Y - SLACK and x + w <= X + W + SLACK and y + h <= Y + H + SLACK


def wire(graph: dict, link: list) -> list[tuple[float, float]]:
    """Points along a wire, about as the page draws it."""
    nodes = {node["id"]: node for node in graph["nodes"]}
    (x, y), (X, Y) = (nodes[link[i]]["pos"] for i in (1, 3))
    x, y, Y = x + nodes[link[1]]["size"][0], y + 14 + 20 * link[2], Y + 14 + 20 * link[4]
    pull = 0.25 * ((X - x) ** 2 + (Y - y) ** 2) ** 0.5
    points = []
    for i in range(41):
        t = i / 40
        a, b, c, d = (1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3
        points.append((a * x + b * (x + pull) + c * (X - pull) + d * X, (a + b) * y + (c + d) * Y))
    return points


def check(page, moment: str) -> list[str]:
    boxes, groups, wrong = page.boxes(), page.groups(), []
    for one, two in combinations(boxes, 2):
        if overlap(one["box"], two["box"]):
            wrong.append(f"{moment}: {one['title']} lies over {two['title']}")
    for node in boxes:
        home = [group for group in groups if overlap(group["box"], node["box"])]
        if node["type"] == NOTE:
            wrong += [f"{moment}: the note lies over {group['title']}" for group in home]
        elif len(home) != 1 or not inside(node["box"], home[0]["box"]):
            wrong.append(f"{moment}: {node['title']} sticks out of its group")
    for one, two in combinations(groups, 2):
        if overlap(one["box"], two["box"]):
            wrong.append(f"{moment}: the group {one['title']} lies over {two['title']}")
    return wrong


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem.removesuffix(SUFFIX))
def test_nothing_lies_over_anything_else_before_and_after_a_run(page, path):
    graph = json.loads(path.read_text(encoding="utf-8"))
    (note,) = (node for node in graph["nodes"] if node["type"] == NOTE)
    assert note["pos"][0] < min(node["pos"][0] for node in graph["nodes"] if node is not note), "the note comes first"
    x, y, w, h = *note["pos"], *note["size"]
    assert not any(x < X < x + w and y < Y < y + h for link in graph["links"] for X, Y in wire(graph, link))
    page.load(graph)
    wrong = check(page, "before")
    if not page.nodes2:  # in the classic canvas a node is as tall as its file says
        grey = [node["title"] for node in page.boxes() if node["type"] != NOTE and node["box"][3] > node["least"] + 90]
        wrong += [f"{title} opens taller than what it holds" for title in grey]
    shots, name = os.environ.get("SOUNDGUIDE_SHOTS"), path.stem.removesuffix(SUFFIX)
    kind = "nodes 2.0" if page.nodes2 else "classic"
    if shots:
        page.shot(Path(shots) / f"{name}, {kind}, before.png")
    ended, detail = page.run(900)
    assert ended == "execution_success", detail
    if shots:
        page.shot(Path(shots) / f"{name}, {kind}, after.png")
    assert wrong + check(page, "after") == []
    assert not page.errors
