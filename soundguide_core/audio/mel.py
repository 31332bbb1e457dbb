"""Wave to log-mel in torch, equal to librosa's, in the layouts of the published encoders.

    wave [B,N]  =>  power [B,1,M,T]  =>  mel [B,1,M,T] in 0..1 (0 is top_db below the reference, 1 the reference)
    one reference per file, windows cut afterwards: what is louder within a file stays louder

A recording becomes windows of fixed length, which an encoder sees one by one.
Axes: B batch, N samples, M mels, T mel time, W windows, F video frames.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..common.errors import InputError, check_number, check_whole
from ..common.memory import to_device
from ..common.stop import check_stop
from ..common.typed import check_types, known
from .waveform import check_frames, check_wave, resample

AMIN = 1e-10  # the power that counts as silence, as in librosa.power_to_db
LARGEST = {"columns": 2**15, "n_fft": 2**15, "n_mels": 1024, "side": 4096}  # what a file may ask for
CHUNK = 4096  # columns of one Fourier transform batch, so that an hour of sound needs the memory of a minute


@dataclass(frozen=True)
class MelSpec:
    """How one encoder wants its sound.

    Args:
        columns: width T of a window. stride: columns from one window of a file to the next.
        layout: "plain" [1,M,T]; "reshaped" the released ResNet18's [1,128,512]; "square" [1,side,side].
        fill: what lies outside the recording: "mirror" it, or "silence".
        focus: how much louder windows of a file count for more; 0 counts all the same.
        frame_columns: width of the window around a video frame, None for `columns`; short ones follow closely.
        side: of the square.
    """

    KEY: ClassVar[str] = "mel"  # where a file's config has it

    sample_rate: int
    n_fft: int
    hop_length: int
    n_mels: int
    fmin: float
    fmax: float
    top_db: float
    columns: int
    stride: int
    layout: str
    fill: str
    focus: float
    frame_columns: int | None = None
    side: int = 224

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS or self.fill not in ("mirror", "silence"):
            raise InputError(
                f"The mel layout is {self.layout!r} with fill {self.fill!r}.",
                f"Layouts are {', '.join(LAYOUTS)}; fills are mirror and silence.",
            )
        for name in ("sample_rate", "n_fft", "hop_length", "n_mels", "columns", "stride", "side"):
            check_whole(getattr(self, name), f"A mel's {name}", low=1, high=LARGEST.get(name, 2**18))
        if self.frame_columns is not None:
            check_whole(self.frame_columns, "A mel's frame_columns", low=1, high=LARGEST["columns"])
        check_number(self.fmin, "A mel's lowest frequency", low=0, high=self.sample_rate / 2)
        check_number(self.fmax, "A mel's highest frequency", low=0, high=self.sample_rate)
        if self.fmax < self.fmin + 1:
            raise InputError(f"A mel from {self.fmin:g} to {self.fmax:g} Hz is empty.", "Give a higher end.")
        check_number(self.top_db, "A mel's top_db", low=1, high=1000)
        check_number(self.focus, "A mel's focus", low=0, high=1000)

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict | str) -> MelSpec:
        """values: the fields, or the name of a published front end, a key of SPECS."""
        if isinstance(values, str):
            return known(SPECS, values, "mel front end")
        return cls(**check_types(cls, values, "The mel of the file"))

    @property
    def drawn(self) -> MelSpec:
        """The log-mel to show a person."""
        return self

    def windows(self, wave: Tensor, sample_rate: float) -> tuple[Tensor, Tensor]:
        """See sound_windows."""
        return sound_windows(wave, sample_rate, self)

    def frame_windows(self, wave: Tensor, sample_rate: float, *, fps: float, num_frames: int) -> Tensor:
        """See frame_windows."""
        return frame_windows(wave, sample_rate, self, fps=fps, num_frames=num_frames)


def _hz(mel: Tensor) -> Tensor:
    """Slaney's scale: 200/3 Hz a mel up to 1 kHz, from there 27 mels for each factor of 6.4."""
    return torch.where(mel < 15, mel * 200 / 3, 1000 * torch.exp((mel - 15) * math.log(6.4) / 27))


def _mel(hz: float) -> float:
    return hz * 3 / 200 if hz < 1000 else 15 + 27 * math.log(hz / 1000) / math.log(6.4)


def band_edges(spec: MelSpec) -> Tensor:
    """Hz [M+2], evenly spaced on the mel scale: band m reaches from edge m to edge m + 2, its middle is edge m + 1."""
    return _hz(torch.linspace(_mel(spec.fmin), _mel(spec.fmax), spec.n_mels + 2, dtype=torch.float64))


@lru_cache(maxsize=8)
def filterbank(spec: MelSpec) -> Tensor:
    """Slaney triangles of unit area [M, n_fft/2+1]: librosa.filters.mel without its slow import."""
    bins = torch.linspace(0, spec.sample_rate / 2, spec.n_fft // 2 + 1, dtype=torch.float64)
    edges = band_edges(spec)
    left, middle, right = (edges[i : spec.n_mels + i, None] for i in range(3))
    triangles = torch.minimum((bins - left) / (middle - left), (right - bins) / (right - middle)).clamp(min=0)
    return (2 / (right - left) * triangles).float()


def mel_power(wave: Tensor, spec: MelSpec) -> Tensor:
    """wave [B,N] at spec.sample_rate => power [B,1,M,T], T = 1 + N // hop_length; Hann, centred, reflected ends."""
    wave = F.pad(wave, (0, max(spec.n_fft - wave.shape[-1], 0)))
    columns = 1 + wave.shape[-1] // spec.hop_length
    padded = F.pad(wave[:, None], (spec.n_fft // 2, spec.n_fft // 2), mode="reflect")[:, 0]
    parts = []
    for first in range(0, columns, CHUNK):
        check_stop()
        last = min(first + CHUNK, columns)
        piece = padded[:, first * spec.hop_length : (last - 1) * spec.hop_length + spec.n_fft]
        parts.append(piece_power(piece, spec))
    return torch.cat(parts, dim=-1)[:, None]


def piece_power(piece: Tensor, spec: MelSpec) -> Tensor:
    """A piece [B,n] of a wave, its ends already padded => power [B,M,T], T = 1 + (n - n_fft) // hop_length."""
    window = torch.hann_window(spec.n_fft, dtype=piece.dtype, device=piece.device)
    fourier = torch.stft(piece, spec.n_fft, spec.hop_length, window=window, center=False, return_complex=True)
    return filterbank(spec).to(piece) @ (fourier.real**2 + fourier.imag**2)  # |X|^2 => mel


def db01(power: Tensor, ref: Tensor | float, top_db: float) -> Tensor:
    """power => 1 + 10 log10(power / ref) / top_db, clamped to 0..1. A silent reference gives 0 everywhere."""
    ref = torch.as_tensor(ref, dtype=power.dtype, device=power.device)
    level_db = 10 * (torch.log10(power.clamp(min=AMIN)) - torch.log10(ref.clamp(min=AMIN)))
    return (level_db / top_db + 1).clamp(0, 1) * (ref > AMIN)


def log_mel(wave: Tensor, spec: MelSpec, ref: Tensor | float | None = None) -> Tensor:
    """wave [B,N] at spec.sample_rate => mel [B,1,M,T] in 0..1; ref None is each wave's own loudest bin."""
    power = mel_power(wave, spec)
    return db01(power, power.amax(dim=(1, 2, 3), keepdim=True) if ref is None else ref, spec.top_db)


def fit_columns(mel: Tensor, columns: int, offset: int | None = None) -> Tensor:
    """mel [...,T] => [...,columns]: crop, or pad with 0 (= -top_db). offset None is the centre, always the same."""
    have = mel.shape[-1]
    offset = abs(have - columns) // 2 if offset is None else offset
    if have >= columns:
        return mel[..., offset : offset + columns]
    return F.pad(mel, (offset, columns - have - offset))


def _reshaped(mel: Tensor, spec: MelSpec) -> Tensor:
    """[B,1,128,T] => (512 rows, 128 columns), cv2's INTER_LINEAR => the same buffer read as [B,1,128,512].

    Not a transpose: row r holds the upsampled mel rows 4r..4r+3, each a whole time line, side by side.
    """
    big = F.interpolate(mel, size=(512, 128), mode="bilinear", align_corners=False, antialias=False)
    return big.reshape(-1, 1, 128, 512)


def _square(mel: Tensor, spec: MelSpec) -> Tensor:
    return F.interpolate(mel, size=(spec.side, spec.side), mode="bilinear", align_corners=False, antialias=False)


LAYOUTS = {"plain": lambda mel, spec: mel, "reshaped": _reshaped, "square": _square}


def arrange(mel: Tensor, spec: MelSpec) -> Tensor:
    """mel [B,1,M,columns] => what the network takes, by spec.layout."""
    return LAYOUTS[spec.layout](mel, spec)


# Lee et al. 2022, released front end: 10.03 s windows of 128 mels at 44.1 kHz
RELEASED = MelSpec(44100, 2048, 512, 128, 0.0, 22050.0, 80.0, 864, 864, "reshaped", "silence", 0.0)
# the same sound as Swin-T of Soundini takes it
SQUARE = MelSpec(44100, 2048, 512, 128, 0.0, 22050.0, 80.0, 864, 864, "square", "silence", 0.0)
# and as the sound inversion encoder of the video paper does
INVERSION = MelSpec(44100, 2048, 512, 256, 0.0, 22050.0, 80.0, 864, 864, "square", "silence", 0.0, side=256)
SPECS = {"released": RELEASED, "square": SQUARE, "inversion": INVERSION}


def _heard(wave: Tensor, sample_rate: float, spec: MelSpec) -> tuple[Tensor, Tensor]:
    """wave [N] at any rate => (mel [M,T] against the file's own loudest bin, power [M,T])."""
    check_wave(wave, sample_rate)
    power = mel_power(resample(wave.float(), sample_rate, spec.sample_rate)[None], spec)[0, 0]
    return db01(power, power.max(), spec.top_db), power


def cut_windows(mel: Tensor, starts: Tensor, columns: int, spec: MelSpec) -> Tensor:
    """mel [M,T] => windows [W,1,M,columns] from the given first columns, which may lie outside."""
    index = starts[:, None] + torch.arange(columns)  # [W,columns]
    last = mel.shape[-1] - 1
    if spec.fill == "mirror":
        turned = index.remainder(2 * last) if last else index * 0
        return mel[:, to_device(torch.minimum(turned, 2 * last - turned), mel.device)].transpose(0, 1)[:, None]
    inside = to_device((index >= 0) & (index <= last), mel.device, mel.dtype)
    return (mel[:, to_device(index.clamp(0, last), mel.device)] * inside).transpose(0, 1)[:, None]


def sound_windows(wave: Tensor, sample_rate: float, spec: MelSpec) -> tuple[Tensor, Tensor]:
    """A whole recording as windows that cover it evenly.

    wave: [N] at any rate. Returns: windows for the network [W,1,...] and their weights [W], which sum to 1.
    """
    mel, _ = _heard(wave, sample_rate, spec)
    spare = mel.shape[-1] - spec.columns
    if spare <= 0:
        starts = torch.tensor([spare // 2])
    else:
        starts = torch.linspace(0, spare, math.ceil(spare / spec.stride) + 1).round().long()
    windows = cut_windows(mel, starts, spec.columns, spec)
    loudness = windows.amax(dim=2).mean(dim=(1, 2))  # [W], each column's strongest band, in top_db
    weights = torch.softmax(spec.focus * loudness, dim=0)
    return arrange(windows, spec), weights


def frame_windows(wave: Tensor, sample_rate: float, spec: MelSpec, *, fps: float, num_frames: int) -> Tensor:
    """One window centred on each video frame, all against the same reference: wave [N] => [F,1,...]."""
    check_frames(fps, num_frames)
    mel, _ = _heard(wave, sample_rate, spec)
    middle_sec = (torch.arange(num_frames, dtype=torch.float64) + 0.5) / fps
    columns = spec.frame_columns or spec.columns
    starts = (middle_sec * spec.sample_rate / spec.hop_length).round().long() - columns // 2
    return arrange(cut_windows(mel, starts, columns, spec), spec)
