"""What travels between SoundGuide's nodes: float32 tensors on the CPU, and models that the host keeps.

Axes: B batch, F frames, L layers, D dims.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

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
WLatents = io.Custom("SOUNDGUIDE_WS")


@dataclass(frozen=True)
class Embeds:
    """Meanings of sounds, texts or pictures, unit norm.

    clip: [B,D], one for each whole. frames: [F,D] at fps, one for each video frame, or None. encoder: the space they
    are in. label: in a few words, for titles.
    """

    clip: Tensor
    frames: Tensor | None
    fps: float
    label: str
    encoder: str

    def get_ram_usage(self) -> int:
        return sum(x.nbytes for x in (self.clip, self.frames) if x is not None)


@dataclass(frozen=True)
class Latents:
    """Pictures as a generator knows them: ws [B,L,D]. generator: the one that they belong to."""

    ws: Tensor
    generator: str

    def get_ram_usage(self) -> int:
        return self.ws.nbytes


@dataclass(frozen=True)
class Motion:
    """How the neighbours of a video's frames move into each other."""

    flow: optical_flow.Flow

    @property
    def num_frames(self) -> int:
        return len(self.flow) + 1

    def get_ram_usage(self) -> int:
        return sum(x.nbytes for x in (self.flow.fw, self.flow.bw, self.flow.visible_fw, self.flow.visible_bw))
