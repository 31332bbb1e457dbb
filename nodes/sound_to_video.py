"""A sound becomes a path of latents, one for each frame of a video: its segments, and the walk along them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch

from ..soundguide_core.common.errors import InputError
from ..soundguide_core.systems.configs.sound_to_video import VideoConfig
from . import sockets
from .embedding import frame_inputs
from .host import io, on_step, recording_of, search_aliases
from .settings import config_inputs, config_of
from .sockets import Latents


def trajectory_input():
    return sockets.Trajectory.Input("trajectory", tooltip="From Load Sound-to-Video.")


class SoundInversion(io.ComfyNode):
    NEEDS = ("soxr",)

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideSoundInversion",
            display_name="Sound Inversion",
            **search_aliases("audio to video, sound to video, audio reactive, music video"),
            category="SoundGuide/video",
            description="Turns every moment of a sound into the latent of a picture: what the start picture would be "
            "if it looked as that moment sounds. Latent Path then walks along them.",
            inputs=[
                trajectory_input(),
                io.Audio.Input("audio", tooltip="Any length, rate and number of channels; heard as one channel."),
                sockets.WLatents.Input(
                    "start",
                    tooltip="The one picture that the sound changes, from Sample Pictures or Find Picture in "
                    "Generator.",
                ),
                *frame_inputs(),
                *config_inputs(VideoConfig, "movement", also={"optional": True}),
            ],
            outputs=[
                sockets.WLatents.Output(
                    "segments", display_name="segments", tooltip="One latent for each frame of the video."
                ),
                io.Int.Output("count", display_name="num_frames", tooltip="How many there are."),
                io.Float.Output("fps_out", display_name="fps", tooltip="Frames a second, to be connected further."),
            ],
        )

    @classmethod
    def execute(cls, trajectory, audio, start, fps, num_frames, movement=0.0):
        from ..soundguide_core.pipelines.sound_to_video import invert

        network = trajectory.on_device()
        ws = start.ws.to(trajectory.device)
        segments, count = invert(
            recording_of(audio), ws, network, num_frames=num_frames, config=VideoConfig(fps=fps, movement=movement)
        )  # fmt: skip
        return io.NodeOutput(Latents(_gathered(segments, count), start.generator), count, fps)


class LatentTrajectoryRNN(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideLatentTrajectoryRNN",
            display_name="Latent Path",
            **search_aliases("audio to video, sound to video, latent walk, interpolation, audio reactive"),
            category="SoundGuide/video",
            description="Walks from frame to frame along what the sound asks for, with separate memories for layout, "
            "parts and colours. Render Pictures paints the path, Create Video adds the sound.",
            inputs=[
                trajectory_input(),
                sockets.WLatents.Input("start", tooltip="The same picture that Sound Inversion was given."),
                sockets.WLatents.Input("segments", tooltip="From Sound Inversion."),
                *config_inputs(VideoConfig, "strength", "smoothing", "noise", "seed"),
            ],
            outputs=[sockets.WLatents.Output("latents", display_name="latents", tooltip="One picture for each frame.")],
        )

    @classmethod
    def execute(cls, trajectory, start, segments, **settings):
        from ..soundguide_core.pipelines.sound_to_video import latent_path

        if start.generator != segments.generator:
            raise InputError(
                f"The start is of generator '{start.generator}', the segments of '{segments.generator}'.",
                "Connect the same start to Sound Inversion and to Latent Path.",
            )
        network = trajectory.on_device()
        path = latent_path(segments.ws, start.ws.to(trajectory.device), network, config_of(VideoConfig, settings))
        return io.NodeOutput(replace(segments, ws=_gathered(path, len(segments.ws))))


def _gathered(chunks: Iterable[torch.Tensor], count: int) -> torch.Tensor:
    """Chunks [F,L,D] as one on the CPU, with progress and Stop between them."""
    step, parts, done = on_step(), [], 0
    for part in chunks:
        parts.append(part.float().cpu())
        done += len(part)
        step(done - 1, count, {}, lambda: None)
    return torch.cat(parts)


NODES = [SoundInversion, LatentTrajectoryRNN]
