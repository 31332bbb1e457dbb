"""A recording from a file and from memory is the same to the bit; long ones are read no further than needed."""

from __future__ import annotations

import pytest
import soundfile
import torch

import tolerances as tol
from soundguide_core.audio.mel import MelSpec
from soundguide_core.audio.track import MelTrack
from soundguide_core.audio.waveform import load_audio
from soundguide_core.common.errors import InputError
from soundguide_core.embedding.joint import load_joint
from soundguide_core.pipelines import hearing, recording
from soundguide_core.pipelines.continuous_video import listen
from soundguide_core.pipelines.recording import Recording, frame_count

RATE = 22050
SPEC = MelSpec(
    sample_rate=16000, n_fft=512, hop_length=160, n_mels=32, fmin=0, fmax=8000, top_db=80, columns=64, stride=32,
    layout="plain", fill="mirror", focus=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Seven seconds of two channels that swell."""
    noise = torch.rand(7 * RATE, 2, generator=torch.Generator().manual_seed(0)) - 0.5
    path = tmp_path_factory.mktemp("sound") / "a.wav"
    soundfile.write(path, (noise * torch.linspace(0, 1, len(noise))[:, None]).numpy(), RATE)
    return path


def test_file_and_memory_agree_to_the_bit(path):
    of_file, of_wave = Recording.of_file(path), Recording.of_wave(*load_audio(path, channels=True))
    assert torch.equal(of_file.mono()[0], of_wave.mono()[0])
    one, two = of_file.mel_track(SPEC), of_wave.mel_track(SPEC)
    assert torch.equal(one.level_db, two.level_db) and one.seconds == two.seconds == 7.0


def test_stretches_and_beginnings_are_the_wave_cut(path):
    wave, _ = Recording.of_file(path).mono()
    parts = [part for part, _ in Recording.of_file(path).stretches(3.0)]
    assert [len(part) for part in parts] == [3 * RATE, 3 * RATE, RATE] and torch.equal(torch.cat(parts), wave)
    assert torch.equal(Recording.of_file(path).mono(2.5)[0], wave[: round(2.5 * RATE)])
    repeated, _ = Recording.of_file(path, repeat_sec=9.0).mono()
    assert torch.equal(repeated, torch.cat([wave, wave[: 2 * RATE]]))


def test_no_more_is_read_than_the_video_needs(path, monkeypatch):
    read = []

    def stream(name):
        def blocks():
            for i in range(1000):
                read.append(i)
                yield torch.full((1, RATE), 0.1)

        return blocks(), RATE

    monkeypatch.setattr(recording, "stream_audio", stream)
    heard, seconds = listen(Recording.of_file("two-hours.wav"), 0.2)
    assert seconds == 0.2 and len(heard.mono()[0]) == 60 * RATE and len(read) < 70


def test_a_long_recording_is_the_weighted_mean_of_its_stretches(tiny, path, monkeypatch):
    joint = load_joint(tiny.joint)
    wave, _ = Recording.of_file(path).mono()
    assert torch.equal(hearing.encode_recording(joint, Recording.of_file(path)), joint.encode_audio(wave, RATE))
    real = Recording.stretches
    monkeypatch.setattr(Recording, "stretches", lambda self: real(self, 4.0))
    parts = [joint.encode_audio(part, RATE) * len(part) for part in wave.split(4 * RATE)]
    expected = torch.nn.functional.normalize(sum(parts), dim=-1)
    assert torch.allclose(hearing.encode_recording(joint, Recording.of_file(path)), expected, atol=tol.FLOAT32)


@pytest.mark.parametrize("fps", [float("nan"), float("inf"), 0.0])
def test_frame_counts(fps):
    assert frame_count(2.5, 12.0) == 30 and frame_count(2.5, 12.0, num_frames=7) == 7
    assert frame_count(2.5, 12.0, video_seconds=1.0) == 12 and frame_count(0.001, 12.0) == 1
    with pytest.raises(InputError, match="frame rate"):
        frame_count(2.5, fps)


def test_channels_that_cancel_are_heard_in_blocks(tmp_path):
    """A quiet beginning in which nothing cancels must not change what is heard of the rest, block by block."""
    rng = torch.Generator().manual_seed(0)
    x = 0.1 * torch.randn(200_000, generator=rng)
    soundfile.write(tmp_path / "turned.wav", torch.stack([x, -x]).T.numpy(), 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "usual.wav", torch.stack([x, 0.5 * x]).T.numpy(), 16000, subtype="FLOAT")
    for one in (Recording.of_file(tmp_path / "turned.wav"), Recording.of_wave(torch.stack([x, -x]), 16000)):
        assert torch.equal(one.mono()[0], x)
        assert torch.equal(torch.cat([wave for wave, _ in one.stretches(3.0)]), x)
        assert one.loudness(4.0, 8, SPEC).min() > 0.5
    turned, alone = MelTrack.of_file(tmp_path / "turned.wav", SPEC), MelTrack.of_wave(x, 16000, SPEC)
    assert torch.allclose(turned.level_db.float(), alone.level_db.float(), atol=0.1)  # other blocks, fp16 decibels
    assert torch.equal(Recording.of_file(tmp_path / "usual.wav").mono()[0], torch.stack([x, 0.5 * x]).mean(0))


def test_no_more_is_read_than_a_video_hears(tmp_path, monkeypatch):
    from soundguide_core.pipelines import recording as module
    from soundguide_core.pipelines.sound_to_video import heard_part

    read = []

    def stream(path):
        def blocks():
            for i in range(7200):
                read.append(i)
                yield torch.full((2, 8000), i / 7200)

        return blocks(), 8000

    monkeypatch.setattr(module, "stream_audio", stream)
    two_hours = Recording.of_file(tmp_path / "a.wav")
    part = heard_part(two_hours, 12.0, num_frames=None, seconds=10.0)
    wave, rate = part.mono()
    assert len(wave) / rate == 60 and len(read) <= 62  # how loud it gets is judged by a minute
    assert len(heard_part(two_hours, 12.0, num_frames=1200, seconds=None).mono()[0]) / rate == 110
    assert heard_part(two_hours, 12.0, num_frames=None, seconds=None) is two_hours
    short = heard_part(Recording.of_wave(torch.ones(800), 8000), 12.0, num_frames=12, seconds=None)
    assert len(short.mono()[0]) == 800
