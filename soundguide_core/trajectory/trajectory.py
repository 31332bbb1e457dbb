"""Sound-Guided Semantic Video Generation (Lee et al., ECCV 2022), section 3: from sound to a path of latents.

    w_hat^t = E_a(x_a^t) + w                                            sound inversion
    w^t = (R_coarse, R_mid, R_fine)(w^{t-1}, w_hat^t, n^t)              one recurrent module for each group of layers

The paper draws the three modules and the sum, and does not write the step out. Here it is residual and leaky:

    w^t = w^{t-1} + g (w_hat^t + c^t - w^{t-1}),   c^t = R(w^{t-1} - w_hat^t, w_hat^t - w, w, n^t; h)

with g in (0, 1) learned for each layer; so the path stays about what the sound asks of its source, however long it is.
R is told the source w: what goes on in it (its rain, where birds are heard) has to go, and E_a cannot see it.
Axes: B batch, F frames, L layers, D dims, M mels, T mel time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import repeat
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..audio.mel import MelSpec
from ..audio.track import MelTrack
from ..checkpoints import registry, safetensors_io
from ..checkpoints.loading import build_network
from ..common.errors import InputError, check_number, check_whole
from ..common.memory import usable_device
from ..common.shapes import check_shape
from ..common.typed import check_types
from ..common.types import ImageGenerator, TrajectoryModel
from ..generators.latents import layer_groups
from .contrast import contrast_factors
from .sound_events import SoundEvents
from .sound_inversion import SoundInversionEncoder
from .steadying import chunks_of, heard_kinds

GROUPS = ("three", "one")
WARMUP = 12  # steps on the first segment before the first frame, so that no video begins with a jump


@dataclass(frozen=True)
class TrajectoryConfig:
    """Sizes of the networks, and whose latents they move.

    num_ws, w_dim: of the generator. encoder: which E_a, and its sizes (sound_inversion.py). groups: "three"
    recurrent modules, or "one" for all layers. hidden: of each. noise_dim: of n, 0 for none.
    """

    num_ws: int
    w_dim: int
    encoder: dict
    groups: str = "three"
    hidden: int = 128
    noise_dim: int = 8

    def __post_init__(self) -> None:
        if self.groups not in GROUPS:
            raise InputError(f"There are no {self.groups!r} recurrent modules.", f"Use one of: {', '.join(GROUPS)}.")
        for name, low, high in (("num_ws", 1, 64), ("w_dim", 1, 2**14), ("hidden", 1, 2**14), ("noise_dim", 0, 2**14)):
            check_whole(getattr(self, name), f"A trajectory's {name}", low=low, high=high)

    def to_dict(self) -> dict:
        return asdict(self)

    @property
    def layers(self) -> dict[str, slice]:
        """name of a recurrent module => its layers"""
        if self.groups == "one":
            return {"all": slice(0, self.num_ws)}
        groups = layer_groups(self.num_ws)
        return {name: layers for name, layers in groups.items() if range(self.num_ws)[layers]}  # few layers: no fine


class LayerTrajectory(nn.Module):
    """The recurrent module R of one group of n layers: a GRU cell between two linear layers."""

    OLD_NAMES: ClassVar = {"inlet": "in_proj", "outlet": "out_proj"}  # in files of version 0.1

    def __init__(self, layers: int, config: TrajectoryConfig):
        super().__init__()
        size = layers * config.w_dim
        self.in_proj = nn.Linear(3 * size + config.noise_dim, config.hidden)
        self.cell = nn.GRUCell(config.hidden, config.hidden)
        self.out_proj = nn.Linear(config.hidden, size)
        self.gate = nn.Parameter(torch.ones(layers, 1))  # sigmoid of it is g
        nn.init.zeros_(self.out_proj.weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, w: Tensor, w_hat: Tensor, ws: Tensor, noise: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """w = w^{t-1}, w_hat, ws the source [B,n,D], noise [B,Z], h [B,H] => w^t [B,n,D], h [B,H]"""
        x = torch.cat([(w - w_hat).flatten(1), (w_hat - ws).flatten(1), ws.flatten(1), noise], dim=1)
        h = self.cell(F.silu(self.in_proj(x)), h)
        correction = self.out_proj(h).view_as(w)
        return w + torch.sigmoid(self.gate) * (w_hat + correction - w), h


@dataclass(frozen=True)
class TrajectoryState:
    """All that a path needs to go on: ws [B,L,D] of its last frame, its source [B,L,D], the modules' memories, the
    noise's generator."""

    ws: Tensor
    source: Tensor
    memories: dict[str, Tensor] = field(repr=False)
    rng: torch.Generator | None = field(default=None, repr=False)


class Trajectory(nn.Module):
    """E_a and the recurrent modules, for the generator whose mean and spread of w it keeps.

    spec: how segments of sound are made, one for each frame of video (audio/track.MelTrack).
    """

    w_avg: Tensor
    w_scale: Tensor

    def __init__(self, config: TrajectoryConfig, spec: MelSpec):
        super().__init__()
        self.config, self.spec = config, spec
        self.encoder = SoundInversionEncoder(config.encoder, config.num_ws, config.w_dim, spec.n_mels)
        wanted, columns = self.encoder.least_columns, spec.frame_columns or spec.columns
        if columns < wanted:
            raise InputError(
                f"The trajectory's segments have {columns} columns of mel, its gain needs {wanted}.",
                "Give the mel more frame_columns.",
            )
        self.steps = nn.ModuleDict(
            {name: LayerTrajectory(len(range(config.num_ws)[layers]), config) for name, layers in config.layers.items()}
        )
        self.register_buffer("w_avg", torch.zeros(config.w_dim))
        self.register_buffer("w_scale", torch.ones(config.w_dim))

    @property
    def num_ws(self) -> int:
        return self.config.num_ws

    @property
    def w_dim(self) -> int:
        return self.config.w_dim

    @property
    def events(self) -> SoundEvents | None:
        """The part of E_a that tells kinds of sound apart, None where a segment is all there is."""
        return self.encoder.events

    def measure(self, generator: ImageGenerator) -> None:
        """Takes the mean and the spread of w from the generator, dim by dim; some dims may never move."""
        self.w_avg.copy_(generator.w_avg)
        self.w_scale.copy_(generator.w_std.clamp(min=0.05 * float(generator.w_std.max())))

    def check(self, generator: ImageGenerator) -> None:
        """InputError where the generator's latents are of another size."""
        check_sizes(self, generator)

    def invert(
        self, mel: Tensor, ws: Tensor, heard: Tensor | None = None, seconds: Tensor | None = None,
        movement: float = 1.0,
    ) -> Tensor:  # fmt: skip
        """w_hat = E_a(x_a) + w: mel [B,1,M,T], ws [B,L,D] => [B,L,D]. heard, seconds, movement: see the encoder."""
        return ws + self.w_scale * self.encoder(mel, heard, seconds, movement)

    def segments(self, track: MelTrack, ws: Tensor, num_frames: int, config: Any) -> Iterator[Tensor]:
        """Every frame's own segment, inverted: see TrajectoryModel."""
        chunks = chunks_of(num_frames, config.chunk)
        heard = repeat(None) if self.events is None else heard_kinds(self.events, track, chunks, config, ws.device)
        factors = contrast_factors(track.loudness(config.fps, num_frames), config.fps, config.contrast).to(ws)
        for (first, count), p in zip(chunks, heard):
            with torch.no_grad():  # left before each yield: the consumer keeps its own mode
                mel = track.windows(first, count, config.fps).to(ws)
                log_p, seconds = None if p is None else p.clamp(min=1e-9).log(), torch.arange(first, first + count)
                w_hat = self.invert(mel, ws, log_p, seconds.to(ws) / config.fps, config.movement)
                w_hat = ws + factors[first : first + count, None, None] * (w_hat - ws)
            yield w_hat

    def init_state(
        self, ws: Tensor, w_hat: Tensor, *, seed: int | None = None, warmup: int = WARMUP
    ) -> TrajectoryState:
        """The state before the first frame, of a path from the source ws [B,L,D] that has come to rest at the first
        segment's w_hat [B,L,D].

        seed: of the noise; None for a path without.
        """
        for name, latents in (("source", ws), ("first", w_hat)):
            check_shape(latents, f"B {self.config.num_ws} {self.config.w_dim}", name=f"the {name} latents")
        memories = {name: w_hat.new_zeros(len(w_hat), self.config.hidden) for name in self.steps}
        state = TrajectoryState(w_hat, ws, memories)
        for _ in range(warmup):
            state = self.step(state, w_hat)
        return replace(state, rng=None if seed is None else torch.Generator().manual_seed(seed))

    def step(self, state: TrajectoryState, w_hat: Tensor, noise: Tensor | None = None) -> TrajectoryState:
        """One step: w_hat [B,L,D] of the next segment. noise [B,Z]: None draws it, or zeros where there is no seed."""
        if noise is None:
            shape = (len(w_hat), self.config.noise_dim)
            noise = torch.zeros(shape) if state.rng is None else torch.randn(shape, generator=state.rng)
        noise = noise.to(w_hat)
        last, target, source = ((x - self.w_avg) / self.w_scale for x in (state.ws, w_hat, state.source))
        parts, memories = [], {}
        for name, layers in self.config.layers.items():
            part, memories[name] = self.steps[name](
                last[:, layers], target[:, layers], source[:, layers], noise, state.memories[name]
            )
            parts.append(part)
        ws = self.w_avg + self.w_scale * torch.cat(parts, dim=1)
        return TrajectoryState(ws, state.source, memories, state.rng)

    def rollout(
        self, w_hats: Tensor, state: TrajectoryState, noise: Tensor | None = None
    ) -> tuple[Tensor, TrajectoryState]:
        """w_hats [B,F,L,D] of F segments => ws [B,F,L,D] of F frames, and the state to go on from. noise [B,F,Z]."""
        path = []
        for i, w_hat in enumerate(w_hats.unbind(dim=1)):
            state = self.step(state, w_hat, None if noise is None else noise[:, i])
            path.append(state.ws)
        return torch.stack(path, dim=1), state


def check_sizes(trajectory: TrajectoryModel, generator: ImageGenerator) -> None:
    """InputError where a generator's latents are of another size than those that a trajectory moves."""
    ours, theirs = (f"[{x.num_ws},{x.w_dim}]" for x in (trajectory, generator))
    if ours != theirs:
        raise InputError(
            f"This trajectory moves latents {ours}, the generator has {theirs}.",
            "Use the generator that it was trained with.",
        )


def smooth(ws: Tensor, last: Tensor | None, share: float) -> Tensor:
    """An exponential moving average along a path [F,L,D]: w^t <- share w^{t-1} + (1 - share) w^t, from `last` [L,D] on.

    Adds about share / (1 - share) frames of delay.
    """
    check_number(share, "The smoothing", low=0, high=0.99)
    if not share:
        return ws
    out = []
    for w in ws:
        last = w if last is None else torch.lerp(w, last, share)
        out.append(last)
    return torch.stack(out)


def save_trajectory(path: str | os.PathLike, trajectory: Trajectory, **notes) -> None:
    """One safetensors file in half precision: the weights, and in its metadata what they are."""
    config = {"trajectory": trajectory.config.to_dict(), "mel": trajectory.spec.to_dict(), **notes}
    safetensors_io.save(path, trajectory.state_dict(), config, half=True)


def load_trajectory(name_or_path: str | os.PathLike | None = None, device: str | torch.device = "cpu") -> Trajectory:
    """A trajectory for use: evaluation mode, parameters frozen. A registry name (None: its default), or a .safetensors
    file."""
    device = usable_device(device)
    path = registry.find("trajectory", name_or_path).files["trajectory"]
    tensors, config = safetensors_io.load(path)

    def build(config: dict) -> Trajectory:
        sizes = check_types(TrajectoryConfig, config["trajectory"], "The config of the trajectory")
        return Trajectory(TrajectoryConfig(**sizes), MelSpec.from_dict(config["mel"]))

    return build_network(path, "a trajectory", tensors, config, build, device=device)
