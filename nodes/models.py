"""Loaders: a name from the registry, or a file in the host's model folders, as a model that the host manages."""

from __future__ import annotations

from ..soundguide_core.checkpoints import registry
from . import sockets
from .host import Model, check_choice, io, model_stamp


def check_here(kind: str, name: str) -> None:
    """Refuse what the list does not show; of published weights that are not on disk, say how to get them."""
    if any(row.name == name and row.kind == kind for row in registry.rows()):
        registry.find(kind, name)
    check_choice(kind, name, registry.names(kind))


class LoadJointEncoder(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideLoadJointEncoder",
            display_name="Load Sound Encoder",
            category="SoundGuide/models",
            description="Loads the encoder that puts sounds, texts and pictures into one space, where they can be "
            "compared.",
            inputs=[
                io.Combo.Input(
                    "name",
                    options=registry.names("joint"),
                    tooltip="'miniature' comes with SoundGuide. Others are folders with clip.safetensors and a sound "
                    "file (.safetensors, .pt, .pth) in ComfyUI/models/soundguide/joint.",
                ),
            ],
            outputs=[
                sockets.Joint.Output(
                    "encoder", display_name="encoder", tooltip="For every node that asks for an encoder."
                )
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, name):
        return model_stamp("joint", name)

    @classmethod
    def execute(cls, name):
        from ..soundguide_core.embedding.joint import load_joint

        check_here("joint", name)
        return io.NodeOutput(Model(name, lambda device: load_joint(name, device)))


class LoadStyleGAN(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideLoadStyleGAN",
            display_name="Load StyleGAN",
            category="SoundGuide/models",
            description="Loads a StyleGAN2 generator: the network that paints the pictures.",
            inputs=[
                io.Combo.Input(
                    "name",
                    options=registry.names("generator"),
                    tooltip="'miniature' (landscapes, 128 x 128) comes with SoundGuide. Others are .safetensors, .pkl "
                    "or .pt files in ComfyUI/models/soundguide/generator; nothing in them is run.",
                ),
            ],
            outputs=[
                sockets.Generator.Output(
                    "generator", display_name="generator", tooltip="For every node that asks for a generator."
                )
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, name):
        return model_stamp("generator", name)

    @classmethod
    def execute(cls, name):
        from ..soundguide_core.generators.loading import load_generator

        check_here("generator", name)
        return io.NodeOutput(Model(name, lambda device: load_generator(name, device)))


NODES = [LoadJointEncoder, LoadStyleGAN]
