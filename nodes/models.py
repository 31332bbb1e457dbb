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


class Loader(io.ComfyNode):
    """What the loaders share. One says its `kind` in the registry, how to `load(name, device)`, and its `schema()`."""

    kind: str

    @classmethod
    def load(cls, name, device):
        raise NotImplementedError

    @classmethod
    def schema(cls, tooltip: str, output: io.Output, **texts: str) -> io.Schema:
        """texts: node_id, display_name and description; tooltip: which names there are, and where more are put."""
        name = io.Combo.Input("name", options=registry.names(cls.kind), tooltip=tooltip)
        return io.Schema(category="SoundGuide/models", inputs=[name], outputs=[output], **texts)

    @classmethod
    def fingerprint_inputs(cls, name):
        return model_stamp(cls.kind, name)

    @classmethod
    def execute(cls, name):
        check_here(cls.kind, name)
        return io.NodeOutput(Model(name, lambda device: cls.load(name, device)))


class LoadJointEncoder(Loader):
    kind = "joint"

    @classmethod
    def define_schema(cls):
        return cls.schema(
            node_id="SoundGuideLoadJointEncoder",
            display_name="Load Sound Encoder",
            description="Loads the encoder that puts sounds, texts and pictures into one space, where they can be "
            "compared.",
            tooltip="'miniature' comes with SoundGuide. Others are folders with clip.safetensors and a sound "
            "file (.safetensors, .pt, .pth) in ComfyUI/models/soundguide/joint.",
            output=sockets.Joint.Output(
                "encoder", display_name="encoder", tooltip="For every node that asks for an encoder."
            ),
        )

    @classmethod
    def load(cls, name, device):
        from ..soundguide_core.embedding.joint import load_joint

        return load_joint(name, device)


class LoadStyleGAN(Loader):
    kind = "generator"

    @classmethod
    def define_schema(cls):
        return cls.schema(
            node_id="SoundGuideLoadStyleGAN",
            display_name="Load StyleGAN",
            description="Loads a StyleGAN2 generator: the network that paints the pictures.",
            tooltip="'miniature' (landscapes, 128 x 128) comes with SoundGuide. Others are .safetensors, .pkl "
            "or .pt files in ComfyUI/models/soundguide/generator; nothing in them is run.",
            output=sockets.Generator.Output(
                "generator", display_name="generator", tooltip="For every node that asks for a generator."
            ),
        )

    @classmethod
    def load(cls, name, device):
        from ..soundguide_core.generators.loading import load_generator

        return load_generator(name, device)


class LoadSoundVideo(Loader):
    kind = "trajectory"

    @classmethod
    def define_schema(cls):
        return cls.schema(
            node_id="SoundGuideLoadSoundVideo",
            display_name="Load Sound-to-Video",
            description="Loads the networks that turn a sound into the movement of a generator's pictures.",
            tooltip="'miniature' comes with SoundGuide and belongs to the miniature's generator. Others are "
            ".safetensors files in ComfyUI/models/soundguide/trajectory.",
            output=sockets.Trajectory.Output(
                "trajectory", display_name="trajectory", tooltip="For Sound Inversion and Latent Path."
            ),
        )

    @classmethod
    def load(cls, name, device):
        from ..soundguide_core.trajectory import load_trajectory

        return load_trajectory(name, device)


class LoadStyleGANV(Loader):
    kind = "video-generator"

    @classmethod
    def define_schema(cls):
        return cls.schema(
            node_id="SoundGuideLoadStyleGANV",
            display_name="Load StyleGAN-V",
            description="Loads a StyleGAN-V: a generator of videos, for which time is a number like any other.",
            tooltip="'miniature' (landscapes, 64 x 64) comes with SoundGuide and listens to sounds. Others are "
            ".safetensors or .pkl files in ComfyUI/models/soundguide/video-generator; nothing in them is run.",
            output=sockets.VideoGenerator.Output(
                "generator", display_name="generator", tooltip="For Render StyleGAN-V."
            ),
        )

    @classmethod
    def load(cls, name, device):
        from ..soundguide_core.generators.loading import load_styleganv

        return load_styleganv(name, device)


NODES = [LoadJointEncoder, LoadStyleGAN, LoadSoundVideo, LoadStyleGANV]
