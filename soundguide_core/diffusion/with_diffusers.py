"""What is taken of diffusers: a lazy package, which names the part that is broken where one is.

Apart from the rest of this folder, which does without it and is imported where nothing heavy may be.
"""

from __future__ import annotations

from ..common.collector import collector_at_rest
from ..common.errors import InputError

try:
    with collector_at_rest():
        from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0
        from diffusers.models.embeddings import TimestepEmbedding, Timesteps
        from diffusers.models.unets.unet_2d import UNet2DModel, UNet2DOutput
        from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
        from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
except (ImportError, RuntimeError) as error:  # RuntimeError: diffusers' word for any of its imports that failed
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    raise InputError(
        f"diffusers does not start ({str(root).splitlines()[0]})",
        "Install it again; a torchaudio made for another PyTorch is a common cause.",
    ) from error

__all__ = [
    "Attention",
    "AttnProcessor",
    "AttnProcessor2_0",
    "DDPMScheduler",
    "DPMSolverMultistepScheduler",
    "TimestepEmbedding",
    "Timesteps",
    "UNet2DModel",
    "UNet2DOutput",
]
