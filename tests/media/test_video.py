from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from soundguide_core.audio.waveform import load_audio
from soundguide_core.common.errors import InputError, Stopped
from soundguide_core.media import video, video_writing
from soundguide_core.media.images import save_image

ROOT = Path(__file__).resolve().parents[2]


def ramp(count: int, height: int = 32, width: int = 48) -> torch.Tensor:
    """Grey frames, each brighter than the last, with a dark left half."""
    frames = torch.linspace(-0.5, 0.9, count).view(-1, 1, 1, 1).expand(count, 3, height, width).clone()
    frames[..., : width // 2] = -0.9
    return frames


def write(path, frames, fps=12.0, sound=None, chunk=3):
    with video_writing.writing(path, fps, sound) as put:
        for part in frames.split(chunk):
            put(part)
    return path


def noise(seconds: float, rate: int = 16000, channels: int = 1):
    wave = torch.rand(channels, round(seconds * rate), generator=torch.Generator().manual_seed(0)) - 0.5
    return iter(wave.split(1000, dim=1)), rate


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv", ".webm", ""])
def test_what_is_written_is_read_again(tmp_path, ending):
    frames = ramp(7)
    path = write(tmp_path / f"a{ending}", frames, sound=noise(1.0))
    info = video.probe(path)
    assert (info.width, info.height, info.fps) == (48, 32, 12.0)
    read = video.read_video(path)
    assert read.shape == frames.shape
    assert (read - frames).abs().mean() < (0.05 if ending else 0.005)
    wave, rate = load_audio(info.sound)
    assert wave.shape[0] == 1 and wave.shape[1] / rate == pytest.approx(7 / 12, abs=0.06)
    assert wave.abs().mean() > 0.05
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"a{ending}"]


@pytest.mark.parametrize("count, height, width", [(1, 32, 32), (3, 31, 33), (2, 1, 1), (5, 130, 17)])
def test_single_frames_and_odd_sizes(tmp_path, count, height, width):
    frames = ramp(count, height, width)
    for ending in (".mp4", ""):
        read = video.read_video(write(tmp_path / f"a{ending}", frames))
        odd = (height % 2, width % 2) if ending else (0, 0)
        assert read.shape == (count, 3, height + odd[0], width + odd[1])
        assert (read[..., :height, :width] - frames).abs().mean() < 0.08
    assert video.probe(tmp_path / "a.mp4").sound is None


def test_stereo_stays_and_more_channels_become_one(tmp_path):
    for channels, kept in ((2, 2), (5, 1)):
        path = write(tmp_path / "a.mp4", ramp(4), sound=noise(0.5, channels=channels))
        assert load_audio(path, channels=True)[0].shape[0] == kept


@pytest.mark.parametrize("fps", [5.0, 12.0, 29.97, 60.0])
def test_another_rate_keeps_time(tmp_path, fps):
    frames = ramp(24)
    path = write(tmp_path / "a.mkv", frames, fps=12.0)
    read = torch.cat(list(video.read_frames(path, fps=fps)))
    assert len(read) == pytest.approx(2 * fps, abs=1.01)
    for i in (0, len(read) // 2, len(read) - 1):
        shown = min(int((i + 0.5) / fps * 12), 23)
        assert (read[i] - frames[shown]).abs().mean() < 0.06, i


def test_a_window_in_time(tmp_path):
    frames = ramp(60)
    path = write(tmp_path / "a.mp4", frames, fps=12.0)
    read = torch.cat(list(video.read_frames(path, fps=12.0, start_sec=2.5, seconds=1.0)))
    assert len(read) == 12
    assert (read - frames[30:42]).abs().mean() < 0.05
    with pytest.raises(InputError, match="no frame"):
        list(video.read_frames(path, start_sec=50))


def test_the_end_of_a_cut_file_is_missing_not_fatal(tmp_path):
    frames = torch.rand(48, 1, 64, 64, generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1) * 2 - 1
    path = write(tmp_path / "a.mkv", frames)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    read = video.read_video(path)
    assert 1 <= len(read) < 48
    assert (read[0] - frames[0]).abs().mean() < 0.3


def wrong_files(folder: Path) -> dict[str, Path]:
    (folder / "text.mp4").write_text("not a video")
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "no frames").mkdir()
    with video_writing.writing(folder / "good.mp4", 12.0) as put:
        put(ramp(3))
    (folder / "cut.mp4").write_bytes((folder / "good.mp4").read_bytes()[:300])
    with av.open(str(folder / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return {p.name: p for p in folder.iterdir() if p.name != "good.mp4"} | {"absent": folder / "absent.mp4"}


def test_what_is_no_video_is_refused_in_two_sentences(tmp_path):
    files = wrong_files(tmp_path)
    assert len(files) == 6
    for path in files.values():
        with pytest.raises(InputError) as caught:
            list(video.read_frames(path))
        assert caught.value.cause.endswith(".") and caught.value.remedy.endswith(".")


def test_bad_targets_are_refused_before_the_work(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    for name in ("a.png", "none/a.mp4", "mine"):
        with pytest.raises(InputError):
            video_writing.check_video_target(tmp_path / name)
    with pytest.raises(InputError, match="no frames"), video_writing.writing(tmp_path / "a.mp4", 12.0):
        pass
    with pytest.raises(InputError, match="differ in size"), video_writing.writing(tmp_path / "a.mp4", 12.0) as put:
        put(ramp(1))
        put(ramp(1, 64, 64))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine"]


@pytest.mark.parametrize("ending", [".gif", ".webp"])
def test_animations_are_of_the_frames_and_play_for_ever(tmp_path, ending):
    frames = torch.stack([torch.zeros(3, 32, 48), torch.zeros(3, 32, 48)] + [torch.zeros(3, 32, 48)] * 4)
    for i, img in enumerate(frames):
        img[0], img[1, :, 4 * i : 4 * i + 16], img[2] = 0.6, 0.9, torch.linspace(-1, 1, 48)
    path = write(tmp_path / f"a{ending}", frames, sound=noise(1.0))
    with Image.open(path) as img:
        assert img.n_frames == 6 and img.info["loop"] == 0 and img.size == (48, 32)
        durations = []
        for i in range(6):
            img.seek(i)
            found = torch.from_numpy(np.array(img.convert("RGB"))).permute(2, 0, 1) / 127.5 - 1
            assert (found - frames[i]).abs().mean() < 0.06, i
            durations.append(img.info["duration"])
    assert sum(durations) == pytest.approx(500, abs=11), "six frames at 12 a second"
    assert [p.name for p in tmp_path.iterdir()] == [f"a{ending}"]


def test_a_gif_has_no_more_frames_a_second_than_programs_show(tmp_path):
    with pytest.raises(InputError, match="at most 50"):
        write(tmp_path / "a.gif", ramp(2), fps=60)


@pytest.mark.parametrize("ending", [".mp4", ".gif", ""])
def test_what_was_made_before_ctrl_c_is_kept_under_another_name(tmp_path, ending):
    path = write(tmp_path / f"a{ending}", ramp(2))
    for _ in range(2):
        with (
            pytest.raises(Stopped, match=r"^the 5 frames made so far are in .*unfinished"),
            video_writing.writing(path, 12.0, noise(1.0), keep=True) as put,
        ):
            put(ramp(5))
            raise KeyboardInterrupt
    names = [f"a{ending}", f"a.unfinished{ending}", f"a.unfinished2{ending}"]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(names)
    if ending != ".gif":
        assert [len(video.read_video(tmp_path / name)) for name in names] == [2, 5, 5]


@pytest.mark.parametrize("ending", [".mp4", ""])
def test_an_interrupted_video_leaves_the_old_one(tmp_path, ending):
    path = write(tmp_path / f"a{ending}", ramp(2))
    with pytest.raises(KeyboardInterrupt), video_writing.writing(path, 12.0, noise(1.0)) as put:
        put(ramp(5))
        raise KeyboardInterrupt
    assert len(video.read_video(path)) == 2
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert len(video.read_video(write(path, ramp(4)))) == 4


def test_a_killed_process_leaves_no_broken_video(tmp_path):
    code = (
        "import torch, sys; from soundguide_core.media import video_writing\n"
        "with video_writing.writing(sys.argv[1], 12.0) as put:\n"
        "    for _ in range(10000):\n"
        "        put(torch.rand(4, 3, 64, 64)); print('.', flush=True)\n"
    )
    path = tmp_path / "a.mp4"
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=ROOT, stdout=subprocess.PIPE)
    for _ in range(3):
        process.stdout.readline()
    time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not path.exists()
    assert len(video.read_video(write(path, ramp(3)))) == 3


def test_frames_sort_by_number(tmp_path):
    for i in (2, 10, 1):
        save_image(torch.full([3, 4, 4], i / 10 - 1), tmp_path / f"f{i}.png")
    assert [p.name for p in video.frame_files(tmp_path)] == ["f1.png", "f2.png", "f10.png"]


def test_a_folder_of_frames_of_two_sizes_is_refused(tmp_path):
    save_image(torch.zeros(3, 20, 24), tmp_path / "0.png")
    save_image(torch.zeros(3, 24, 20), tmp_path / "1.png")
    with pytest.raises(InputError, match=r"1\.png has 20 x 24 pixels, 0\.png before it 24 x 20\. Give the frames"):
        list(video.read_frames(tmp_path))


def test_a_stream_that_changes_its_size_keeps_the_first(tmp_path):
    whole = b""
    for height, width in ((32, 48), (48, 64)):
        part = tmp_path / f"{height}.ts"
        with av.open(str(part), "w", format="mpegts") as container:
            stream = container.add_stream("mpeg2video", rate=25)
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
            grey = np.full((height, width, 3), 2 * height, np.uint8)
            for _ in range(6):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
            container.mux(stream.encode())
        whole += part.read_bytes()
    (tmp_path / "both.ts").write_bytes(whole)
    frames = list(video.read_frames(tmp_path / "both.ts"))
    assert {tuple(img.shape) for img in frames} == {(1, 3, 32, 48)}
    assert frames[-1].mean() - frames[0].mean() == pytest.approx(32 / 127.5, abs=0.05)  # both parts are there


@pytest.mark.parametrize("ending", [".mp4", ".webm"])
def test_a_loop_in_a_file_has_no_seam(tmp_path, ending):
    """The step from the last decoded frame to the first is no larger than those between."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 64), indexing="ij")
    angles = torch.arange(36) * (2 * torch.pi / 36)
    texture = 0.3 * torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)) - 0.15
    frames = torch.stack([0.5 * torch.sin(3 * x + 0.2 * a.sin() + y * 0.1 * a.cos()).expand(3, -1, -1) for a in angles])
    found = {}
    for loop in (False, True):
        path = tmp_path / f"{loop}{ending}"
        with video_writing.writing(path, 12.0, loop=loop) as write:
            write(frames + texture)
        shown = video.read_video(path)
        steps = (shown - shown.roll(1, 0)).abs().mean(dim=(1, 2, 3))  # the first is the seam
        found[loop] = float(steps[0] / steps[1:].max())
    assert found[True] < 1.15 and (ending != ".mp4" or found[True] < found[False])
