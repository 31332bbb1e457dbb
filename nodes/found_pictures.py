"""Your own picture, once it is found: kept in a small file, loaded again, and what was changed carried back to it."""

from __future__ import annotations

from ..soundguide_core.checkpoints import registry
from ..soundguide_core.common.errors import InputError
from ..soundguide_core.systems.configs.projection import FITS
from . import sockets
from .host import Model, image_of, img_of, io, search_aliases, with_grad
from .latents import generator_input
from .models import Loader
from .sockets import Latents

FOUND, NONE = "found-picture", "none yet: keep one with Save Found Picture"


def tuned_model(name: str, network) -> Model:
    """A tuned generator as a model that the host keeps. name: of the generator that was tuned."""
    return Model(f"{name}, tuned", network.to, "generator")


class SaveFoundPicture(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideSaveFoundPicture",
            display_name="Save Found Picture",
            **search_aliases("save latents, save tuned generator, pti"),
            category="SoundGuide/latents",
            description="Keeps a picture that was found, in a small file: its latents, and what tuning changed of the "
            "generator. Load Found Picture brings both back.",
            is_output_node=True,
            inputs=[
                generator_input(),
                sockets.WLatents.Input("latents", tooltip="From Find Picture in Generator."),
                io.String.Input(
                    "filename",
                    default="my_picture",
                    tooltip="The file's name, in ComfyUI/models/soundguide/found-picture. A number is added, so that "
                    "nothing is overwritten.",
                ),
            ],
            outputs=[
                io.String.Output("name", display_name="name", tooltip="What Load Found Picture calls it."),
            ],
        )

    @classmethod
    def execute(cls, generator, latents, filename):
        from ..soundguide_core.common.files import make_folder
        from ..soundguide_core.generators.tuned import save_tuned

        if not 0 < len(filename) <= 100 or filename[0] in " .-" or set(filename) & set('/\\:*?"<>|'):
            raise InputError(f"{filename[:100]!r} is no name of a file.", "Use letters, digits and spaces.")
        folder = make_folder(registry.folders(FOUND)[0])
        number = next(i for i in range(1, 100_000) if not (folder / f"{filename}_{i:03d}.safetensors").exists())
        path = folder / f"{filename}_{number:03d}.safetensors"
        save_tuned(path, generator.network(), ws=latents.ws, name=generator.name)
        return io.NodeOutput(path.name)


class LoadFoundPicture(Loader):
    kind = FOUND

    @classmethod
    def names(cls):
        return super().names() or [NONE]

    @classmethod
    def define_schema(cls):
        return cls.schema(
            node_id="SoundGuideLoadFoundPicture",
            display_name="Load Found Picture",
            **search_aliases("load latents, load tuned generator, pti"),
            description="Brings back a picture that Save Found Picture has kept: its latents, and the generator, tuned "
            "to it if it was.",
            tooltip="Files of Save Found Picture, or of `manipulate --save-found`, in ComfyUI/models/soundguide/"
            "found-picture. The generator that the picture was found in has to be here too.",
            output=sockets.Generator.Output(
                "generator", display_name="generator", tooltip="The generator that paints it."
            ),
            also=(sockets.WLatents.Output("latents", display_name="latents", tooltip="The picture."),),
        )

    @classmethod
    def execute(cls, name):
        from ..soundguide_core.pipelines.inversion import saved_picture

        found = with_grad(saved_picture, registry.find(FOUND, name).files["picture"])
        return io.NodeOutput(Model(name, found.generator.to, "generator"), Latents(found.ws.float().cpu(), name))


class BlendBack(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideBlendBack",
            display_name="Blend Back into Photograph",
            **search_aliases("detail transfer, full resolution, paste back, high resolution"),
            category="SoundGuide",
            description="Carries what a sound has changed in a generator's picture to the photograph that the picture "
            "was found from, at the photograph's own resolution.",
            inputs=[
                io.Image.Input("photograph", tooltip="What Find Picture in Generator was given."),
                io.Image.Input("before", tooltip="The output 'before' of Change Picture by Sound."),
                io.Image.Input("image", tooltip="The output 'image' of Change Picture by Sound."),
                io.Combo.Input(
                    "fit",
                    options=list(FITS),
                    default="crop",
                    tooltip="As in Find Picture in Generator. crop: the change is made in the middle and fades beyond "
                    "it; whole: everywhere.",
                ),
                io.Float.Input(
                    "keep",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How much of the photograph's own contrast comes back where the change painted over it.",
                ),
            ],
            outputs=[io.Image.Output("blended", display_name="image", tooltip="The photograph, changed.")],
        )

    @classmethod
    def execute(cls, photograph, before, image, fit, keep):
        from ..soundguide_core.pipelines.blend_back import blend_back

        return io.NodeOutput(
            image_of(blend_back(img_of(photograph), img_of(before), img_of(image), fit=fit, keep=keep))
        )


NODES = [SaveFoundPicture, LoadFoundPicture, BlendBack]
