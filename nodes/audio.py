"""A sound as a curve over video frames."""

from __future__ import annotations

from ..soundguide_core.audio.curve_config import BANDS
from ..soundguide_core.systems.configs.continuous_video import FEATURES
from ..soundguide_core.systems.configs.video_editing import DECIBELS, SONES
from . import host_curves, plots
from .embedding import frame_inputs
from .host import check_choice, io, recording_of, search_aliases, stoppable

CURVES = (*FEATURES, *BANDS)
LAWS = (SONES, DECIBELS)


class SoundSchedule(io.ComfyNode):
    NEEDS = (
        "librosa",
        "soxr",
    )

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideSoundSchedule",
            display_name="Audio Curve (Loudness, Beat)",
            **search_aliases(
                "audio reactive, amplitude, volume, loudness, envelope, fft, spectrum, bpm, beat, onset, "
                "music, stem, keyframes, audio to schedule, audio to float"
            ),
            category="audio",
            description="Follows one property of a sound, one number for each video frame, to drive anything that "
            "takes a list of numbers.",
            inputs=[
                io.Audio.Input("audio", tooltip="Any length, rate and number of channels."),
                io.Combo.Input(
                    "curve",
                    options=list(CURVES),
                    tooltip="loudness; onset: how strongly something begins; beat: 1 on each beat, then fading; "
                    "centroid: "
                    "dark to bright. bass (20 to 150 Hz), low mids (to 500), mids (to 2000), highs (to 6000), air (to "
                    "16000): the loudness of that band.",
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
                io.Combo.Input(
                    "law",
                    options=list(LAWS),
                    default=SONES,
                    optional=True,
                    tooltip="Of loudness, whole or of a band. sones: as loud as it seems, half for 10 dB less. "
                    "decibels: "
                    "evenly over the 60 below the loudest moment, so it hardly moves in dense music.",
                ),
            ],
            outputs=[
                io.Float.Output(
                    "values",
                    display_name="values",
                    tooltip="A list of numbers, one for each frame, in one FLOAT: for inputs that take a list. For all "
                    "other inputs connect it to Curve Shape.",
                ),
                io.Image.Output("plot", display_name="plot", tooltip="The same list, drawn over seconds."),
                io.Int.Output("count", display_name="num_frames", tooltip="How many numbers there are."),
                io.Float.Output("fps_out", display_name="fps", tooltip="Frames a second, to be connected further."),
                host_curves.Floats.Output("floats", display_name="floats", tooltip="The same list as FLOATS."),
            ],
        )

    @classmethod
    def execute(cls, audio, curve, fps, num_frames, low, high, smoothing, law=DECIBELS):  # saved before there was a law
        from ..soundguide_core.pipelines.recording import feature_curve

        check_choice("curve", curve, CURVES)
        check_choice("law", law, LAWS)
        recording = recording_of(audio)
        values = stoppable(
            lambda: feature_curve(
                recording, curve, fps, num_frames=num_frames, low=low, high=high, smoothing_sec=smoothing, law=law
            )
        )
        listed = values.tolist()
        plot = plots.curve_picture(listed, fps, f"{curve}, {len(listed)} frames", recording)
        return io.NodeOutput(listed, plot, len(listed), fps, listed)


NODES = [SoundSchedule]
