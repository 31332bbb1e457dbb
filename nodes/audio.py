"""A sound as a curve over video frames."""

from __future__ import annotations

from ..soundguide_core.audio.waveform import to_mono
from ..soundguide_core.common.errors import InputError
from . import plots
from .embedding import frame_inputs, frames_of
from .host import check_choice, io, wave_of

CURVES = ("loudness", "onset", "beat", "centroid")


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
                    options=list(CURVES),
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
        from scipy.ndimage import gaussian_filter1d

        from ..soundguide_core.audio.features import curves

        check_choice("curve", curve, CURVES)
        wave, sample_rate = wave_of(audio)
        if len(wave) > 1:
            raise InputError(f"A batch of {len(wave)} sounds has no one curve.", "Send one sound.")
        count = frames_of(wave.shape[-1], sample_rate, fps, num_frames)
        values = curves(to_mono(wave)[0], sample_rate, fps, count)[curve]
        if smoothing:
            values = gaussian_filter1d(values, smoothing * fps / 2, mode="nearest")
        values = [float(low + (high - low) * value) for value in values]
        return io.NodeOutput(values, plots.curve_picture(values, fps, f"{curve}, {count} frames"), count)


NODES = [SoundSchedule]
