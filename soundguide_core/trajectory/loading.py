"""Networks that turn sounds into paths of latents, by name: ours (trajectory.py) and the released ones (released.py).

Names and kinds are told without importing torch, as the lists of loaders are.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..checkpoints import registry
from ..common.files import check_name

if TYPE_CHECKING:
    import torch

    from .released import SoundVideo
    from .trajectory import Trajectory

OURS, RELEASED = "trajectory", "released-trajectory"  # kinds of the registry


def trajectory_names() -> list[str]:
    """What load_trajectory answers to and is here."""
    return [*registry.names(OURS), *registry.names(RELEASED)]


def kind_of(name_or_path: str | os.PathLike | None) -> str:
    """The registry's kind of a name, or of the path of a file or a folder. A released set is a folder of four files."""
    name = "" if name_or_path is None else os.fspath(check_name(name_or_path))
    rows = {row.name: row.kind for row in registry.rows() if row.kind in (OURS, RELEASED)}
    if not name or name in rows:
        return rows.get(name, OURS)
    return RELEASED if name in registry.names(RELEASED) or os.path.isdir(name) else OURS


def load_trajectory(
    name_or_path: str | os.PathLike | None = None, device: str | torch.device = "cpu"
) -> Trajectory | SoundVideo:
    """A TrajectoryModel for use, frozen: a registry name (None: its default), a .safetensors file of ours, or a folder
    with the released inversion, coarse, mid and fine.

    Args:
        name_or_path: of `soundguide models`, a file or a folder.
        device: where it computes, such as "cuda".

    Raises:
        InputError: no such name or file, it is not on this disk (how to get it is said), or of another kind or size.

    Example:
        trajectory = sg.load_trajectory()
        track = sg.MelTrack.of_file("rain.wav", trajectory.spec)
    """
    if name_or_path is not None and kind_of(name_or_path) == RELEASED:
        from .released import load_sound_video

        return load_sound_video(name_or_path, device)
    from .trajectory import load_trajectory as load_ours

    return load_ours(name_or_path, device)
