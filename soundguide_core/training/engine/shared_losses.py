"""The losses of a step whose batch is computed in parts."""

from __future__ import annotations

from torch import Tensor


class Means:
    """Means over the parts of a batch, by name. last: of the part at hand, with its gradient."""

    def __init__(self, parts: int) -> None:
        self.parts = parts
        self.values: dict[str, Tensor] = {}
        self.last: dict[str, Tensor] = {}

    def add(self, **terms: Tensor) -> None:
        """Those of one part, each a mean over its rows."""
        for name, value in terms.items():
            self.last[name] = value
            share = value.detach() / self.parts
            self.values[name] = self.values[name] + share if name in self.values else share

    def add_whole(self, **terms: Tensor) -> None:
        """Those of the whole batch."""
        self.values |= {name: value.detach() for name, value in terms.items()}

    def take(self, name: str) -> Tensor:
        """One that is no loss, and is not told."""
        return self.values.pop(name)
