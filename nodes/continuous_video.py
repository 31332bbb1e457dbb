"""Video as a function of time: any frame rate, any length, moved by sound."""

from __future__ import annotations

import torch

from ..soundguide_core.generators.sound_motion import DRIVES
from . import sockets
from .embedding import check_encoder
from .host import check_choice, image_of, io, on_device, on_step, recording_of

AUTO, OFF = "auto", "off"
FEATURES = ("loudness", "onset", "beat", "centroid")


class StyleGANVRender(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideStyleGANVRender",
            display_name="Render StyleGAN-V",
            category="SoundGuide/video",
            description="Renders a video at any frame rate and of any length. A sound moves it; without one it moves "
            "by itself. Create Video adds the sound.",
            inputs=[
                sockets.VideoGenerator.Input("generator", tooltip="From Load StyleGAN-V."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=2**32 - 1,
                    control_after_generate=True,
                    tooltip="What is seen: the same seed gives the same scene, whatever the motion.",
                ),
                io.Int.Input(
                    "motion_seed",
                    default=0,
                    min=0,
                    max=2**32 - 1,
                    tooltip="How it moves: the same seed gives the same motion, whatever the scene.",
                ),
                io.Float.Input(
                    "fps",
                    default=24.0,
                    min=0.1,
                    max=240.0,
                    step=0.1,
                    tooltip="Frames a second. More show the same motion more finely, at a cost in proportion.",
                ),
                io.Float.Input(
                    "seconds",
                    default=4.0,
                    min=0.0,
                    max=3600.0,
                    step=0.1,
                    tooltip="Length of the video; 0 takes that of the sound. The frames of a minute at 24 fps and "
                    "64 x 64 take 70 MB.",
                ),
                io.Float.Input(
                    "psi",
                    default=0.8,
                    min=0.0,
                    max=1.5,
                    step=0.05,
                    tooltip="Variety of scenes: 0 is the average, 1 everything that was learned, failures included.",
                ),
                io.Boolean.Input(
                    "loop", default=False, tooltip="Close the motion: the last frame is the first one again."
                ),
                io.Combo.Input(
                    "drive",
                    options=[AUTO, *DRIVES, OFF],
                    tooltip="What the sound moves: codes, what the generator has learned to hear (the miniature only); "
                    "amplitude, how far things move; speed, how fast time passes. auto: codes where there are any, "
                    "else speed.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=10.0,
                    step=0.05,
                    tooltip="How much the sound moves it, times what is usual for the drive.",
                ),
                io.Combo.Input("feature", options=list(FEATURES), tooltip="What is listened to; see Sound Curve."),
                io.Int.Input(
                    "chunk",
                    default=16,
                    min=1,
                    max=1024,
                    tooltip="Frames in the network at once: more is faster up to a point and takes more memory.",
                ),
                io.Audio.Input("audio", optional=True, tooltip="The sound that moves it."),
                io.Float.Input(
                    "curve",
                    optional=True,
                    force_input=True,
                    tooltip="A list of numbers from 0 to 1, one for each frame at fps, in place of the sound; from "
                    "Sound Curve, for example.",
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
            ],
            outputs=[
                io.Image.Output("image", display_name="image", tooltip="The frames."),
                io.Float.Output("rate", display_name="fps", tooltip="Frames a second, for Create Video."),
                io.Int.Output("count", display_name="num_frames", tooltip="How many there are."),
            ],
        )

    @classmethod
    def execute(
        cls, generator, seed, motion_seed, fps, seconds, psi, loop, drive, strength, feature, chunk, audio=None,
        curve=None, encoder=None, embeds=None,
    ):  # fmt: skip
        from ..soundguide_core.pipelines.continuous_video import ContentConfig, MotionConfig, listen, plan
        from ..soundguide_core.systems.continuous_video import ContinuousConfig

        check_choice("drive", drive, (AUTO, *DRIVES, OFF))
        check_choice("feature", feature, FEATURES)
        heard, seconds = listen(None if audio is None else recording_of(audio), seconds or None)
        if embeds is not None and encoder is not None:
            check_encoder([embeds], encoder.name)
        config = ContinuousConfig(seconds, fps, loop, chunk)
        network, *joint = on_device(generator, *([encoder] if encoder else []))
        wanted = None if embeds is None else embeds.whole[:1]
        motion = MotionConfig(motion_seed, feature, drive, gain=strength)
        video = plan(
            network, joint[0] if joint else None, heard, config, embeds=wanted, curve=curve,
            content=ContentConfig(seed, psi), motion=motion,
        )  # fmt: skip
        frames = torch.cat([part.frames.cpu() for part in video.render(on_step())])
        return io.NodeOutput(image_of(frames), fps, len(frames))


NODES = [StyleGANVRender]
