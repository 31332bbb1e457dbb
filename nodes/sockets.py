"""What travels between SoundGuide's nodes: float32 tensors on the CPU, and models that the host keeps.

Axes: B batch, F frames, L layers, D dims.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..soundguide_core.embedding.hearing.words import HeardWords
from ..soundguide_core.flow import optical_flow
from .host import io

Joint = io.Custom("SOUNDGUIDE_JOINT")
Generator = io.Custom("SOUNDGUIDE_GENERATOR")
Trajectory = io.Custom("SOUNDGUIDE_TRAJECTORY")
VideoGenerator = io.Custom("SOUNDGUIDE_VIDEO_GENERATOR")
PixelDiffusion = io.Custom("SOUNDGUIDE_PIXEL_DIFFUSION")
FlowEstimator = io.Custom("SOUNDGUIDE_FLOW_ESTIMATOR")
Flow = io.Custom("SOUNDGUIDE_FLOW")
SoundEmbeds = io.Custom("SOUNDGUIDE_EMBEDS")
SoundWords = io.Custom("SOUNDGUIDE_WORDS")
WLatents = io.Custom("SOUNDGUIDE_WS")

__all__ = ["HeardWords"]  # what travels over SoundWords: words with their scores over time


@dataclass(frozen=True)
class Embeds:
    """Embeddings of sounds, texts or pictures, unit norm.

    whole: [B,D], one for each of a batch. per_frame: [F,D] at fps, one for each video frame of a single sound, or None.
    label: in a few words, for titles. encoder: the space that they are in. loudness: [F] in 0..1 on a scale of
    decibels, of the sound that per_frame is of.
    """

    whole: Tensor
    label: str
    encoder: str
    per_frame: Tensor | None = None
    fps: float = 0.0
    loudness: Tensor | None = None

    @property
    def at_frames(self) -> Tensor:
        """[F,D], or [B,D] for all frames where there is no embedding for each."""
        return self.whole if self.per_frame is None else self.per_frame

    def get_ram_usage(self) -> int:
        return sum(x.nbytes for x in (self.whole, self.per_frame, self.loudness) if x is not None)


@dataclass(frozen=True)
class Latents:
    """Pictures as a generator knows them: ws [B,L,D]. generator: the one that they belong to."""

    ws: Tensor
    generator: str

    def get_ram_usage(self) -> int:
        return self.ws.nbytes


@dataclass(frozen=True)
class VideoFlow:
    """Optical flow between neighbouring frames of a video."""

    flow: optical_flow.Flow

    @property
    def num_frames(self) -> int:
        return len(self.flow) + 1

    def get_ram_usage(self) -> int:
        return sum(x.nbytes for x in (self.flow.fw, self.flow.bw, self.flow.visible_fw, self.flow.visible_bw))
