"""A pixel diffusion for the host's own graphs: text to picture, picture to picture, inpainting, frames as a batch."""

from __future__ import annotations

from ..soundguide_core.checkpoints import registry
from ..soundguide_core.common.errors import InputError
from . import host_pixels, sockets
from .host import io, model_stamp, search_aliases
from .models import check_here

KIND = "unet"


class LoadMiniatureModel(io.ComfyNode):
    NEEDS = (
        "diffusers",
        "open_clip",
    )

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideLoadMiniatureModel",
            display_name="Load Miniature Model",
            **search_aliases("load checkpoint, checkpoint, pixel diffusion, unet, tiny model"),
            category="model/loaders",
            description="Loads a small diffusion model of pictures for ComfyUI's own nodes, in the place of Load "
            "Checkpoint: prompts, KSampler, picture to picture, inpainting. 'miniature' paints landscapes of 64 x 64 "
            "pixels and comes with SoundGuide.",
            inputs=[
                io.Combo.Input(
                    "name",
                    options=registry.names(KIND),
                    tooltip="'miniature' comes with SoundGuide. Others are pixel diffusions in "
                    "ComfyUI/models/soundguide/unet; nothing in them is run.",
                ),
                sockets.Joint.Input(
                    "encoder",
                    optional=True,
                    tooltip="From Load Sound Encoder: whose texts the model understands, if it was trained on other "
                    "ones than the miniature's.",
                ),
            ],
            outputs=[
                io.Model.Output("model", display_name="model", tooltip="For KSampler and all that changes a MODEL."),
                io.Clip.Output("clip", display_name="clip", tooltip="For prompts: CLIP Text Encode."),
                io.Vae.Output(
                    "vae", display_name="vae", tooltip="For VAE Encode and VAE Decode: hands pixels through."
                ),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, name, encoder=None):
        return model_stamp(KIND, name)

    @classmethod
    def refuse(cls, name):
        check_here(KIND, name)

    @classmethod
    def execute(cls, name, encoder=None):
        model, clip = host_pixels.pixel_model(name), host_pixels.text_clip(encoder.name if encoder else None)
        told, said = model.model.diffusion_model.unet.context_dim, clip.cond_stage_model.clip.dim
        if told not in (None, said):
            raise InputError(
                f"{name} understands {told} numbers, and the encoder says {said}.",
                "Connect the encoder with which it was trained.",
            )
        return io.NodeOutput(model, clip, host_pixels.pixel_vae())


NODES = [LoadMiniatureModel]
