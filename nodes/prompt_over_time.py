"""Prompts that change over a video whose frames are one latent."""

from __future__ import annotations

from . import sockets
from .host import check_choice, io, search_aliases

AUTO, ONE_PASS, MASKS = "auto", "one pass", "masks"
METHODS = (AUTO, ONE_PASS, MASKS)


class PromptOverTime(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuidePromptOverTime",
            display_name="Prompt over Time",
            category="model/conditioning",
            **search_aliases("audio reactive, prompt travel, prompt relay, video prompt schedule, wan prompt, ltx "
            "prompt"),
            description="Changes the prompt of a video model along the video, as the sound does. Wan and LTX take "
            "all prompts "
            "in one pass, other video models one pass for each.",
            inputs=[
                io.Model.Input("model", tooltip="A video model, or one of pictures with the frames in its batch."),
                io.Clip.Input("clip", tooltip="Its text encoder."),
                sockets.SoundPrompts.Input("prompts", tooltip="Of Sound Prompt."),
                io.Combo.Input(
                    "method", options=list(METHODS), default=AUTO,
                    tooltip="one pass: Wan, LTX; each prompt has its own cross-attention, mixed frame by frame. "
                    "masks: any "
                    "video model; one pass of the model for each prompt. auto: one pass where the family allows it.",
                ),
                io.Latent.Input(
                    "latent", optional=True,
                    tooltip="What will be sampled: another number of frames than the prompts' is told at once.",
                ),
            ],
            outputs=[
                io.Model.Output("mixing", display_name="model", tooltip="The model that takes the prompts below."),
                io.Conditioning.Output("positive", display_name="positive", tooltip="For the sampler, with this "
                "model."),
                io.String.Output("how", display_name="how", tooltip="Which way was taken, and what it costs."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(cls, model, clip, prompts, method, latent=None):
        from . import host_prompts

        check_choice("method", method, METHODS)
        made, positive, how = host_prompts.over_time(model, clip, prompts, method, latent)
        return io.NodeOutput(made, positive, how)


NODES = [PromptOverTime]
