"""The demo's page: whole from the first moment, with a place for everything, which fills as it is made."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path

from ..common.files import replacing

WAITING = "Not made yet."
TITLE = "SoundGuide: the miniature"
STYLE = """
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; color: #22252b }
  img, video { max-width: 100%; image-rendering: auto } figure { margin: 0 0 2.5rem }
  .sounds { display: flex; flex-wrap: wrap; gap: 1rem; margin-bottom: 2.5rem }
  .waiting { color: #7a808c; border: 1px dashed #c3c8d0; border-radius: .4rem; padding: 1.5rem; max-width: 40rem }
  h2 { font-size: 1.15rem } audio { width: 15rem; display: block }
"""
# while it fills: looks again every five seconds, but not while something plays
RELOAD = """<script>
  setInterval(() => {
    if (![...document.querySelectorAll("audio, video")].some(media => !media.paused)) location.reload()
  }, 5000)
</script>"""


class Page:
    """index.html in the folder. figures: (file, what is said of it), in order; the sounds are those that lie in sounds/
    and were added."""

    def __init__(self, folder: Path, figures: list[tuple[str, str]]) -> None:
        self.path, self.figures = folder / "index.html", figures
        self.made: set[str] = set()
        self.credit = ""

    def add(self, files: Iterable[str], credit: str) -> None:
        """These are there now."""
        self.made |= {name for name in files if (self.path.parent / name).is_file()}
        self.credit = credit
        self.write()

    def write(self, missing: str | None = None) -> None:
        """The page as it is now. missing: what stands for what is not there when no more comes; None while it comes."""
        parts = [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f"<title>{TITLE}</title>",
            f"<style>{STYLE}</style>",
            RELOAD if missing is None else "",
            "</head><body>",
            "<h1>Pictures changed by sounds</h1>",
            "<p>Listen to a sound, then find its column. Every model behind this page came with the package.</p>",
            f'<div class="sounds">{self._sounds(missing)}</div>',
            *(self._figure(name, text, missing) for name, text in self.figures),
            "</body></html>",
        ]
        with replacing(self.path) as temporary:
            temporary.write_text("\n".join(parts) + "\n", encoding="utf-8")

    def _sounds(self, missing: str | None) -> str:
        from ..miniature.world.scenes import PHENOMENA

        names = [f"sounds/{phenomenon}.wav" for phenomenon in PHENOMENA]
        return "".join(
            f'<label>{phenomenon}<audio controls src="{name}"></audio></label>'
            if name in self.made
            else f'<p class="waiting">{phenomenon}: {missing or WAITING}</p>'
            for phenomenon, name in zip(PHENOMENA, names)
        )

    def _figure(self, name: str, text: str, missing: str | None) -> str:
        if name not in self.made:
            shown = f'<p class="waiting">{missing or WAITING}</p>'
        elif name.endswith(".mp4"):
            shown = f'<video controls loop src="{name}"></video>'
        else:
            shown = f'<img src="{name}" alt="">'
        return f"<figure><h2>{escape(text.format(credit=self.credit).strip())}</h2>{shown}</figure>"
