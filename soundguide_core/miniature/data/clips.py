"""The source of clips that a video generator's recipe names."""

from __future__ import annotations

from pathlib import Path

from ..world.clip_codes import CodedClips


def clips(*, size: int, cache: Path, fps: float, device="cpu", on_step=None) -> CodedClips:
    """Closed clips whose every frame is named by a latent, motion noise, a time and a sound."""
    return CodedClips(cache, size, on_step, device)
