"""A piece of music taken apart: drums, bass, voice, and the rest.

Hybrid Demucs (A. Défossez, "Hybrid Spectrograms and Waveforms for Music Source Separation", MDX workshop of ISMIR
2021), as torchaudio has it, which ComfyUI installs. Axes: S stems, C channels, N samples.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from ..checkpoints import registry
from ..checkpoints.loading import load_network
from ..common.errors import InputError, check_number, check_whole
from .stem_names import STEMS
from .waveform import check_wave, resample

SAMPLE_RATE = 44100
SEGMENT_SEC, OVERLAP_SEC = 10.0, 1.0  # torchaudio's tutorial overlaps by 0.1 s; a longer fade hides more


class StemSeparator(nn.Module):
    """Mixtures [B,C,N] of SAMPLE_RATE => stems [B,S,C,N] in the order of STEMS; their sum is about the mixture."""

    def __init__(self, network: nn.Module, audio_channels: int) -> None:
        super().__init__()
        self.network, self.audio_channels = network, audio_channels

    def forward(self, mixture: Tensor) -> Tensor:
        return self.network(mixture)


def load_stem_separator(name_or_path: str | os.PathLike, device: str | torch.device = "cpu") -> StemSeparator:
    """A frozen Hybrid Demucs: a registry name, or a file of torchaudio's or our format.

    Raises:
        InputError: torchaudio is not installed, or the file does not hold such a network.
    """
    build = _builder()
    path = registry.find("stem-separator", name_or_path).files["separator"]
    network, config = load_network(path, "stem-separator", "a stem separator", build, device=device)
    return StemSeparator(network, config["hdemucs"]["audio_channels"]).eval()


def _builder() -> Callable[[dict], nn.Module]:
    try:
        from torchaudio.models import HDemucs  # pyright: ignore[reportMissingImports] ComfyUI's
    except (ImportError, OSError) as error:  # OSError: its library was built for another PyTorch
        raise InputError(
            "Stems need torchaudio, which is not installed here or does not fit this PyTorch.",
            "Install the torchaudio of your PyTorch's version; ComfyUI brings it.",
        ) from error

    def build(config: dict) -> nn.Module:
        sizes = config["hdemucs"]
        for name, most in (("stems", 8), ("audio_channels", 2), ("channels", 512), ("n_fft", 1 << 14), ("depth", 8)):
            check_whole(sizes[name], f"A stem separator's {name}", low=1, high=most)
        if sizes["stems"] != len(STEMS):
            raise InputError(
                f"This network separates {sizes['stems']} stems; those known are {', '.join(STEMS)}.",
                "Use one of torchaudio's: `models --kind stem-separator` lists them.",
            )
        return HDemucs(
            list(STEMS), audio_channels=sizes["audio_channels"], channels=sizes["channels"], nfft=sizes["n_fft"],
            depth=sizes["depth"],
        )  # fmt: skip

    return build


@torch.no_grad()
def separate(
    separator: StemSeparator,
    wave: Tensor,
    sample_rate: float,
    on_step: Callable[[int, int], None] = lambda done, total: None,
    segment_sec: float = SEGMENT_SEC,
) -> Tensor:
    """wave [C,N] => its stems [S,C,N] at the same rate, in the order of STEMS.

    Long sounds are taken apart in segments that overlap by OVERLAP_SEC, faded linearly into each other, so that memory
    does not grow with their length but for the result's own. More than two channels are heard as two. on_step(done,
    total): segments.

    Raises:
        InputError: the wave is no sound, or the segments are no longer than two overlaps.
    """
    check_wave(wave, sample_rate)
    check_number(segment_sec, "The segment in seconds", low=2 * OVERLAP_SEC, high=3600)
    device = next(separator.parameters()).device
    mixture = _channels(resample(wave.float(), sample_rate, SAMPLE_RATE), separator.audio_channels)
    centre, spread = mixture.mean(), mixture.std().clamp(min=1e-8)
    overlap = round(OVERLAP_SEC * SAMPLE_RATE)
    stems = mixture.new_zeros(len(STEMS), *mixture.shape)
    segments = list(_segments(mixture.shape[-1], round(segment_sec * SAMPLE_RATE), overlap))
    for i, (begin, end) in enumerate(segments):
        part = (mixture[:, begin:end] - centre) / spread
        found = separator(part[None].to(device))[0].cpu() * spread + centre / len(STEMS)
        # linear fades of two neighbours sum to one
        fade = torch.ones(end - begin)
        if begin:
            fade[:overlap] = _rising(overlap)
        if end < mixture.shape[-1]:
            fade[-overlap:] = 1 - _rising(overlap)
        stems[..., begin:end] += found * fade
        on_step(i + 1, len(segments))
    back = resample(stems.flatten(0, 1), SAMPLE_RATE, sample_rate).unflatten(0, (len(STEMS), -1))
    return nn.functional.pad(back, (0, wave.shape[-1] - back.shape[-1]))  # a sample more or less by resampling


def _segments(length: int, size: int, overlap: int) -> Iterator[tuple[int, int]]:
    """(begin, end) of segments that cover 0..length, each sharing `overlap` samples with the next."""
    begin = 0
    while begin + size < length:
        yield begin, begin + size
        begin += size - overlap
    yield begin, length


def _rising(length: int) -> Tensor:
    return (torch.arange(length) + 0.5) / length


def _channels(wave: Tensor, count: int) -> Tensor:
    """[C,N] => [count,N]: one channel is heard on both sides; more than two become their mean on both sides."""
    if wave.shape[0] == count:
        return wave
    return wave.mean(0, keepdim=True).expand(count, -1)
