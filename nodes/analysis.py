"""What a video does with its sound, in figures and as a plot."""

from __future__ import annotations

from ..soundguide_core.audio.waveform import to_mono
from ..soundguide_core.common.errors import InputError
from . import plots, sockets
from .embedding import check_encoder, encoder_input
from .host import img_of, io, on_step, wave_of

CHUNK = 32


class SoundReport(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideSoundReport",
            display_name="Sound Report",
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
        from ..soundguide_core.audio.features import curves
        from ..soundguide_core.metrics.reactivity import reactivity
        from ..soundguide_core.metrics.video_meter import VideoMeter

        wave, sample_rate = wave_of(audio)
        if len(wave) > 1:
            raise InputError(f"A batch of {len(wave)} sounds meets one video.", "Send one sound.")
        mono, count = to_mono(wave)[0], len(image)
        joint = encoder.on_device()
        if embeds is None:
            wanted = joint.encode_audio_frames(mono, sample_rate, fps=fps, num_frames=count).cpu()
        else:
            check_encoder([embeds], encoder.name)
            wanted = embeds.at_frames
            if len(wanted) not in (1, count):
                raise InputError(f"{len(wanted)} meanings meet {count} frames.", "Send one, or one for each frame.")
        meter, step = VideoMeter(joint.encode_image), on_step()
        wanted = wanted.expand(count, -1)
        for first in range(0, count, CHUNK):
            part = slice(first, first + CHUNK)
            meter.add(img_of(image[part]).to(encoder.device), wanted[part])
            step(first // CHUNK, -(-count // CHUNK), {}, lambda: None)
        figures = meter.figures()
        loudness = curves(mono, sample_rate, fps, count)["loudness"]
        found = reactivity(loudness, figures.seen, fps)
        lines = [
            f"nearness to the sound: {figures.similarity.mean():.3f} (least {figures.similarity.min():.3f})",
            f"movement with the loudness: {found.correlation:.2f} at a lag of {found.lag:+d} frames; "
            f"99 % of {len(found.nulls)} shuffled sounds stay below {found.null_99:.2f}, so it "
            + ("follows the sound" if found.reacts else "cannot be told from chance"),
            f"neighbouring frames: {figures.adjacent.mean():.4f} alike (least {figures.adjacent.min():.4f}), "
            f"while {figures.motion.mean():.4f} of the brightness range moves (most {figures.motion.max():.4f})",
        ]
        plot = plots.report_picture(loudness, figures, found, fps)
        return io.NodeOutput(plot, "\n".join(lines), [float(x) for x in figures.similarity], float(found.correlation))


NODES = [SoundReport]
