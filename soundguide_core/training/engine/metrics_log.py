"""The figures of a run: metrics.csv in its folder, and TensorBoard's events where they are asked for.

metrics.csv has a row for each figure: step, seconds since the run was started or resumed, split ("train", a mean over
the steps since the last row, or "held_out"), name, value.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping
from pathlib import Path

from .run_settings import no_tensorboard

FILE = "metrics.csv"
COLUMNS = ("step", "seconds", "split", "name", "value")


class MetricsLog:
    """Rows of a run that goes on after `done` steps: what an interrupted run wrote of later ones is dropped."""

    def __init__(self, folder: Path, done: int = 0, *, tensorboard: bool = False) -> None:
        self.events = _events(folder) if tensorboard else None
        self.path, self.began = folder / FILE, time.monotonic()
        self.sums: dict[str, tuple[float, int]] = {}
        kept = [row for row in read_metrics(self.path) if int(row["step"]) <= done] if done else []
        with self.path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows([row[name] for name in COLUMNS] for row in kept)

    def note(self, losses: Mapping[str, float]) -> None:
        """Losses of one step, towards the next row."""
        for name, value in losses.items():
            total, count = self.sums.get(name, (0.0, 0))
            self.sums[name] = total + value, count + 1

    def flush(self, step: int) -> None:
        """The means of what was noted."""
        self.write(step, "train", {name: total / count for name, (total, count) in self.sums.items()})
        self.sums = {}

    def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Rows of figures at a step."""
        seconds = f"{time.monotonic() - self.began:.1f}"
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows((step, seconds, split, name, f"{x:.7g}") for name, x in values.items())
        if self.events is not None:
            for name, value in values.items():
                self.events.add_scalar(f"{split}/{name}", value, step)
            self.events.flush()


def read_metrics(path: Path) -> list[dict[str, str]]:
    """The rows of a metrics.csv; none where there is no such file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if all(row.get(name) for name in COLUMNS)]


def _events(folder: Path):
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError as error:
        raise no_tensorboard() from error
    return SummaryWriter(str(folder / "events"))
