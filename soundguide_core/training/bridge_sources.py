"""What a bridge leads from: the ears and the texts of a joint encoder, or of a CLAP of the transformers library.

Axes: B texts or sounds, N samples, D dims.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..audio.wave_windows import CLAP
from ..checkpoints import safetensors_io
from ..common.errors import InputError
from ..embedding.bridge import Encoder, Head
from ..embedding.hearing.loading import load_ears
from ..embedding.hearing.names import ears_kind
from ..embedding.hearing.transformers_models import ClapEars
from ..embedding.joint import JointEncoder, load_joint
from ..embedding.sound import save_sound


class Source(Protocol):
    """Texts and sounds of one space, unit norm, and how its sound encoder is saved with a head behind it."""

    @property
    def module(self) -> nn.Module: ...

    def encode_text(self, texts: list[str]) -> Tensor: ...

    def encode_audio(self, wave: Tensor, sample_rate: float) -> Tensor: ...

    def save(self, path: Path, head: Head, dim: int) -> None: ...


class JointSource:
    """A joint encoder. The saved file holds its sound encoder too."""

    def __init__(self, joint: JointEncoder) -> None:
        self.module = self.joint = joint

    def encode_text(self, texts: list[str]) -> Tensor:
        return self.joint.encode_text(texts)

    def encode_audio(self, wave: Tensor, sample_rate: float) -> Tensor:
        return self.joint.encode_audio(wave, sample_rate)

    def save(self, path: Path, head: Head, dim: int) -> None:
        encoder = Encoder(cast(Any, self.joint.sound).to_config(), dim)
        encoder.inner, encoder.head = self.joint.sound, head
        save_sound(path, encoder.eval(), self.joint.spec, half=False)


class ClapSource:
    """A CLAP. The saved file holds the head alone, as Ex-MCR's does: the CLAP's folder goes beside it, called clap."""

    def __init__(self, ears: ClapEars) -> None:
        self.module = self.ears = ears

    def encode_text(self, texts: list[str]) -> Tensor:
        return self.ears.embed_texts(texts)

    def encode_audio(self, wave: Tensor, sample_rate: float) -> Tensor:
        windows, weights = CLAP.windows(wave, sample_rate)
        found = torch.cat([self.ears.embed_windows(window[None].to(self.ears.device)) for window in windows])
        return F.normalize(weights.to(found) @ found, dim=-1)[None]

    def save(self, path: Path, head: Head, dim: int) -> None:
        config = {"encoder": {"architecture": "clap", "clap": None, "dim": dim}, "wave": "clap"}
        safetensors_io.save(path, {f"head.{key}": x for key, x in head.state_dict().items()}, config)


def open_source(name: str | os.PathLike | None, device: str | torch.device) -> Source:
    """A joint encoder by name or folder (None: the default), or the folder of a CLAP."""
    if ears_kind(name) == "joint":
        return JointSource(load_joint(name, device))
    ears = load_ears(name, device)
    if not isinstance(ears, ClapEars):
        raise InputError(f"{name} hears, but reads no texts.", "Lead from a joint encoder or from a CLAP.")
    return ClapSource(ears)
