"""Sound-guided image manipulation as nodes: find a picture in the generator, and move it toward a meaning."""

from __future__ import annotations

from ..soundguide_core.systems.configs.image_manipulation import PAPER, RELEASED, ManipulationConfig
from ..soundguide_core.systems.configs.projection import ProjectionConfig
from . import plots, sockets
from .embedding import check_encoder, encoder_input, mix
from .found_pictures import tuned_model
from .host import advanced, image_of, img_of, io, on_device, on_step, search_aliases, with_grad
from .latents import generator_input
from .settings import config_inputs, config_of, preset_input
from .sockets import Latents


class InvertImage(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideInvertImage",
            display_name="Find Picture in Generator",
            **search_aliases("gan inversion, projector, projection, e4e, psp"),
            category="SoundGuide/latents",
            description="Finds the latents whose rendering is most like your own picture, so that a sound can "
            "change it. A generator paints what it has learned, the miniature landscapes; with a method that tunes it "
            "learns your picture too.",
            inputs=[
                generator_input(),
                io.Image.Input("image", tooltip="One picture or a batch; cropped to the generator's square."),
                *config_inputs(ProjectionConfig, "schedule.steps", "schedule.lr", "prior", "candidates", "seed"),
                sockets.Joint.Input(
                    "encoder",
                    optional=True,
                    tooltip="From Load Sound Encoder: compares what the pictures mean as well as their pixels.",
                ),
                *config_inputs(
                    ProjectionConfig,
                    *("method", "refine_steps", "tuning_steps", "tuning_rate", "locality", "fit"),
                    also={"optional": True},
                ),
                sockets.InversionEncoder.Input(
                    "inversion_encoder",
                    optional=True,
                    tooltip="From Load Inversion Encoder, for the methods that begin with one. Without it the "
                    "miniature's is taken, for the miniature's generator.",
                ),
            ],
            outputs=[
                sockets.WLatents.Output(
                    "latents", display_name="latents", tooltip="Your picture, as the generator knows it."
                ),
                io.Image.Output("rendered", display_name="image", tooltip="How the generator paints it."),
                io.Image.Output("loss_plot", display_name="loss_plot", tooltip="How the difference fell."),
                sockets.Generator.Output(
                    "tuned",
                    display_name="generator",
                    tooltip="The generator that paints it: with a method that tunes, the one that has learned your "
                    "picture. Use it from here on, and keep it with Save Found Picture.",
                ),
                io.Float.Output(
                    "error",
                    display_name="error",
                    tooltip="How far the rendering is from your picture: root mean square of all pixels, 0 to 2.",
                ),
            ],
        )

    @classmethod
    def execute(cls, generator, image, encoder=None, inversion_encoder=None, **settings):
        from ..soundguide_core.pipelines.inversion import find_picture

        models = {"joint": encoder, "encoder": inversion_encoder}
        given = {key: model for key, model in models.items() if model is not None}
        network, *networks = on_device(generator, *given.values())
        there = dict(zip(given, networks))
        found = with_grad(
            find_picture,
            img_of(image).to(generator.device),
            network,
            there.get("joint"),
            config_of(ProjectionConfig, settings),
            on_step(),
            encoder=there.get("encoder"),
            name=generator.name,
        )
        plot = plots.loss_picture(found.history, "finding the picture")
        tuned = generator if found.generator is network else tuned_model(generator.name, found.generator)
        return io.NodeOutput(
            Latents(found.ws.float().cpu(), generator.name), image_of(found.img), plot, tuned, found.error
        )


class SoundManipulate(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideSoundManipulate",
            display_name="Change Picture by Sound",
            **search_aliases(
                "audio reactive, sound guided, audio to image, fire, rain, thunder, stylegan edit, styleclip"
            ),
            category="SoundGuide",
            description="Moves a picture until it means what the sound means, and leaves the rest of it in place. "
            "Sound-Guided Semantic Image Manipulation, Lee et al., CVPR 2022.",
            inputs=[
                generator_input(),
                encoder_input(),
                sockets.WLatents.Input(
                    "latents",
                    tooltip="The picture to change: from Sample Pictures, Find Picture in Generator, or an earlier "
                    "change. One picture meets many meanings, many pictures meet one, or as many of each.",
                ),
                sockets.SoundEmbeds.Input(
                    "embeds", tooltip="What it shall mean: a sound, a text, a picture or a mixture."
                ),
                *config_inputs(
                    ManipulationConfig,
                    *("schedule.steps", "schedule.lr", "similarity", "layer_masking", "variant"),
                    *("crops", "space", "samples", "seed"),
                    step_size=advanced(),
                    adaptive_layers={"label_on": "adaptive", "label_off": "all alike", **advanced()},
                    variant={"options": [PAPER, RELEASED], "default": PAPER, **advanced()},
                    crops=advanced(),
                    space=advanced(),
                    samples=advanced(),
                ),
                sockets.SoundEmbeds.Input(
                    "also",
                    optional=True,
                    tooltip="A second sound, text or picture, mixed in. For more of them use Mix Meanings.",
                ),
                io.Float.Input(
                    "also_weight",
                    default=1.0,
                    min=-4.0,
                    max=4.0,
                    step=0.05,
                    tooltip="How much of 'also' against 1 of 'embeds'; below 0 leads away from it.",
                    **advanced(),
                ),
                preset_input(ManipulationConfig, **advanced()),
                sockets.FaceIdentity.Input(
                    "identity",
                    optional=True,
                    tooltip="From Load Identity Encoder, for faces: the changed picture shows the same person.",
                ),
                *config_inputs(
                    ManipulationConfig, "identity", "strength", also={"optional": True}, keep_identity=advanced()
                ),
                io.Image.Input(
                    "unchanged",
                    optional=True,
                    tooltip="The picture before the change, from Render Pictures or your file: 'image' gives it while "
                    "this node is bypassed, for an A/B look. The change itself does not use it.",
                ),
            ],
            outputs=[
                sockets.WLatents.Output(
                    "changed", display_name="latents", tooltip="The changed picture, to be changed or mixed further."
                ),
                io.Image.Output("image", display_name="image", tooltip="The changed picture."),
                io.Image.Output(
                    "loss_plot",
                    display_name="loss_plot",
                    tooltip="How far it was from the meaning and from the source, step by step.",
                ),
                io.Image.Output("before", display_name="before", tooltip="The picture as it was."),
                io.Image.Output(
                    "layer_plot", display_name="layer_plot", tooltip="How far each layer of the generator moved."
                ),
                io.Float.Output(
                    "similarity_before",
                    display_name="similarity_before",
                    tooltip="Cosine of picture and meaning before the change, -1 to 1.",
                ),
                io.Float.Output("similarity", display_name="similarity", tooltip="The same of the changed picture."),
            ],
        )

    @classmethod
    def execute(
        cls, generator, encoder, latents, embeds, also_weight, also=None, identity=None, unchanged=None, **settings
    ):
        from ..soundguide_core.pipelines.image_manipulation import change_picture

        if also is not None:
            embeds = mix([embeds, also], [1.0, also_weight])
        check_encoder([embeds], encoder)
        network, joint, *recogniser = on_device(generator, encoder, *([identity] if identity else []))
        changed = with_grad(
            change_picture,
            latents.ws.to(generator.device),
            embeds.whole.to(encoder.device),
            generator=network,
            joint=joint,
            config=config_of(ManipulationConfig, settings),
            identity=recogniser[0] if recogniser else None,
            on_step=on_step(),
        )
        result = changed.result
        plot = plots.loss_picture(result.history, embeds.label)
        ws = Latents(result.ws.float().cpu(), latents.generator)
        layers = plots.layer_picture(
            result.layer_moves.mean(dim=0).tolist(),
            f"{embeds.label}: cosine {changed.before:.3f} before, {changed.after:.3f} after",
        )
        return io.NodeOutput(
            ws, image_of(changed.img), plot, image_of(result.img_src), layers, changed.before, changed.after
        )


NODES = [InvertImage, SoundManipulate]
