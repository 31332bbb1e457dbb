"""Any MODEL of the host guided by a sound while it samples."""

from __future__ import annotations

import contextlib

import torch

from ..soundguide_core.common.errors import InputError
from ..soundguide_core.systems.configs.model_guidance import RULES, THROUGH, GuideConfig
from . import sockets
from .embedding import check_encoder, encoder_input
from .host import advanced, check_choice, io, mask_of, search_aliases, with_grad
from .settings import config_inputs, config_of


class GuideModel(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideGuideModel",
            display_name="Guide Model by Sound",
            category="model/patch",
            description="Lets a model of pictures or videos listen: while it samples, each step is moved towards what "
            "a sound means, frame by frame. Works with every sampler, and beside other patches of the model.",
            **search_aliases(
                "audio reactive, audio guidance, clip guidance, classifier guidance, sound to image, sound to video, "
                "wan, ltx, flux, sdxl"
            ),
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="Any model of pictures or videos: Stable Diffusion, Flux, Qwen-Image, Wan, LTX, Hunyuan "
                    "and so on, with its LoRAs. Connect the output to a sampler in its place.",
                ),
                encoder_input(),
                sockets.SoundEmbeds.Input(
                    "embeds",
                    tooltip="What shall be seen. From Encode Sound with 'per_frame', each frame follows its moment: "
                    "give it as many frames as the batch has pictures, or the video frames.",
                ),
                *config_inputs(GuideConfig, "strength", "rule"),
                sockets.Decoder.Input(
                    "decoder",
                    optional=True,
                    tooltip="From Load Preview Decoder: what makes the pictures that are compared with the sound. "
                    "Without it the best that is here for this model.",
                ),
                io.Float.Input(
                    "curve",
                    optional=True,
                    force_input=True,
                    tooltip="A list of numbers that lead the strength, one for each frame: the loudness from Audio "
                    "Curve, for example, changes more where it is louder. 'response' says how steeply.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="1 where the sound may change something: one for all frames or one for each. With "
                    "inpainting, connect the same mask here.",
                ),
                *config_inputs(GuideConfig, "start", "end", "every", "chunk", "warm_up", "response", also=advanced()),
            ],
            outputs=[io.Model.Output("guided", display_name="model", tooltip="The model, listening. For any sampler.")],
        )

    @classmethod
    def refuse(cls, start, end):
        if start >= end:
            raise InputError(
                f"Guiding starts at {start:g} of the sampling and ends at {end:g}.", "Let it end after it starts."
            )

    @classmethod
    def execute(cls, model, encoder, embeds, decoder=None, curve=None, mask=None, **settings):
        from ..soundguide_core.pipelines.model_guidance import Sound
        from .host_decoders import auto_decoder
        from .host_models import check_way_back, latents_of, steady

        check_choice("rule", settings["rule"], RULES)
        check_encoder([embeds], encoder)
        config = config_of(GuideConfig, settings)
        values = None if curve is None else torch.as_tensor(curve, dtype=torch.float32).reshape(-1)
        if values is not None and not (len(values) and torch.isfinite(values).all()):
            raise InputError("The curve holds no numbers, or some that are not finite.", "Connect an Audio Curve.")
        decoder = auto_decoder(model) if decoder is None else decoder
        if decoder.latents != latents_of(model):
            raise InputError(
                f"The decoder '{decoder.name}' is for {decoder.latents}, and this model samples {latents_of(model)}.",
                "Connect Load Preview Decoder to the same model.",
            )
        if config.strength == 0 or (values is not None and not values.any()):
            return io.NodeOutput(model)
        if config.rule == THROUGH:
            model = steady(model)
            check_way_back(model)
        sound = with_grad(Sound, embeds.at_frames, values, None if mask is None else mask_of(mask))
        return io.NodeOutput(listening(model, sound, encoder, decoder, config))


def listening(model, sound, encoder, decoder, config: GuideConfig):
    """A clone of the MODEL whose estimates move towards the sound at the steps that the config says."""
    from ..soundguide_core.diffusion.rules import pull_back
    from ..soundguide_core.diffusion.warm_up import WarmUp
    from ..soundguide_core.pipelines import model_guidance as core
    from .host import halving, interrupted
    from .host_models import differentiable, wrapped

    sound = with_grad(core.answered, sound, config.response)
    tried = False  # whether a way leads back through the model

    def moved(step, x, x0, looks):
        """x and x0 = D(x), frames [N,C,...] => x0 moved."""
        asked = with_grad(core.wanted, sound, decoder, step.shape)
        joint = encoder.network()

        def gradient_of(x0):
            return halving(
                lambda chunk: with_grad(
                    core.sound_gradient, x0.detach().float(), step.shape, asked, decoder, joint, chunk, interrupted
                ),
                config.chunk,
                encoder.device,
                "Choose latent2rgb in Load Preview Decoder, or a smaller size.",
            ).to(x0)

        return core.move_estimate(step.look, x, x0, asked, gradient_of, step.level, config, unit=step.unit, looks=looks)

    def looks_at(step, when):
        return WarmUp(looks=config.warm_up).looks_at(when, step.level.share, masked=sound.masks is not None)

    def there_and_back(step, guided: bool):
        """The step with a graph through the model; where it is not guided, only to see that there is a way back."""
        with differentiable(step):
            x = step.frames(step.x.clone()).detach().requires_grad_()
            z = step.again(step.latent(x, step.x))
            if not guided:
                pull_back(step.look, x, step.frames(z), torch.ones_like(x))
                return z.detach()
            return step.latent(moved(step, x, step.frames(z), 0).detach(), z.detach())

    def predict(step):
        nonlocal tried
        if not tried:
            with_grad(core.wanted, sound, decoder, step.shape)  # what does not fit is refused before the model runs
        when = step.when(config.start, config.end, config.every)
        guided = when.guided(step.level.share)
        looks = looks_at(step, when) if guided else 0
        inside = step.x.requires_grad  # another node goes back through this one
        if config.rule == THROUGH and not inside and (guided or not tried) and not (looks and tried):
            z, tried = there_and_back(step, guided and not looks), True
            if not looks:
                return z
        tried = True
        z = step.stock()
        if not guided:
            return z
        with torch.no_grad() if inside else contextlib.nullcontext():
            new = step.latent(moved(step, step.frames(step.x.detach()), step.frames(z.detach()), looks), z.detach())
        return z + (new - z.detach()) if inside else new

    return wrapped(model, [encoder, decoder.model], predict)


NODES = [GuideModel]
