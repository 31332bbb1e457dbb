"""Latents of frames that start from one noise."""

from __future__ import annotations

from ..soundguide_core.common.errors import InputError
from .host import io, latent_samples, search_aliases


class FramesOfOneNoise(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideFramesOfOneNoise",
            display_name="Frames of One Noise",
            **search_aliases("repeat latent batch, same noise, fixed noise, batch index, flicker, consistent frames"),
            category="model/latent/batch",
            description="Makes a batch of frames that all start from the same noise, so that they differ by what they "
            "are told alone: for models of pictures that paint the frames of a video.",
            inputs=[
                io.Latent.Input(
                    "latent",
                    tooltip="One picture, empty or not, which is repeated, or the frames themselves, which are kept.",
                ),
                io.Int.Input(
                    "num_frames",
                    default=0,
                    min=0,
                    max=100_000,
                    tooltip="How many frames, as Audio Curve counts them; 0 takes as many as there are.",
                ),
            ],
            outputs=[
                io.Latent.Output(
                    "frames",
                    display_name="latent",
                    tooltip="For the sampler. Take one without fresh noise in each step, such as euler or dpmpp_2m.",
                )
            ],
        )

    @classmethod
    def execute(cls, latent, num_frames):
        samples = latent_samples(latent)
        if getattr(latent["samples"], "is_nested", False):
            raise InputError("A video with its sound is one latent already.", "Connect it to the sampler as it is.")
        there = len(samples)
        count = num_frames or there
        if there not in (1, count):
            raise InputError(f"{there} latents meet {count} frames.", "Send one latent, or set num_frames to 0.")
        repeated = samples if there == count else samples.repeat(count, *[1] * (samples.ndim - 1))
        return io.NodeOutput({**latent, "samples": repeated, "batch_index": [0] * count})


NODES = [FramesOfOneNoise]
