"""ComfyUI's page in a headless Chromium: what a person finds there, opens, runs and sees.

Nothing is written to anybody's settings: the page is told them here. What is not the server's own is not fetched.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

READY = "() => window.app?.graph && Object.keys(window.LiteGraph?.registered_node_types || {}).length > 100"
STORE = "document.querySelector('#vue-app').__vue_app__.config.globalProperties.$pinia._s"
ENDS = ("execution_success", "execution_error", "execution_interrupted")

# of every node: id, title, x, y (with its title), width, height, in the graph's own units
BOXES = """(nodes2) => {
  const g = window.app.graph, c = window.app.canvas, area = c.canvas.getBoundingClientRect(), T = 30;
  return g._nodes.map(n => {
    let x = n.pos[0], y = n.pos[1] - T, w = n.size[0], h = n.size[1] + T, inner = null;
    const e = nodes2 ? document.querySelector(`[data-node-id="${n.id}"]`) : null;
    if (e) {
      const r = e.getBoundingClientRect(), s = c.ds.scale;
      x = (r.left - area.left) / s - c.ds.offset[0]; y = (r.top - area.top) / s - c.ds.offset[1];
      w = r.width / s; h = r.height / s;
    }
    return {id: n.id, type: n.type, title: n.title, box: [x, y, w, h], least: n.computeSize()[1] + T,
            shown: !!((n.imgs && n.imgs.length) || n.videoContainer)};
  });
}"""
GROUPS = "() => window.app.graph._groups.map(g => ({title: g.title, box: [g.pos[0], g.pos[1], g.size[0], g.size[1]]}))"
FIT = """() => {
  const c = window.app.canvas, g = window.app.graph; let b = [1e9, 1e9, -1e9, -1e9];
  for (const n of [...g._nodes, ...g._groups]) {
    b = [Math.min(b[0], n.pos[0]), Math.min(b[1], n.pos[1] - 40),
         Math.max(b[2], n.pos[0] + n.size[0]), Math.max(b[3], n.pos[1] + n.size[1])];
  }
  const W = c.canvas.clientWidth - 120, H = c.canvas.clientHeight - 150;
  const s = Math.min(W / (b[2] - b[0]), H / (b[3] - b[1]), 1.2);
  c.ds.scale = s; c.ds.offset[0] = -b[0] + 80 / s; c.ds.offset[1] = -b[1] + 90 / s; c.setDirty(true, true);
}"""


def find_chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page:
    """One page of the server at `url`. nodes2: Nodes 2.0 in place of the classic canvas."""

    def __init__(self, browser, url: str, *, nodes2: bool = False, locale: str = "en", size=(1800, 1050)):
        self.nodes2, self.url, self.errors = nodes2, url, []
        self.settings = {
            "Comfy.TutorialCompleted": True, "Comfy.UseNewMenu": "Top", "Comfy.Locale": locale,
            "Comfy.Workflow.Persist": False, "Comfy.VueNodes.Enabled": nodes2, "Comfy.InstalledVersion": "1.35.9",
            "Comfy.Release.Version": "9.9.9", "Comfy.Release.Status": "skipped",
            "Comfy.NodeBadge.NodeIdBadgeMode": "None",
        }  # fmt: skip
        self.page = page = browser.new_page(viewport={"width": size[0], "height": size[1]})
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.route("**/api/settings*", self._settings)
        page.route("**/api/settings/**", self._settings)
        page.route(lambda u: not u.startswith((url, "data:", "blob:")), lambda route: route.abort())
        page.goto(url, wait_until="domcontentloaded")
        page.wait_for_function(READY, timeout=120_000)
        page.wait_for_timeout(2000)
        page.evaluate(
            "(ends) => { window.__ends = []; for (const kind of ends)"
            " window.app.api.addEventListener(kind, e => window.__ends.push([kind, e.detail]));"
            " const api = window.app.api, ask = api.queuePrompt.bind(api);"
            " api.queuePrompt = async (...given) => {"
            " const answer = await ask(...given); window.__asked = answer.prompt_id; return answer; }; }",
            list(ENDS),
        )

    def _settings(self, route):
        if route.request.method == "GET" and route.request.url.rstrip("/").endswith("/settings"):
            route.fulfill(json=self.settings)
        else:
            route.fulfill(status=200, json={})

    def found_nodes(self, words: str) -> list[dict]:
        """What the node search lists for these words, best first."""
        return self.page.evaluate(
            f"(words) => {STORE}.get('nodeDef').nodeSearchService.searchNode(words, [], {{limit: 64}})"
            ".map(d => ({name: d.name, display_name: d.display_name, python_module: d.python_module}))",
            words,
        )

    def has_aliases(self) -> bool:
        """Whether this page's search reads a node's search_aliases (0.11 and newer)."""
        aliases = self.page.evaluate(
            f"() => {STORE}.get('nodeDef').visibleNodeDefs.some(d => d.search_aliases?.length)"
        )
        return bool(aliases)

    def found_templates(self, words: str) -> list[str]:
        """The titles of the cards that the template dialog shows for these words, best first."""
        page = self.page
        if not page.locator("[data-testid=template-workflows-content]").count():
            page.evaluate("() => window.app.extensionManager.command.execute('Comfy.BrowseTemplates')")
            page.wait_for_selector("[data-testid^=template-workflow-]", timeout=30_000)
        box = page.locator("[role=dialog] input[type=text], .p-dialog input[type=text]").first
        box.fill(words)
        page.wait_for_timeout(1500)
        return [
            card.replace("Node graph", "").strip().split("\n")[0]
            for card in page.locator("[data-testid^=template-workflow-]").all_inner_texts()
        ]

    def load(self, graph: dict) -> None:
        """Opens a workflow as its file is."""
        self.page.evaluate("async (g) => { await window.app.loadGraphData(g, true, true); }", graph)
        self.page.wait_for_timeout(1500)
        self.fit()

    def fit(self) -> None:
        self.page.evaluate(FIT)
        self.page.wait_for_timeout(800 if self.nodes2 else 300)

    def run(self, seconds: float = 300) -> tuple[str, dict]:
        """Presses Run => how it ended: ("execution_success", ...), or ("validation_error", node errors)."""
        page = self.page
        mine = "window.__ends.find(e => e[1].prompt_id === window.__asked)"  # an earlier run's end may come late
        page.evaluate("() => { window.__ends = []; window.__asked = null; }")
        page.evaluate("async () => { await window.app.queuePrompt(0, 1); }")
        page.wait_for_function(
            f"() => {mine} || Object.keys(window.app.lastNodeErrors || {{}}).length", timeout=seconds * 1000
        )
        kind, detail = page.evaluate(f"() => {mine} || ['validation_error', window.app.lastNodeErrors]")
        page.wait_for_timeout(3000)  # pictures and videos arrive, and their nodes grow
        self.fit()
        return kind, detail

    def boxes(self) -> list[dict]:
        return self.page.evaluate(BOXES, self.nodes2)

    def groups(self) -> list[dict]:
        return self.page.evaluate(GROUPS)

    def prompt(self) -> dict:
        """The graph as it would be sent."""
        return json.loads(self.page.evaluate("async () => JSON.stringify((await window.app.graphToPrompt()).output)"))

    def shot(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(path))

    def close(self) -> None:
        self.page.close()
