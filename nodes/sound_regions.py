"""Which sound acts where in the picture."""

from __future__ import annotations

from . import sockets
from .host import io, mask_of, search_aliases

MOST = 4


class SoundRegions(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideSoundRegions",
            display_name="Sound Regions",
            category="model/conditioning",
            **search_aliases("audio reactive, regional prompt, attention couple, regional conditioning, area, mask"),
            description="Puts what is heard in its place: up to four words over time, each with a mask of the "
            "picture, as one. "
            "Sound Prompt and Prompt over Time tell each in its region, all in one run.",
            inputs=[
                each
                for i in range(1, MOST + 1)
                for each in (
                    sockets.SoundWords.Input(
                        f"words_{i}", optional=i > 1, tooltip="Words over time, of Hear Words or Words on a Curve."
                    ),
                    io.Mask.Input(
                        f"mask_{i}", optional=True,
                        tooltip="Where in the picture they act; of several masks the mean. Without one, everywhere.",
                    ),
                )
            ],
            outputs=[
                sockets.SoundWords.Output(
                    "words", display_name="words", tooltip="All of them, for Sound Prompt. 'most' there counts them "
                    "all."
                ),
            ],
        )  # fmt: skip

    @classmethod
    def execute(cls, **given):
        from ..soundguide_core.embedding.hearing.regions import placed, together

        parts = []
        for i in range(1, MOST + 1):
            words, mask = given.get(f"words_{i}"), given.get(f"mask_{i}")
            if words is not None:
                parts.append(placed(words, None if mask is None else mask_of(mask).mean(0)[0]))
        return io.NodeOutput(together(parts))


NODES = [SoundRegions]
