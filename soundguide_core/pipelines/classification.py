"""Which of some words a recording sounds like, of files of any length. Axes: B recordings, D dims, K labels."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .hearing import encode_files

if TYPE_CHECKING:
    from ..embedding.joint import JointEncoder


def classify_files(
    joint: JointEncoder,
    paths: Sequence[str | os.PathLike],
    labels: Sequence[str],
    on_step: Callable[[int, int], None] | None = None,
) -> list[dict]:
    """For each recording {"audio": path, "label": the likeliest, "scores": {label: probability}}."""
    p = joint.classify(encode_files(joint, paths, on_step), labels)
    return [
        {"audio": os.fspath(path), "label": labels[int(row.argmax())], "scores": dict(zip(labels, row.tolist()))}
        for path, row in zip(paths, p)
    ]
