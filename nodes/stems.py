"""Drums, bass, voice and the rest of a piece of music, each for a curve of its own."""

from __future__ import annotations

from ..soundguide_core.audio.stem_names import STEMS
from ..soundguide_core.checkpoints import registry
from ..soundguide_core.common.errors import InputError
from .host import Model, audio_of, io, model_stamp, on_step, search_aliases, wave_of
from .models import check_here

KIND = "stem-separator"
NONE = "none yet: see the help page"


class SplitStems(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideSplitStems",
            display_name="Split Stems",
            **search_aliases(
                "stem, stems, demucs, source separation, vocals, drums, bass, music, audio separation, audio reactive"
            ),
            category="SoundGuide/audio",
            description="Takes a piece of music apart into drums, bass, vocals and the rest, so that each moves "
            "something else through an Audio Curve of its own.",
            inputs=[
                io.Audio.Input("audio", tooltip="One piece of music, of any length and rate."),
                io.Combo.Input(
                    "separator", options=registry.names(KIND) or [NONE],
                    tooltip="Hybrid Demucs as torchaudio publishes it: hdemucs_high_trained.pt (334 MB) in "
                    "ComfyUI/models/soundguide/stem-separator. Nothing in a file is run.",
                ),
            ],
            outputs=[
                io.Audio.Output(stem, display_name=stem, tooltip=f"{words}, as long as the music.")
                for stem, words in zip(STEMS, ("Drums", "Bass", "Everything else", "Voices"))
            ],
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, audio, separator):
        return separator if separator == NONE else model_stamp(KIND, separator)

    @classmethod
    def execute(cls, audio, separator):
        from ..soundguide_core.audio.stems import load_stem_separator, separate

        if separator == NONE:
            separator = registry.default(KIND)  # refused below, with how to get it
        check_here(KIND, separator)
        waves, sample_rate = wave_of(audio)
        if len(waves) > 1:
            raise InputError(f"A batch of {len(waves)} sounds has arrived where one is wanted.", "Send one sound.")
        step, model = on_step(), Model(separator, lambda device: load_stem_separator(separator, device), KIND)
        stems = separate(model.on_device(), waves[0], sample_rate, lambda i, n: step(i - 1, n, {}, lambda: None))
        return io.NodeOutput(*(audio_of(stem[None], sample_rate) for stem in stems))


NODES = [SplitStems]
