"""Sounds and pictures of the miniature's world, so that a workflow runs before anything is uploaded."""

from __future__ import annotations

from ..soundguide_core.common.errors import check_number, check_whole
from ..soundguide_core.media import images
from ..soundguide_core.miniature.world.scenes import PHENOMENA
from .host import audio_of, check_choice, image_of, io, search_aliases, stoppable, ui

COURSES = ("natural", "steady", "rising", "falling", "swelling")
SAMPLE_RATE = 44100
FPS = 12
CALM = "calm"


class ExampleSound(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideExampleSound",
            display_name="Example Sound (Rain, Fire, Birds)",
            **search_aliases("audio, sound, rain, fire, thunder, waves, wind, birds, test audio, sample audio"),
            category="SoundGuide/examples",
            description="Synthesises rain, waves, fire, wind, thunder, birds or crickets. Nothing is downloaded. "
            "For your own recording use Load Audio in its place.",
            inputs=[
                io.Combo.Input("phenomenon", options=list(PHENOMENA), tooltip="What is to be heard."),
                io.Float.Input(
                    "seconds",
                    default=5.0,
                    min=0.5,
                    max=600.0,
                    step=0.5,
                    tooltip="Length. About a tenth of a second of work for each second of sound.",
                ),
                io.Float.Input(
                    "intensity",
                    default=0.8,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How strong it is at its strongest: a drizzle or a downpour. Without effect on 'natural'.",
                ),
                io.Combo.Input(
                    "course",
                    options=list(COURSES),
                    tooltip="How the strength moves over time; 'natural' wanders by itself, 'swelling' rises and "
                    "falls once.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=2**32 - 1,
                    control_after_generate=True,
                    tooltip="Another seed, another recording of the same thing.",
                ),
                io.Custom("AUDIO_UI").Input(
                    "audioUI", optional=True, tooltip="The player that appears after the first run; nothing to set."
                ),
            ],
            outputs=[io.Audio.Output("audio", display_name="audio", tooltip="One channel at 44.1 kHz.")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, phenomenon, seconds, intensity, course, seed, audioUI=None):
        import torch

        from ..soundguide_core.miniature.sounds.synthesis import synthesise

        check_number(seconds, "The length in seconds", low=0.01, high=3600)
        check_number(intensity, "The intensity", low=0, high=1)
        check_choice("phenomenon", phenomenon, PHENOMENA)
        check_choice("course", course, COURSES)
        curve = _curve(course, intensity, seconds)
        wave = stoppable(
            lambda: synthesise(phenomenon, seconds, intensity=curve, seed=seed, sample_rate=SAMPLE_RATE, fps=FPS)
        )
        audio = audio_of(torch.from_numpy(wave)[None, None], SAMPLE_RATE)
        return io.NodeOutput(audio, ui=ui.PreviewAudio(audio, cls=cls))


def _curve(course: str, intensity: float, seconds: float):
    """[F] in 0..intensity at FPS, or None where the synthesiser draws its own."""
    import numpy as np

    t = np.linspace(0, 1, max(round(seconds * FPS), 1), dtype=np.float32)
    shapes = {"steady": t * 0 + 1, "rising": t, "falling": 1 - t, "swelling": np.sin(np.pi * t)}
    return None if course == "natural" else intensity * shapes[course]


class ExampleScene(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideExampleScene",
            display_name="Example Scene",
            **search_aliases("landscape, test image, test video, sample video"),
            category="SoundGuide/examples",
            description="Paints a landscape of the world that the miniature models were trained on. For your own "
            "picture use Load Image in its place.",
            inputs=[
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=2**32 - 1,
                    control_after_generate=True,
                    tooltip="The layout: horizon, ridges, trees, clouds, sun or moon.",
                ),
                io.Combo.Input(
                    "phenomenon", options=[CALM, *PHENOMENA], tooltip="What happens in it; the layout stays the same."
                ),
                io.Float.Input(
                    "intensity",
                    default=0.8,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How much of it. Without effect on 'calm'.",
                ),
                io.Int.Input(
                    "size",
                    default=256,
                    min=32,
                    max=1024,
                    step=32,
                    tooltip="Pixels a side. Four times the work at double the size; 256 takes a fraction of a second.",
                ),
                io.Int.Input(
                    "num_frames",
                    default=1,
                    min=1,
                    max=10_000,
                    optional=True,
                    tooltip="More than one makes a video, in which clouds drift and water moves.",
                ),
                io.Float.Input(
                    "fps",
                    default=float(FPS),
                    min=1.0,
                    max=120.0,
                    step=0.5,
                    optional=True,
                    tooltip="Frames a second of such a video.",
                ),
            ],
            outputs=[io.Image.Output("image", display_name="image", tooltip="The landscape, or the frames.")],
        )

    @classmethod
    def execute(cls, seed, phenomenon, intensity, size, num_frames=1, fps=float(FPS)):
        import torch

        from ..soundguide_core.miniature.world.scenes import render

        check_choice("phenomenon", phenomenon, (CALM, *PHENOMENA))
        check_number(fps, "The frame rate", low=0.01, high=1000)
        check_number(intensity, "The intensity", low=0, high=1)
        check_whole(size, "The size", low=8, high=4096)
        check_whole(num_frames, "The number of frames", low=1, high=100_000)
        kind = None if phenomenon == CALM else phenomenon
        pixels = stoppable(lambda: render(seed, kind, [intensity] * num_frames, size=size, fps=fps))
        return io.NodeOutput(image_of(images.from_uint8(torch.from_numpy(pixels))))


NODES = [ExampleSound, ExampleScene]
