"""Loaders: a name from the registry, or a file in the host's model folders, as a model that the host manages."""

from __future__ import annotations

from ..soundguide_core.checkpoints import registry
from ..soundguide_core.common.errors import InputError
from ..soundguide_core.embedding.hearing.names import ears_kind, ears_names
from ..soundguide_core.flow.estimators import METHODS, flow_names, load_flow
from ..soundguide_core.trajectory.loading import kind_of, load_trajectory, trajectory_names
from . import sockets
from .host import Model, advanced, check_choice, half_is_better, io, model_stamp, search_aliases

PRECISIONS = ("auto", "full", "half")
LARGE = 300_000_000  # weights of the picture and text towers; ViT-B/32 has 151 M, ViT-L/14 428 M


def check_here(kind: str, name: str) -> None:
    """Refuse what the list does not show; of published weights that are not on disk, say how to get them."""
    if any(row.name == name for row in registry.rows(kind)):
        registry.find(kind, name)
    check_choice(kind, name, registry.names(kind))


class Loader(io.ComfyNode):
    """What the loaders share. One says its `kind` in the registry, how to `load(name, device)`, and its `schema()`."""

    kind: str

    @classmethod
    def load(cls, name, device):
        raise NotImplementedError

    @classmethod
    def names(cls) -> list[str]:
        return registry.names(cls.kind)

    @classmethod
    def schema(cls, tooltip: str, output: io.Output, *, more: tuple = (), also: tuple = (), **texts) -> io.Schema:  # pyright: ignore[reportInvalidTypeForm] the host's
        """texts: node_id, display_name and description; tooltip: which names there are, and where more are put. more,
        also: inputs and outputs beside these."""
        name = io.Combo.Input("name", options=cls.names(), tooltip=tooltip)
        return io.Schema(category="SoundGuide/models", inputs=[name, *more], outputs=[output, *also], **texts)

    @classmethod
    def refuse(cls, name):
        check_here(cls.kind, name)

    @classmethod
    def fingerprint_inputs(cls, name):
        return model_stamp(cls.kind, name)

    @classmethod
    def execute(cls, name):
        return io.NodeOutput(Model(name, lambda device: cls.loaded(name, device), cls.kind))

    @classmethod
    def loaded(cls, name, device):
        """load(), and a file of another kind is told where it belongs."""
        from ..soundguide_core.checkpoints.weights import WrongKind

        try:
            return cls.load(name, device)
        except WrongKind as error:
            node = next((each.define_schema().display_name for each in NODES if each.kind == error.found), "its loader")
            raise InputError(
                error.cause, f"Put it into ComfyUI/models/soundguide/{error.found} and load it with {node}."
            ) from error


class LoadJointEncoder(Loader):
    NEEDS = (
        "open_clip",
        "timm",
    )

    kind = "joint"

    @classmethod
    def define_schema(cls):
        return cls.schema(
            node_id="SoundGuideLoadJointEncoder",
            display_name="Load Sound Encoder",
            **search_aliases("clap, wav2clip, imagebind, audio encoder, clip, load audio encoder"),
            description="Loads the encoder that puts sounds, texts and pictures into one space, where they can be "
            "compared.",
            tooltip="'miniature' comes with SoundGuide and knows a small world. clip-b-32-clap, clip-b-32-wav2clip and "
            "clip-b-32-cvpr2022 know real pictures and sounds, once downloaded (see the help page). Others are folders "
            "with clip.safetensors and a sound file (.safetensors, .pt, .pth) in ComfyUI/models/soundguide/joint.",
            more=(
                io.Combo.Input(
                    "precision",
                    options=list(PRECISIONS),
                    default="auto",
                    optional=True,
                    tooltip="Of the picture and text towers. half: half the memory, gradients a little coarser. auto: "
                    "half for large towers (ViT-L and up) on a GPU, else full.",
                    **advanced(),
                ),
            ),
            output=sockets.Joint.Output(
                "encoder", display_name="encoder", tooltip="For every node that asks for an encoder."
            ),
            also=(
                io.ClipVision.Output(
                    "clip_vision",
                    display_name="clip_vision",
                    tooltip="How this encoder sees pictures, as CLIP Vision: for Sound to Image Embeds.",
                ),
            ),
        )

    @classmethod
    def load(cls, name, device):
        from ..soundguide_core.embedding.joint import load_joint

        return load_joint(name, device)

    @classmethod
    def fingerprint_inputs(cls, name, precision="auto"):
        return model_stamp(cls.kind, name)

    @classmethod
    def execute(cls, name, precision="auto"):
        check_choice("precision", precision, PRECISIONS)

        def load(device):
            joint = cls.loaded(name, device)
            large = sum(weight.numel() for weight in joint.clip.parameters()) > LARGE
            return (
                joint.halve() if precision == "half" or (precision == "auto" and large and half_is_better()) else joint
            )

        from .host_clip_vision import JointVision

        encoder = Model(name, load, cls.kind)
        return io.NodeOutput(encoder, JointVision(encoder))


class LoadSoundClassifier(Loader):
    NEEDS = (
        "open_clip",
        "timm",
    )

    kind = "sound-classifier"

    @classmethod
    def define_schema(cls):
        return cls.schema(
            node_id="SoundGuideLoadSoundClassifier",
            display_name="Load Sound Classifier",
            **search_aliases(
                "yamnet, audioset, clap, audio spectrogram transformer, audio tagging, load audio classifier"
            ),
            description="Loads ears that hear in words, for Hear Words.",
            tooltip="Every encoder of Load Sound Encoder, which hears the words that it has learned. Others go to "
            "ComfyUI/models/soundguide/sound-classifier: yamnet.h5 (521 kinds of sound), or a folder of CLAP (any "
            "words) or of an Audio Spectrogram Transformer as the Hugging Face Hub has it.",
            output=sockets.Ears.Output("ears", display_name="ears", tooltip="For Hear Words."),
        )

    @classmethod
    def names(cls):
        return ears_names()

    @classmethod
    def refuse(cls, name):
        kind = cls._kind(name)
        if any(row.name == name for row in registry.rows(kind)):
            registry.find(kind, name)
        check_choice(cls.kind, name, cls.names())

    @classmethod
    def fingerprint_inputs(cls, name):
        return model_stamp(cls._kind(name), name)

    @classmethod
    def _kind(cls, name):
        return ears_kind(name)

    @classmethod
    def load(cls, name, device):
        from ..soundguide_core.embedding.hearing.loading import load_ears

        return load_ears(name, device)


class LoadStyleGAN(Loader):
    kind = "generator"

    @classmethod
    def define_schema(cls):
        return cls.schema(
            node_id="SoundGuideLoadStyleGAN",
            display_name="Load StyleGAN",
            **search_aliases("stylegan2, stylegan3, gan, pkl, ffhq"),
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


class LoadInversionEncoder(Loader):
    kind = "inversion-encoder"

    @classmethod
    def define_schema(cls):
        return cls.schema(
            node_id="SoundGuideLoadInversionEncoder",
            display_name="Load Inversion Encoder",
            **search_aliases("e4e, psp, encoder4editing, pixel2style2pixel, gan inversion"),
            description="Loads an encoder that finds a picture in a generator in one look.",
            tooltip="'miniature' comes with SoundGuide and belongs to the miniature's generator. Others are e4e's and "
            "pSP's .pt files, or your own (`train inversion-encoder`), in ComfyUI/models/soundguide/inversion-encoder; "
            "nothing in them is run. Each belongs to one generator.",
            output=sockets.InversionEncoder.Output(
                "inversion_encoder", display_name="inversion_encoder", tooltip="For Find Picture in Generator."
            ),
        )

    @classmethod
    def load(cls, name, device):
        from ..soundguide_core.latents.encoder import load_inversion_encoder

        return load_inversion_encoder(name, device)


class LoadSoundVideo(Loader):
    NEEDS = ("timm",)

    kind = "trajectory"

    @classmethod
    def define_schema(cls):
        return cls.schema(
            node_id="SoundGuideLoadSoundVideo",
            display_name="Load Sound-to-Video",
            **search_aliases("sound to video, audio to video model"),
            description="Loads the networks that turn a sound into the movement of a generator's pictures.",
            tooltip="'miniature' comes with SoundGuide and belongs to the miniature's generator. Others are "
            ".safetensors files in ComfyUI/models/soundguide/trajectory. The four files that the paper's authors "
            "published make a folder in soundguide/released-trajectory, for StyleGAN3 landscapes.",
            output=sockets.Trajectory.Output(
                "trajectory", display_name="trajectory", tooltip="For Sound Inversion and Latent Path."
            ),
        )

    @classmethod
    def names(cls):
        return trajectory_names()

    @classmethod
    def check(cls, name):
        kind = kind_of(name)
        if any(row.name == name for row in registry.rows(kind)):
            registry.find(kind, name)
        check_choice(cls.kind, name, cls.names())

    @classmethod
    def fingerprint_inputs(cls, name):
        return model_stamp(kind_of(name), name)

    @classmethod
    def load(cls, name, device):
        return load_trajectory(name, device)


class LoadStyleGANV(Loader):
    kind = "video-generator"

    @classmethod
    def define_schema(cls):
        return cls.schema(
            node_id="SoundGuideLoadStyleGANV",
            display_name="Load StyleGAN-V",
            **search_aliases("stylegan-v, video gan"),
            description="Loads a StyleGAN-V: a generator of videos, for which time is a number like any other.",
            tooltip="'miniature' (landscapes, 64 x 64) comes with SoundGuide and listens to sounds. Others are "
            ".safetensors or .pkl files in ComfyUI/models/soundguide/video-generator; nothing in them is run.",
            output=sockets.VideoGenerator.Output(
                "generator", display_name="generator", tooltip="For Render StyleGAN-V."
            ),
        )

    @classmethod
    def load(cls, name, device):
        from ..soundguide_core.generators.loading import load_video_generator

        return load_video_generator(name, device)


class LoadPixelDiffusion(Loader):
    NEEDS = ("diffusers",)

    kind = "unet"

    @classmethod
    def define_schema(cls):
        return cls.schema(
            node_id="SoundGuideLoadPixelDiffusion",
            display_name="Load Pixel Diffusion",
            **search_aliases("guided diffusion, adm, ddpm, pixel space"),
            description="Loads a diffusion model that paints pixels, without a text and without latents: what Change "
            "Video by Sound paints with.",
            tooltip="'miniature' (landscapes, 64 x 64) comes with SoundGuide. Others are guided-diffusion's .pt "
            "files in ComfyUI/models/soundguide/unet; nothing in them is run. A published one of 256 x 256 takes 2 GB.",
            output=sockets.PixelDiffusion.Output(
                "diffusion", display_name="diffusion", tooltip="For Change Video by Sound."
            ),
        )

    @classmethod
    def load(cls, name, device):
        from ..soundguide_core.diffusion.denoiser import load_denoiser

        return load_denoiser(name, device)


class LoadFlow(Loader):
    kind = "flow"

    @classmethod
    def define_schema(cls):
        return cls.schema(
            node_id="SoundGuideLoadFlow",
            display_name="Load Flow Estimator",
            **search_aliases("raft, optical flow, tv-l1"),
            description="Loads what finds out how a video moves. Without this node Video Movement takes tv-l1.",
            tooltip="'tv-l1' needs no weights and runs on the processor. Others are torchvision's RAFT files in "
            "ComfyUI/models/soundguide/flow: better on large movements, and fast on a GPU.",
            output=sockets.FlowEstimator.Output("estimator", display_name="estimator", tooltip="For Video Movement."),
        )

    @classmethod
    def names(cls):
        return flow_names()

    @classmethod
    def refuse(cls, name):
        if name not in METHODS:
            super().refuse(name)

    @classmethod
    def fingerprint_inputs(cls, name):
        return name if name in METHODS else super().fingerprint_inputs(name)

    @classmethod
    def load(cls, name, device):
        return load_flow(name, device)


class LoadIdentityEncoder(Loader):
    kind = "identity"

    @classmethod
    def define_schema(cls):
        return cls.schema(
            node_id="SoundGuideLoadIdentityEncoder",
            display_name="Load Identity Encoder",
            **search_aliases("arcface, face recognition, face id, ir-se50"),
            description="Loads a network that tells whether two faces are one person, so that a changed face stays "
            "the same person's.",
            tooltip="'ir-se50' is ArcFace as published; its file goes into ComfyUI/models/soundguide/identity, like "
            "others of the same kind. Nothing in a file is run.",
            output=sockets.FaceIdentity.Output("identity", display_name="identity", tooltip="For Change Picture."),
        )

    @classmethod
    def load(cls, name, device):
        from ..soundguide_core.losses.identity import load_identity

        return load_identity(name, device)


NODES = [
    LoadJointEncoder,
    LoadSoundClassifier,
    LoadStyleGAN,
    LoadInversionEncoder,
    LoadSoundVideo,
    LoadStyleGANV,
    LoadPixelDiffusion,
    LoadFlow,
    LoadIdentityEncoder,
]
