"""Levels and mels of many sounds at once: crossfades, parts of recordings, loudness per frame, windows of frames.

Axes: S sounds, B batch, F frames of a window, A of a stretch, M mels, T mel time.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ...audio.features import QUIETEST_DB
from ...audio.mel import MelSpec, arrange
from .scene_clips import SOUND_SEC

QUIETEST_PART_DB = -30.0  # a part of a recording that is nowhere louder than this below the whole is not drawn
NOTHING_DB = -120.0


def below(u: Tensor, count: int) -> Tensor:
    """Numbers in 0..1 => whole numbers below count."""
    return (u * count).long().clamp(max=count - 1)


def shares(turns: Tensor, widths: Tensor, at_sec: Tensor) -> Tensor:
    """Of the power, what the first, the second and the third sound have: turns and widths [2,B], moments [T] in
    seconds => [3,B,T]. It goes over by sin^2 of a quarter turn, over `widths` about each of the `turns`."""
    rise = ((at_sec - turns[..., None]) / widths[..., None] + 0.5).clamp(0, 1)
    second, third = torch.sin(rise * torch.pi / 2).square()
    return torch.stack([1 - second, second * (1 - third), second * third])


def begin_sec(turns: Tensor, widths: Tensor, seconds: float, u: Tensor) -> Tensor:
    """When each of the three sounds begins [3,B], which lasts as long as all do: so that it is there while it is
    needed, if it lasts so long, and at any of its moments then. u: 0..1 [3,B]."""
    half, nothing = widths / 2, torch.zeros_like(turns[0])
    since = torch.stack([nothing, *(turns - half)]).clamp(0, seconds)
    until = torch.stack([*(turns + half), nothing + seconds]).clamp(0, seconds)
    return since - u * (SOUND_SEC - (until - since)).clamp(min=0)


def placed(level: Tensor, columns: Tensor, count: int) -> Tensor:
    """level [B,M,T] from columns [B] on, in a stretch of `count`, with nothing before and after: [B,M,count]"""
    index = (torch.arange(count) - columns[:, None]).round().long().to(level.device)
    inside = (index >= 0) & (index < level.shape[2])
    index = index.clamp(0, level.shape[2] - 1)[:, None].expand(-1, level.shape[1], -1)
    return level.gather(2, index).masked_fill(~inside[:, None], NOTHING_DB)


def parts_of(level: Tensor, columns: int, step: int) -> Tensor:
    """A recording's level [M,T'] => its parts [S,M,T] of `columns`, `step` apart, without those where it is silent.

    What is shorter is followed by itself, backwards and forwards.
    """
    if level.shape[1] < columns:
        again = -(-columns // level.shape[1])
        level = torch.cat([level.flip(1) if i % 2 else level for i in range(again)], dim=1)
    parts = level.unfold(1, columns, step).transpose(0, 1)
    return parts[parts.amax(dim=(1, 2)) > level.max() + QUIETEST_PART_DB]


def within_frames(spec: MelSpec, fps: float, columns: int, frames: int) -> Tensor:
    """[T,A], the mean over the columns that begin in each frame, or of the next one where none does."""
    edges = np.searchsorted(np.arange(columns) * spec.hop_length / spec.sample_rate, np.arange(frames + 1) / fps)
    out = torch.zeros(columns, frames)
    for i, (first, last) in enumerate(pairwise(edges)):
        out[first : max(last, first + 1), i] = 1 / max(last - first, 1)
    return out


def loudness_of(level: Tensor, within: Tensor, spec: MelSpec) -> Tensor:
    """MelTrack.loudness of many sounds at once: levels [B,M,T] in dB => [B,A] in 0..1."""
    width = torch.linspace(0, 1, spec.n_mels, device=level.device).clamp(min=1000 / spec.sample_rate)
    decibels = np.log(10) / 10
    loud = torch.logsumexp((level + 10 * torch.log10(width)[:, None]) * decibels, dim=1) / decibels  # [B,T]
    return (1 + (loud - loud.amax(dim=1, keepdim=True)) / QUIETEST_DB).clamp(0, 1) @ within


def windows_of(mel: Tensor, frames: Tensor, spec: MelSpec, fps: float) -> Tensor:
    """MelTrack.windows of many sounds at once: mels [B,M,T], numbers of frames [B,F] => [B,F,1,M,columns]."""
    columns, last = spec.frame_columns or spec.columns, mel.shape[2] - 1
    starts = ((frames.double() + 0.5) / fps * spec.sample_rate / spec.hop_length).round().long() - columns // 2
    index = (starts[..., None] + torch.arange(columns)).to(mel.device)  # [B,F,columns]
    beyond = columns // 2 if spec.fill == "mirror" else 0
    inside = (index >= -beyond) & (index <= last + beyond)
    turned = index.remainder(2 * last)
    index = torch.minimum(turned, 2 * last - turned).flatten(1)[:, None].expand(-1, mel.shape[1], -1)
    found = mel.gather(2, index).unflatten(2, inside.shape[1:]).transpose(1, 2)  # [B,F,M,columns]
    return arrange((found * inside[:, :, None]).flatten(0, 1)[:, None], spec).unflatten(0, frames.shape)
