"""Load Preview Decoder: what a guided model's latents are looked at through."""

from __future__ import annotations

from . import sockets
from .host import check_choice, io, search_aliases


class LoadPreviewDecoder(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideLoadPreviewDecoder",
            display_name="Load Preview Decoder",
            **search_aliases("taesd, taehv, tiny vae, latent2rgb, live preview, approximate vae"),
            category="SoundGuide/models",
            description="Loads what makes pictures of a model's latents while it samples, so that a sound can be "
            "compared with them. Guide Model by Sound takes the best one by itself; this node is for choosing.",
            inputs=[
                io.Model.Input("model", tooltip="The model that is to be guided: it says which latents it has."),
                io.Combo.Input(
                    "decoder",
                    options=list(sockets.DECODERS),
                    default=sockets.AUTO,
                    tooltip="auto: the tiny decoder if its file is in models/vae_approx, else latent2rgb, else the "
                    "full VAE. tiny decoder: nearly as sharp as the VAE at a tenth of its memory. latent2rgb: next to "
                    "nothing, small and blurred. full VAE: sharpest, and far the slowest.",
                ),
                io.Vae.Input("vae", optional=True, tooltip="For the full VAE: the one that belongs to the model."),
            ],
            outputs=[
                sockets.Decoder.Output("preview_decoder", display_name="decoder", tooltip="For Guide Model by Sound."),
                io.String.Output(
                    "taken", display_name="taken", tooltip="Which decoder was taken, and what it costs, in words."
                ),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, **_):
        from .host_decoders import tiny_files

        return tiny_files()

    @classmethod
    def execute(cls, model, decoder, vae=None):
        from .host_decoders import make_decoder

        check_choice("decoder", decoder, sockets.DECODERS)
        made = make_decoder(model, decoder, vae)
        text = f"{made.name[:1].upper()}{made.name[1:]}. {made.cost}"
        return io.NodeOutput(made, text)


NODES = [LoadPreviewDecoder]
