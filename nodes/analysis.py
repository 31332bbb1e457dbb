"""What a video does with its sound, in figures and as a plot."""

from __future__ import annotations

import torch

from ..soundguide_core.common.errors import InputError, check_number
from . import plots, sockets
from .embedding import check_encoder, encoder_input
from .host import img_of, io, on_step, recording_of, search_aliases

CHUNK = 32


class SoundReport(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideSoundReport",
            display_name="Sound Report",
            **search_aliases(
                "audio reactive, audio analysis, sync, lip sync, beat sync, audio video similarity, reactivity, metrics"
            ),
            category="SoundGuide/analysis",
            description="Measures how a video follows its sound: nearness to its meaning frame by frame, movement with "
            "its loudness held against 200 shuffled sounds, and how even it is beside how much moves.",
            inputs=[
                encoder_input(),
                io.Image.Input("image", tooltip="The frames of the video, two seconds or more."),
                io.Audio.Input("audio", tooltip="Its sound."),
                io.Float.Input("fps", default=12.0, min=1.0, max=120.0, step=0.5, tooltip="Frames a second."),
                sockets.SoundEmbeds.Input(
                    "embeds",
                    optional=True,
                    tooltip="What the frames should mean, if not the sound itself: any meaning, whole or per frame.",
                ),
            ],
            outputs=[
                io.Image.Output("plot", display_name="plot", tooltip="Sound and picture over seconds."),
                io.String.Output("report", display_name="report", tooltip="The figures in words."),
                io.Float.Output("similarity", display_name="similarity", tooltip="Nearness of each frame, a list."),
                io.Float.Output(
                    "reactivity",
                    display_name="reactivity",
                    tooltip="0 to 1: correlation of the loudness with what is seen, at the best lag.",
                ),
            ],
        )

    @classmethod
    def execute(cls, encoder, image, audio, fps, embeds=None):
        from ..soundguide_core.pipelines.hearing import heard_at
        from ..soundguide_core.pipelines.report import ReportMeter

        recording, count = recording_of(audio), len(image)
        check_number(fps, "The frame rate", low=0.01, high=1000)
        joint = encoder.on_device()
        if embeds is None:
            heard = heard_at(joint, recording, fps)
        else:
            check_encoder([embeds], encoder)
            wanted = embeds.at_frames
            if len(wanted) not in (1, count):
                raise InputError(f"{len(wanted)} meanings meet {count} frames.", "Send one, or one for each frame.")
            wanted = wanted.expand(count, -1)

            def wanted_at(first: int, count: int) -> torch.Tensor:
                return wanted[first : first + count]

            heard = wanted_at

        meter, step = ReportMeter(fps, joint, heard), on_step()
        for first in range(0, count, CHUNK):
            meter.add(img_of(image[first : first + CHUNK]).to(encoder.device))
            step(first // CHUNK, -(-count // CHUNK), {}, lambda: None)
        report = meter.finish(recording.loudness(fps, count, joint.spec.drawn), refuse_short=True)
        similarity, found = report.figures.similarity, report.reactivity
        assert similarity is not None and found is not None  # a meaning for each frame, a curve, and two seconds
        return io.NodeOutput(
            plots.report_picture(report, fps), report.to_text(), [float(x) for x in similarity],
            float(found.correlation),
        )  # fmt: skip


NODES = [SoundReport]
