"""Makes the templates from their API twins: nodes in columns and groups, with room for what they show after a run.

    python tests/host/arrange.py --url http://127.0.0.1:8188 [NAME ...]

opens workflows/api/NAME.json in the page of a running ComfyUI, runs it in the classic canvas and in Nodes 2.0, measures
every node before and after, and writes workflows/NAME.json: nodes no taller than what they hold, the note first, each
group around its nodes. arrangement.toml has the notes, and says which node stands where.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from pathlib import Path

import tomllib

HERE = Path(__file__).resolve().parent
WORKFLOWS = HERE.parents[1] / "workflows"
SUFFIX = " - SoundGuide audio reactive"  # what people search for; first comes what fits on a card
TITLE, GROUP_TITLE, GAP, MARGIN, BETWEEN = 30, 40, 30, 22, 60  # pixels of the canvas
COLOURS = ("#5f6672", "#3f6f5f", "#7a6330", "#54417a", "#335d86", "#6b3f52")
NOTE = "MarkdownNote"
NOTE_WIDTH, WIDTH, PICTURE, WIDE = 360, 320, 300, 440
WIDTHS = {"PreviewImage": PICTURE, "SaveImage": PICTURE, "MaskPreview": PICTURE, "SaveVideo": WIDE,
          "SoundGuideHearWords": 360, "SoundGuideSoundPrompt": 380, "SoundGuideAudioEncode": 360}  # fmt: skip
LEAST = {"CLIPTextEncode": 110, "PreviewAny": 120, "SoundGuideTextEncode": 120}
PREVIEWED = {"SoundGuideFlowGuidance": 60, "SoundGuideInvertImage": 60}  # more, while they run in Nodes 2.0
FIXED = """() => { for (const n of window.app.graph._nodes) for (const w of n.widgets || [])
  if (w.name === 'control_after_generate') w.value = 'fixed'; }"""
SERIALISED = "async () => JSON.stringify((await window.app.graphToPrompt()).workflow)"


def drawn(page, twin: dict, note: str, wide: list[int]) -> dict:
    """The graph of an API twin as the page makes it, every node as small as it may be, with a note."""
    page.page.evaluate("async (p) => { await window.app.loadApiJson(p, 'template'); }", twin)
    page.page.wait_for_timeout(1500)
    page.page.evaluate(FIXED)
    graph = json.loads(page.page.evaluate(SERIALISED))
    for node in graph["nodes"]:
        node["id"] = int(node["id"])
        width = WIDE if node["id"] in wide else WIDTHS.get(node["type"], WIDTH)
        node.update(size=[width, LEAST.get(node["type"], 10)], flags={})
        node["title"] = twin[str(node["id"])]["_meta"]["title"]
    number = max(node["id"] for node in graph["nodes"]) + 1
    graph["nodes"].append(
        {"id": number, "type": NOTE, "pos": [0, 0], "size": [NOTE_WIDTH, 100], "flags": {}, "order": 0, "mode": 0,
         "inputs": [], "outputs": [], "title": "Read me first", "properties": {}, "widgets_values": [note.strip()],
         "color": "#2f3640", "bgcolor": "#242a33"}
    )  # fmt: skip
    kept = {"last_link_id": graph["last_link_id"], "nodes": graph["nodes"], "links": graph["links"]}
    return {"last_node_id": number, **kept, "groups": [], "config": {}, "extra": {}, "version": 0.4}


def measured(browser, url: str, graph: dict) -> tuple[dict[int, list[float]], dict[int, float]]:
    """(size [width, height] to save of each node, height that it has at most, its title included)."""
    from browser import Page

    sizes: dict[int, list[float]] = {}
    tallest: dict[int, float] = {}
    for nodes2 in (False, True):
        page = Page(browser, url, nodes2=nodes2)
        page.load(graph)
        for moment in ("before", "after"):
            if moment == "after":
                kind, detail = page.run(900)
                assert kind == "execution_success", detail
            for node in page.boxes():
                (_, _, width, height), number = node["box"], int(node["id"])
                tallest[number] = max(tallest.get(number, 0), height)
                if not nodes2 and moment == "before":
                    sizes[number] = [width, height - TITLE]
        page.close()
    return sizes, tallest


def note_height(text: str) -> int:
    """About what a note of this text needs in pixels, its title included."""
    lines = sum(-(-len(line) // 52) if line else 0.45 for line in text.strip().split("\n"))
    return round(90 + 18 * lines)


def arranged(graph: dict, columns: list, sizes: dict, tallest: dict) -> dict:
    """columns: of each the groups [title, id or row of ids, ...]."""
    graph, groups = copy.deepcopy(graph), []
    left = {node["id"]: node for node in graph["nodes"]}
    kinds = {node["id"]: node["type"] for node in graph["nodes"]}
    (note,) = (node for node in graph["nodes"] if node["type"] == NOTE)
    note.update(pos=[0, TITLE], size=[NOTE_WIDTH, note_height(note["widgets_values"][0]) - TITLE])
    del left[note["id"]]
    x = NOTE_WIDTH + BETWEEN
    for column in columns:
        rows = {title: [row if isinstance(row, list) else [row] for row in rows] for title, *rows in column}
        width = max(sum(sizes[i][0] + GAP for i in row) - GAP for each in rows.values() for row in each)
        y = 0.0
        for title, each in rows.items():
            top, y = y, y + GROUP_TITLE
            for row in each:
                share = (width - GAP * (len(row) - 1)) / len(row)
                for place, i in enumerate(row):
                    left.pop(i).update(
                        pos=[round(x + MARGIN + place * (share + GAP)), round(y + TITLE)],
                        size=[round(share), round(sizes[i][1])],
                    )
                y += max(tallest[i] + PREVIEWED.get(kinds[i], 0) for i in row) + GAP
            y += MARGIN - GAP
            groups.append(
                {"title": title, "bounding": [round(x), round(top), round(width + 2 * MARGIN), round(y - top)]}
            )
            y += GAP
        x += width + 2 * MARGIN + BETWEEN
    assert not left, f"in no group: {sorted(left)}"
    for number, group in enumerate(groups):
        group.update(id=number + 1, color=COLOURS[number % len(COLOURS)], font_size=22, flags={})
    return {**graph, "groups": groups, "extra": {"ds": {"scale": 0.6, "offset": [60, 90]}}}


def main() -> int:
    from browser import Page, find_chromium
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--url", default="http://127.0.0.1:8188")
    parser.add_argument("--keep", type=Path, help="JSON of what was measured: read where it is there, and written")
    given = parser.parse_args()
    known = json.loads(given.keep.read_text(encoding="utf-8")) if given.keep and given.keep.is_file() else {}
    table = tomllib.loads((HERE / "arrangement.toml").read_text(encoding="utf-8"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"])
        page = Page(browser, given.url)
        for name in given.names or table:
            said, file = table[name], f"{name}{SUFFIX}.json"
            twin = json.loads((WORKFLOWS / "api" / file).read_text(encoding="utf-8"))
            graph = drawn(page, twin, said["note"], said.get("wide", []))
            if name not in known:
                known[name] = measured(browser, given.url, graph)
            sizes, tallest = ({int(key): value for key, value in each.items()} for each in known[name])
            done = arranged(graph, said["columns"], sizes, tallest)
            (WORKFLOWS / file).write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")
            if given.keep:
                given.keep.write_text(json.dumps(known), encoding="utf-8")
            print(name, flush=True)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    sys.exit(main())
