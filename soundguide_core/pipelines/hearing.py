"""Hearing: from a recording to what is heard at each video frame, and how loud it is there.

Axes: F frames, D dims, C channels, N samples.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ..audio.features import sones
from ..audio.mel import RELEASED, MelSpec, band_edges, log_mel
from ..audio.waveform import resample
from ..common.errors import InputError
from ..embedding.mixing import mix_embeds
from ..systems.configs.video_editing import CONSTANT, DECIBELS, SONES, LeadConfig
from .recording import Recording

if TYPE_CHECKING:
    from ..embedding.joint import JointEncoder

FRAMES_AT_ONCE = 64
HEARD, LED = 1 / 6, 1 / 4  # loudness, 10 of the 60 dB, and what its law makes of it, from which an edit is all there

HeardAt = Callable[[int, int], Tensor]  # (first frame, count) => embeds [F,D] or [1,D], unit norm

LAWS: dict[str, Callable[[Tensor], Tensor]] = {
    SONES: sones,
    DECIBELS: lambda loudness: loudness,
    CONSTANT: torch.ones_like,
}


@dataclass(frozen=True)
class Heard:
    """embeds: [F,D], what is heard at each frame, or [1,D] for all, unit norm.

    loudness: [F] in 0..1, decibels over the 60 below the loudest moment; None where it is not known. fps: of the
    frames, 0 where it is not known.
    """

    embeds: Tensor
    loudness: Tensor | None = None
    fps: float = 0.0

    def mixed(self, embeds: Tensor, weight: float) -> Heard:
        """With another meaning [1,D] beside it; the loudness stays the recording's."""
        return replace(self, embeds=mix_embeds([self.embeds, embeds], [1.0, weight]))


class Hearing:
    """A joint encoder that listens to one recording. seconds: of the recording."""

    def __init__(self, joint: JointEncoder, recording: Recording) -> None:
        self.joint, self.recording = joint, recording
        self.has_mel = isinstance(joint.spec, MelSpec)
        self.track = recording.mel_track(joint.spec if isinstance(joint.spec, MelSpec) else RELEASED)

    @property
    def seconds(self) -> float:
        return self.track.seconds

    def frames(self, fps: float) -> int:
        """How many video frames it lasts, one at least."""
        return self.track.frames(fps)

    def loudness(self, fps: float, num_frames: int) -> Tensor:
        """[F] in 0..1: see MelTrack.loudness."""
        return torch.from_numpy(self.track.loudness(fps, num_frames))

    def whole(self) -> Tensor:
        """The meaning of the whole recording, [1,D]."""
        return encode_recording(self.joint, self.recording)

    def at_frames(self, fps: float, num_frames: int) -> Tensor:
        """What is heard around each of the first frames, [F,D]."""
        if not self.has_mel:  # an encoder that takes samples
            return self.joint.encode_audio_frames(*self.recording.mono(), fps=fps, num_frames=num_frames)
        return torch.cat(
            [
                self.joint.hear(self.track.windows(first, min(FRAMES_AT_ONCE, num_frames - first), fps))
                for first in range(0, num_frames, FRAMES_AT_ONCE)
            ]
        )

    def heard(self, fps: float, num_frames: int, *, whole: bool = False) -> Heard:
        """What is heard at each frame and how loud it is; whole: one meaning for all frames."""
        embeds = self.whole() if whole else self.at_frames(fps, num_frames)
        return Heard(embeds, self.loudness(fps, num_frames), fps)


def encode_recording(
    joint: JointEncoder, recording: Recording, on_step: Callable[[int, int], None] | None = None
) -> Tensor:
    """What a recording means as a whole => embeds [1,D].

    Of one longer than recording.STRETCH_SEC each stretch is encoded by itself, against its own loudest moment, and
    the mean taken, weighted by length: two hours cost the memory of ten minutes.
    """
    total = torch.zeros(0)
    for i, (wave, sample_rate) in enumerate(recording.stretches()):
        embeds = joint.encode_audio(wave, sample_rate).cpu()
        if on_step is not None:
            on_step(i, 0)
        total = embeds * len(wave) if not i else total + embeds * len(wave)
        whole = embeds if not i else F.normalize(total, dim=-1)
    return whole.to(joint.device)


def encode_files(
    joint: JointEncoder, paths: Sequence[str | os.PathLike], on_step: Callable[[int, int], None] | None = None
) -> Tensor:
    """Recordings => embeds [B,D], each of a whole. on_step(i, n) counts the files, or the stretches of a single one."""
    embeds = []
    for i, path in enumerate(paths):
        embeds.append(encode_recording(joint, Recording.of_file(path), on_step if len(paths) == 1 else None))
        if on_step is not None and len(paths) > 1:
            on_step(i, len(paths))
    return torch.cat(embeds)


def heard_at(joint: JointEncoder, recording: Recording, fps: float) -> HeardAt:
    """What the joint encoder hears around video frames. An encoder that takes samples hears the whole once instead."""
    if isinstance(joint.spec, MelSpec):
        track = recording.mel_track(joint.spec)
        return lambda first, count: joint.hear(track.windows(first, count, fps))
    whole = encode_recording(joint, recording)
    return lambda first, count: whole


def likeliest(
    joint: JointEncoder, embeds: Tensor, labels: Sequence[str], most: int = 3
) -> list[list[tuple[str, float]]]:
    """embeds [B,D] of sounds => for each the likeliest labels with their probabilities; none where there are none."""
    if not labels:
        return [[] for _ in embeds]
    best = joint.classify(embeds.to(joint.device), labels).cpu().topk(min(most, len(labels)), dim=-1)
    return [
        [(labels[int(i)], share) for share, i in zip(shares, indices)]
        for shares, indices in zip(best.values.tolist(), best.indices.tolist())
    ]


def log_mel_of(wave: Tensor, sample_rate: float, spec: MelSpec) -> tuple[Tensor, float, Tensor]:
    """What an encoder is given, to be shown: wave [N] => (mel [M,T] in 0..1, its seconds, the middle of each band in Hz
    [M])."""
    mel = log_mel(resample(wave[None], sample_rate, spec.sample_rate), spec)[0, 0]
    return mel, len(wave) / sample_rate, band_edges(spec)[1:-1]


def lead_curve(lead: LeadConfig, loudness: Tensor | None, num_frames: int, curve: Tensor | None = None) -> Tensor:
    """How far the sound leads at each frame: strength * law(loudness) * curve => [F].

    loudness: [F], needed unless the law is "constant". curve: [F] or [1] numbers that multiply it.

    Raises:
        InputError: the loudness is not known, or there are not as many values as frames.
    """
    law = LAWS[lead.loudness]
    if loudness is None and lead.loudness != CONSTANT:
        raise InputError(
            f"The strength cannot follow the loudness in {lead.loudness}, which is not known frame by frame.",
            "Encode the sound per frame, or choose a constant strength.",
        )
    values = torch.ones(num_frames) if loudness is None else law(loudness)
    given = torch.ones(1) if curve is None else torch.as_tensor(curve, dtype=torch.float32).flatten()
    for count, what in ((len(values), "values of loudness"), (len(given), "values of the curve")):
        if count != num_frames and not (count == 1 and what.endswith("curve")):
            raise InputError(f"{count} {what} meet {num_frames} frames.", "Give one for each frame.")
    return lead.strength * (values * given)


def presence(lead: LeadConfig, loudness: Tensor | None) -> Tensor | None:
    """How much of its edit a frame shows, by loudness [F] in 0..1 => [F] in 0..1: none where nothing is heard, all from
    where it is heard, and the law of loudness makes it strong enough to lead. None where the loudness is not known."""
    if loudness is None:
        return None
    return (loudness / HEARD).clamp(0, 1) * (LAWS[lead.loudness](loudness) / LED).clamp(0, 1)
