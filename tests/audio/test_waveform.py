"""Recordings in: containers, channels, rates, and which samples belong to a frame."""

from __future__ import annotations

import math
from itertools import pairwise

import av
import numpy as np
import pytest
import torch

import tolerances as tol
from soundguide_core.audio import waveform as w
from soundguide_core.common.errors import InputError
from soundguide_core.common.stop import stopped_by


def write_wav(path, samples: np.ndarray, sample_rate: int = 8000) -> None:
    """samples [N,C] int16."""
    import wave

    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(samples.tobytes())


def test_wav_samples_are_exact(tmp_path):
    samples = np.random.default_rng(0).integers(-32768, 32767, (5000, 2), dtype=np.int16)
    write_wav(tmp_path / "a.wav", samples)
    wave, sample_rate = w.load_audio(tmp_path / "a.wav", channels=True)
    assert wave.shape == (2, 5000) and wave.dtype == torch.float32 and sample_rate == 8000
    assert np.array_equal(wave.numpy().T, samples / np.float32(32768))
    assert torch.equal(w.load_audio(tmp_path / "a.wav")[0], wave.mean(0, keepdim=True))  # unless asked, one channel


@pytest.mark.parametrize("channels", range(1, 9))
def test_mono_is_the_mean(channels):
    wave = torch.randn(3, channels, 50)
    assert torch.allclose(w.to_mono(wave), sum(wave[:, c] for c in range(channels)) / channels, atol=tol.FLOAT32)
    assert torch.allclose(w.to_mono(wave[0]), wave[0].mean(0))


def test_swapped_axes_are_named():
    with pytest.raises(InputError, match="44100 channels"):
        w.to_mono(torch.zeros(44100, 2))


@pytest.mark.parametrize("to_hz", [22050, 48000, 44101, 11025])
def test_resample_keeps_a_sine(to_hz):
    t = torch.arange(44100) / 44100
    out = w.resample(torch.sin(2 * math.pi * 440 * t)[None], 44100, to_hz)[0]
    expected = torch.sin(2 * math.pi * 440 * torch.arange(to_hz) / to_hz)
    assert out.shape == (to_hz,)
    assert (out - expected)[500:-500].abs().max() < 2e-3


def test_a_long_sound_is_resampled_in_pieces_that_do_not_show(monkeypatch):
    import soxr

    monkeypatch.setattr(w, "PIECE", 1000)
    wave = torch.randn(2, 7345, generator=torch.Generator().manual_seed(0))
    for from_hz, to_hz in ((44100, 16000), (8000, 16000), (44101, 22050)):
        out, asked = w.resample(wave, from_hz, to_hz), []
        for line, whole in zip(out, wave):
            expected = soxr.resample(whole.numpy(), from_hz, to_hz)[: out.shape[-1]]
            assert torch.equal(line[: len(expected)], torch.from_numpy(expected))
        with stopped_by(lambda asked=asked: asked.append(1)):
            w.resample(wave, from_hz, to_hz)
        assert len(asked) == 16  # eight pieces of each channel


def test_frame_spans_tile_the_sound():
    spans = [w.frame_span(i, 44100, 24000 / 1001) for i in range(50)]
    assert spans[0][0] == 0 and all(a[1] == b[0] for a, b in pairwise(spans))
    assert spans[49][1] == round(50 * 44100 * 1001 / 24000)


def test_frames_do_not_drift_in_ten_minutes_of_ntsc():
    """29.97 frames a second are 30000 / 1001; a frame too long by a sample each would be 0.8 s off at the end."""
    fps, sample_rate = 30000 / 1001, 44100
    last = round(600 * fps) - 1
    first_sample, end = w.frame_span(last, sample_rate, fps)
    assert abs(end - 600 * sample_rate) < sample_rate / fps and end - first_sample in (1471, 1472)
    for seconds in (60, 300, 599):
        i = int(seconds * fps)
        first_sample, end = w.frame_span(i, sample_rate, fps)
        assert first_sample <= round(seconds * sample_rate) <= end


def test_windows_are_centred_on_their_frame():
    wave = torch.arange(100.0)
    out = w.windows_per_frame(wave, 10, 1, 10, 6)
    assert out[0].tolist() == [2, 3, 4, 5, 6, 7]  # frame 0 is samples 0..9, its middle 5
    assert out[9].tolist() == [92, 93, 94, 95, 96, 97]
    assert w.windows_per_frame(wave, 10, 1, 1, 14)[0, :3].tolist() == [0, 0, 0]


@pytest.mark.parametrize("wave, rate, cause", [
    (torch.zeros(0), 44100, "no samples"), (torch.zeros(2, 0), 44100, "no samples"),
    (torch.tensor([0.0, math.nan]), 44100, "not finite"), (torch.tensor([math.inf]), 44100, "not finite"),
    (torch.zeros(5, dtype=torch.int16), 44100, "not finite floats"), (torch.zeros(5), 0, "sample rate"),
    (torch.zeros(5), -8000, "sample rate"), (torch.zeros(5), 10**9, "sample rate"),
    (torch.zeros(5), math.nan, "sample rate"),
    (torch.zeros(1, 1, 1, 5), 44100, "shape"), ([0.0], 44100, "shape"),
])  # fmt: skip
def test_unheard(wave, rate, cause):
    with pytest.raises(InputError, match=cause):
        w.check_wave(wave, rate)


def test_files_that_are_no_recordings(tmp_path):
    (tmp_path / "text.wav").write_text("this is not a sound")
    (tmp_path / "empty.wav").write_bytes(b"")
    write_wav(tmp_path / "none.wav", np.zeros((0, 1), dtype=np.int16))
    for name in ("text.wav", "empty.wav", "none.wav", "absent.wav", "."):
        with pytest.raises(InputError) as caught:
            w.load_audio(tmp_path / name)
        assert caught.value.remedy


def test_truncated_file_gives_what_is_there_or_says_so(tmp_path):
    write_wav(tmp_path / "a.wav", np.ones((8000, 1), dtype=np.int16))
    whole = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "half.wav").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "head.wav").write_bytes(whole[:44])
    assert 3000 < w.load_audio(tmp_path / "half.wav")[0].shape[1] < 8000
    with pytest.raises(InputError):
        w.load_audio(tmp_path / "head.wav")


def test_silent_video(tmp_path):
    with av.open(str(tmp_path / "v.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), dtype=np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(InputError, match="no sound track"):
        w.load_audio(tmp_path / "v.mp4")
