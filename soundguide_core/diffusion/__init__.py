"""Pixel diffusion: the networks, what they make of a noisy picture, and the loop that samples with them."""

from __future__ import annotations

from ..common.errors import InputError

try:
    from diffusers import DDPMScheduler, DPMSolverMultistepScheduler, UNet2DModel  # noqa: F401  # pyright: ignore[reportPrivateImportUsage]  # its lazy face
except (ImportError, RuntimeError) as error:  # RuntimeError: diffusers' word for any of its imports that failed
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    raise InputError(
        f"diffusers does not start ({str(root).splitlines()[0]})",
        "Install it again; a torchaudio made for another PyTorch is a common cause.",
    ) from error
