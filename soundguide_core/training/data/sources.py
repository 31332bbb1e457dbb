"""From a recipe's [data] to data: a folder, shards, or a function that the recipe names."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...common.errors import InputError
from ..engine.distributed import rank0_first
from ..engine.loop import OnStep
from ..recipe import data_source

log = logging.getLogger(__name__)


def open_data(
    thing: str, config: Mapping, open_folder: Callable[..., Any], *, out: Path, on_step: OnStep | None, **known: Any
) -> Any:
    """The data that a recipe's [data] says.

    A recipe without [data] gets what a client of the library brings for this training, with the entries of [scenes] or
    [clips], as the table was called.

    Args:
        thing: the training's module, such as "stylegan2".
        open_folder: called for `folder` as open_folder(folder=, cache=, on_step=, **known, **entries).
        known: what the training says to any source, such as size.
    """
    table = dict(config.get("data") or config.get("scenes") or config.get("clips") or {})
    cache = Path(table.pop("cache", out / "data"))
    if "folder" in table:
        function = open_folder
        if out.resolve().is_relative_to(Path(table["folder"]).resolve()):
            raise InputError(f"{out} lies in the data's folder, and would be learned from.", "Choose another --out.")
    else:
        function = data_source(table, thing)
        table.pop("source", None)
    progress = None if on_step is None else lambda i, n: on_step(i, n, {})
    values = {**table, **known, "cache": cache, "on_step": progress}
    try:
        inspect.signature(function).bind(**values)
    except TypeError as error:
        raise InputError(f"The recipe's [data] does not fit: {error}.", "See the source's entries.") from error
    return rank0_first(lambda: function(**values))


def shard_samples(pattern: str, *, part: int = 0, parts: int = 1) -> Iterator[dict[str, Any]]:
    """Samples of WebDataset shards, such as x-{000..099}.tar, of which every parts-th from `part` on is read."""
    try:
        import webdataset  # pyright: ignore[reportMissingImports] an extra
    except ImportError as error:
        raise InputError(
            "Reading shards needs the package webdataset.", "Install it: pip install webdataset."
        ) from error
    urls = webdataset.shardlists.expand_urls(pattern)
    if len(urls) < parts:
        raise InputError(
            f"{len(urls)} shards are too few for {parts} processes.", "Use one process for each, or fewer."
        )
    yield from webdataset.WebDataset(urls[part::parts], shardshuffle=False)


@dataclass
class Skipped:
    """Clips or pictures that could not be used, and why; each is logged."""

    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, reason: str) -> None:
        self.reasons[name] = reason
        log.warning("Skipped %s: %s", name, reason)

    def __str__(self) -> str:
        names = ", ".join(list(self.reasons)[:5]) + (", ..." if len(self.reasons) > 5 else "")
        return f"{len(self.reasons)} clips skipped" + (f": {names}" if self.reasons else "")
