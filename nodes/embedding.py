"""Sounds, texts and pictures as points of one space, and mixtures of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from ..soundguide_core.audio.silence import is_silent
from ..soundguide_core.audio.waveform import to_mono
from ..soundguide_core.common.errors import InputError
from . import plots, sockets
from .host import Model, img_of, in_chunks, io, search_aliases, wave_of
from .sockets import Embeds

NOTHING = "nothing is heard"
WORDS = (
    "rain, waves, fire, wind, thunder, birds, crickets, dog, crying baby, clock tick, sneezing, helicopter, "
    "chainsaw, rooster"
)


def encoder_input():
    return sockets.Joint.Input("encoder", tooltip="From Load Sound Encoder.")


def frame_inputs():
    """fps and num_frames, as every node that cuts a sound into video frames asks for them."""
    return [
        io.Float.Input(
            "fps", default=12.0, min=1.0, max=120.0, step=0.5, tooltip="Frames a second of the video to come."
        ),
        io.Int.Input(
            "num_frames",
            default=0,
            min=0,
            max=100_000,
            tooltip="How many frames; 0 takes as many as the sound lasts. Beyond the sound's end there is silence.",
        ),
    ]


def frame_outputs():
    """fps and num_frames, to be connected further, so that they are typed once in a graph."""
    return [
        io.Float.Output("fps_out", display_name="fps", tooltip="Frames a second, to be connected further."),
        io.Int.Output("count", display_name="num_frames", tooltip="How many frames there are, likewise."),
    ]


class AudioEncode(io.ComfyNode):
    NEEDS = ("soxr",)

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideAudioEncode",
            display_name="Encode Sound",
            **search_aliases(
                "audio reactive, audio embedding, sound encoder, clap, wav2clip, audioclip, music, sound to embedding"
            ),
            category="SoundGuide/embeddings",
            description="Listens to a sound and says what it means, as a point in the encoder's space.",
            inputs=[
                encoder_input(),
                io.Audio.Input("audio", tooltip="Any length, rate and number of channels; heard as one channel."),
                *frame_inputs(),
                io.Boolean.Input(
                    "per_frame",
                    default=False,
                    tooltip="Also one meaning for each video frame. Costs one pass of the encoder for each frame; "
                    "changing a picture does not need it.",
                ),
                io.String.Input(
                    "words",
                    default=WORDS,
                    multiline=True,
                    tooltip="What the sound may be heard as, separated by commas. Only for 'heard_as': the meaning "
                    "itself does not depend on it.",
                ),
            ],
            outputs=[
                sockets.SoundEmbeds.Output("embeds", display_name="embeds", tooltip="The sound's meaning."),
                io.Image.Output(
                    "mel", display_name="mel", tooltip="What the encoder was given: pitch upward, time to the right."
                ),
                io.String.Output(
                    "heard_as", display_name="heard_as", tooltip="The likeliest words with their probabilities."
                ),
                *frame_outputs(),
            ],
        )

    @classmethod
    def execute(cls, encoder, audio, fps, num_frames, per_frame, words):
        from ..soundguide_core.pipelines.hearing import Hearing, likeliest, log_mel_of
        from ..soundguide_core.pipelines.recording import Recording, frame_count

        wave, sample_rate = wave_of(audio)
        if per_frame and len(wave) > 1:
            raise InputError(
                f"A batch of {len(wave)} sounds cannot be encoded per frame.",
                "Send one sound, or switch 'per_frame' off.",
            )
        joint = encoder.on_device()
        mono = to_mono(wave)  # [B,N]
        whole = joint.encode_audio(mono, sample_rate)
        moments = {}
        count = frame_count(wave.shape[-1] / sample_rate, fps, num_frames=num_frames)
        if per_frame:
            heard = Hearing(joint, Recording.of_wave(wave[0], sample_rate)).heard(fps, count)
            moments = {"per_frame": heard.embeds.cpu(), "loudness": heard.loudness}
        labels = [word.strip() for word in words.replace("\n", ",").split(",") if word.strip()]
        heard_as = [
            NOTHING if labels and is_silent(line) else ", ".join(f"{word} {share:.0%}" for word, share in best)
            for line, best in zip(mono, likeliest(joint, whole, labels))
        ]
        titles = [f"heard as {line}" if line else "what the encoder is given" for line in heard_as]
        mels = [log_mel_of(line, sample_rate, joint.spec.drawn) for line in mono]
        pictures = [plots.mel_picture(*mel, title) for mel, title in zip(mels, titles)]
        label = "silence" if heard_as[0] == NOTHING else heard_as[0].split(",")[0].rsplit(" ", 1)[0] or "sound"
        embeds = Embeds(whole.cpu(), label, encoder.name, fps=fps, space=joint.space, **moments)
        return io.NodeOutput(embeds, torch.cat(pictures), "\n".join(heard_as), fps, count)


class TextEncode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideTextEncode",
            display_name="Encode Text",
            **search_aliases("clip text, text embedding"),
            category="SoundGuide/embeddings",
            description="Puts words into the same space as sounds, so that they can be mixed with one or stand for it.",
            inputs=[
                encoder_input(),
                io.String.Input(
                    "text",
                    default="thunder",
                    multiline=True,
                    tooltip="A few plain words. The miniature knows landscapes, weather, fire, water, birds, "
                    "insects and the ten sounds of ESC-10.",
                ),
            ],
            outputs=[sockets.SoundEmbeds.Output("embeds", display_name="embeds", tooltip="The text's meaning.")],
        )

    @classmethod
    def refuse(cls, text):
        if not text.strip():
            raise InputError("The text is empty.", "Write a few words, such as: heavy rain.")

    @classmethod
    def execute(cls, encoder, text):
        line = " ".join(text.split())
        joint = encoder.on_device()
        return io.NodeOutput(Embeds(joint.encode_text([line]).cpu(), line, encoder.name, space=joint.space))


class ImageEncode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideImageEncode",
            display_name="Encode Picture",
            **search_aliases("clip vision, image embedding"),
            category="SoundGuide/embeddings",
            description="Puts a picture into the same space as sounds: what it shows, not how it is laid out.",
            inputs=[
                encoder_input(),
                io.Image.Input("image", tooltip="One picture or a batch. The centre square is looked at."),
            ],
            outputs=[
                sockets.SoundEmbeds.Output("embeds", display_name="embeds", tooltip="One meaning for each picture.")
            ],
        )

    @classmethod
    def execute(cls, encoder, image):
        img = img_of(image)
        joint = encoder.on_device()
        whole = in_chunks(joint.encode_image, img, 32, encoder.device).float().cpu()
        return io.NodeOutput(Embeds(whole, "picture", encoder.name, space=joint.space))


class MixEmbeds(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        def weight(i: int, default: float):
            return io.Float.Input(
                f"weight_{i}",
                default=default,
                min=-4.0,
                max=4.0,
                step=0.05,
                tooltip=f"How much of embeds_{i}. Only the proportions count; below 0 leads away from it.",
            )

        return io.Schema(
            node_id="SoundGuideMixEmbeds",
            display_name="Mix Meanings",
            **search_aliases("average embeddings, blend sounds, combine sounds"),
            category="SoundGuide/embeddings",
            description="Adds up to four sounds, texts or pictures, each with its weight, into one meaning.",
            inputs=[
                sockets.SoundEmbeds.Input("embeds_1", tooltip="A sound, a text or a picture."),
                sockets.SoundEmbeds.Input("embeds_2", tooltip="Another, from the same encoder."),
                weight(1, 1.0),
                weight(2, 1.0),
                sockets.SoundEmbeds.Input("embeds_3", optional=True, tooltip="A third, if you like."),
                sockets.SoundEmbeds.Input("embeds_4", optional=True, tooltip="A fourth, if you like."),
                weight(3, 1.0),
                weight(4, 1.0),
            ],
            outputs=[sockets.SoundEmbeds.Output("embeds", display_name="embeds", tooltip="The mixture.")],
        )

    @classmethod
    def refuse(cls, weight_1, weight_2, weight_3, weight_4):
        if not any((weight_1, weight_2, weight_3, weight_4)):
            raise InputError("All weights are 0.", "Give one of them another weight.")

    @classmethod
    def execute(cls, embeds_1, embeds_2, weight_1, weight_2, weight_3, weight_4, embeds_3=None, embeds_4=None):
        given = zip((embeds_1, embeds_2, embeds_3, embeds_4), (weight_1, weight_2, weight_3, weight_4))
        parts, weights = zip(*((part, weight) for part, weight in given if part is not None))
        return io.NodeOutput(mix(parts, weights))


def mix(parts: Sequence[Embeds], weights: Sequence[float]) -> Embeds:
    """One meaning out of several; it has frames where a part has them, and a part without counts the same in all.

    Of several loudnesses the greatest counts at each frame.
    """
    from ..soundguide_core.pipelines.image_manipulation import target_embeds

    first = parts[0]
    check_encoder(parts, first)
    if len({len(part.whole) for part in parts} - {1}) > 1:
        sizes = " and ".join(str(len(part.whole)) for part in parts)
        raise InputError(f"Batches of {sizes} meanings cannot be mixed.", "Use batches of one size, or single ones.")
    label = " + ".join(
        part.label if weight == 1 else f"{weight:g} {part.label}" for weight, part in zip(weights, parts) if weight
    )
    mixed = Embeds(target_embeds([part.whole for part in parts], weights), label, first.encoder, space=first.space)
    moving = [part for part in parts if part.per_frame is not None]
    if not moving:
        return mixed
    if len(mixed.whole) > 1:
        raise InputError(
            f"A batch of {len(mixed.whole)} meanings meets a sound that has one for each frame.",
            "Send single ones, or switch 'per_frame' off.",
        )
    if len({(len(part.at_frames), part.fps) for part in moving}) > 1:
        lengths = " and ".join(f"{len(part.at_frames)} frames at {part.fps:g} a second" for part in moving)
        raise InputError(f"Sounds of {lengths} cannot be mixed.", "Give each Encode Sound the same fps and num_frames.")
    loudness = [part.loudness for part in moving if part.loudness is not None]
    assert len(loudness) == len(moving)  # what is known at each frame is a sound's
    return replace(
        mixed,
        per_frame=target_embeds([part.at_frames for part in parts], weights),
        fps=moving[0].fps,
        loudness=torch.stack(loudness).amax(dim=0),
    )


def check_encoder(parts: Sequence[Embeds], other: Embeds | Model) -> None:
    """Meanings from two spaces never meet, even where the sizes agree. other: an encoder, or what one has made."""
    name, space = (other.encoder, other.space) if isinstance(other, Embeds) else (other.name, "")
    for part in parts:
        if part.encoder == name:
            continue
        if isinstance(other, Model) and part.space:
            space = other.network().space
        if part.space != space or not space:
            spaces = f" They are of {part.space} and {space}." if part.space and space else ""
            raise InputError(
                f"A meaning made with encoder '{part.encoder}' meets encoder '{name}', which has another space.",
                f"Connect one Load Sound Encoder to all of them.{spaces}",
            )


NODES = [AudioEncode, TextEncode, ImageEncode, MixEmbeds]
