"""Videos as people have them: uneven, late, turned, wide pixels, with alpha, damaged, under odd names."""

from __future__ import annotations

import contextlib
import struct
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch

from soundguide_core.audio.waveform import load_audio, stream_audio
from soundguide_core.common.errors import InputError
from soundguide_core.media import video, video_writing
from soundguide_core.media.images import from_uint8

UNIT = Fraction(1, 12288)


def encode(
    path: Path, pictures, times=None, *, codec="libx264", kind="rgb24", pix_fmt="yuv420p", sound=None, sound_at=0.0,
    aspect=None, form=None,
) -> Path:  # fmt: skip
    """pictures: uint8 [H,W,C], shown at these times in seconds (None: 12 a second). sound: [N] at 48 kHz."""
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=12)
        stream.height, stream.width, stream.pix_fmt = *pictures[0].shape[:2], pix_fmt
        stream.codec_context.time_base = UNIT
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        track = None if sound is None else container.add_stream("aac", rate=48000, layout="mono")
        for i, pixels in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(pixels, format=kind)
            frame.pts, frame.time_base = round((i / 12 if times is None else times[i]) / UNIT), UNIT
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None:
            frame = av.AudioFrame.from_ndarray(sound[None].astype(np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48000, round(sound_at * 48000)
            frame.time_base = Fraction(1, 48000)
            container.mux(track.encode(frame))
            container.mux(track.encode())
    return path


def turn(path: Path) -> Path:
    """The MP4 or MOV by 90 degrees, by a mark in its header."""
    content = bytearray(path.read_bytes())
    straight = b"".join(x.to_bytes(4, "big") for x in (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30))
    turned = b"".join((x % 2**32).to_bytes(4, "big") for x in (0, 1 << 16, 0, -1 << 16, 0, 0, 32 << 16, 0, 1 << 30))
    place = content.find(straight, content.find(b"tkhd"))
    content[place : place + 36] = turned
    path.write_bytes(content)
    return path


def edit(path: Path, *edits: tuple[int, int]) -> Path:
    """The MP4 with this edit list in its picture track: (milliseconds, from which time of the track; -1 for none)."""
    content = path.read_bytes()
    body = struct.pack(">II", 0, len(edits)) + b"".join(struct.pack(">IiI", *each, 1 << 16) for each in edits)
    at = content.find(b"elst") - 4
    size = int.from_bytes(content[at : at + 4], "big")
    new = bytearray(content[:at] + struct.pack(">I4s", 8 + len(body), b"elst") + body + content[at + size :])
    for name in (b"moov", b"trak", b"edts"):  # behind the samples, whose places stay
        box = new.find(name) - 4
        grown = int.from_bytes(new[box : box + 4], "big") + 8 + len(body) - size
        new[box : box + 4] = struct.pack(">I", grown)
    path.write_bytes(new)
    return path


def greys(count: int, height=32, width=48) -> list[np.ndarray]:
    return [np.full((height, width, 3), 20 + round(220 * i / max(count - 1, 1)), np.uint8) for i in range(count)]


def brightness(frames: torch.Tensor) -> list[float]:
    return ((frames.mean(dim=(1, 2, 3)) + 1) * 127.5).tolist()


UNEVEN = [0, 1 / 12, 2 / 12, 3 / 12, 4 / 12, 5 / 12, 6 / 12, 1, 1.5, 2, 2.5, 3]


def test_uneven_times_become_a_constant_rate_of_the_same_length(tmp_path):
    path = encode(tmp_path / "a.mp4", greys(12), UNEVEN)
    info = video.probe(path)
    seen = brightness(video.read_video(path))
    assert info.fps == 12 and len(seen) == 42
    for i, value in enumerate(seen):
        shown = max(k for k, time in enumerate(UNEVEN) if time <= (i + 0.5) / 12 + 1e-6)
        assert value == pytest.approx(20 + 20 * shown, abs=6), i
    assert len(video.read_video(path, fps=25.0)) == pytest.approx(87, abs=1)


@pytest.mark.parametrize("late", ["picture", "sound"])
@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_an_offset_between_sound_and_picture_stays(tmp_path, late, ending):
    """A flash and a click at the same moment, 1 s into the one that begins late."""
    pictures = [np.zeros((32, 48, 3), np.uint8) for _ in range(24)]
    first = 6 if late == "picture" else 12  # of the frames, the one that flashes
    pictures[first + (0 if late == "picture" else 6)][:] = 255
    flash = 1.0 if late == "picture" else 1.5
    sound = np.zeros(72000)
    click = round((flash - (0.5 if late == "sound" else 0)) * 48000)
    sound[click : click + 480] = 0.9
    times = [i / 12 + (0.5 if late == "picture" else 0) for i in range(24)]
    path = encode(tmp_path / f"a{ending}", pictures, times, sound=sound, sound_at=0.5 if late == "sound" else 0.0)

    def moments(path) -> tuple[float, float]:
        wave, rate = load_audio(path)
        return int(np.argmax(brightness(video.read_video(path)))) / 12, int(wave[0].abs().argmax()) / rate

    assert moments(path) == pytest.approx((flash, flash), abs=0.06)
    copy = tmp_path / f"b{ending}"
    with video_writing.writing(copy, video.probe(path).fps, stream_audio(path)) as write:
        write(video.read_video(path))
    assert moments(copy) == pytest.approx((flash, flash), abs=0.06)


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv", ".webm", ""])
@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_sound_that_is_written_keeps_its_time(tmp_path, ending, rate):
    """An encoder of AAC puts 1024 samples before the first one, 21 ms, which are not to be heard."""
    click = torch.zeros(1, 2 * rate)
    click[:, rate : rate + rate // 100] = 0.9
    with video_writing.writing(tmp_path / f"a{ending}", 12.0, (click.split(1000, dim=1), rate)) as write:
        write(torch.zeros(24, 3, 32, 48))
    wave, again = load_audio(tmp_path / f"a{ending}" if ending else tmp_path / "a" / video.SOUND_FILE)
    assert int((wave[0].abs() > 0.3).nonzero()[0]) / again == pytest.approx(1.0, abs=0.002)


@pytest.mark.parametrize(
    "aspect, size", [(Fraction(2), (32, 96)), (Fraction(1, 2), (32, 24)), (Fraction(64, 45), (32, 68))]
)
def test_pixels_become_square(tmp_path, aspect, size):
    path = encode(tmp_path / "a.mp4", greys(3), aspect=Fraction(aspect))
    info = video.probe(path)
    assert (info.height, info.width) == size == tuple(video.read_video(path).shape[2:])


def test_a_turned_video_says_its_upright_size(tmp_path):
    pictures = [np.zeros((32, 48, 3), np.uint8) for _ in range(3)]
    for pixels in pictures:
        pixels[:, :24] = 255
    path = encode(tmp_path / "a.mov", pictures)
    turn(path)
    info = video.probe(path)
    frames = video.read_video(path)
    assert (info.height, info.width) == (48, 32) == tuple(frames.shape[2:])
    assert frames[0, :, :20].mean() > 0.9 and frames[0, :, 28:].mean() < -0.9  # its left side is now on top


def test_a_turned_square_of_wide_pixels(tmp_path):
    pictures = [np.full((32, 32, 3), 128, np.uint8)] * 3
    path = turn(encode(tmp_path / "a.mov", pictures, aspect=Fraction(2)))
    assert tuple(video.read_video(path).shape[2:]) == (64, 32)  # 64 wide before it was turned


@pytest.mark.parametrize(
    "edits, shown",
    [([(1000, 8)], range(8, 20)),  # trimmed on a phone, in the middle of a group of pictures
     ([(500, None), (1000, 0)], [0] * 6 + list(range(12))), ([(500, 6), (500, 0)], [*range(6, 12), *range(6)])],
)  # fmt: skip
def test_edit_lists_of_mp4(tmp_path, edits, shown):
    path = encode(tmp_path / "a.mp4", greys(24), sound=np.zeros(96000))
    content = path.read_bytes()
    begin, ticks = int.from_bytes(content[content.find(b"elst") + 16 :][:4], "big"), 12288 // 12
    edit(path, *((length, -1 if first is None else begin + first * ticks) for length, first in edits))
    levels = [20 + round(220 * i / 23) for i in shown]
    assert brightness(video.read_video(path)) == pytest.approx(levels, abs=3)


def test_an_edit_list_that_shows_nothing_ends(tmp_path):
    path = edit(encode(tmp_path / "a.mp4", greys(4)), *[(1, 0)] * 100_000)
    began = time.process_time()
    with pytest.raises(InputError, match="no frame that can be read"):
        video.read_video(path)
    assert time.process_time() - began < 15  # a second and a half; all of it would be minutes


def test_two_files_in_a_row_keep_their_rate(tmp_path):
    part = encode(tmp_path / "a.ts", greys(12)).read_bytes()
    (tmp_path / "b.ts").write_bytes(part * 2)
    assert video.probe(tmp_path / "b.ts").fps == pytest.approx(12, abs=0.05)
    assert len(video.read_video(tmp_path / "b.ts")) == pytest.approx(24, abs=1)


def test_an_encoding_that_nobody_knows_is_refused_by_name(tmp_path):
    path = encode(tmp_path / "a.mp4", greys(3))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zz9q"))
    soundfile.write(tmp_path / "a.wav", np.zeros(4800), 48000)
    sound = bytearray((tmp_path / "a.wav").read_bytes())
    sound[20:22] = b"\x77\x77"  # the number of its encoding
    (tmp_path / "a.wav").write_bytes(sound)
    for read, name, what in (
        (video.read_video, "a.mp4", "picture track"), (video.probe, "a.mp4", "picture track"),
        (load_audio, "a.wav", "sound"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=f"The {what} of .* is encoded in a way"):
            read(tmp_path / name)


@pytest.mark.parametrize("codec, pix_fmt", [("prores_ks", "yuva444p10le"), ("png", "rgba"), ("qtrle", "argb")])
def test_alpha_is_laid_on_white(tmp_path, codec, pix_fmt):
    pixels = np.zeros((32, 48, 4), np.uint8)
    pixels[:, 24:, 3] = 255  # black, seen in the right half only
    path = encode(tmp_path / "a.mov", [pixels] * 3, codec=codec, kind="rgba", pix_fmt=pix_fmt)
    frame = video.read_video(path)[0]
    assert frame[..., :20].min() > 0.95 and frame[..., 28:].max() < -0.9


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_alpha_of_webm_is_laid_on_white(tmp_path, codec):
    pixels = np.zeros((32, 48, 4), np.uint8)
    pixels[:, 24:, 3] = 255  # black, seen in the right half only
    with av.open(str(tmp_path / "a.webm"), "w") as container:
        stream = container.add_stream(codec, rate=12, options={"auto-alt-ref": "0"})
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuva420p"
        stream.metadata["alpha_mode"] = "1"
        for packet in [p for _ in range(3) for p in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgba"))]:
            container.mux(packet)
        container.mux(stream.encode(None))
    frames = video.read_video(tmp_path / "a.webm")
    assert len(frames) == 3 and video.probe(tmp_path / "a.webm").height == 32
    assert frames[..., :20].min() > 0.95 and frames[..., 28:].max() < -0.9


COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [230, 150, 120], [40, 90, 200], [128, 128, 128]], np.uint8)


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv", ".webm"])
@pytest.mark.parametrize("height", [128, 720])
def test_colours_are_tagged_and_come_back(tmp_path, height, ending):
    pixels = torch.from_numpy(np.repeat(np.repeat(COLOURS[None], height, 0), 32, 1))[None]
    path = tmp_path / f"a{ending}"
    with video_writing.writing(path, 12.0) as write:
        write(from_uint8(pixels))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream))
        assert int(frame.colorspace) == (1 if height == 720 else 5)
        assert int(stream.codec_context.color_primaries) == (1 if height == 720 else 6)
    back = video.read_video(path)[0, :, height // 2, 16::32].T
    assert (back - from_uint8(pixels)[0, :, 0, 16::32].T).abs().max() < 0.06


def test_a_video_that_does_not_say_its_colours_is_taken_by_its_size(tmp_path):
    for height, matrix in ((128, "ITU601"), (720, "ITU709")):
        planes = np.repeat(np.repeat(COLOURS[None], height, 0), 32, 1)
        path = tmp_path / f"{height}.mkv"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("ffv1", rate=12)
            stream.height, stream.width, stream.pix_fmt = height, planes.shape[1], "yuv444p"
            frame = av.VideoFrame.from_ndarray(planes, format="rgb24").reformat(format="yuv444p", dst_colorspace=matrix)
            frame.pts, frame.colorspace = 0, 2
            container.mux(stream.encode(frame))
            container.mux(stream.encode())
        back = video.read_video(path)[0, :, height // 2, 16::32].T
        assert (back - torch.from_numpy(COLOURS) / 127.5 + 1).abs().max() < 0.04


def test_a_damaged_frame_keeps_the_time_and_is_told_once(tmp_path):
    path = encode(tmp_path / "a.mov", greys(12), codec="png", pix_fmt="rgb24")
    content = bytearray(path.read_bytes())
    starts = [i for i in range(len(content)) if content[i : i + 4] == b"\x89PNG"]
    assert len(starts) == 12
    for k in (4, 5):
        content[starts[k] : starts[k] + 20] = bytes(20)
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="2 damaged packets were left out"):
        seen = brightness(video.read_video(path))
    assert seen == pytest.approx([20 + 20 * (k if k not in (4, 5) else 3) for k in range(12)], abs=2)


@pytest.mark.parametrize("name", ["12:30:15.mp4", "http:a.mp4", "100%d.mp4", "a b\n.mp4", "ü☂.mp4", "-a.mp4"])
def test_odd_names_are_written_and_read(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    wave = torch.rand(1, 8000) - 0.5
    with video_writing.writing(name, 12.0, (iter([wave]), 16000)) as write:
        write(torch.zeros(3, 3, 32, 32))
    assert len(video.read_video(name)) == 3 and load_audio(name)[0].shape[1] > 8000
    assert [p.name for p in tmp_path.iterdir()] == [name]


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{other}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{other}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 33\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{other}</BaseURL></MPD>',
    "text": "hello, this is a letter\n" * 100,
}


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("ending", [".mp4", ".m3u8", ".txt"])
def test_a_file_that_names_others_is_no_video(tmp_path, monkeypatch, kind, ending):
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("it went to the network"))
    other = encode(tmp_path / "other.ts", greys(3), form="mpegts")
    path = tmp_path / f"a{ending}"
    path.write_text(PLAYLISTS[kind].format(other=other))
    for read in (video.probe, video.read_video, load_audio):
        with pytest.raises(InputError):
            read(path)


def test_a_cover_is_no_video_and_hides_no_sound(tmp_path):
    path = tmp_path / "a.mp3"
    with av.open(str(path), "w") as container:
        track = container.add_stream("mp3", rate=48000, layout="mono")
        cover = container.add_stream("mjpeg", rate=1)
        cover.height, cover.width, cover.pix_fmt = 32, 32, "yuvj420p"
        with contextlib.suppress(AttributeError):
            cover.disposition = 1 << 10
        container.mux(cover.encode(av.VideoFrame.from_ndarray(greys(1, 32, 32)[0], format="rgb24")))
        container.mux(cover.encode())
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        container.mux(track.encode(frame))
        container.mux(track.encode())
    assert load_audio(path)[0].shape[1] == pytest.approx(48000, abs=2500)
    with pytest.raises(InputError, match="no picture track"):
        video.probe(path)
