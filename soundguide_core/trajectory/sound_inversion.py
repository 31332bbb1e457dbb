"""E_a, the sound inversion encoder of S. H. Lee et al. (ECCV 2022), section 3: a segment of sound => offsets in W+.

    w_hat = E_a(x_a) + w,   E_a(x_a) = (1 - p_0) gain(x_a) . sum_k p(k | x_a, not 0) v_k in the network of kinds

The direction is a mean of learned directions v_k, one for each of K kinds of sound, weighted by how likely each kind
is in the seconds around the segment (sound_events.py). p_0 is how likely it is none of them, where the network has
learned that; then nothing happens. The gain is a function of the levels in the segment's middle. A kind may have
several directions, its variants: then its picture goes round them as time passes (variant_shares), in layers so
fine that what is where stays: rain falls on, fireflies glow elsewhere.
The published network is the pyramid of pixel2style2pixel, which sees the segment alone. The config says which it is.
Axes: B batch, F moments, L layers, D dims, M mels, T mel time, K kinds.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..common.errors import InputError, check_number, check_whole
from ..common.settings import from_mapping
from ..common.shapes import check_shape
from ..embedding.ir_se import IRSEConfig
from ..embedding.style_pyramid import InversionConfig, StyleHead, StylePyramid
from .sound_events import SoundEvents

WHAT = "The config of the sound inversion"


@dataclass(frozen=True)
class KindsConfig:
    """Sizes of a KindsInversion.

    trunk: a SoundEncoderConfig's fields, of a convolutional network. kinds: K. width: of hidden layers. dilations: of
    the convolutions along time, in steps of the trunk's finest map; reach: see SoundEvents. level_columns: columns in
    the middle of a segment whose levels the gain depends on. top_db: of the mel. even_below: the share of its range
    below which all bands are equally wide. none: 1 where what is none of the kinds is told too, as the last entry.
    variants: V, directions that each kind has. cycle_sec: how long going round them takes. moves_from: the first layer
    that does.
    """

    trunk: dict
    kinds: int = 8
    none: int = 0
    width: int = 160
    dilations: tuple[int, ...] = (1, 2, 4)
    reach: int = 256
    level_columns: int = 21
    top_db: float = 80.0
    even_below: float = 0.045
    variants: int = 1
    cycle_sec: float = 2.0
    moves_from: int = 8

    def __post_init__(self) -> None:
        for name in ("kinds", "width", "reach", "level_columns"):
            check_whole(getattr(self, name), f"A sound inversion's {name}", low=1, high=2**14)
        check_whole(self.none, "A sound inversion's none", low=0, high=1)
        check_whole(self.variants, "A sound inversion's variants", low=1, high=64)
        check_whole(self.moves_from, "A sound inversion's moves_from", low=0, high=64)
        check_number(self.cycle_sec, "A sound inversion's cycle_sec", low=0.01, high=3600)
        for dilation in self.dilations:
            check_whole(dilation, "A dilation of a sound inversion", low=1, high=2**10)
        check_number(self.top_db, "A sound inversion's top_db", low=1, high=1000)
        check_number(self.even_below, "A sound inversion's even_below", low=1e-6, high=1)


class KindsInversion(nn.Module):
    """mel of a segment [B,1,M,T] in 0..1 => (offsets [B,L,D], the layers' own departures in them [B,L,D])."""

    OLD_NAMES: ClassVar = {"amount": "gain"}  # in files of version 0.1

    def __init__(self, values: dict, num_ws: int, w_dim: int, n_mels: int):
        super().__init__()
        self.config = config = from_mapping(KindsConfig, values, WHAT, renamed={"loud": "level_columns"})
        self.num_ws, self.w_dim = num_ws, w_dim
        self.events = SoundEvents(
            config.trunk, n_mels, kinds=config.kinds + config.none, width=config.width, dilations=config.dilations,
            reach=config.reach,
        )  # fmt: skip
        self.shared = nn.Parameter(torch.zeros(config.kinds, w_dim))  # v_k: the path begins at the source
        self.own = nn.Parameter(torch.zeros(config.kinds, num_ws, w_dim))  # and its departures, layer by layer
        if config.variants > 1:
            self.variants = nn.Parameter(torch.zeros(config.variants - 1, config.kinds, w_dim))  # after v_k itself
        hidden, last = _mlp(config.kinds + config.level_columns, config.width), nn.Linear(config.width, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.gain = nn.Sequential(hidden, last)

    def to_dict(self) -> dict:
        return {"architecture": "kinds", **asdict(self.config)}

    def forward(
        self, mel: Tensor, heard: Tensor | None = None, seconds: Tensor | None = None, movement: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        if heard is None:
            log_p: Tensor = self.events(mel, torch.tensor([(mel.shape[-1] - 1) / 2]))[:, 0]
        else:
            log_p = heard
        p = log_p.exp()  # [B,K] or [B,K+1]
        p, present = self.of_kinds(p)
        with torch.autocast(mel.device.type, enabled=False):  # the gain in full precision
            spectrum = middle(mel[:, 0].float(), self.config.level_columns) + self._widths(mel)
            levels = level(spectrum, self.config.top_db)  # [B,level_columns]
            gain = F.softplus(self.gain(torch.cat([p, 4 * levels - 2], dim=1)))[..., None]  # [B,1,1]
            gain = gain * present[:, None, None]  # 1 - p_0
            own = torch.einsum("bk,kld->bld", p, self.own)
            offsets = (p @ self.shared)[:, None] + own
            if seconds is not None and self.config.variants > 1:
                offsets[:, self.config.moves_from :] += movement * self._cycle(p, seconds)[:, None]
            return gain * offsets, gain * own

    def _cycle(self, p: Tensor, seconds: Tensor) -> Tensor:
        """What going round their variants adds to the mean direction of the kinds: p [B,K], seconds [B] => [B,D]."""
        shares = variant_shares(seconds.to(p) / self.config.cycle_sec, self.config.variants)
        directions = torch.cat([self.shared[None], self.variants])  # [V,K,D]
        return torch.einsum("bv,bk,vkd->bd", shares, p, directions) - p @ self.shared

    def of_kinds(self, p: Tensor) -> tuple[Tensor, Tensor]:
        """p [B,K+1] => (p(k | not none) [B,K], 1 - p(none) [B]); as they are and ones where none is not told."""
        if not self.config.none:
            return p, p.new_ones(len(p))
        among = p[:, : self.config.kinds]
        present = among.sum(dim=1).clamp(max=1)
        return among / present.clamp(min=1e-6)[:, None], present

    def _widths(self, mel: Tensor) -> Tensor:
        """[M,1], how wide bands are, in top_db: being of unit area, they so add up to the sound's power."""
        width = torch.linspace(0, 1, mel.shape[2], device=mel.device).clamp(min=self.config.even_below)
        return 10 * torch.log10(width)[:, None] / self.config.top_db


def variant_shares(turns: Tensor, count: int) -> Tensor:
    """How much of each of `count` variants there is after so many turns [B]: [B,V], 1, 0, ... after none.

        s_j = max(0, 1 - |V turns - j|),   c = s / sum_j s_j^(3/2)        distances going round

    The exponent keeps a mean of two variants, which looks fainter than either, as strong as one."""
    apart = (count * turns[:, None] - torch.arange(count, device=turns.device)) % count
    s = (1 - torch.minimum(apart, count - apart)).clamp(min=0)
    return s / s.pow(1.5).sum(dim=1, keepdim=True)


class PyramidInversion(nn.Module):
    """The published network, to be trained: its styles are offsets, and what all layers share is their mean."""

    def __init__(self, values: dict, num_ws: int, w_dim: int, n_mels: int):
        super().__init__()
        values = {"groups": (3, 4, num_ws - 7), "sides": (16, 32, 64), "network": asdict(IRSEConfig()), **values}
        config = InversionConfig.from_dict({**values, "w_dim": w_dim, "activated": False})
        if config.num_ws != num_ws or min(config.groups) < 0:
            raise InputError(
                f"The styles {list(config.groups)} are not the generator's {num_ws} layers.",
                "Give [trajectory.encoder] groups that add up to them.",
            )
        self.styles = StylePyramid(config)
        for head in cast("list[StyleHead]", list(self.styles.styles)):
            nn.init.zeros_(head.linear.weight)
            nn.init.zeros_(head.linear.bias)

    def to_dict(self) -> dict:
        config = self.styles.config.to_dict()
        return {"architecture": "pyramid", **{key: config[key] for key in ("network", "groups", "sides")}}

    def forward(
        self, mel: Tensor, heard: Tensor | None = None, seconds: Tensor | None = None, movement: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        offsets = self.styles(mel)
        return offsets, offsets - offsets.mean(dim=1, keepdim=True)


NETWORKS = {"kinds": KindsInversion, "pyramid": PyramidInversion}


class SoundInversionEncoder(nn.Module):
    """E_a: mel of a segment [B,1,M,T] in 0..1 => offsets [B,L,D], in standard deviations of the generator's w.

    values: config["architecture"], one of NETWORKS, and that network's sizes.
    """

    def __init__(self, values: dict, num_ws: int, w_dim: int, n_mels: int):
        super().__init__()
        sizes = dict(values)
        name = sizes.pop("architecture", "kinds")
        if not isinstance(name, str) or name not in NETWORKS:
            raise InputError(f"There is no sound inversion called {name!r}.", f"Use one of: {', '.join(NETWORKS)}.")
        try:
            self.network = NETWORKS[name](sizes, num_ws, w_dim, n_mels)
        except TypeError as error:
            raise InputError(f"The sizes of the sound inversion do not fit ({error}).", "Use those it has.") from error

    def to_dict(self) -> dict:
        return self.network.to_dict()

    @property
    def least_columns(self) -> int:
        """Columns of mel that a segment has at least."""
        return self.network.config.level_columns if isinstance(self.network, KindsInversion) else 1

    @property
    def events(self) -> SoundEvents | None:
        """The part that tells kinds of sound apart: mel of a stretch [B,1,M,T], columns [F] or [B,F] =>
        log p(k | x, t) [B,F,K]. None where a segment is all there is."""
        return getattr(self.network, "events", None)

    def forward(
        self, mel: Tensor, heard: Tensor | None = None, seconds: Tensor | None = None, movement: float = 1.0
    ) -> Tensor:
        """heard: log p(k | x_a) [B,K], in place of what these segments alone would say. seconds [B]: when they are, for
        what moves as time passes; None for nothing that does. movement: how far it goes, 1 all the way round."""
        return self.shared_and_own(mel, heard, seconds, movement)[0]

    def shared_and_own(
        self, mel: Tensor, heard: Tensor | None = None, seconds: Tensor | None = None, movement: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """(offsets [B,L,D], the layers' own departures in them [B,L,D])"""
        check_shape(mel, "B 1 M T", name="the segments of sound")
        return self.network(mel, heard, seconds, movement)


def level(mel: Tensor, top_db: float) -> Tensor:
    """How loud each column is, all bands together: mel [B,M,T] => [B,T], on the scale of the mel's own values."""
    scale = math.log(10) * top_db / 10
    return torch.logsumexp(scale * mel, dim=1) / scale


def middle(x: Tensor, count: int) -> Tensor:
    """The `count` entries in the middle of the last axis."""
    first = (x.shape[-1] - count) // 2
    return x[..., max(first, 0) : first + count]


def _mlp(size: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(size, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
