"""A sound as a curve over video frames."""

from __future__ import annotations

from ..soundguide_core.systems.configs.continuous_video import FEATURES
from . import plots
from .embedding import frame_inputs
from .host import check_choice, io, recording_of


class SoundSchedule(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideSoundSchedule",
            display_name="Sound Curve",
            category="SoundGuide/audio",
            description="Follows one property of a sound, one number for each video frame, to drive anything that "
            "takes a list of numbers.",
            inputs=[
                io.Audio.Input("audio", tooltip="Any length, rate and number of channels."),
                io.Combo.Input(
                    "curve",
                    options=list(FEATURES),
                    tooltip="loudness in dB; onset: how strongly something begins; beat: 1 on each beat, then "
                    "fading; centroid: dark to bright.",
                ),
                *frame_inputs(),
                io.Float.Input(
                    "low",
                    default=0.0,
                    min=-100.0,
                    max=100.0,
                    step=0.05,
                    tooltip="The value where the curve is lowest (0).",
                ),
                io.Float.Input(
                    "high", default=1.0, min=-100.0, max=100.0, step=0.05, tooltip="The value where it is highest (1)."
                ),
                io.Float.Input(
                    "smoothing",
                    default=0.0,
                    min=0.0,
                    max=10.0,
                    step=0.05,
                    tooltip="Seconds over which the curve is averaged; 0 leaves it as it is.",
                ),
            ],
            outputs=[
                io.Float.Output("values", display_name="values", tooltip="A list of numbers, one for each frame."),
                io.Image.Output("plot", display_name="plot", tooltip="The same list, drawn over seconds."),
                io.Int.Output("count", display_name="num_frames", tooltip="How many numbers there are."),
            ],
        )

    @classmethod
    def execute(cls, audio, curve, fps, num_frames, low, high, smoothing):
        from ..soundguide_core.pipelines.recording import feature_curve

        check_choice("curve", curve, FEATURES)
        values = feature_curve(
            recording_of(audio), curve, fps, num_frames=num_frames, low=low, high=high, smoothing_sec=smoothing
        )
        title = f"{curve}, {len(values)} frames"
        return io.NodeOutput(values.tolist(), plots.curve_picture(values.tolist(), fps, title), len(values))


NODES = [SoundSchedule]
