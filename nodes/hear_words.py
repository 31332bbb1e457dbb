"""A sound in words: which are heard, when, and how surely."""

from __future__ import annotations

from ..soundguide_core.common.errors import InputError
from ..soundguide_core.embedding.hearing.vocabulary import SHIPPED, read_vocabulary, tables
from ..soundguide_core.systems.configs.hear_words import HearWordsConfig
from . import plots, sockets
from .embedding import WORDS
from .host import check_choice, io, on_step, recording_of, search_aliases
from .settings import config_inputs, config_of

BELOW, ALL = "only the words below", "all words of the table"
SHOWN = 14  # words in the picture
MOST_LINES = 14  # and in the text


def listed(words: str) -> list[str]:
    """Words separated by commas or lines."""
    return [word.strip() for word in words.replace("\n", ",").split(",") if word.strip()]


class HearWords(io.ComfyNode):
    NEEDS = ("soxr",)

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideHearWords",
            display_name="Hear Words",
            **search_aliases(
                "audio reactive, audio to text, audio tagging, sound classifier, caption audio, yamnet, clap, hear"
            ),
            category="audio",
            description="Listens to a sound and says in words what is heard, when, and how surely. Sounds at the same "
            "time are each heard by themselves.",
            inputs=[
                sockets.Ears.Input("ears", tooltip="From Load Sound Classifier."),
                io.Audio.Input("audio", tooltip="Any length, rate and number of channels; heard as one channel."),
                io.String.Input(
                    "words",
                    default=WORDS,
                    multiline=True,
                    tooltip="Words to listen for, separated by commas. Ears with classes of their own know those and "
                    "what they are also called (dog: barking, howling, growling); CLAP knows any.",
                ),
                io.Combo.Input(
                    "vocabulary",
                    options=[BELOW, ALL, *read_vocabulary().groups],
                    default=BELOW,
                    tooltip="Ready words beside those above: a group of the table, or all of it. More words cost "
                    "little time.",
                ),
                io.Combo.Input(
                    "table",
                    options=list(tables()),
                    default=SHIPPED,
                    tooltip="Words with groups and the prompts that a picture model is told. AudioSet's 527 come with "
                    "SoundGuide; a copy of audioset.csv that you changed goes to "
                    "ComfyUI/models/soundguide/sound-classifier.",
                ),
                *config_inputs(HearWordsConfig, "smoothing", "hold"),
            ],
            outputs=[
                sockets.SoundWords.Output(
                    "sound_words", display_name="sound_words",
                    tooltip="The words with their scores over time and a prompt for each, for Sound Prompt.",
                ),
                io.Image.Output(
                    "timeline", display_name="timeline",
                    tooltip="The words that score highest, over seconds. Orange: sure. Blue: likely or faint. Grey: no "
                    "more than noise gets.",
                ),
                io.String.Output(
                    "heard", display_name="heard", tooltip="The same in words, a line each, with the times in seconds."
                ),
                io.String.Output("json", display_name="json", tooltip="All of it as JSON, for scripts."),
            ],
        )  # fmt: skip

    @classmethod
    def refuse(cls, words, vocabulary):
        if vocabulary == BELOW and not listed(words):
            raise InputError("There is no word to listen for.", "Write some, or choose a vocabulary.")

    @classmethod
    def execute(cls, ears, audio, words, vocabulary, table, smoothing, hold):
        import json

        from ..soundguide_core.pipelines.words import described, hear_words, is_told, ready_words, to_report

        recording, known = recording_of(audio), tables()
        check_choice("table", table, list(known))
        vocabulary_table = read_vocabulary(None if table == SHIPPED else known[table])
        check_choice("vocabulary", vocabulary, [BELOW, ALL, *vocabulary_table.groups])
        network, step = ears.on_device(), on_step()
        wanted = listed(words)
        if vocabulary != BELOW:
            ready = ready_words(vocabulary_table, [] if vocabulary == ALL else [vocabulary], network)
            said = {word.lower() for word in wanted}
            wanted += [word for word in ready if word.lower() not in said]
        config = config_of(HearWordsConfig, {"smoothing": smoothing, "hold": hold})
        heard = hear_words(
            network, recording, wanted, vocabulary_table, config, name=ears.name,
            on_step=lambda i, n: step(i, max(n, i + 1), {}, lambda: None),
        )  # fmt: skip
        shown = heard.only(heard.strongest(SHOWN))
        text = described(heard, MOST_LINES)
        told = [is_told(shown, column) for column in range(len(shown.words))]
        picture = plots.words_picture(shown, told, f"heard by {ears.name}: {text.splitlines()[0]}")
        return io.NodeOutput(heard, picture, text, json.dumps(to_report(heard)))


NODES = [HearWords]
