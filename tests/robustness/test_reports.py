"""Situations that people reported of programs like this one, each with the right value. The report stands beside it."""

from __future__ import annotations

import io
import struct

import av
import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from soundguide_core.audio.waveform import load_audio, to_mono
from soundguide_core.checkpoints import registry
from soundguide_core.common.errors import InputError
from soundguide_core.media.images import load_image
from soundguide_core.media.video import probe, read_video
from soundguide_core.media.video_writing import writing


def with_cover(mp3: bytes) -> bytes:
    """The MP3 with a JPEG as its front cover (ID3v2.3)."""
    picture = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(picture, "JPEG")
    body = b"\0image/jpeg\0\x03\0" + picture.getvalue()
    frame = b"APIC" + struct.pack(">I", len(body)) + b"\0\0" + body
    size = bytes(len(frame) >> shift & 127 for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + size + frame + mp3


@pytest.fixture
def cover(tmp_path):
    path = tmp_path / "cover.mp3"
    soundfile.write(path, np.sin(np.arange(16000) / 9) * 0.5, 16000, format="MP3")
    path.write_bytes(with_cover(path.read_bytes()))
    return path


# simonh10/ffprobe 1; UltraStar-Deluxe/USDX 948: music with a cover is taken for a video
def test_music_with_a_cover_is_no_video(cover):
    assert load_audio(cover)[0].shape[-1] >= 16000
    with pytest.raises(InputError, match="no picture track"):
        probe(cover)


# a file of subtitles alone, as MKVToolNix extracts them, is neither a video nor a sound
def test_subtitles_are_no_video(tmp_path):
    (tmp_path / "a.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nrain\n")
    with av.open(str(tmp_path / "a.srt")) as words, av.open(str(tmp_path / "a.mkv"), "w") as out:
        track = out.add_stream_from_template(words.streams.subtitles[0])
        for packet in words.demux(words.streams.subtitles[0]):
            if packet.dts is not None:
                packet.stream = track
                out.mux(packet)
    with pytest.raises(InputError, match="no picture track"):
        probe(tmp_path / "a.mkv")
    with pytest.raises(InputError, match="no sound track"):
        load_audio(tmp_path / "a.mkv")


# animated WebP, APNG and GIF: of a moving picture the first one is taken
@pytest.mark.parametrize("kind", ["WEBP", "PNG", "GIF"])
def test_the_first_of_a_moving_picture(tmp_path, kind):
    first, *rest = (Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue"))
    first.save(tmp_path / "a.png", kind, save_all=True, append_images=rest, duration=100)
    img = load_image(tmp_path / "a.png")[0].mean(dim=(1, 2))
    assert img[0] > 0.9 and img[1:].max() < -0.9


# Geektoolkit/Dynaframe3 49: hidden ._ files of a Mac among the pictures; Kosinkadink/VideoHelperSuite 131: 10 before 2
def test_a_folder_as_a_mac_leaves_it(tmp_path):
    for i in (1, 2, 10):
        Image.new("RGB", (8, 8), (i * 20,) * 3).save(tmp_path / f"F{i}.PNG", "PNG")
        (tmp_path / f"._F{i}.PNG").write_bytes(b"\0\5\x16\7" + b"\0" * 100)
    (tmp_path / ".DS_Store").write_bytes(b"x")
    frames = read_video(tmp_path)
    assert [round(float(x.mean()) * 127.5 + 127.5) for x in frames] == [20, 40, 200]


# m-bain/whisperX 750: stereo whose channels cancel is silence once mixed
def test_channels_that_cancel_are_heard():
    x = torch.sin(torch.arange(8000) / 5) * 0.5
    assert torch.equal(to_mono(torch.stack([x, -x])), x)
    both = torch.stack([torch.stack([x, -x]), torch.stack([x, x * 0])])
    assert torch.equal(to_mono(both), torch.stack([x, x / 2]))
    assert not to_mono(torch.zeros(2, 10)).any()


# pytorch/audio 1376 and 3806, mmmaudio 266, librosa 344: depths and headers of WAV and AIFF
@pytest.mark.parametrize(
    "kind, depth", [("WAV", "PCM_24"), ("WAVEX", "PCM_24"), ("WAV", "PCM_U8"), ("WAV", "ULAW"), ("WAV", "DOUBLE"),
                    ("AIFF", "PCM_24"), ("RF64", "PCM_16"), ("W64", "PCM_16"), ("FLAC", "PCM_24")]
)  # fmt: skip
def test_depths_and_headers(tmp_path, kind, depth):
    x = np.sin(np.arange(8000) / 5) * 0.5
    soundfile.write(tmp_path / "x.wav", x, 8000, format=kind, subtype=depth)
    wave, rate = load_audio(tmp_path / "x.wav")
    assert rate == 8000 and wave.shape == (1, 8000) and np.abs(wave[0].numpy() - x).max() < 0.03


# librosa/librosa 876 and 686: a header that does not know the length, as streamed files have
@pytest.mark.parametrize("said", [0, 0xFFFFFFFF])
def test_a_header_that_does_not_know_the_length(tmp_path, said):
    soundfile.write(tmp_path / "x.wav", np.ones(8000) * 0.1, 8000)
    data = bytearray((tmp_path / "x.wav").read_bytes())
    for at in (4, data.find(b"data") + 4):
        data[at : at + 4] = struct.pack("<I", said)
    (tmp_path / "x.wav").write_bytes(data)
    assert load_audio(tmp_path / "x.wav")[0].shape == (1, 8000)


# VideoHelperSuite 51, 3b1b/manim 55, Zulko/moviepy 1072: an odd size stops the encoder
def test_odd_sizes_are_written(tmp_path):
    with writing(tmp_path / "x.mp4", 12.0) as write:
        write(torch.zeros(2, 3, 33, 31))
    assert read_video(tmp_path / "x.mp4").shape == (2, 3, 34, 32)


# lucidrains/stylegan2-pytorch 39: grey with transparency; NVlabs/stylegan2-ada 110: CMYK and other colour spaces
@pytest.mark.parametrize("mode", ["LA", "L", "1", "P", "PA", "CMYK", "YCbCr", "RGBA"])
def test_modes_of_pictures(tmp_path, mode):
    end = "tiff" if mode in ("CMYK", "YCbCr", "PA") else "png"
    picture = Image.new("L", (8, 8), 255).convert("P") if mode == "PA" else Image.new("L", (8, 8), 255)
    picture = picture.convert("RGB").convert(mode) if mode in ("CMYK", "YCbCr") else picture.convert(mode)
    try:
        picture.save(tmp_path / f"x.{end}")
    except OSError:
        pytest.skip(f"Pillow does not write {mode}")
    assert load_image(tmp_path / f"x.{end}").mean() > 0.99


# huggingface/diffusers 13559: a Git LFS pointer or a page of apology in place of weights
def test_pages_and_pointers_are_named(tmp_path):
    from soundguide_core.generators.loading import load_generator

    (tmp_path / "a.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64)
    (tmp_path / "b.pt").write_bytes(b"<!DOCTYPE html><html>Virus scan warning</html>")
    for name, word in (("a.safetensors", "Git LFS pointer"), ("b.pt", "web page")):
        with pytest.raises(InputError, match=word):
            load_generator(tmp_path / name)


# containers run as a user without a name: no home, and a cache of somebody else
def test_a_folder_of_weights_that_may_not_be_looked_into(monkeypatch, tmp_path):
    monkeypatch.setattr("os.stat", lambda *args, **kwargs: (_ for _ in ()).throw(PermissionError(13, "denied")))
    monkeypatch.setenv("SOUNDGUIDE_MODELS", str(tmp_path))
    registry.rows.cache_clear() if hasattr(registry.rows, "cache_clear") else None
    assert any(row.missing for row in registry.rows())
