"""What a person finds in ComfyUI's own page, in a headless Chromium: the node search, the template dialog.

Needs playwright (`pip install playwright`, no download of a browser) and a Chromium.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.host, pytest.mark.slow]

FIRST = 8  # rows that the search dialog shows without scrolling
SEARCHED = "audio reactive, amplitude, fft, bpm, beat, fire, music, loudness, onset, stem, audio, rain, optical flow"


@pytest.fixture(scope="module")
def page(chromium, server):
    from browser import Page

    page = Page(chromium, f"http://127.0.0.1:{server.port}")
    if not page.has_aliases():
        pytest.skip("this host's search knows no other words than a node's name")
    yield page
    page.close()


@pytest.mark.parametrize("words", SEARCHED.split(", "))
def test_a_node_of_ours_is_among_the_first_that_the_search_shows(page, words):
    shown = page.found_nodes(words)[:FIRST]
    assert any(node["name"].startswith("SoundGuide") for node in shown), [node["display_name"] for node in shown]


TEMPLATES = ("SoundGuide", "audio reactive", "listens", "photograph", "prompt over time")


@pytest.mark.parametrize("words", TEMPLATES)
def test_templates_are_found(page, words):
    titles = page.found_templates(words)
    assert titles and titles[0].endswith(" - SoundGuide audio reactive"), titles[:4]


BLUEPRINTS = sorted((ROOT / "subgraphs").glob("*.json"))


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_a_blueprint_is_found_and_holds_its_chain(page, path):
    shown = page.found_nodes("audio reactive" if "Reactive" in path.stem else "picture changed by audio")
    assert path.stem in [node["display_name"] for node in shown]
    page.load(json.loads(path.read_text(encoding="utf-8")))
    kinds = {step["class_type"] for step in page.prompt().values()}
    assert {"SoundGuideLoadJointEncoder", "SoundGuideAudioEncode"} < kinds
    assert kinds & {"SoundGuideSoundManipulate", "SoundGuideGuideModel"}


@pytest.mark.parametrize("node", ["SoundGuideSoundManipulate", "SoundGuideSoundiniSampler"])
def test_a_bypassed_change_passes_its_picture_through(page, node, workflows):
    (prompt,) = (
        each
        for name, each in workflows.items()
        if name.startswith(("A sound edits a picture", "A sound edits a whole video"))
        and node in {x["class_type"] for x in each.values()}
    )
    page.page.evaluate("async (p) => { await window.app.loadApiJson(p, 'x'); }", prompt)
    whole = page.prompt()
    page.page.evaluate(f"() => {{ window.app.graph._nodes.find(n => n.type === '{node}').mode = 4; }}")
    (changed,) = (key for key, each in prompt.items() if each["class_type"] == node)
    given = prompt[changed]["inputs"].get("unchanged") or prompt[changed]["inputs"]["image"]
    after = page.prompt()
    assert changed in whole and changed not in after
    fed = [value for each in after.values() for value in each["inputs"].values() if isinstance(value, list)]
    assert fed.count(given) > [v for each in whole.values() for v in each["inputs"].values()].count(given)


def test_who_chooses_chinese_reads_chinese(chromium, server):
    """Which the page of 0.33 lists among its languages; German it does not list yet."""
    from browser import Page

    page = Page(chromium, f"http://127.0.0.1:{server.port}", locale="zh")
    try:
        if not page.has_aliases():
            pytest.skip("this host's page is older than the languages of packs")
        page.page.evaluate(
            "() => { const n = window.LiteGraph.createNode('SoundGuideGuideModel'); window.app.graph.add(n); }"
        )
        shown = page.page.evaluate(
            "() => { const n = window.app.graph._nodes.at(-1);"
            " return [n.title, ...n.inputs.map(i => i.localized_name)]; }"
        )
        told = json.loads((ROOT / "locales" / "zh" / "nodeDefs.json").read_text(encoding="utf-8"))
        named = told["SoundGuideGuideModel"]
        assert shown[0] == named["display_name"] and named["inputs"]["embeds"]["name"] in shown
    finally:
        page.close()


SAVED = [
    *(ROOT / "tests" / "fixtures").glob("saved_*_workflow.json"),
    *(path for path in (ROOT / "tests" / "fixtures" / "saved_by_0_2_0").glob("*.json") if path.stem != "golden_nodes"),
]


@pytest.mark.parametrize("path", SAVED, ids=lambda path: path.stem)
def test_a_workflow_that_was_saved_before_widgets_were_added_runs(page, server, path):
    """The templates as 0.2.0 first had them, and two from before."""
    graph = json.loads(path.read_text(encoding="utf-8"))
    page.load(graph)
    prompt = page.prompt()
    drawn = {str(node["id"]): node["type"] for node in graph["nodes"] if node["type"] != "MarkdownNote"}
    assert {id: step["class_type"] for id, step in prompt.items()} == drawn
    for step in prompt.values():
        if "steps" in step["inputs"]:
            step["inputs"]["steps"] = min(step["inputs"]["steps"], 12)  # as saved it would only take longer
    run = server.run(prompt)
    assert run.status == "success", run.error
