"""What a person finds in ComfyUI's own page, in a headless Chromium: the node search, the template dialog.

Needs playwright (`pip install playwright`, no download of a browser) and a Chromium.
"""

from __future__ import annotations

import pytest

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
