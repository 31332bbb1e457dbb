"""The mel front end against librosa and against loops; the released layout value by value."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import tolerances as tol
from soundguide_core.audio import mel as m
from soundguide_core.common.errors import InputError

SMALL = m.MelSpec(22050, 1024, 256, 64, 0.0, 11025.0, 80.0, 256, 128, "plain", "mirror", 4.0)


def chirp(sample_rate: int, seconds: float = 1.3) -> torch.Tensor:
    t = torch.arange(round(sample_rate * seconds), dtype=torch.float64) / sample_rate
    noise = torch.randn(len(t), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return (0.3 * torch.sin(2 * np.pi * (200 + 900 * t) * t) * torch.exp(-t) + 0.01 * noise).float()


@pytest.mark.parametrize("spec", [m.RELEASED, SMALL], ids=["released", "small"])
def test_equals_librosa(spec):
    import librosa

    wave = chirp(spec.sample_rate)
    power = librosa.feature.melspectrogram(
        y=wave.numpy(),
        sr=spec.sample_rate,
        n_fft=spec.n_fft,
        hop_length=spec.hop_length,
        n_mels=spec.n_mels,
        fmin=spec.fmin,
        fmax=spec.fmax,
        window="hann",
        center=True,
        pad_mode="reflect",
        power=2.0,
        htk=False,
        norm="slaney",
    )
    expected = librosa.power_to_db(power, ref=np.max, amin=1e-10, top_db=80) / 80 + 1
    ours = m.log_mel(wave[None], spec)[0, 0]
    assert ours.shape == expected.shape
    assert np.abs(ours.numpy() - expected).max() < 1e-4


def test_long_sound_is_the_same_in_pieces(monkeypatch):
    wave = chirp(22050)[None]
    whole = m.mel_power(wave, SMALL)
    monkeypatch.setattr(m, "CHUNK", 7)
    torch.testing.assert_close(m.mel_power(wave, SMALL), whole)


def test_ten_seconds_are_862_columns():
    assert m.mel_power(torch.zeros(1, 441000), m.RELEASED).shape == (1, 1, 128, 862)


def test_shared_reference_keeps_loudness():
    wave = chirp(22050)[None]
    loud, soft = m.mel_power(wave, SMALL), m.mel_power(0.1 * wave, SMALL)
    gap = m.db01(loud, loud.max(), 80) - m.db01(soft, loud.max(), 80)
    heard = m.db01(soft, loud.max(), 80) > 0
    assert torch.allclose(gap[heard], torch.tensor(20 / 80), atol=tol.PARITY)
    assert torch.allclose(m.db01(loud, loud.max(), 80), m.db01(soft, soft.max(), 80), atol=tol.PARITY)


def test_silence_is_the_floor():
    assert m.log_mel(torch.zeros(2, 3000), SMALL).eq(0).all()


def test_fit_columns_is_the_centre():
    ramp = torch.arange(10.0).reshape(1, 1, 1, 10)
    assert m.fit_columns(ramp, 4).flatten().tolist() == [3, 4, 5, 6]
    assert m.fit_columns(ramp, 4, offset=0).flatten().tolist() == [0, 1, 2, 3]
    assert m.fit_columns(ramp[..., 1:4], 7).flatten().tolist() == [0, 0, 1, 2, 3, 0, 0]


def test_released_layout_of_a_time_ramp():
    """A pure time ramp appears four times in every row: 2.88 .. 860.12 when the columns count from 0."""
    ramp = torch.arange(864.0).expand(1, 1, 128, 864)
    out = m.arrange(ramp, m.RELEASED)
    assert out.shape == (1, 1, 128, 512)
    lines = out.reshape(128, 4, 128)
    assert torch.allclose(lines, lines[:1, :1].expand_as(lines))
    assert torch.allclose(lines[0, 0], (torch.arange(128) + 0.5) * 864 / 128 - 0.5, atol=tol.HALF)
    assert lines[0, 0, 0].item() == pytest.approx(2.875) and lines[0, 0, -1].item() == pytest.approx(860.125)


def test_released_layout_of_a_mel_ramp():
    """A pure mel ramp varies along rows only, but for the four steps that one row holds."""
    ramp = torch.arange(128.0)[:, None].expand(1, 1, 128, 864)
    lines = m.arrange(ramp, m.RELEASED).reshape(512, 128)
    assert torch.allclose(lines, lines[:, :1].expand_as(lines))
    expected = ((torch.arange(512) + 0.5) / 4 - 0.5).clamp(0, 127)
    assert torch.allclose(lines[:, 0], expected, atol=tol.PARITY)


def inter_linear(x: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """cv2.INTER_LINEAR from its definition: half-pixel centres, two neighbours an axis, edges repeated."""

    def axis(n_in: int, n_out: int):
        at = np.clip((np.arange(n_out) + 0.5) * n_in / n_out - 0.5, 0, n_in - 1)
        low = np.floor(at).astype(int)
        return low, np.minimum(low + 1, n_in - 1), at - low

    r0, r1, fr = axis(x.shape[0], rows)
    c0, c1, fc = axis(x.shape[1], columns)
    top = x[r0][:, c0] * (1 - fc) + x[r0][:, c1] * fc
    low = x[r1][:, c0] * (1 - fc) + x[r1][:, c1] * fc
    return top * (1 - fr[:, None]) + low * fr[:, None]


def test_layouts_equal_an_independent_resize():
    x = np.random.default_rng(0).random((128, 864))
    mel = torch.from_numpy(x)[None, None]
    assert np.allclose(
        m.arrange(mel, m.RELEASED)[0, 0].numpy(), inter_linear(x, 512, 128).reshape(128, 512), atol=tol.FLOAT64_SUM
    )
    assert np.allclose(m.arrange(mel, m.SQUARE)[0, 0].numpy(), inter_linear(x, 224, 224), atol=tol.FLOAT64_SUM)


def test_windows_cover_the_recording():
    seconds = 10.7
    wave = chirp(22050, seconds)
    windows, weights = m.sound_windows(wave, 22050, SMALL)
    whole = m.log_mel(wave[None], SMALL)[0, 0]
    assert windows.shape[1:] == (1, 64, 256) and weights.sum().item() == pytest.approx(1)
    assert torch.equal(windows[0, 0], whole[:, :256]) and torch.equal(windows[-1, 0], whole[:, -256:])
    assert len(windows) == -(-(whole.shape[1] - 256) // 128) + 1


def test_silent_windows_count_less():
    wave = torch.cat([chirp(22050, 4.0), torch.zeros(22050 * 6)])
    _, weights = m.sound_windows(wave, 22050, SMALL)
    assert weights[0] > 2 * weights[-1]
    flat = dataclasses.replace(SMALL, focus=0.0)
    _, even = m.sound_windows(wave, 22050, flat)
    assert torch.allclose(even, torch.full_like(even, 1 / len(even)))


@pytest.mark.parametrize("n", [1, 100, 5000])
@pytest.mark.parametrize("spec", [SMALL, m.RELEASED], ids=["small", "released"])
def test_short_sounds_give_one_finite_window(n, spec):
    windows, weights = m.sound_windows(chirp(22050)[:n], 22050, spec)
    assert len(windows) == 1 and torch.isfinite(windows).all() and weights.tolist() == [1.0]


def test_fill_is_a_mirror_or_silence():
    ramp = torch.arange(3.0)[None] + 1
    mirror, silence = SMALL, dataclasses.replace(SMALL, fill="silence")
    assert m.cut_windows(ramp, torch.tensor([-2]), 7, mirror).flatten().tolist() == [3, 2, 1, 2, 3, 2, 1]
    assert m.cut_windows(ramp, torch.tensor([-2]), 7, silence).flatten().tolist() == [0, 0, 1, 2, 3, 0, 0]


def test_frame_windows_share_the_reference():
    wave = torch.cat([0.05 * chirp(22050, 4.0), chirp(22050, 4.0)])
    windows = m.frame_windows(wave, 22050, SMALL, fps=4, num_frames=32)
    assert windows.shape == (32, 1, 64, 256)
    loudness = windows.amax(dim=(1, 2, 3))
    assert loudness[2] < loudness[20] - 0.2 and loudness.max() <= 1
    whole = m.log_mel(wave[None], SMALL)[0, 0]
    centre = round((16 + 0.5) / 4 * 22050 / 256)
    assert torch.equal(windows[16, 0], whole[:, centre - 128 : centre + 128])
    short = m.frame_windows(wave, 22050, dataclasses.replace(SMALL, frame_columns=64), fps=4, num_frames=32)
    assert torch.equal(short, windows[..., 96:160])


def test_spec_round_trip_and_refusals():
    assert m.MelSpec.from_dict(SMALL.to_dict()) == SMALL
    with pytest.raises(InputError, match="layout"):
        dataclasses.replace(SMALL, layout="transposed")
    with pytest.raises(InputError, match="frames"):
        m.frame_windows(torch.ones(100), 22050, SMALL, fps=0, num_frames=3)
