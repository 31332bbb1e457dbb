"""Folders of videos, measured as the papers measure theirs: inception score, Fréchet distance, consistency over time.

All figures are taken in the space of a joint encoder, which the report names: they compare videos measured alike, and
are not those of the papers' tables, whose networks (C3D, I3D) are others. Axes: F frames, D dims, K labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..common.errors import InputError
from ..common.types import JointSpace, OnStep, no_preview
from ..flow.estimators import load_flow
from ..flow.optical_flow import estimate_flow
from ..media.video import read_frames
from ..metrics.frechet import frechet_distance, window_features
from ..metrics.inception import inception_score
from ..metrics.video_meter import VideoMeter
from ..metrics.warp_error import warp_error

ENDINGS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif")
CHUNK = 16


def videos_in(folder: str | Path) -> list[Path]:
    """The videos of a folder, and its folders of PNG frames, in any depth."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.", "Check the path.")
    files = [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in ENDINGS and p.is_file()]
    files += sorted({p.parent for p in folder.rglob("*.png")})
    if not files:
        raise InputError(f"{folder} holds no videos.", "Put videos such as MP4 into it, or folders of PNG frames.")
    return files


@torch.no_grad()
def measure_videos(
    paths: Sequence[Path], joint: JointSpace, *, fps: float, window: int, labels: Sequence[str] = (),
    real: Sequence[Path] = (), on_step: OnStep | None = None,
) -> dict:  # fmt: skip
    """Figures of videos at fps.

    labels: words whose probabilities make the inception score. real: videos that the Fréchet distance is taken to, over
    windows of so many frames.
    """
    count, rows, features, seen = len(paths) + len(real), [], [], []
    for i, path in enumerate(paths):
        embeds, figures = _look(path, joint, fps)
        rows.append(figures)
        features.append(_features(embeds, window))
        if labels:
            mean = torch.nn.functional.normalize(embeds.mean(dim=0, keepdim=True), dim=-1)
            seen.append(joint.classify(mean.to(joint.device), list(labels))[0].cpu().numpy())
        if on_step is not None:
            on_step(i, count, {}, no_preview)
    report: dict = {"videos": len(paths), "space": "the joint encoder's", "consistency": _means(rows)}
    if labels:
        score, deviation = inception_score(np.stack(seen))
        report["inception_score"] = {"mean": score, "deviation": deviation, "labels": list(labels)}
    if real:
        theirs = []
        for i, path in enumerate(real):
            theirs.append(_features(_look(path, joint, fps, flow=False)[0], window))
            if on_step is not None:
                on_step(len(paths) + i, count, {}, no_preview)
        ours, theirs = np.concatenate(features), np.concatenate(theirs)
        report["frechet"] = {"distance": frechet_distance(ours, theirs), "windows": min(len(ours), len(theirs))}
    return report


def _look(path: Path, joint: JointSpace, fps: float, *, flow: bool = True) -> tuple[Tensor, dict[str, float]]:
    """What its frames mean [F,D], and how steady it is."""
    rate = {} if path.is_dir() else {"fps": fps}
    meter, estimator, chunk, last, warps = VideoMeter(joint.encode_image), load_flow(), [], None, []

    def take(imgs: list[Tensor], last: Tensor | None) -> Tensor:
        frames = torch.cat(imgs).to(joint.device)
        meter.add(frames)
        row = (frames if last is None else torch.cat([last, frames])).cpu()
        if flow and len(row) > 1:
            warps.extend(warp_error(row, estimate_flow(row, estimator)).tolist())
        return frames[-1:]

    for img in read_frames(path, **rate):
        chunk.append(img)
        if len(chunk) == CHUNK:
            last, chunk = take(chunk, last), []
    if chunk:
        take(chunk, last)
    found = meter.figures()
    assert found.embeds is not None and found.adjacent is not None
    figures = {"adjacent": float(found.adjacent.mean()), "motion": float(found.motion.mean())}
    return found.embeds, figures | ({"warp_error": float(np.mean(warps))} if warps else {})


def _features(embeds: Tensor, window: int) -> np.ndarray:
    return window_features(embeds, min(window, len(embeds)))


def _means(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    names = sorted({name for row in rows for name in row})
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}
