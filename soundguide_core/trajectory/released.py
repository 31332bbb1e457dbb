"""The released networks of S. H. Lee et al., "Sound-Guided Semantic Video Generation", ECCV 2022 (ours: trajectory.py).

    w^0     = E(x)                                          the recording as a whole, heard once
    w^{t+1} = (1 - beta) w^t + beta (R_coarse, R_mid, R_fine)(w^t)      beta = 0.4: a drift that the sound has begun

as `run` of gen_sound2video.py has it, https://github.com/anonymous5584/sound-guided-semantic-video-generation at
78ef97f04729e1897d73faebd3b456bf03757211. The paper hears a segment for each frame; what is published does not.
E is StylePyramid of embedding/style_pyramid.py. Sizes are data, by default those of the released files.
Axes: B batch, F frames, L layers, D dims, S states of an RNN, H hidden, M mels, T mel time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from ..audio.mel import MelSpec, arrange
from ..audio.track import MelTrack
from ..checkpoints import registry
from ..checkpoints.loading import load_network
from ..common.errors import InputError, check_whole
from ..common.memory import usable_device
from ..common.shapes import check_shape
from ..common.typed import check_types
from ..common.types import ImageGenerator
from ..embedding.style_pyramid import InversionConfig, StylePyramid
from .steadying import chunks_of
from .trajectory import check_sizes

KIND = "released-trajectory"
BETA = 0.4  # share of the recurrent networks' answer in the next frame's latents
PLACE = 0  # the layer that turns and shifts a StyleGAN3's picture, and does nothing else

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


@dataclass(frozen=True)
class Drift:
    """All that a drift needs to go on: ws [B,L,D] of the next frame, the source [B,L,D], the networks' states."""

    ws: Tensor
    source: Tensor
    states: list[Tensor] = field(repr=False)


class SoundVideo(nn.Module):
    """The four networks as a TrajectoryModel: sound => the first latents, and three groups of layers that move on.

    The source picture gives its place in the frame alone: the script makes the generator's input deaf to w, here that
    layer of the path is the source's. Without a draw of noise: the released networks take none.
    """

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
    def w_dim(self) -> int:
        return self.inversion.config.w_dim

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

    def check(self, generator: ImageGenerator) -> None:
        """InputError where the generator's latents are of another size."""
        check_sizes(self, generator)

    def hear(self, track: MelTrack) -> Tensor:
        """E of the middle ten seconds of a recording: w^0 [1,L,D]. What is shorter lies at their beginning."""
        columns, have = self.spec.columns, track.level_db.shape[1]
        first = max(have - columns, 0) // 2
        mel = track.stretch(first, first + columns)
        mel = nn.functional.pad(mel, (0, columns - mel.shape[-1]))  # 0: 80 dB below the loudest
        return self.inversion(arrange(mel, self.spec).to(next(self.inversion.parameters())))

    def segments(self, track: MelTrack, ws: Tensor, num_frames: int, config: Any) -> Iterator[Tensor]:
        """w^0 for every frame: see TrajectoryModel."""
        w_hat = None
        for _, count in chunks_of(num_frames, config.chunk):
            with torch.no_grad():  # left before each yield: the consumer keeps its own mode
                w_hat = self.hear(track) if w_hat is None else w_hat
            yield w_hat.expand(count, -1, -1)

    def init_state(self, ws: Tensor, w_hat: Tensor, *, seed: int | None = None) -> Drift:
        """The state before the first frame, which shows w_hat. seed: of no effect."""
        return Drift(w_hat, ws, self.start(len(w_hat)))

    def rollout(self, w_hats: Tensor, state: Drift) -> tuple[Tensor, Drift]:
        """As many frames as there are w_hats [B,F,L,D] => ws [B,F,L,D], and the state to go on from."""
        path, ws, states = [], state.ws, state.states
        for _ in range(w_hats.shape[1]):
            path.append(torch.cat([state.source[:, : PLACE + 1], ws[:, PLACE + 1 :]], dim=1))
            moved, states = self.step(ws, states)
            ws = BETA * moved + (1 - BETA) * ws
        return torch.stack(path, dim=1), Drift(ws, state.source, states)


def load_sound_video(name_or_path: str | os.PathLike, device: str | torch.device = "cpu") -> SoundVideo:
    """A frozen SoundVideo: the released sound-to-video networks.

    Args:
        name_or_path: of `soundguide models`, or a folder with its four files, called inversion, coarse, mid and fine,
            with the ending that they have.
        device: where it computes, such as "cuda".

    Raises:
        InputError: no such name or folder, a file that is missing, or files that were not trained together.
    """
    device = usable_device(device)
    files = registry.find(KIND, name_or_path).files
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
    return load_network(path, KIND, what, lambda config: build(config[part]), meta=True)
