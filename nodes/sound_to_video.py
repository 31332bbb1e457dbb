"""A sound becomes a path of latents, one for each frame of a video: its segments, and the walk along them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch

from ..soundguide_core.common.errors import InputError
from . import sockets
from .embedding import frame_inputs, frames_of
from .host import io, on_step, wave_of
from .sockets import Latents

CHUNK = 64  # segments in the network at once


def trajectory_input():
    return sockets.Trajectory.Input("trajectory", tooltip="From Load Sound-to-Video.")


class SoundInversion(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideSoundInversion",
            display_name="Sound Inversion",
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
            ],
            outputs=[
                sockets.WLatents.Output(
                    "segments", display_name="segments", tooltip="One latent for each frame of the video."
                ),
                io.Int.Output("count", display_name="num_frames", tooltip="How many there are."),
            ],
        )

    @classmethod
    def execute(cls, trajectory, audio, start, fps, num_frames):
        from ..soundguide_core.audio.track import MelTrack
        from ..soundguide_core.systems.sound_to_video import VideoConfig, invert_sound

        wave, sample_rate = wave_of(audio)
        if len(wave) > 1:
            raise InputError(f"A batch of {len(wave)} sounds has no one video.", "Send one sound.")
        network = trajectory.on_device()
        ws = _start(start, network).to(trajectory.device)
        count = frames_of(wave.shape[-1], sample_rate, fps, num_frames)
        track = MelTrack.of_wave(wave[0], sample_rate, network.spec)
        config = VideoConfig(fps=fps, chunk=CHUNK)
        segments = _gathered(invert_sound(track, ws, network, count, config), count)
        return io.NodeOutput(Latents(segments, start.generator), count)


class LatentTrajectoryRNN(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideLatentTrajectoryRNN",
            display_name="Latent Path",
            category="SoundGuide/video",
            description="Walks from frame to frame along what the sound asks for, with separate memories for layout, "
            "parts and colours. Render Pictures paints the path, Create Video adds the sound.",
            inputs=[
                trajectory_input(),
                sockets.WLatents.Input("start", tooltip="The same picture that Sound Inversion was given."),
                sockets.WLatents.Input("segments", tooltip="From Sound Inversion."),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=4.0,
                    step=0.05,
                    tooltip="How far the sound leads away from the start: 1 as it was learned, 0 not at all.",
                ),
                io.Float.Input(
                    "smoothing",
                    default=0.0,
                    min=0.0,
                    max=0.99,
                    step=0.01,
                    tooltip="Share of the last frame in the next: calms the video, and delays it by smoothing / "
                    "(1 - smoothing) frames.",
                ),
                io.Boolean.Input(
                    "noise", default=True, tooltip="Small movements of their own beside those of the sound."
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=2**32 - 1,
                    control_after_generate=True,
                    tooltip="Of these movements; the same seed gives the same path.",
                ),
            ],
            outputs=[sockets.WLatents.Output("latents", display_name="latents", tooltip="One picture for each frame.")],
        )

    @classmethod
    def execute(cls, trajectory, start, segments, strength, smoothing, noise, seed):
        from ..soundguide_core.systems.sound_to_video import VideoConfig, stream_path

        if start.generator != segments.generator:
            raise InputError(
                f"The start is of generator '{start.generator}', the segments of '{segments.generator}'.",
                "Connect the same start to Sound Inversion and to Latent Path.",
            )
        network = trajectory.on_device()
        ws = _start(start, network).to(trajectory.device)
        config = VideoConfig(strength=strength, smoothing=smoothing, noise=noise, seed=seed)
        w_hats = (part.to(trajectory.device) for part in segments.ws.split(CHUNK))
        latents = _gathered(stream_path(w_hats, ws, network, config), len(segments.ws))
        return io.NodeOutput(replace(segments, ws=latents))


def _gathered(chunks: Iterable[torch.Tensor], count: int) -> torch.Tensor:
    """Chunks [F,L,D] as one on the CPU, with progress and Stop between them."""
    step, parts = on_step(), []
    for i, part in enumerate(chunks):
        parts.append(part.float().cpu())
        step(i, -(-count // CHUNK), {}, lambda: None)
    return torch.cat(parts)


def _start(start: Latents, network) -> torch.Tensor:
    """ws [1,L,D] of the one start picture, fit for these networks."""
    if len(start.ws) != 1:
        raise InputError(f"{len(start.ws)} start pictures have no one video.", "Send one picture.")
    num_ws, w_dim = network.config.num_ws, network.config.w_dim
    if tuple(start.ws.shape[1:]) != (num_ws, w_dim):
        raise InputError(
            f"The start picture's latents are {list(start.ws.shape[1:])}, these networks move [{num_ws}, {w_dim}].",
            "Load the generator that they were trained with.",
        )
    return start.ws


NODES = [SoundInversion, LatentTrajectoryRNN]
