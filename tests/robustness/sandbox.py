"""A folder of small sounds, pictures, videos and weights, good and strange, and a guard over every file in it.

Sandbox(folder).fill() makes it; its `good` and `strange` name what the fuzzers choose from, relative to the folder
`work`, in which commands run. Manifest compares every name, kind, size and content before and after.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pickle
import shutil
import socket
import stat
import struct
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
NOBODY = 65534
SPECIAL = ("odd/fifo", "odd/fifo.wav", "odd/socket.wav", "odd/loop.png", "odd/dangling.png")


def conftest():
    """tests/conftest.py, whose makers of tiny models are used here without pytest's fixtures."""
    spec = importlib.util.spec_from_file_location("tests_conftest", ROOT / "tests" / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fill(folder: Path) -> None:
    """Everything that can be copied: in/ (good, and damaged), own/ (somebody's files), weights/, home/, work/."""
    for name in ("in", "in/frames", "in/one frame", "in/empty folder", "own", "own/photos", "own/mixed", "own/frames"):
        (folder / name).mkdir(parents=True)
    for name in ("weights", "home", "models", "work", "work/photos", "read-only"):
        (folder / name).mkdir()
    _sounds(folder / "in")
    _pictures(folder / "in")
    _videos(folder / "in")
    _weights(folder / "weights")
    _data_sets(folder / "in")
    _somebodys(folder)


def special(folder: Path) -> None:
    """What no copy holds: FIFOs, sockets, symbolic links, folders and files without permission."""
    odd = folder / "odd"
    odd.mkdir()
    os.mkfifo(odd / "fifo")
    os.mkfifo(odd / "fifo.wav")
    (odd / "link.png").symlink_to(folder / "own" / "holiday.png")
    (odd / "link.mp4").symlink_to(folder / "own" / "holiday.mp4")
    (odd / "link.json").symlink_to(folder / "own" / "notes.json")
    (odd / "link-folder").symlink_to(folder / "own" / "photos")
    (odd / "link.wav").symlink_to(folder / "in" / "rain.wav")
    (odd / "dangling.png").symlink_to("nowhere.png")
    (odd / "loop.png").symlink_to("loop.png")
    (odd / "null.png").symlink_to("/dev/null")
    here = os.getcwd()
    os.chdir(odd)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.wav")
    os.chdir(here)
    for name in ("unreadable.wav", "unreadable.png"):
        (odd / name).write_bytes(b"secret")
        (odd / name).chmod(0)
    (folder / "read-only").chmod(0o555)


def _sounds(folder: Path) -> None:
    import numpy as np
    import soundfile

    rng = np.random.default_rng(0)
    n = 4000
    rain = (rng.standard_normal(n) * 0.2 * np.linspace(0.2, 1, n)).astype(np.float32)
    for name in ("rain.wav", "rain.flac", "rain.ogg", "naïve – 雨.wav", "with space.wav", "-dash.wav", "12:30:15.wav"):
        soundfile.write(folder / name, rain, 8000)
    soundfile.write(folder / "silent.wav", rain * 0, 8000)
    soundfile.write(folder / "one sample.wav", rain[:1], 8000)
    soundfile.write(folder / "eight.wav", np.repeat(rain[:800, None], 8, axis=1), 44100)
    soundfile.write(folder / "nine.wav", np.repeat(rain[:800, None], 9, axis=1), 44100)
    soundfile.write(folder / "slow.wav", rain[:300], 1)
    for name, value in (("nan", np.nan), ("inf", np.inf), ("huge", 1e35)):
        odd = rain.copy()
        odd[1000:1010] = value
        soundfile.write(folder / f"{name}.wav", odd, 8000, subtype="FLOAT")
    whole = (folder / "rain.wav").read_bytes()
    for name, contents in {
        "empty.wav": b"",
        "text.wav": b"this is not a sound\n",
        "header.wav": whole[:44],
        "cut.wav": whole[:30],
        "cut.flac": (folder / "rain.flac").read_bytes()[:600],
        "cut.ogg": (folder / "rain.ogg").read_bytes()[:-900],
        "playlist.m3u8": b"#EXTM3U\n#EXTINF:1,\nrain.wav\n",
        "list.wav": b"ffconcat version 1.0\nfile rain.wav\n",
    }.items():
        (folder / name).write_bytes(contents)


def _pictures(folder: Path) -> None:
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    pixels = rng.integers(256, size=(32, 32, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    for name in ("picture.png", "picture.jpg", "picture.webp", "picture.bmp", "picture.tiff", "picture.gif"):
        picture.save(folder / name)
    picture.convert("CMYK").save(folder / "cmyk.jpg")
    picture.convert("P").save(folder / "palette.png", transparency=0)
    Image.fromarray(rng.integers(2**16, size=(20, 32), dtype=np.uint16)).save(folder / "deep.png")
    Image.fromarray(rng.integers(256, size=(32, 20, 4), dtype=np.uint8)).save(folder / "alpha.png")
    picture.crop((0, 0, 1, 1)).save(folder / "pixel.png")
    Image.new("RGB", (3000, 2)).save(folder / "line.png")
    Image.fromarray(rng.random((8, 8)).astype(np.float32)).save(folder / "float.tiff")
    half = np.zeros((32, 32), np.uint8)
    half[:, 16:] = 255
    Image.fromarray(half).save(folder / "mask.png")
    Image.fromarray(half * 0).save(folder / "black.png")
    Image.fromarray(half * 0 + 255).save(folder / "white.png")
    whole = (folder / "picture.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[:400])
    (folder / "text.png").write_bytes(b"this is not a picture\n")
    (folder / "eps.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    size = struct.pack(">II", 200_000, 200_000)
    (folder / "bomb.png").write_bytes(whole[:16] + size + whole[24:])
    for i in range(3):
        Image.fromarray(np.roll(pixels, i, axis=1)).save(folder / "frames" / f"{i:05d}.png")
    picture.save(folder / "one frame" / "0.png")


def _videos(folder: Path) -> None:
    import torch

    from soundguide_core.audio.waveform import stream_audio
    from soundguide_core.media.video_writing import writing

    frames = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for name, sound in (("clip.mp4", True), ("clip.mkv", True), ("mute.mp4", False), ("clip.webm", True)):
        with writing(folder / name, 12.0, stream_audio(folder / "rain.wav") if sound else None) as write:
            write(frames)
    with writing(folder / "still.mp4", 12.0) as write:
        write(frames[:1])
    whole = (folder / "clip.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    (folder / "cut.mkv").write_bytes((folder / "clip.mkv").read_bytes()[:-700])
    (folder / "text.mp4").write_bytes(b"this is not a video\n")
    (folder / "list.mp4").write_bytes(b"ffconcat version 1.0\nfile clip.mkv\n")


def _weights(folder: Path) -> None:
    makers = conftest()
    tiny = makers.make_tiny(folder)
    makers.make_tiny_unet(folder / "unet.safetensors")
    makers.make_tiny_trajectory(folder / "trajectory.safetensors", tiny)
    makers.make_tiny_video_generator(folder / "video.safetensors")
    shutil.copy(ROOT / "tests" / "fixtures" / "stylegan2_ada.pkl", folder / "foreign.pkl")
    whole = tiny.generator.read_bytes()
    for name, contents in {
        "cut.safetensors": whole[: len(whole) // 2],
        "empty.safetensors": b"",
        "program.pkl": b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00exit\x85R.",
        "list.pkl": pickle.dumps([1, {"a": 2}]),
        "text.pt": b"not weights\n",
        "long.safetensors": struct.pack("<Q", 2**60) + b"{}",
    }.items():
        (folder / name).write_bytes(contents)


def _data_sets(folder: Path) -> None:
    (folder / "esc" / "meta").mkdir(parents=True)
    (folder / "esc" / "audio").mkdir()
    rows = "1-1-A-0.wav,1,0,rain\n2-1-A-1.wav,2,1,fire\n"
    (folder / "esc" / "meta" / "esc50.csv").write_text(f"filename,fold,target,category\n{rows}")
    for name in ("1-1-A-0.wav", "2-1-A-1.wav"):
        shutil.copy(folder / "rain.wav", folder / "esc" / "audio" / name)
    for name, contents in {
        "broken.toml": b"a = = 1\n",
        "latin.toml": "name = 'caf\xe9'\n".encode("latin-1"),
        "empty.toml": b"",
        "types.toml": b"[generator]\nresolution = 'large'\n[training]\nkimg = -1\n",
        "loop.toml": b"base = 'loop.toml'\n",
    }.items():
        (folder / name).write_bytes(contents)


def _somebodys(folder: Path) -> None:
    """Files that no command was asked to touch, where commands write."""
    own, work = folder / "own", folder / "work"
    for target in (own / "photos", own / "mixed", work / "photos"):
        for i in range(3):
            shutil.copy(folder / "in" / "picture.png", target / f"IMG_{i}.png")
    (own / "mixed" / "letter.txt").write_text("dear friend\n")
    shutil.copytree(folder / "in" / "frames", own / "frames", dirs_exist_ok=True)
    shutil.copy(folder / "in" / "picture.png", own / "holiday.png")
    shutil.copy(folder / "in" / "clip.mp4", own / "holiday.mp4")
    (own / "notes.json").write_text('{"mine": 1}\n')
    (own / "thesis.safetensors").write_bytes((folder / "weights" / "generator.safetensors").read_bytes())
    for name in ("new.mp4.part", "new.png.part", "new.part", "new.json.part", "new.safetensors.part", "notes.txt"):
        (work / name).write_text("half a download of somebody's\n")
    shutil.copy(folder / "in" / "picture.png", work / "mine.png")
    shutil.copy(folder / "in" / "picture.png", folder / "read-only" / "mine.png")


class Manifest:
    """name => (kind, content) of every entry under a folder; content: a hash, or a link's target."""

    def __init__(self, folder: Path):
        self.folder = str(folder)
        self.known: dict[str, tuple] = {}
        self.entries = self._look()

    def _look(self) -> dict[str, tuple[str, str]]:
        found, known, waiting = {}, {}, [self.folder]
        while waiting:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    state = entry.stat(follow_symlinks=False)
                    name = entry.path[len(self.folder) + 1 :]
                    kind, content = stat.S_IFMT(state.st_mode), ""
                    if stat.S_ISDIR(state.st_mode):
                        waiting.append(entry.path)
                    elif stat.S_ISLNK(state.st_mode):
                        content = os.readlink(entry.path)
                    elif stat.S_ISREG(state.st_mode):
                        stamp = (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
                        content = (
                            self.known[name][1] if self.known.get(name, (None,))[0] == stamp else _hash(entry.path)
                        )
                        known[name] = (stamp, content)
                    found[name] = (f"{kind:o}", content)
        self.known = known
        return found

    def changes(self) -> dict[str, list[str]]:
        """{"lost", "altered", "new"}: names, against what was there at first."""
        now = self._look()
        return {
            "lost": sorted(self.entries.keys() - now.keys()),
            "altered": sorted(name for name in self.entries.keys() & now.keys() if self.entries[name] != now[name]),
            "new": sorted(now.keys() - self.entries.keys()),
        }


def _hash(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except PermissionError:
        return "unreadable"


def own(folder: Path, uid: int) -> None:
    """Everything in the folder belongs to that user."""
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, uid, uid, follow_symlinks=False)


def drop_root() -> None:
    """An ordinary user from here on, where this is root: devices and other people's files are out of reach."""
    if hasattr(os, "getuid") and os.getuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
