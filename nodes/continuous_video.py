"""Video as a function of time: any frame rate, any length, moved by sound."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from ..soundguide_core.systems.configs.continuous_video import ContentConfig, ContinuousConfig, MotionConfig
from . import sockets
from .embedding import check_encoder
from .host import advanced, halving, image_of, img_of, io, on_device, on_step, recording_of, search_aliases, with_grad
from .settings import config_inputs, config_of

FIRST = {"default": None}  # the first option is the default, unsaid


class StyleGANVRender(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideStyleGANVRender",
            display_name="Render StyleGAN-V",
            **search_aliases("audio reactive, music video, audio visualizer, loop, seamless loop, gan"),
            category="SoundGuide/video",
            description="Renders a video at any frame rate and of any length. A sound moves it; without one it moves "
            "by itself. Create Video adds the sound.",
            inputs=[
                sockets.VideoGenerator.Input("generator", tooltip="From Load StyleGAN-V."),
                *config_inputs(ContentConfig, "seed"),
                *config_inputs(MotionConfig, "motion_seed"),
                *config_inputs(ContinuousConfig, "fps", "seconds"),
                *config_inputs(ContentConfig, "psi"),
                *config_inputs(ContinuousConfig, "loop"),
                *config_inputs(MotionConfig, "drive", "gain", "feature", drive=FIRST, feature=FIRST),
                *config_inputs(ContinuousConfig, "chunk"),
                io.Audio.Input("audio", optional=True, tooltip="The sound that moves it."),
                io.Float.Input(
                    "curve",
                    optional=True,
                    force_input=True,
                    tooltip="A list of numbers from 0 to 1, one for each frame at fps, in place of the sound; from "
                    "Audio Curve, for example.",
                ),
                sockets.Joint.Input(
                    "encoder",
                    optional=True,
                    tooltip="From Load Sound Encoder: the scene is then the one of 64, counted from the seed, that "
                    "means most what the sound or embeds mean.",
                ),
                sockets.SoundEmbeds.Input(
                    "embeds", optional=True, tooltip="What the scene should mean, if not the sound; needs the encoder."
                ),
                *config_inputs(ContinuousConfig, "closed", also={"optional": True, **advanced()}),
                io.Image.Input(
                    "clip",
                    optional=True,
                    tooltip="A clip whose scene and motion are found among those of the generator and gone on with, in "
                    "place of the seeds'. The first 3 seconds count; takes about a minute on a CPU.",
                ),
                io.Float.Input(
                    "clip_fps",
                    optional=True,
                    default=24.0,
                    min=0.1,
                    max=240.0,
                    step=0.1,
                    tooltip="Frames a second of the clip.",
                    **advanced(),
                ),
                *config_inputs(
                    ContentConfig, "class_index", also={"optional": True, "display_name": "class", **advanced()}
                ),
            ],
            outputs=[
                io.Image.Output("image", display_name="image", tooltip="The frames."),
                io.Float.Output("rate", display_name="fps", tooltip="Frames a second, for Create Video."),
                io.Int.Output("count", display_name="num_frames", tooltip="How many there are."),
            ],
        )

    @classmethod
    def execute(
        cls, generator, seconds, audio=None, curve=None, encoder=None, embeds=None, clip=None, clip_fps=24.0,
        **settings,
    ):  # fmt: skip
        from ..soundguide_core.pipelines.continuous_video import Clip, listen, plan

        content, motion = config_of(ContentConfig, settings), config_of(MotionConfig, settings)
        heard, seconds = listen(None if audio is None else recording_of(audio), seconds or None)
        if embeds is not None and encoder is not None:
            check_encoder([embeds], encoder)
        config = config_of(ContinuousConfig, settings, seconds=seconds)
        network, *joint = on_device(generator, *([encoder] if encoder else []))
        said: dict[str, Any] = dict(
            embeds=None if embeds is None else embeds.whole[:1], curve=curve, content=content, motion=motion,
            clip=None if clip is None else Clip(img_of(clip), clip_fps),
        )  # fmt: skip

        def rendered(chunk: int) -> torch.Tensor:
            sized = replace(config, chunk=chunk)
            video = with_grad(plan, network, joint[0] if joint else None, heard, sized, on_step=on_step(), **said)
            return torch.cat([part.frames.cpu() for part in video.render(on_step())])

        frames = halving(rendered, config.chunk, generator.device)
        return io.NodeOutput(image_of(frames), config.fps, len(frames))


NODES = [StyleGANVRender]
