"""The figures of a video, measured while its frames come, and what they say: for reports, plots and sentences.

Axes: F frames, D dims.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from ..metrics.reactivity import Reactivity, reactivity
from ..metrics.video_meter import VideoFigures, VideoMeter

if TYPE_CHECKING:
    from ..embedding.joint import JointEncoder
    from .hearing import HeardAt


@dataclass(frozen=True)
class VideoReport:
    """curve [F]: what the frames are held against, loudness as a rule, or None. reactivity: None without a curve, and
    where the video is shorter than two seconds. silent: the sound is, so that nothing is told of it."""

    figures: VideoFigures
    curve: np.ndarray | None
    reactivity: Reactivity | None
    silent: bool = False

    def to_dict(self, per_frame: bool = False) -> dict:
        """As plain numbers for JSON. per_frame: with the similarity of every frame."""
        report = self.figures.summary()
        if self.silent:
            return {**{key: x for key, x in report.items() if key != "similarity"}, "silent": True}
        if per_frame and self.figures.similarity is not None:
            report["similarity"]["per_frame"] = [round(float(x), 4) for x in self.figures.similarity]
        if self.reactivity is not None:
            found = self.reactivity
            report["reactivity"] = {
                "correlation": found.correlation, "lag_frames": found.lag, "null_99": found.null_99,
                "share_of_nulls_below": found.share, "nulls": len(found.nulls),
            }  # fmt: skip
        return report

    def to_text(self) -> str:
        """In sentences, one a line."""
        figures, found, lines = self.figures, self.reactivity, []
        if self.silent:
            lines.append("nothing is heard: the sound is silent, so there is nothing that the video could follow")
            found = None
        elif figures.similarity is not None:
            lines.append(
                f"nearness to the sound: {figures.similarity.mean():.3f} (least {figures.similarity.min():.3f})"
            )
        if found is not None:
            lines.append(
                f"movement with the loudness: {found.correlation:.2f} at a lag of {found.lag:+d} frames; "
                f"better than {found.share:.0%} of {len(found.nulls)} shuffled sounds (99 % of them stay below "
                f"{found.null_99:.2f}), so it "
                + ("follows the sound" if found.reacts else "cannot be told from chance")
            )
        if figures.adjacent is not None and len(figures.motion):
            lines.append(
                f"neighbouring frames: {figures.adjacent.mean():.4f} alike (least {figures.adjacent.min():.4f}), "
                f"while {figures.motion.mean():.4f} of the brightness range moves (most {figures.motion.max():.4f})"
            )
        return "\n".join(lines)


class ReportMeter:
    """add() every chunk of a video in order, then finish().

    joint: compares frames with each other and with heard; without it, only pixels are measured. heard: what each frame
    should mean, see hearing.heard_at.
    """

    def __init__(self, fps: float, joint: JointEncoder | None = None, heard: HeardAt | None = None):
        self.fps, self.heard, self.num_frames = fps, heard, 0
        self.meter = VideoMeter(None if joint is None else joint.encode_image)

    def add(self, frames: Tensor) -> None:
        """frames [F,3,H,W] about -1..1."""
        heard = None if self.heard is None else self.heard(self.num_frames, len(frames))
        self.meter.add(frames, heard)
        self.num_frames += len(frames)

    def finish(
        self, curve: np.ndarray | None = None, *, seed: int = 0, refuse_short: bool = False, silent: bool = False
    ) -> VideoReport:
        """curve [F]: of the sound. seed: of the shuffled sounds that reactivity is held against. silent: whether
        nothing is heard in it.

        Raises:
            InputError: no frames; with refuse_short, a video of less than two seconds.
        """
        figures, found = self.meter.figures(), None
        if curve is not None and (refuse_short or self.num_frames >= max(2 * self.fps, 8)):
            found = reactivity(curve, figures.visual_intensity, self.fps, seed=seed)
        return VideoReport(figures, curve, found, silent)
