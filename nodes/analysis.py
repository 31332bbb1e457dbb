"""What a video does with its sound, in figures and as a plot."""

from __future__ import annotations

from typing import Any

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
                io.Image.Input(
                    "image", optional=True, tooltip="The frames of the video, two seconds or more, if not a 'video'."
                ),
                io.Audio.Input("audio", optional=True, tooltip="Its sound. Without it the sound that 'video' has."),
                io.Float.Input(
                    "fps", default=12.0, min=1.0, max=120.0, step=0.5,
                    tooltip="Frames a second of 'image'. A 'video' says its own.",
                ),
                sockets.SoundEmbeds.Input(
                    "embeds",
                    optional=True,
                    tooltip="What the frames should mean, if not the sound itself: any meaning, whole or per frame.",
                ),
                io.Video.Input(
                    "video", optional=True, tooltip="A video of any node, in place of 'image', 'audio' and 'fps'."
                ),
                io.MultiType.Input(
                    "before",
                    [io.Image, io.Video],
                    optional=True,
                    tooltip="The video as it was before the sound changed it, frames or VIDEO: the report says what "
                    "was gained.",
                ),
            ],
            outputs=[
                io.Image.Output("plot", display_name="plot", tooltip="Sound and picture over seconds."),
                io.String.Output("report", display_name="report", tooltip="The figures in words."),
                io.Float.Output(
                    "similarity", display_name="similarity",
                    tooltip="Nearness of each frame, a list; 0 where the sound is silent.",
                ),
                io.Float.Output(
                    "reactivity",
                    display_name="reactivity",
                    tooltip="0 to 1: correlation of the loudness with what is seen, at the best lag.",
                ),
                io.Float.Output(
                    "score",
                    display_name="score",
                    tooltip="0 to 1: the share of 200 shuffled sounds that the video follows less than its own. Above "
                    "0.99 it follows the sound; about 0.5 is chance.",
                ),
                io.Float.Output(
                    "score_before", display_name="score_before", tooltip="The same of 'before'; 0 without one."
                ),
            ],
        )  # fmt: skip

    @classmethod
    def execute(cls, encoder, fps, image=None, audio=None, embeds=None, video=None, before=None):
        image, audio, fps = frames_and_sound(image, audio, fps, video)
        check_number(fps, "The frame rate", low=0.01, high=1000)
        recording = recording_of(audio)
        report = measured(encoder, image, recording, fps, embeds)
        text, earlier, score_before = report.to_text(), None, 0.0
        if before is not None:
            earlier = measured(encoder, before_frames(before, len(image)), recording, fps, embeds)
            assert earlier.reactivity is not None  # as below
            text, score_before = f"{text}\n\nbefore\n{earlier.to_text()}", earlier.reactivity.share
        similarity, found = report.figures.similarity, report.reactivity
        assert similarity is not None and found is not None  # a meaning for each frame, a curve, and two seconds
        if report.silent:
            similarity = similarity * 0
        return io.NodeOutput(
            plots.report_picture(report, fps, earlier), text, [float(x) for x in similarity],
            float(found.correlation), float(found.share), float(score_before),
        )  # fmt: skip


def frames_and_sound(image, audio, fps: float, video) -> tuple[Any, Any, float]:
    """(IMAGE, AUDIO, frames a second) of what has arrived: a VIDEO, or frames with a sound."""
    if video is not None and image is not None:
        raise InputError("A video and frames have arrived.", "Connect one of 'video' and 'image'.")
    if video is None and image is None:
        raise InputError("No video has arrived.", "Connect 'video', or frames to 'image'.")
    if video is None:
        if getattr(image, "ndim", 0) != 4:
            raise InputError("No frames have arrived at input 'image'.", "Connect an IMAGE output.")
        return image, audio, fps
    parts = video.get_components()
    return parts.images, parts.audio if audio is None else audio, float(parts.frame_rate)


def before_frames(before, count: int):
    """The frames of an IMAGE or a VIDEO, as many as the video has that they are held against."""
    frames = before.get_components().images if hasattr(before, "get_components") else before
    if not isinstance(frames, torch.Tensor):
        raise InputError(f"A {type(frames).__name__} has arrived at input 'before'.", "Connect an IMAGE or a VIDEO.")
    if len(frames) != count:
        raise InputError(f"{len(frames)} frames before meet {count} after.", "Send the same stretch of video.")
    return frames


def measured(encoder, image, recording, fps: float, embeds):
    """The VideoReport of these frames with this sound; embeds: what they should mean, None for the sound itself."""
    from ..soundguide_core.pipelines.hearing import heard_at
    from ..soundguide_core.pipelines.report import ReportMeter

    joint, count = encoder.on_device(), len(image)
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
    curve, silent = recording.loudness(fps, count, joint.spec.drawn), embeds is None and recording.silent
    return meter.finish(curve, refuse_short=True, silent=silent)


NODES = [SoundReport]
