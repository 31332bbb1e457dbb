"""The ComfyUI nodes: they translate between the host and soundguide_core, and compute nothing themselves."""

from __future__ import annotations

from . import audio, embedding, examples, image_manipulation, latents, models
from .host import ComfyExtension, add_model_folders

NODES = [node for group in (models, examples, audio, embedding, latents, image_manipulation) for node in group.NODES]


class SoundGuideExtension(ComfyExtension):
    async def get_node_list(self):
        add_model_folders()
        return NODES
