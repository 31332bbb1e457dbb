"""Sounds as people have them: damaged, changing on the way, long. The time is kept and nothing is lost in silence."""

from __future__ import annotations

import resource
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch

from soundguide_core.audio.waveform import load_audio, stream_audio

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"
RATE = 48000


def opus(path: Path, damaged: range = range(0), seconds: float = 3.0) -> None:
    """Writes a tone, with garbage in the place of some packets."""
    with av.open(str(path), "w") as container:
        track = container.add_stream("libopus", rate=RATE, layout="mono")
        tone = 0.5 * np.sin(np.arange(round(seconds * RATE)) * 0.05)
        frame = av.AudioFrame.from_ndarray(tone[None].astype(np.float32), format="flt", layout="mono")
        frame.sample_rate = RATE
        for i, packet in enumerate([*track.encode(frame), *track.encode()]):
            if i in damaged:
                garbage = av.Packet(b"\xff" * 40)
                garbage.pts, garbage.dts, garbage.duration = packet.pts, packet.dts, packet.duration
                garbage.time_base, garbage.stream = packet.time_base, packet.stream
                packet = garbage
            container.mux(packet)


@pytest.mark.parametrize("ending", [".mkv", ".opus"])
@pytest.mark.parametrize("damaged", [1, 3])
def test_a_bad_packet_is_silence_of_its_length(tmp_path, damaged, ending):
    path = tmp_path / f"a{ending}"
    opus(path, range(70, 70 + damaged))
    with pytest.warns(UserWarning, match=f"{damaged} damaged packet"):
        wave, rate = load_audio(path)
    assert wave.shape[1] / rate == pytest.approx(3.0, abs=0.03)
    quiet = wave[0, : 298 * 480].unfold(0, 480, 480).abs().amax(1) < 1e-3
    assert int(quiet.sum()) == pytest.approx(2 * damaged, abs=1)
    assert 138 <= int(quiet.nonzero()[0]) <= 142


def test_a_whole_sound_warns_of_nothing(tmp_path, recwarn):
    opus(tmp_path / "a.mkv")
    wave, rate = load_audio(tmp_path / "a.mkv")
    assert wave.shape[1] / rate == pytest.approx(3.0, abs=0.03) and not recwarn.list


def test_a_rate_and_a_layout_that_change_become_the_first(tmp_path):
    pieces = []
    for rate, layout, hz in ((44100, "stereo", 440), (22050, "mono", 880), (48000, "stereo", 440)):
        with av.open(str(tmp_path / "part.aac"), "w", format="adts") as container:
            track = container.add_stream("aac", rate=rate, layout=layout)
            tone = np.sin(np.arange(2 * rate) * 2 * np.pi * hz / rate).astype(np.float32) * 0.5
            planes = np.stack([tone] * (2 if layout == "stereo" else 1))
            frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
            frame.sample_rate = rate
            container.mux(track.encode(frame))
            container.mux(track.encode())
        pieces.append((tmp_path / "part.aac").read_bytes())
    (tmp_path / "a.aac").write_bytes(b"".join(pieces))
    wave, rate = load_audio(tmp_path / "a.aac", channels=True)
    assert rate == 44100 and len(wave) == 2
    assert wave.shape[1] / rate == pytest.approx(6.0, abs=0.3)
    for second, hz in ((1, 440), (3, 880), (5, 440)):
        power = torch.fft.rfft(wave[0, second * rate : (second + 1) * rate]).abs()
        assert int(power.argmax()) == pytest.approx(hz, abs=3)


def test_a_part_is_what_the_whole_holds_there(tmp_path):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (RATE, 2))
    soundfile.write(tmp_path / "a.flac", noise, RATE)
    whole, _ = load_audio(tmp_path / "a.flac")
    part, _ = load_audio(tmp_path / "a.flac", 0.25, 0.5)
    assert torch.equal(part, whole[:, RATE // 4 : RATE * 3 // 4])
    assert torch.equal(load_audio(tmp_path / "a.flac", 0.9, 5)[0], whole[:, round(0.9 * RATE) :])


@pytest.mark.slow
def test_two_hours_cost_the_memory_of_what_is_asked_for(tmp_path):
    with soundfile.SoundFile(tmp_path / "a.flac", "w", RATE, 2) as file:
        for _ in range(2 * 60):
            file.write(np.zeros((60 * RATE, 2), np.float32))
    load_audio(tmp_path / "a.flac", seconds=0.1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wave, _ = load_audio(tmp_path / "a.flac", seconds=0.2)
    count = sum(block.shape[-1] for block in stream_audio(tmp_path / "a.flac")[0])
    assert wave.shape == (1, RATE // 5) and count == 2 * 3600 * RATE
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


SHARED = {"bad_packet.opus": (3.0, 48000), "rate_changes.aac": (6.07, 44100), "video_starts_late.mp4": (1.0, 48000)}


@pytest.mark.filterwarnings("ignore:.*damaged packet")
@pytest.mark.parametrize("name", SHARED)
def test_the_cases_beside_the_checkout(name):
    if not (CASES / name).is_file():
        pytest.skip("the shared cases are not here")
    wave, rate = load_audio(CASES / name)
    assert (wave.shape[1] / rate, rate) == (pytest.approx(SHARED[name][0], abs=0.01), SHARED[name][1])


def test_vorbis_whose_blocks_change_size_is_whole(tmp_path, recwarn):
    """Clicks make an encoder switch between short and long blocks, whose times a demuxer reckons unevenly."""
    rate, wave = 44100, np.zeros(3 * 44100, np.float32)
    wave[:: rate // 7] = 0.9
    wave += 0.01 * np.random.default_rng(0).standard_normal(len(wave)).astype(np.float32)
    soundfile.write(tmp_path / "clicks.ogg", wave, rate, format="OGG", subtype="VORBIS")
    read, _ = load_audio(tmp_path / "clicks.ogg")
    assert not recwarn.list and abs(read.shape[-1] - len(wave)) <= 2048


def test_real_recordings_are_not_called_damaged(recordings, recwarn):
    for path in sorted((recordings / "esc10" / "audio").glob("*.ogg"))[::8]:
        read, rate = load_audio(path)
        assert read.shape[-1] / rate < 5.05, path.name
    assert not [str(w.message) for w in recwarn.list if "damaged" in str(w.message)]
