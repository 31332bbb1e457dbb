"""Chained Ogg files, and sounds whose layout changes on the way: as long and as loud as what they are made of."""

from __future__ import annotations

import fractions
import warnings

import av
import numpy as np
import pytest
import torch

from soundguide_core.audio.waveform import LOUDEST, load_audio
from soundguide_core.media.ogg import links


def encoded(path, codec: str, layout: str, seconds: float = 1.0, rate: int = 48000, kind: str | None = None) -> bytes:
    """A tone of 440 Hz, 0.3 high in every channel."""
    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
    rows = np.repeat(wave[None].astype(np.float32), len(av.AudioLayout(layout).channels), axis=0)
    with av.open(path, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(rows, format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, fractions.Fraction(1, rate)
        for packet in (*stream.encode(frame), *stream.encode()):
            container.mux(packet)
    return path.read_bytes()


def level(wave: torch.Tensor) -> float:
    return float(wave.square().mean().sqrt() * 2**0.5)


@pytest.mark.parametrize("layouts", [("mono", "stereo"), ("stereo", "mono"), ("mono", "mono")])
def test_a_chained_file_is_all_of_its_recordings(tmp_path, layouts):
    parts = [encoded(tmp_path / f"{i}.opus", "libopus", layout, 1.0 + i) for i, layout in enumerate(layouts)]
    chained = tmp_path / "radio.opus"
    chained.write_bytes(b"".join(parts))
    assert links(chained) == [(0, len(parts[0])), (len(parts[0]), len(parts[0]) + len(parts[1]))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wave, rate = load_audio(chained)
    assert abs(wave.shape[-1] / rate - 3) < 0.03
    assert level(wave[:, 5000:40000]) == pytest.approx(0.3, abs=0.02)
    assert level(wave[:, 60000:120000]) == pytest.approx(0.3, abs=0.02)  # no 3 dB more where stereo begins


def test_a_later_recording_that_is_broken_is_left_out_with_a_warning(tmp_path):
    part = encoded(tmp_path / "a.opus", "libopus", "mono")
    (tmp_path / "b.opus").write_bytes(part + part[:27] + b"\xff" * 2000)
    with pytest.warns(UserWarning, match="damaged"):
        wave, rate = load_audio(tmp_path / "b.opus")
    assert abs(wave.shape[-1] / rate - 1) < 0.03


def test_other_files_are_one_recording(tmp_path):
    part = encoded(tmp_path / "a.opus", "libopus", "mono")
    assert links(tmp_path / "a.opus") == [(0, len(part))]
    (tmp_path / "x.bin").write_bytes(b"RIFF")
    assert links(tmp_path / "x.bin") == [(0, 4)]


def test_a_layout_that_changes_keeps_the_level(tmp_path):
    parts = [encoded(tmp_path / f"{x}.aac", "aac", x, 1.0, 44100, "adts") for x in ("mono", "stereo")]
    (tmp_path / "both.aac").write_bytes(b"".join(parts))
    wave, _ = load_audio(tmp_path / "both.aac")
    assert level(wave[:, 5000:40000]) == pytest.approx(0.3, abs=0.02)
    assert level(wave[:, 55000:85000]) == pytest.approx(0.3, abs=0.02)


def test_a_damaged_packet_of_a_lossy_file_is_no_explosion(tmp_path):
    part = encoded(tmp_path / "a.mp3", "libmp3lame", "mono", 3.0, 44100)
    for seed in range(8):
        junk = np.random.default_rng(seed).integers(0, 256, 3000, dtype=np.uint8).tobytes()
        (tmp_path / "b.mp3").write_bytes(part[: len(part) // 2] + junk + part[len(part) // 2 :])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wave, _ = load_audio(tmp_path / "b.mp3")
        assert wave.abs().max() <= LOUDEST
