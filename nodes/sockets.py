"""What travels between SoundGuide's nodes: float32 tensors on the CPU, and models that the host keeps.

Axes: B batch, F frames, L layers, D dims.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from ..soundguide_core.common.errors import InputError
from ..soundguide_core.diffusion.causal_decoding import gradient_in_time
from ..soundguide_core.diffusion.preview_decoders import CausalVideo
from ..soundguide_core.embedding.hearing.words import HeardWords
from ..soundguide_core.embedding.prompt_weights import PromptSchedule
from ..soundguide_core.flow import optical_flow
from .host import Model, io

Ears = io.Custom("SOUNDGUIDE_EARS")
Joint = io.Custom("SOUNDGUIDE_JOINT")
Generator = io.Custom("SOUNDGUIDE_GENERATOR")
InversionEncoder = io.Custom("SOUNDGUIDE_INVERSION_ENCODER")
Trajectory = io.Custom("SOUNDGUIDE_TRAJECTORY")
VideoGenerator = io.Custom("SOUNDGUIDE_VIDEO_GENERATOR")
PixelDiffusion = io.Custom("SOUNDGUIDE_PIXEL_DIFFUSION")
FlowEstimator = io.Custom("SOUNDGUIDE_FLOW_ESTIMATOR")
Flow = io.Custom("SOUNDGUIDE_FLOW")
SoundEmbeds = io.Custom("SOUNDGUIDE_EMBEDS")
SoundWords = io.Custom("SOUNDGUIDE_WORDS")
FaceIdentity = io.Custom("SOUNDGUIDE_FACE_IDENTITY")
SoundPrompts = io.Custom("SOUNDGUIDE_PROMPTS")
WLatents = io.Custom("SOUNDGUIDE_WS")
Decoder = io.Custom("SOUNDGUIDE_PREVIEW_DECODER")

AUTO, TINY, FACTORS, FULL = DECODERS = ("auto", "tiny decoder", "latent2rgb", "full VAE")  # which PreviewDecoder

__all__ = ["HeardWords", "PromptSchedule"]  # what travels over SoundWords and SoundPrompts


@dataclass(frozen=True)
class Embeds:
    """Embeddings of sounds, texts or pictures, unit norm.

    whole: [B,D], one for each of a batch. per_frame: [F,D] at fps, one for each video frame of a single sound, or None.
    label: in a few words, for titles. encoder: the one that made them. loudness: [F] in 0..1 on a scale of decibels, of
    the sound that per_frame is of. space: the one that they are in, which several encoders may share; "" where only the
    encoder is known.
    """

    whole: Tensor
    label: str
    encoder: str
    per_frame: Tensor | None = None
    fps: float = 0.0
    loudness: Tensor | None = None
    space: str = ""

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


@dataclass(frozen=True)
class PreviewDecoder:
    """What makes pictures of the latents of one kind of model, for losses to look at while it samples.

    name, cost: in a few words. latents: the host's name of that kind. model: the network, which the host moves and
    frees: (z, chunk) => pictures. channels: of a latent. frames: T => how many frames of the video each of T latent
    frames stands for. every: whether there is a picture of each of those, or one of each latent frame. chunkable:
    whether it keeps what it computes for one chunk alone, or for the whole video.
    """

    name: str
    cost: str
    latents: str
    model: Model
    channels: int
    frames: Callable[[int], list[int]]
    every: bool = True
    chunkable: bool = True

    def decode(self, latent: Tensor, chunk: int = 1) -> Tensor:
        """latent [B,C,H,W] or [B,C,T,H,W] as the model samples it => pictures [F,3,H,W] about -1..1, differentiable.

        B pictures, or the F of every of B videos one after the other. chunk: latents, or latent frames, decoded at
        once. It is exact in two passes by itself: what was computed for a chunk is computed again for its gradient.
        Call it outside inference mode. It runs where the network is.
        """
        if latent.ndim not in (4, 5) or latent.shape[1] != self.channels:
            raise InputError(
                f"The decoder {self.name} takes latents of {self.channels} channels ({self.latents}); these have shape "
                f"{list(latent.shape)}.",
                "Load the decoder for the model that is sampled.",
            )
        network, inside = self._network(latent)
        pictures = network(inside, chunk)
        return pictures.to(latent.device, torch.promote_types(pictures.dtype, torch.float32))

    @property
    def causal(self) -> bool:
        """Whether it decodes a video a chunk of time after the other, and so has a `gradient`."""
        return isinstance(self.model.network(), CausalVideo)

    def gradient(self, latent: Tensor, chunk: int, pull: Callable[[Tensor, int], Tensor]) -> Tensor:
        """dL/dlatent [1,C,T,H,W] of one video, whose pictures are not all there at once.

        pull: (pictures [f,3,H,W], number of the first) => dL/dpictures, of those of a chunk.
        """
        network, inside = self._network(latent)
        lengths = [part.shape[2] for part in network.parts(inside, chunk)]
        starts, counts = [0, *accumulate(lengths)], [0, *accumulate(self.frames(latent.shape[2]))]

        def pulled(pictures: Tensor, i: int) -> Tensor:
            given = pictures[0].to(latent.device, torch.promote_types(pictures.dtype, torch.float32))
            return pull(given, counts[starts[i]])[None].to(pictures)

        return gradient_in_time(network, inside, chunk, pulled).to(latent)

    def _network(self, latent: Tensor) -> tuple[Any, Tensor]:
        """The network where the host has it, and the latent there."""
        network = self.model.network()
        weight = next((x for x in (*network.parameters(), *network.buffers()) if x.is_floating_point()), latent)
        return network, latent.to(weight.device, weight.dtype)

    def spans(self, latents: int) -> list[tuple[int, int]]:
        """Of the pictures of a video of so many latent frames: first frame shown, and the first one no longer shown."""
        ends = list(accumulate(self.frames(latents)))
        if self.every:
            return [(i, i + 1) for i in range(ends[-1])]
        return list(zip([0, *ends[:-1]], ends))

    def get_ram_usage(self) -> int:
        return self.model.get_ram_usage()
