"""Sound event detection: p(k | x, t), which of K kinds of sound is heard at each moment of a stretch of sound.

A convolutional trunk sees the mel as a picture; its maps of three scales, brought to the finest of them (T.-Y. Lin et
al., "Feature Pyramid Networks", CVPR 2017), pass dilated convolutions along time (S. Bai et al., "An Empirical
Evaluation of Generic Convolutional and Recurrent Networks for Sequence Modeling", 2018). So each moment is
told from the seconds around it.
Axes: B batch, M mels, T mel time, S steps of the finest map, F moments, C channels, K kinds.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..audio.track import MelTrack
from ..common.memory import to_device
from ..common.shapes import check_shape
from ..embedding.sound import SoundEncoder, SoundEncoderConfig

SCALES = (-3, -2, -1)  # of the trunk's maps, from the finest on
KERNEL = 5


class Dilated(nn.Module):
    """x + conv(x), of moments `dilation` steps apart: [B,C,S] => [B,C,S]. It begins as x."""

    def __init__(self, width: int, dilation: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.along = nn.Conv1d(width, width, KERNEL, padding=KERNEL // 2 * dilation, dilation=dilation)
        self.out = nn.Conv1d(width, width, 1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.out(F.silu(self.along(F.silu(_normed(self.norm, x)))))


class SoundEvents(nn.Module):
    """mel [B,1,M,T] in 0..1, and columns of it => log p(k | x, t) [B,F,K].

    trunk: a SoundEncoderConfig's fields, of a convolutional network, whose head is left out. reach: columns before and
    after a moment that may tell what is heard there, at least as many as the trunk and the dilations see.
    """

    OLD_NAMES: ClassVar = {"inlets": "in_proj", "outlet": "out_proj"}  # in files of version 0.1

    def __init__(self, trunk: dict, n_mels: int, *, kinds: int, width: int, dilations: Sequence[int], reach: int = 256):
        super().__init__()
        self.reach = reach
        self.trunk = SoundEncoder(SoundEncoderConfig(**{**trunk, "prototypes": 0, "padding": 1, "familiar": False}))
        self.trunk.feature_extractor.reset_classifier(0, "")
        infos = [self.trunk.feature_extractor.feature_info[i] for i in SCALES]
        self.steps = [info["reduction"] for info in infos]  # columns from one entry of a map to the next
        self.in_proj = nn.ModuleList(
            nn.Conv1d(info["num_chs"] * ceil(n_mels / info["reduction"]), width, 1) for info in infos
        )
        self.along = nn.Sequential(*(Dilated(width, dilation) for dilation in dilations))
        self.norm = nn.LayerNorm(width)
        self.out_proj = nn.Conv1d(width, kinds, 1)

    def forward(self, mel: Tensor, columns: Tensor) -> Tensor:
        """columns: [F] or [B,F], which may lie between two."""
        scores = self.out_proj(self.features(mel)).float()  # [B,K,S]
        return _at(scores, to_device(columns.float(), mel.device) / self.steps[0]).log_softmax(dim=-1)

    def features(self, mel: Tensor) -> Tensor:
        """What the last layer tells kinds by: [B,1,M,T] => [B,C,S]"""
        check_shape(mel, "B 1 M T", name="the stretch of sound")
        net = self.trunk.feature_extractor
        maps = net.forward_intermediates(
            self.trunk.conv(mel), indices=[len(net.feature_info) + i for i in SCALES], intermediates_only=True
        )
        count = maps[0].shape[-1]
        x = sum(
            _finer(proj(y.flatten(1, 2)), step // self.steps[0], count)
            for proj, y, step in zip(self.in_proj, maps, self.steps)
        )
        return F.silu(_normed(self.norm, self.along(x)))

    def take_trunk(self, heard: SoundEncoder) -> None:
        """The weights of a sound encoder of the same backbone."""
        known = heard.state_dict()
        self.trunk.load_state_dict({name: known[name] for name in self.trunk.state_dict()})


def event_posteriors(
    events: SoundEvents, track: MelTrack, first: int, count: int, fps: float, device: torch.device | str = "cpu"
) -> Tensor:
    """p(k | x, t) [F,K] at video frames first .. first + count - 1, equal to those from the whole recording at once.

    Frames after the end of the recording have the posteriors of its last column.
    """
    total, aligned = track.level_db.shape[1], events.steps[-1]  # on whose multiples the trunk sees as it sees the whole
    columns = track.columns(first, count, fps).clamp(max=total - 1)
    start = max(int(columns[0]) - events.reach, 0) // aligned * aligned
    stretch = track.stretch(start, min(int(columns[-1]) + 1 + events.reach, total))
    return events(stretch.to(device), columns - start)[0].exp()


def _normed(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """Over the channels of each moment: [B,C,S] => [B,C,S]"""
    return norm(x.transpose(1, 2)).transpose(1, 2)


def _finer(x: Tensor, factor: int, count: int) -> Tensor:
    """[B,C,S'] => [B,C,count], linear between entries that lie `factor` apart, the last one held."""
    if factor > 1:
        x = F.interpolate(x, size=(x.shape[-1] - 1) * factor + 1, mode="linear", align_corners=True)
    return F.pad(x, (0, max(count - x.shape[-1], 0)), mode="replicate")[..., :count]


def _at(scores: Tensor, steps: Tensor) -> Tensor:
    """scores [B,K,S] at positions [F] or [B,F] between them => [B,F,K]"""
    last = scores.shape[-1] - 1
    steps = steps.expand(len(scores), -1).clamp(0, last)
    before = steps.long().clamp(max=max(last - 1, 0))
    share = (steps - before).to(scores)[:, None]

    def gathered(index: Tensor) -> Tensor:
        return scores.gather(2, index[:, None].expand(-1, scores.shape[1], -1))

    return torch.lerp(gathered(before), gathered((before + 1).clamp(max=last)), share).transpose(1, 2)
