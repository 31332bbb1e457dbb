"""The released networks of S. H. Lee et al., "Sound-Guided Semantic Video Generation", ECCV 2022 (ours: trajectory.py).

    mel [B,1,M,T] -> StylePyramid -> ws [B,L,D] -> LatentRNN for each group of layers, again and again -> ws

StylePyramid is embedding/style_pyramid.py. Sizes are data, by default those of the released files.
Axes: B batch, L layers, D dims, S states of an RNN, H hidden.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from ..audio.mel import MelSpec
from ..checkpoints import registry
from ..checkpoints.loading import load_network
from ..common.errors import InputError, check_whole
from ..common.shapes import check_shape
from ..common.typed import check_types
from ..embedding.style_pyramid import InversionConfig, StylePyramid

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class LatentRNNConfig:
    """Sizes of a LatentRNN: num_ws layers of w_dim each. mixed: whether a linear layer mixes the state first."""

    num_ws: int
    w_dim: int = 512
    hidden: int = 512
    num_layers: int = 5
    mixed: bool = True

    def __post_init__(self) -> None:
        for name, most in (("num_ws", 64), ("w_dim", 2**14), ("hidden", 2**14), ("num_layers", 64)):
            check_whole(getattr(self, name), f"A recurrent network's {name}", low=1, high=most)

    @property
    def states(self) -> int:
        """S: one per GRU layer and direction."""
        return 2 * self.num_layers

    @classmethod
    def from_dict(cls, values: dict) -> LatentRNNConfig:
        return cls(**check_types(cls, values, "The config of the recurrent network"))

    def to_dict(self) -> dict:
        return asdict(self)


class LatentRNN(nn.Module):
    """One step of one group of layers: (ws [B,L,D], state [B,S,H]) => (ws of the next frame, state of the next frame).

    The released network is a bidirectional GRU over a sequence of length one: two cells per layer. Its
    `audio_noise_fc` mixes the state, and neither sound nor noise reaches it.
    """

    def __init__(self, config: LatentRNNConfig) -> None:
        super().__init__()
        self.config = config
        size, state = config.num_ws * config.w_dim, config.states * config.hidden
        self.rnn = nn.GRU(size, config.hidden, config.num_layers, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(2 * config.hidden, size)
        if config.mixed:
            self.audio_noise_fc = nn.Linear(state, state)

    def start(self, batch: int) -> Tensor:
        """The state before the first step [B,S,H]."""
        return self.fc.weight.new_zeros(batch, self.config.states, self.config.hidden)

    def forward(self, ws: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        check_shape(ws, f"B {self.config.num_ws} {self.config.w_dim}", name="the latents")
        if self.config.mixed:
            state = self.audio_noise_fc(state.flatten(1)).view_as(state)
        x = ws.flatten(1)[:, None]  # [B,1,L*D]
        out, state = self.rnn(x, state.transpose(0, 1).contiguous())
        return (x + self.fc(out)).view_as(ws), state.transpose(0, 1)


class SoundVideo(nn.Module):
    """The four networks: sound => the first latents, and three groups of layers, coarse to fine, that move on."""

    def __init__(self, inversion: StylePyramid, groups: list[LatentRNN], spec: MelSpec) -> None:
        super().__init__()
        layers = sum(rnn.config.num_ws for rnn in groups)
        if inversion.config.num_ws != layers or any(rnn.config.w_dim != inversion.config.w_dim for rnn in groups):
            raise InputError(
                f"The sound inversion makes {inversion.config.num_ws} latents, the recurrent networks move {layers}.",
                "Use files that were trained together.",
            )
        self.inversion, self.groups, self.spec = inversion, nn.ModuleList(groups), spec

    @property
    def num_ws(self) -> int:
        return self.inversion.config.num_ws

    @property
    def _rnns(self) -> list[LatentRNN]:
        return cast("list[LatentRNN]", list(self.groups))

    def start(self, batch: int) -> list[Tensor]:
        """The states before the first step."""
        return [rnn.start(batch) for rnn in self._rnns]

    def step(self, ws: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """ws [B,L,D] of one frame => (what the networks make of it, their states after it)."""
        parts = ws.split([rnn.config.num_ws for rnn in self._rnns], dim=1)
        moved, after = zip(*(rnn(part, state) for rnn, part, state in zip(self._rnns, parts, states)))
        return torch.cat(moved, dim=1), list(after)


def load_sound_video(name_or_path: str | os.PathLike, device: str | torch.device = "cpu") -> SoundVideo:
    """A frozen SoundVideo: a registry name, or the path of a folder with its four files.

    Those are called inversion, coarse, mid and fine, with the ending that they have.
    """
    files = registry.find("released-trajectory", name_or_path).files
    inversion, spec = _inversion(files["inversion"])
    video = SoundVideo(inversion, [_latent_rnn(files[part]) for part in ("coarse", "mid", "fine")], spec)
    return video.eval().requires_grad_(False).to(device)


def _inversion(path: Path) -> tuple[StylePyramid, MelSpec]:
    network, config = _network(path, "inversion", lambda values: StylePyramid(InversionConfig.from_dict(values)))
    return network, MelSpec.from_dict(config.get("mel", "inversion"))


def _latent_rnn(path: Path) -> LatentRNN:
    return _network(path, "latent_rnn", lambda values: LatentRNN(LatentRNNConfig.from_dict(values)))[0]


def _network(path: Path, part: str, build: Callable[[dict], Network]) -> tuple[Network, dict]:
    """(the network that config[part] describes, with its weights; config)"""
    what = f"a {part.replace('_', ' ')} network"
    return load_network(path, "released-trajectory", what, lambda config: build(config[part]), meta=True)
