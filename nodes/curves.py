"""A curve shaped, and on every socket that takes one."""

from __future__ import annotations

from ..soundguide_core.audio.curve_config import CurveShape as Shape
from ..soundguide_core.audio.keyframes import FIZZ, VALUE_FORMATS
from ..soundguide_core.common.errors import InputError
from . import host_curves, plots
from .host import advanced, check_choice, io, recording_of, search_aliases, wave_of
from .settings import config_inputs, config_of

EVERY = "the graph behind it runs once for each frame"
LATENT_FRAMES = {"1 (pictures, AnimateDiff)": 1, "4 (Wan, Hunyuan)": 4, "6 (Mochi)": 6, "8 (LTX, Cosmos)": 8}


class CurveShape(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideCurveShape",
            display_name="Curve Shape",
            **search_aliases(
                "audio reactive, envelope, attack release, gate, threshold, easing, beat, bpm, mask from "
                "audio, float list, keyframes"
            ),
            category="audio",
            description="Shapes a curve (gate, beats, attack and release, easing, range) and gives it out on every "
            "socket "
            "that takes one: a list, a number, masks, keyframes, a schedule of noise.",
            inputs=[
                io.Float.Input(
                    "values",
                    default=0.0,
                    min=-1e6,
                    max=1e6,
                    force_input=True,
                    tooltip="The values of Audio Curve, or any list of numbers, one for each frame.",
                ),
                io.Float.Input(
                    "fps", default=12.0, min=0.1, max=240.0, step=0.5,
                    tooltip="Frames a second. Connect the fps of Audio Curve, so that it is typed once.",
                ),
                *config_inputs(
                    Shape, "gate", "threshold", "division", "attack", "hold", "release", "easing", "invert",
                    "low", "high",
                ),
                io.Int.Input(
                    "frame", default=0, min=0, max=10_000_000,
                    tooltip="Which frame the output 'value' is of; beyond the last one it stays.",
                ),
                io.Int.Input("width", default=512, min=8, max=16384, step=8, tooltip="Of the masks, in pixels."),
                io.Int.Input("height", default=512, min=8, max=16384, step=8, tooltip="Of the masks, in pixels."),
                io.Combo.Input(
                    "frames_per_latent", options=list(LATENT_FRAMES), default=next(iter(LATENT_FRAMES)),
                    tooltip="How many pictures a video model joins into one latent frame, for 'latent_mask'. A "
                    "connected "
                    "latent says by itself how many frames it has.",
                ),
                io.Combo.Input(
                    "keyframe_format", options=list(VALUE_FORMATS), default=FIZZ,
                    tooltip="0:(0.5): FizzNodes, Deforum. json: {\"0\": 0.5}. comma separated: every frame. seconds: "
                    "one "
                    "line for each.",
                ),
                *config_inputs(Shape, "normalise", also=advanced()),
                io.Audio.Input("audio", optional=True, tooltip="Only drawn, behind the curve."),
                io.Latent.Input(
                    "latent", optional=True,
                    tooltip="What will be sampled: 'latent_mask' gets its length and size. Its frames must be those "
                    "that "
                    "the curve's make.",
                ),
                io.Sigmas.Input(
                    "sigmas_in", optional=True,
                    tooltip="A schedule of noise; 'sigmas' is the same one, falling fastest where the curve is high.",
                ),
            ],
            outputs=[
                io.Float.Output("listed", display_name="values", tooltip="A list in one FLOAT, as Audio Curve gives "
                "it: "
                                "curve inputs of this pack, weights of IP-Adapter Batch, LatentKeyframe groups."),
                io.Float.Output("each", display_name="each", is_output_list=True,
                                tooltip=f"One number after the other: {EVERY}, whatever takes a FLOAT."),
                host_curves.Floats.Output("floats", display_name="floats", tooltip="FLOATS, for hook keyframes."),
                io.Float.Output("value", display_name="value", tooltip="The number at 'frame'."),
                io.Mask.Output("mask", display_name="mask", tooltip="One mask for each frame, evenly filled, 0..1."),
                io.Mask.Output("latent_mask", display_name="latent_mask", tooltip="One for each latent frame: noise "
                "mask "
                               "(Set Latent Noise Mask with Differential Diffusion) or mask of a conditioning."),
                host_curves.curve_output(),
                io.Sigmas.Output("sigmas", display_name="sigmas", tooltip="The schedule that came in, led by the "
                "curve; "
                                 "without one, the values as they are."),
                io.String.Output("keyframes", display_name="keyframes", tooltip="Text for schedulers of other packs."),
                io.Image.Output("plot", display_name="plot", tooltip="What came in, what goes out, and the sound."),
                io.Float.Output("fps_out", display_name="fps", tooltip="Frames a second, to be connected further."),
                io.Int.Output("num_frames_out", display_name="num_frames", tooltip="How many frames the curve has."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, values, fps, frame, width, height, frames_per_latent, keyframe_format, audio=None, latent=None,
        sigmas_in=None, **settings,
    ):  # fmt: skip
        from ..soundguide_core.audio.keyframes import value_keyframes
        from ..soundguide_core.audio.shaping import as_curve, shape_curve

        check_choice("keyframe_format", keyframe_format, VALUE_FORMATS)
        check_choice("frames_per_latent", frames_per_latent, list(LATENT_FRAMES))
        shape = config_of(Shape, settings)
        before = as_curve(values)
        shaped = shape_curve(before, fps, shape)
        listed = shaped.tolist()
        recording = None if audio is None else recording_of(audio)
        return io.NodeOutput(
            listed,
            listed,
            listed,
            listed[min(frame, len(listed) - 1)],
            host_curves.masks_of(shaped, width, height),
            host_curves.latent_masks_of(shaped, LATENT_FRAMES[frames_per_latent], width, height, latent),
            host_curves.curve_of(shaped),
            host_curves.sigmas_of(shaped, sigmas_in),
            value_keyframes(shaped, fps, keyframe_format),
            plots.shape_picture(before.tolist(), listed, fps, recording),
            fps,
            len(listed),
        )


class VideoLength(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideVideoLength",
            display_name="Length of a Video (Seconds, Beats)",
            **search_aliases(
                "audio reactive, frame count, number of frames, duration, bpm, beats to frames, seconds to frames, "
                "4n+1, 8n+1, video length"
            ),
            category="SoundGuide/audio",
            description="How many frames a video needs for a sound, for seconds, or for beats at a tempo, in a length "
            "that its model can make.",
            inputs=[
                io.Float.Input(
                    "fps", default=24.0, min=0.1, max=240.0, step=0.1, tooltip="Frames a second of the video to come."
                ),
                io.Float.Input(
                    "seconds", default=0.0, min=0.0, max=36000.0, step=0.1,
                    tooltip="How long it shall be; 0 counts beats, or takes the sound's length.",
                ),
                io.Float.Input(
                    "beats", default=0.0, min=0.0, max=100_000.0, step=1.0,
                    tooltip="How many beats it shall last, in place of seconds; 0 counts none.",
                ),
                io.Float.Input("bpm", default=120.0, min=1.0, max=1000.0, step=0.1, tooltip="Beats a minute."),
                io.Combo.Input(
                    "frames_per_latent", options=list(LATENT_FRAMES), default=next(iter(LATENT_FRAMES)),
                    tooltip="How many pictures the model joins into one latent frame: Wan makes 1, 5, 9 ... 81 frames, "
                    "LTX 1, 9, 17 ... 97.",
                ),
                io.Audio.Input(
                    "audio", optional=True, tooltip="The video lasts as long as it, where seconds and beats are 0."
                ),
            ],
            outputs=[
                io.Int.Output(
                    "count", display_name="num_frames",
                    tooltip="Frames of the video, never fewer than asked for: for Encode Sound, Audio Curve and the "
                    "length of an empty video latent.",
                ),
                io.Float.Output("fps_out", display_name="fps", tooltip="Frames a second, to be connected further."),
                io.Float.Output("lasts", display_name="seconds", tooltip="How long these frames last."),
                io.Int.Output(
                    "latent_frames", display_name="latent_frames", tooltip="How many of them the model samples."
                ),
                io.String.Output("told", display_name="how", tooltip="Why it is so many, in words."),
            ],
        )  # fmt: skip

    @classmethod
    def refuse(cls, seconds, beats):
        if seconds and beats:
            raise InputError("Seconds and beats are both given.", "Leave one of them at 0.")

    @classmethod
    def execute(cls, fps, seconds, beats, bpm, frames_per_latent, audio=None):
        from ..soundguide_core.audio.lengths import beats_in_seconds, video_length

        check_choice("frames_per_latent", frames_per_latent, list(LATENT_FRAMES))
        if beats:
            seconds = beats_in_seconds(beats, bpm)
        if not seconds and audio is not None:
            wave, sample_rate = wave_of(audio)
            seconds = wave.shape[-1] / sample_rate
        joined = LATENT_FRAMES[frames_per_latent]
        length = video_length(seconds, fps, joined)
        return io.NodeOutput(length.frames, fps, length.seconds, length.latent_frames, length.in_words(joined))


NODES = [CurveShape, VideoLength]
