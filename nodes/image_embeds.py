"""A sound's meaning as what IP-Adapters and unCLIP models take, where they share a space."""

from __future__ import annotations

from . import sockets
from .embedding import check_encoder, encoder_input
from .host import io, search_aliases


class SoundToImageEmbeds(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideSoundToImageEmbeds",
            display_name="Sound to Image Embeds",
            category="model/conditioning",
            **search_aliases("audio reactive, ip-adapter, ipadapter embeds, unclip, clip vision, image prompt"),
            description="Gives a sound's meaning to what takes the embedding of a picture: IP-Adapters that are no "
            "'plus' "
            "models, and unCLIP. It must be the same space: an encoder that hears in another one is refused by name.",
            inputs=[
                encoder_input(),
                sockets.SoundEmbeds.Input("embeds", tooltip="Of Encode Sound; with 'per_frame', one row for each "
                "frame."),
                io.ClipVision.Input(
                    "clip_vision", tooltip="The CLIP Vision model that the IP-Adapter or unCLIP model was made with."
                ),
                io.Float.Input(
                    "curve", optional=True, force_input=True, default=1.0, min=0.0, max=100.0,
                    tooltip="Values of Audio Curve or Curve Shape, one for each frame; they multiply the rows.",
                ),
            ],
            outputs=[
                io.Custom("EMBEDS").Output("rows", display_name="pos_embed", tooltip="EMBEDS [F,D], one row a frame, "
                "for "
                                           "IPAdapter Embeds and its batch."),
                io.Custom("EMBEDS").Output("nothing", display_name="neg_embed", tooltip="As many rows of zeros."),
                io.ClipVisionOutput.Output("whole", display_name="clip_vision_output", tooltip="The whole sound, as "
                "CLIP "
                                           "Vision Encode gives a picture: for unCLIP Conditioning."),
                io.String.Output("nearness", display_name="nearness", tooltip="How alike both see test pictures."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(cls, encoder, embeds, clip_vision, curve=None):
        from . import host_clip_vision

        check_encoder([embeds], encoder)
        return io.NodeOutput(*host_clip_vision.as_image_embeds(encoder, embeds, clip_vision, curve))


NODES = [SoundToImageEmbeds]
