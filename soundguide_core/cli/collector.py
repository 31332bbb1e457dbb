"""The first import of PyTorch in a command, wherever it comes, with Python's collector of cycles at rest."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from typing import TYPE_CHECKING

from ..common.collector import collector_at_rest, what_is_imported_stays

if TYPE_CHECKING:
    from importlib.abc import Loader
else:
    Loader = object  # importing its module takes longer than a search of ours


class _Finder:
    """Finds torch where Python does, and has it loaded with the collector at rest."""

    def find_spec(self, fullname: str, path, target=None) -> ModuleSpec | None:
        if fullname != "torch":
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, spec)
        return spec


class _Loader(Loader):
    def __init__(self, usual: Loader, spec: ModuleSpec):
        self.usual, self.spec = usual, spec

    def create_module(self, spec: ModuleSpec):
        return self.usual.create_module(spec)

    def exec_module(self, module) -> None:
        self.spec.loader = module.__loader__ = self.usual
        with collector_at_rest():
            self.usual.exec_module(module)


@contextlib.contextmanager
def resting_while_torch_is_imported() -> Iterator[None]:
    """In this block the first import of torch finds the collector at rest; after it the collector works again."""
    finder = _Finder()
    if "torch" not in sys.modules:
        sys.meta_path.insert(0, finder)
    try:
        with what_is_imported_stays():
            yield
    finally:
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)
