"""The models that the demo plays, how much it makes with them, and what one part leaves for the next."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .common import pick_device, progress

if TYPE_CHECKING:
    from torch import Tensor

    from ..embedding.joint import JointEncoder
    from ..generators.generator import StyleGenerator


@dataclass(frozen=True)
class Size:
    """How much the demo makes: seconds of the sounds, edits of all of the photograph and as many of its sky, pictures
    that are changed, steps that find the photograph, frames of the edited video and their rate."""

    sound_sec: int = 5
    edits: int = 3
    sources: int = 3
    find_steps: int = 200
    frames: int = 12
    edit_fps: float = 6.0


@dataclass
class Demo:
    """The models of the miniature. embeds: of the synthesised sounds, each [1,D]. credit: of the photograph."""

    folder: Path
    seed: int
    size: Size
    joint: JointEncoder
    generator: StyleGenerator
    embeds: dict[str, Tensor] = field(default_factory=dict)
    credit: str = ""

    @classmethod
    def prepare(cls, args: argparse.Namespace, folder: Path, size: Size) -> Demo:
        from ..common.memory import tune_malloc
        from ..embedding.joint import load_joint
        from ..generators.loading import load_generator

        device = pick_device(args)
        if device.type == "cpu":
            tune_malloc()
        return cls(folder, args.seed, size, load_joint(device=device), load_generator(device=device))

    def manipulate(self, ws_src: Tensor, embeds: Tensor, title: str):
        """ws_src [1,L,D] changed by each of embeds [B,D]."""
        from ..systems.image_manipulation import ManipulationConfig, manipulate

        with progress(title) as on_step:
            return manipulate(
                ws_src.expand(len(embeds), -1, -1), embeds, generator=self.generator, joint=self.joint,
                config=ManipulationConfig(seed=self.seed), on_step=on_step,
            )  # fmt: skip
