"""Pictures as latents of a generator: drawn at random, mixed by layers, rendered."""

from __future__ import annotations

from ..soundguide_core.common.errors import InputError
from . import sockets
from .host import image_of, in_chunks, io, search_aliases
from .sockets import Latents

GROUPS = ("coarse", "mid", "fine", "coarse+mid", "mid+fine", "coarse+fine")
BY_NUMBER = "by number"
ANY_CLASS = -1


def generator_input():
    return sockets.Generator.Input("generator", tooltip="From Load StyleGAN.")


class SampleLatents(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideSampleLatents",
            display_name="Sample Pictures",
            **search_aliases("stylegan seed, random latents, truncation"),
            category="SoundGuide/latents",
            description="Draws pictures out of the generator at random, one for each seed.",
            inputs=[
                generator_input(),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=2**32 - 1,
                    control_after_generate=True,
                    tooltip="The same seed gives the same picture; a batch goes on with the next seeds.",
                ),
                io.Int.Input(
                    "batch_size", default=1, min=1, max=256, tooltip="How many pictures. Costs next to nothing here."
                ),
                io.Float.Input(
                    "psi",
                    default=0.7,
                    min=0.0,
                    max=1.5,
                    step=0.05,
                    tooltip="Variety: 0 is the average picture, 1 everything that was learned, failures included.",
                ),
                io.Int.Input(
                    "class_index",
                    display_name="class",
                    default=ANY_CLASS,
                    min=ANY_CLASS,
                    max=2**17 - 1,
                    optional=True,
                    tooltip="Only for a class-conditional generator: the class of all pictures, counted from 0. "
                    "-1: every seed draws its own class.",
                ),
            ],
            outputs=[
                sockets.WLatents.Output("latents", display_name="latents", tooltip="The pictures, not yet rendered.")
            ],
        )

    @classmethod
    def execute(cls, generator, seed, batch_size, psi, class_index=ANY_CLASS):
        seeds = [(seed + i) % 2**32 for i in range(batch_size)]
        class_index = None if class_index == ANY_CLASS else class_index
        ws = generator.on_device().sample_ws(seeds, psi, class_index=class_index)
        return io.NodeOutput(Latents(ws.float().cpu().contiguous(), generator.name))


class MixStyles(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideMixStyles",
            display_name="Mix Styles",
            **search_aliases("style mixing, layer swap"),
            category="SoundGuide/latents",
            description="Takes some layers of one picture and the rest of another: the layout from here, the "
            "colours from there.",
            inputs=[
                sockets.WLatents.Input("base", tooltip="The picture that keeps all other layers."),
                sockets.WLatents.Input(
                    "donor", tooltip="The picture that gives the named layers. From the same generator."
                ),
                io.Combo.Input(
                    "layers",
                    options=[*GROUPS, BY_NUMBER],
                    default="fine",
                    tooltip="coarse: layout; mid: parts and shapes; fine: colour and texture. 'by number' uses the "
                    "two below.",
                ),
                io.Int.Input(
                    "first_layer", default=0, min=0, max=63, tooltip="Only 'by number': the first layer that is given."
                ),
                io.Int.Input(
                    "last_layer", default=3, min=0, max=63, tooltip="Only 'by number': the last layer that is given."
                ),
            ],
            outputs=[sockets.WLatents.Output("latents", display_name="latents", tooltip="The mixed picture.")],
        )

    @classmethod
    def refuse(cls, layers, first_layer, last_layer):
        if layers == BY_NUMBER and first_layer > last_layer:
            raise InputError(
                f"The first layer, {first_layer}, comes after the last, {last_layer}.", "Give the smaller number first."
            )

    @classmethod
    def execute(cls, base, donor, layers, first_layer, last_layer):
        from ..soundguide_core.generators.latents import mix_layers

        if len({len(base.ws), len(donor.ws)} - {1}) > 1:
            raise InputError(
                f"Batches of {len(base.ws)} and {len(donor.ws)} pictures cannot be mixed.",
                "Use batches of one size, or a single picture on one side.",
            )
        if layers == BY_NUMBER:
            layers = range(first_layer, last_layer + 1)
        return io.NodeOutput(Latents(mix_layers(base.ws, donor.ws, layers), base.generator))


class StyleGANRender(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideStyleGANRender",
            display_name="Render Pictures",
            **search_aliases("stylegan synthesis, gan render"),
            category="SoundGuide/latents",
            description="Paints latents as pictures, a few at a time, so that a long sequence needs no more memory "
            "than a short one.",
            inputs=[
                generator_input(),
                sockets.WLatents.Input("latents", tooltip="One picture, a batch, or the frames of a video."),
                io.Int.Input(
                    "chunk",
                    default=8,
                    min=1,
                    max=256,
                    tooltip="Pictures painted at once. Memory grows with it, speed a little; halved by itself "
                    "where memory runs out.",
                ),
            ],
            outputs=[io.Image.Output("image", display_name="image", tooltip="One picture for each latent.")],
        )

    @classmethod
    def execute(cls, generator, latents, chunk):
        network = generator.on_device()
        return io.NodeOutput(in_chunks(lambda ws: image_of(network.synthesis(ws)), latents.ws, chunk, generator.device))


NODES = [SampleLatents, MixStyles, StyleGANRender]
