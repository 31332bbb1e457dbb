from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch

from soundguide_core.audio import track
from soundguide_core.audio.features import curves
from soundguide_core.audio.mel import MelSpec, frame_windows, log_mel
from soundguide_core.audio.track import MelTrack
from soundguide_core.common.errors import InputError

SPEC = MelSpec(
    sample_rate=8000, n_fft=256, hop_length=100, n_mels=32, fmin=0, fmax=4000, top_db=80,
    columns=64, stride=32, layout="plain", fill="mirror", focus=0, frame_columns=20,
)  # fmt: skip


def swelling(seconds: float, rate: int = 8000) -> torch.Tensor:
    """Noise whose loudness goes up and down twice."""
    t = torch.arange(round(seconds * rate)) / rate
    noise = torch.rand(len(t), generator=torch.Generator().manual_seed(0)) - 0.5
    return noise * (0.2 + torch.sin(2 * torch.pi * t / seconds) ** 2)


@pytest.mark.parametrize("samples", [1, 255, 256, 257, 300, 8000, 65535, 66050, 200_123])
def test_a_stream_gives_the_mel_of_the_whole(samples):
    wave = swelling(30)[:samples]
    track = MelTrack.of_blocks((part[None] for part in wave.split(777)), 8000, SPEC)
    whole = log_mel(wave[None], SPEC)[0, 0]
    assert track.level_db.shape == whole.shape
    mel = ((track.level_db.float() - track.ref_db) / 80 + 1).clamp(0, 1)
    assert (mel - whole).abs().max() < 2e-3


def test_hops_are_the_means_of_their_columns():
    track = MelTrack.of_wave(swelling(2), 8000, SPEC)  # 80 columns a second, 161 in all
    mel, hops = track.stretch(0, 161)[0, 0], track.hops(4.0, 9)
    for i in range(8):
        assert torch.allclose(hops[i], mel[:, 20 * i : 20 * i + 20].mean(dim=1), atol=1e-6)
    assert hops.shape == (9, 32) and torch.allclose(hops[8], mel[:, 160], atol=1e-6)  # beyond the end: the last one


def test_windows_are_those_of_the_joint_encoder():
    wave = swelling(4)
    track = MelTrack.of_wave(wave, 8000, SPEC)
    expected = frame_windows(wave, 8000, SPEC, fps=12, num_frames=48)
    assert (track.windows(0, 48, 12) - expected).abs().max() < 2e-3
    assert torch.equal(track.windows(7, 5, 12), track.windows(0, 48, 12)[7:12])
    assert track.frames(12) == 48


def test_there_is_silence_after_the_end():
    track = MelTrack.of_wave(torch.ones(8000).uniform_(-1, 1), 8000, SPEC)
    windows = track.windows(0, 40, 10)
    assert windows[9].min() > 0.3 and windows[13:].max() == 0
    assert (track.loudness(10, 40)[12:] == 0).all()


def test_a_file_is_heard_as_its_samples(tmp_path):
    wave = torch.stack([swelling(3, 44100), -0.3 * swelling(3, 44100)])
    soundfile.write(tmp_path / "a.wav", wave.T.numpy(), 44100, subtype="FLOAT")
    of_file = MelTrack.of_file(tmp_path / "a.wav", SPEC)
    of_wave = MelTrack.of_wave(wave, 44100, SPEC)
    assert of_file.seconds == pytest.approx(3.0, abs=0.001) == of_wave.seconds
    assert (of_file.level_db.float() - of_wave.level_db.float()).abs().max() < 0.2


def test_loudness_follows_the_sound():
    wave = swelling(4)
    loudness = MelTrack.of_wave(wave, 8000, SPEC).loudness(12, 48)
    other = curves(wave, 8000, 12, 48)["loudness"]
    assert loudness.shape == (48,) and loudness.min() >= 0 and 0.97 < loudness.max() <= 1
    assert np.corrcoef(loudness, other)[0, 1] > 0.97


def test_silence_and_nothing():
    track = MelTrack.of_wave(torch.zeros(8000), 8000, SPEC)
    assert track.windows(0, 3, 12).abs().max() == 0 and track.loudness(12, 3).max() == 0
    with pytest.raises(InputError, match="no samples"):
        MelTrack.of_blocks(iter([]), 8000, SPEC)
    with pytest.raises(InputError, match="finite"):
        MelTrack.of_blocks(iter([torch.full([1, 10], float("nan"))]), 8000, SPEC)
    with pytest.raises(InputError, match="rate"):
        track.windows(0, 1, 0)


def test_pieces_are_joined_as_they_come():
    pieces = [torch.randn(3, n, generator=torch.Generator().manual_seed(n)) for n in (5, 1, 4095, 4096, 9000, 0, 7)]
    assert torch.equal(track._joined(iter(pieces)), torch.cat(pieces, dim=1))
    assert track._joined(iter([])) is None
