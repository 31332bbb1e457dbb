"""What is heard, told to a text-conditioned model: one prompt a frame."""

from __future__ import annotations

from ..soundguide_core.audio.keyframes import PROMPT_FORMATS, QUOTED
from ..soundguide_core.common.errors import InputError
from ..soundguide_core.embedding.prompt_config import PromptConfig
from ..soundguide_core.systems.configs.model_guidance import RESPONSES, STEEP
from ..soundguide_core.systems.configs.video_editing import LOUDNESS_LAWS, SONES
from . import plots, sockets
from .embedding import frame_inputs
from .host import advanced, check_choice, io, latent_samples, recording_of, search_aliases
from .settings import config_inputs, config_of

NOTHING, UNHEARD = "the same in every frame", "also what is not heard"
NEGATIVES = (NOTHING, UNHEARD)


class SoundPrompt(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideSoundPrompt",
            display_name="Sound Prompt",
            category="model/conditioning",
            **search_aliases(
                "audio reactive, prompt travel, prompt schedule, batch prompt schedule, audio to prompt, animatediff"
            ),
            description="Tells any text-conditioned model what is heard: one prompt for each frame, blended from the "
            "words "
            "that sound there, as loud as they sound.",
            inputs=[
                sockets.SoundWords.Input("words", tooltip="Words over time, of Hear Words or Words on a Curve."),
                io.String.Input(
                    "base_prompt", default="", multiline=True,
                    tooltip="What is always there. Where nothing is heard it stands alone; what is heard is added to "
                    "it.",
                ),
                io.String.Input(
                    "negative_prompt", default="", multiline=True, tooltip="What must not be seen, in every frame.",
                ),
                *frame_inputs(),
                io.Float.Input(
                    "strength", default=1.0, min=0.0, max=1.0, step=0.05,
                    tooltip="How far the sound leads: at 0 the base prompt alone is told.",
                ),
                io.Combo.Input(
                    "loudness", options=list(LOUDNESS_LAWS), default=SONES,
                    tooltip="How the strength follows the loudness of 'audio': sones, as loud as it seems, half for "
                    "10 dB "
                    "less; decibels, evenly over the 60 below the loudest; constant, not. Without 'audio' it does not.",
                ),
                *config_inputs(PromptConfig, "most", "floor", "scale", "blend", "smoothing", "hold"),
                io.Combo.Input(
                    "negative_words", options=list(NEGATIVES), default=NOTHING,
                    tooltip="What the negative prompt says beside its text: nothing, or in each frame the words that "
                    "are "
                    "known but not heard there.", **advanced(),
                ),
                io.Combo.Input(
                    "schedule_format", options=list(PROMPT_FORMATS), default=QUOTED,
                    tooltip="Of the output 'schedule', for prompt schedulers of other packs.", **advanced(),
                ),
                io.Clip.Input(
                    "clip", optional=True,
                    tooltip="The text encoder of the model that paints. Without it only 'prompts' and 'schedule' "
                    "come out, "
                    "which is all that Prompt over Time needs.",
                ),
                io.Audio.Input("audio", optional=True, tooltip="The same sound, for its loudness."),
                io.Float.Input(
                    "curve", optional=True, force_input=True, default=1.0, min=0.0, max=1.0,
                    tooltip="Values of Audio Curve or Curve Shape, one for each frame; they multiply the strength.",
                ),
                io.Latent.Input(
                    "latent", optional=True,
                    tooltip="What will be sampled: it says how many frames there are, where num_frames is 0, and "
                    "another "
                    "number is refused at once instead of when sampling begins.",
                ),
                io.Combo.Input(
                    "response", options=list(RESPONSES), default=STEEP, optional=True,
                    tooltip="How the weights answer loudness and curve. steep: what is quiet is hardly told, what "
                    "is louder than a half almost in full (0.15 tells 0.04, 0.35 tells 0.35, 0.6 tells 0.77), since "
                    "models follow a word as a whole or hardly at all. even: in proportion.", **advanced(),
                ),
            ],
            outputs=[
                io.Conditioning.Output("positive", display_name="positive", tooltip="One row for each frame: F "
                "latents in "
                                       "the batch, such as AnimateDiff and pictures have."),
                io.Conditioning.Output("negative", display_name="negative", tooltip="Likewise."),
                sockets.SoundPrompts.Output("prompts", display_name="prompts", tooltip="Prompts and weights, for "
                "Prompt over "
                                            "Time: video models, whose batch is 1."),
                io.String.Output("schedule", display_name="schedule", tooltip="The same as text, for prompt "
                "schedulers."),
                io.Image.Output("plot", display_name="plot", tooltip="How strongly each word is told over time."),
                io.Float.Output("fps_out", display_name="fps", tooltip="Frames a second, to be connected further."),
                io.Int.Output("num_frames_out", display_name="num_frames", tooltip="How many frames there are."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, words, base_prompt, negative_prompt, fps, num_frames, strength, loudness, negative_words,
        schedule_format, clip=None, audio=None, curve=None, latent=None, response=STEEP, **settings,
    ):  # fmt: skip
        from ..soundguide_core.audio.keyframes import prompt_keyframes
        from ..soundguide_core.pipelines.prompts import heard_prompts, unheard
        from . import host_conditioning

        check_choice("negative_words", negative_words, NEGATIVES)
        check_choice("loudness", loudness, LOUDNESS_LAWS)
        check_choice("response", response, RESPONSES)
        if latent is not None and not num_frames:
            num_frames = len(latent_samples(latent))
        schedule = heard_prompts(
            words, base_prompt, fps, config_of(PromptConfig, settings), num_frames=num_frames,
            recording=None if audio is None else recording_of(audio), law=loudness, strength=strength, curve=curve,
            response=response,
        )  # fmt: skip
        if latent is not None and clip is not None:
            host_conditioning.check_rows(schedule.num_frames, latent)
        against = unheard(schedule, negative_prompt, words=negative_words == UNHEARD)
        return io.NodeOutput(
            host_conditioning.told(clip, schedule),
            host_conditioning.told(clip, against),
            schedule,
            prompt_keyframes(schedule.at_frames(), schedule_format),
            plots.weights_picture(schedule.weights, schedule.phrases, fps),
            fps,
            schedule.num_frames,
        )


class WordsOnACurve(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideWordsOnACurve",
            display_name="Words on a Curve",
            category="model/conditioning",
            **search_aliases("audio reactive, prompt travel, prompt blend, prompt interpolation, prompt schedule"),
            description="Prompts that a curve moves through, from the first line where it is 0 to the last where it "
            "is 1. "
            "No ears are needed.",
            inputs=[
                io.String.Input(
                    "texts", default="calm sea, low sun\nstorm, breaking waves, dark clouds", multiline=True,
                    tooltip="One prompt a line, from where the curve is 0 to where it is 1.",
                ),
                io.Float.Input(
                    "curve", default=0.0, min=0.0, max=1.0, force_input=True,
                    tooltip="Values of Audio Curve or Curve Shape in 0..1, one for each frame.",
                ),
                io.Float.Input(
                    "fps", default=12.0, min=0.1, max=240.0, step=0.5,
                    tooltip="Frames a second. Connect the fps of Audio Curve, so that it is typed once.",
                ),
            ],
            outputs=[
                sockets.SoundWords.Output("words", display_name="words", tooltip="For Sound Prompt, as heard words "
                "are."),
            ],
        )  # fmt: skip

    @classmethod
    def refuse(cls, texts):
        if not texts.strip():
            raise InputError("There is no text.", "Write one prompt a line.")

    @classmethod
    def execute(cls, texts, curve, fps):
        from ..soundguide_core.pipelines.prompts import words_on_a_curve

        return io.NodeOutput(words_on_a_curve(texts.splitlines(), curve, fps))


NODES = [SoundPrompt, WordsOnACurve]
