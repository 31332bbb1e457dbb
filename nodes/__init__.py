"""The ComfyUI nodes: they translate between the host and soundguide_core, and compute nothing themselves."""

from __future__ import annotations

from . import (
    analysis,
    audio,
    continuous_video,
    curves,
    embedding,
    examples,
    found_pictures,
    guide_model,
    hear_words,
    image_embeds,
    image_manipulation,
    latent_frames,
    latents,
    live,
    miniature_model,
    models,
    preview_decoder,
    prompt_over_time,
    sound_prompt,
    sound_regions,
    sound_to_video,
    stems,
    video_editing,
)
from .checks import check_inputs
from .host import ComfyExtension, add_model_folders
from .packages import offered

GROUPS = (
    models,
    miniature_model,
    preview_decoder,
    guide_model,
    examples,
    audio,
    curves,
    stems,
    hear_words,
    embedding,
    sound_prompt,
    prompt_over_time,
    sound_regions,
    image_embeds,
    latents,
    latent_frames,
    image_manipulation,
    found_pictures,
    sound_to_video,
    continuous_video,
    video_editing,
    live,
    analysis,
)
NODES = [check_inputs(node) for node in offered([node for group in GROUPS for node in group.NODES])]


class SoundGuideExtension(ComfyExtension):
    async def get_node_list(self):
        add_model_folders()
        return NODES
