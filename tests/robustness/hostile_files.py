"""Hostile and damaged files of every kind, opened under watch: python tests/robustness/hostile_files.py --count 240

A file is opened as the loaders would open it, in a forked process whose audit hook notes every program started, every
connection, every file opened for writing. Counted against us: any of these, an exception other than InputError, more
than 5 s of the processor, more than 500 MB beyond what the process had. Prints one JSON object; exit status 1 where
something counts.
"""

from __future__ import annotations

import argparse
import collections
import importlib.util
import io
import json
import os
import random
import resource
import shutil
import struct
import sys
import tempfile
import time
import traceback
import wave
import zipfile
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import sandbox
from sandbox import ROOT

MOST_SEC, MOST_MB = 5.0, 500
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 90 90\n(id) (w) file closefile showpage\n%%EOF\n"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/><script>alert(1)</script></svg>'
MVG = b"push graphic-context\nviewbox 0 0 9 9\nfill 'url(https://localhost/x.png\"|id\")'\npop graphic-context\n"
PDF = b"%PDF-1.4\n1 0 obj<</OpenAction<</S/Launch/F(id)>>>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
PLAYLISTS = {
    "concat": b"ffconcat version 1.0\nfile '{f}/secret.wav'\n",
    "concat of a pipe": b"ffconcat version 1.0\nfile 'pipe:0'\n",
    "hls": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{f}/secret.wav\n#EXT-X-ENDLIST\n",
    "hls of a file": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{f}/secret.wav\n#EXT-X-ENDLIST\n",
    "hls of the net": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n",
    "hls of a concat": b"#EXTM3U\n#EXTINF:1,\nconcat:http://127.0.0.1:9/a|file:///etc/passwd\n#EXT-X-ENDLIST\n",
    "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "dash": b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>http://127.0.0.1:9/</BaseURL></MPD>',
    "rtsp": b"rtsptext\nrtsp://127.0.0.1:9/x\n",
    "pls": b"[playlist]\nFile1=http://127.0.0.1:9/x.mp3\n",
    "asx": b'<asx version="3.0"><entry><ref href="http://127.0.0.1:9/x"/></entry></asx>',
}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *more: bytes, rows: int | None = None) -> bytes:
    """A grey picture of zeros, of which `rows` are really there."""
    data = zlib.compress(b"\0" * ((width + 1) * (height if rows is None else rows)), 9)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def sound(rate: int, channels: int, samples: int, said: int | None = None) -> bytes:
    """A WAV whose header says `said` samples."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((channels, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"\0\1" * (samples * channels))
    data = bytearray(out.getvalue())
    data[24:28] = struct.pack("<I", rate)
    if said is not None:
        data[40:44] = struct.pack("<I", said)
    return bytes(data)


def tiff(kind: int, bits: int, width: int, height: int, data: bytes, packing: int = 1) -> bytes:
    """A grey TIFF that says that size. kind: 1 unsigned, 2 signed, 3 floats. packing: 1 none, 8 deflate."""
    tags = ((256, width), (257, height), (258, bits), (259, packing), (262, 1), (273, 8), (277, 1), (278, height),
            (279, len(data)), (339, kind))  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + b"\0" * 4


def animation(form: str, frames: int, side: int) -> bytes:
    """Frames of one colour, one after the other."""
    from PIL import Image

    out, pictures = io.BytesIO(), [Image.new("RGB", (side, side), (i % 256, 0, 0)) for i in range(frames)]
    pictures[0].save(out, form, save_all=True, append_images=pictures[1:], duration=40)
    return out.getvalue()


def pictures(folder: Path, rng: random.Random, count: int) -> dict[str, bytes]:
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * (64 << 20), 9))
    made = {
        f"{kind}.{end}": data
        for kind, data in {"eps": EPS, "svg": SVG, "mvg": MVG, "pdf": PDF}.items()
        for end in ("png", "jpg")
    }
    made |= {
        "bomb of 108 MP.png": png(12_000, 9_000),
        "a sky without rows.png": png(2**31 - 1, 2**31 - 1, rows=1),
        "long.png": png(2_000_000, 1),
        "no size.png": png(0, 0),
        "text bomb.png": png(8, 8, text),
        "colours bomb.png": png(8, 8, chunk(b"iCCP", b"a\0\0" + zlib.compress(b"\0" * (64 << 20), 9))),
        "frames.png": png(8, 8, chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))),
        "ppm.png": b"P6 60000 60000 255\n" + b"\0" * 100,
        "xpm.png": b'/* XPM */ static char *x[] = {"99999 99999 1 1", "a c red", ',
        "im.png": b"Image type: RGB\r\nImage size (x*y): 90000*90000\r\n" + b"\0" * 512,
        "ico.png": b"\0\0\1\0\1\0\0\0\0\0\1\0\x20\0\xff\xff\xff\x7f\x16\0\0\0",
        "gif.png": b"GIF89a\xff\xff\xff\xff\xf7\0\0" + b"\0" * 768 + b",\0\0\0\0\xff\xff\xff\xff\0\x08\0;",
    }
    made |= {
        "half a million rows.tiff": tiff(1, 32, 2**16, 2**19, b"\0" * 64),
        "wrapped.tiff": tiff(1, 32, 4, 4, b"\xff" * 64),
        "deflate bomb.tiff": tiff(1, 8, 7000, 7000, zlib.compress(b"\0" * 49_000_000, 9), packing=8),
        "no numbers.tiff": tiff(3, 32, 4, 4, struct.pack("<f", float("nan")) * 16),
        "ring.tiff": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
        "moving.webp": animation("WEBP", 300, 200),
        "moving.gif": animation("GIF", 2000, 50),
        "wide.webp": b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0\xff\xff\xff\xff\xff\xff",
    }
    return made | _damaged([folder / "in" / f"picture.{end}" for end in ("png", "jpg", "webp")], rng, count - len(made))


def sounds(folder: Path, rng: random.Random, count: int) -> dict[str, bytes]:
    made = {f"{kind}.wav": data.replace(b"{f}", os.fsencode(folder)) for kind, data in PLAYLISTS.items()}
    made |= {
        "4 GB said.wav": sound(8000, 1, 100, said=2**32 - 1),
        "a rate of 4 GHz.wav": sound(2**32 - 1, 1, 100),
        "a rate of 0.wav": sound(8000, 1, 100).replace(struct.pack("<I", 8000), b"\0\0\0\0"),
        "65535 channels.wav": sound(8000, 1, 100)[:22] + b"\xff\xff" + sound(8000, 1, 100)[24:],
        "block of 0.wav": sound(8000, 1, 100)[:32] + b"\0\0" + sound(8000, 1, 100)[34:],
        "midi.wav": b"MThd\0\0\0\6\0\1\xff\xff\0\1MTrk\x7f\xff\xff\xff",
        "id3 bomb.mp3": b"ID3\4\0\0\x7f\x7f\x7f\x7f" + b"\0" * 2000,
        "flac of 36 bits.flac": b"fLaC\0\0\0\x22" + b"\xff" * 34,
    }
    return made | _damaged([folder / "in" / f"rain.{end}" for end in ("wav", "flac", "ogg")], rng, count - len(made))


ONE = 1 << 16  # the usual speed
EDITS = {  # (how long, of which time, how fast), in an MP4's edit list
    "very many": [(1, 0, ONE)] * 200_000, "one beyond the end": [(500, 2**31 - 1, ONE)], "nothing": [(500, -1, ONE)],
    "of no length": [(0, 0, ONE)] * 1000, "a hole of weeks": [(2**32 - 1, -1, ONE), (500, 0, ONE)],
    "backwards": [(300, 0, -ONE)], "standing": [(500, 0, 0)],
}  # fmt: skip


def edited(mp4: bytes, edits: list[tuple[int, int, int]]) -> bytes:
    """The MP4 with this edit list in its picture track; boxes grow, and so do the places of samples behind them."""
    body = struct.pack(">II", 0, len(edits)) + b"".join(struct.pack(">Iii", *edit) for edit in edits)
    at = mp4.find(b"elst") - 4
    grown = len(body) + 8 - int.from_bytes(mp4[at : at + 4], "big")
    data = bytearray(mp4[:at] + struct.pack(">I4s", len(body) + 8, b"elst") + body + mp4[at:][8 + len(body) - grown :])
    for name in (b"moov", b"trak", b"edts"):
        start = data.find(name) - 4
        data[start : start + 4] = struct.pack(">I", int.from_bytes(data[start : start + 4], "big") + grown)
    place = data.find(b"stco")
    while place > 0 and data.find(b"mdat") > place:
        for i in range(int.from_bytes(data[place + 8 : place + 12], "big")):
            at = place + 12 + 4 * i
            data[at : at + 4] = struct.pack(">I", int.from_bytes(data[at : at + 4], "big") + grown)
        place = data.find(b"stco", place + 4)
    return bytes(data)


def words_alone() -> bytes:
    """A Matroska file of subtitles and nothing else."""
    import av

    srt, out = io.BytesIO(b"1\n00:00:00,000 --> 00:00:01,000\nrain\n\n"), io.BytesIO()
    with av.open(srt, format="srt") as source, av.open(out, "w", format="matroska") as target:
        track = target.add_stream_from_template(source.streams.subtitles[0])
        for packet in source.demux(source.streams.subtitles[0]):
            if packet.dts is not None:
                packet.stream = track
                target.mux(packet)
    return out.getvalue()


def videos(folder: Path, rng: random.Random, count: int) -> dict[str, bytes]:
    made = {f"{kind}.mp4": data.replace(b"{f}", os.fsencode(folder)) for kind, data in PLAYLISTS.items()}
    whole = (folder / "in" / "clip.mp4").read_bytes()
    for name, old, new in (
        ("huge track.mp4", b"avc1", b"avc1"),
        ("another codec.mp4", b"avc1", b"mp4v"),
        ("raw.mp4", b"avc1", b"raw "),
        ("no frames.mp4", b"stsz", b"xxxx"),
    ):
        made[name] = whole.replace(old, new)
    at = whole.find(b"avc1") + 28
    made["huge track.mp4"] = whole[:at] + b"\xff\xff\xff\xff" + whole[at + 4 :]
    at = whole.find(b"stts") + 8
    made["2^32 frames.mp4"] = whole[:at] + b"\0\0\0\1\xff\xff\xff\xff\0\0\0\1" + whole[at + 12 :]
    at = whole.find(b"dref")
    made["another file.mp4"] = whole[:at] + whole[at:].replace(b"url \0\0\0\1", b"url \0\0\0\0", 1)
    made["gif.mp4"] = b"GIF89a\xff\xff\xff\xff\xf7\0\0" + b"\0" * 768 + b",\0\0\0\0\xff\xff\xff\xff\0\x08\0;"
    made |= {f"edits, {name}.mp4": edited(whole, edits) for name, edits in EDITS.items()}
    made["words alone.mkv"] = words_alone()
    webm = (folder / "in" / "clip.webm").read_bytes()
    made["alpha that is not there.webm"] = webm.replace(b"ENCODER", b"ALPHA_M").replace(b"Lavf", b"1\0\0\0")
    made["avi.avi"] = b"RIFF\xff\xff\xff\xffAVI LIST\xff\xff\xff\xffhdrlavih" + b"\xff" * 80
    ends = ("mp4", "mkv", "webm")
    return made | _damaged([folder / "in" / f"clip.{end}" for end in ends], rng, count - len(made))


def archives(good: bytes) -> dict[str, bytes]:
    """Zip archives that grow, hold one another or one thing many times; pickles inside pickles. good: a .pt file."""

    def packed(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as archive:
            for name, data in entries.items():
                archive.writestr(name, data)
        return out.getvalue()

    zeros = bytes(256 << 20)
    bomb = packed({"archive/data.pkl": zeros, "archive/data/0": zeros, "archive/version": b"3\n"})
    inner = packed({"archive/data.pkl": bomb, "archive/version": b"3\n"}, zipfile.ZIP_STORED)
    many = packed({f"archive/data/{i}": b"" for i in range(60_000)}, zipfile.ZIP_STORED)
    same = bytearray(packed({f"archive/data/{i}": b"\0" * (1 << 20) for i in range(20)}, zipfile.ZIP_STORED))
    first = same.find(b"PK\1\2")
    for i in range(1, 20):  # every entry of the directory begins where the first one does
        at = first
        for _ in range(i):
            at = same.find(b"PK\1\2", at + 4)
        same[at + 42 : at + 46] = b"\0\0\0\0"
    loads = b"\x80\x03c_pickle\nloads\nC%c" + b"%s\x85R."
    nested = b"\x80\x02cos\nsystem\nX\x02\0\0\0id\x85R."
    for _ in range(4):
        nested = loads.replace(b"%c", bytes([len(nested)])).replace(b"%s", nested)
    return {
        "zip bomb.pt": bomb, "zip in a zip.pt": inner, "60,000 entries.pt": many,
        "one entry twenty times.pt": bytes(same),
        "two archives.pt": good + good, "pickle in a pickle.pkl": nested, "cut archive.pt": good[:-30],
        "wide.pkl": b"\x80\x02(" + b"K\1" * 3_000_000 + b"t.",
        "ring.pkl": b"\x80\x02]q\0h\0a.", "key of itself.pkl": b"\x80\x02}q\0(]q\1h\1ah\1u.",
    }  # fmt: skip


def checkpoints(rng: random.Random, count: int) -> dict[str, bytes]:
    spec = importlib.util.spec_from_file_location("checkpoint_fuzz", ROOT / "tests" / "checkpoints" / "fuzz.py")
    fuzz = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fuzz)
    whole = fuzz.originals()
    names = list(whole)
    made = {
        "system.pkl": b"\x80\x02cos\nsystem\nX\x0c\x00\x00\x00touch hackedq\x85R.",
        "eval.pt": b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R.",
        "long header.safetensors": struct.pack("<Q", 2**40) + b"{}",
        "header bomb.safetensors": struct.pack("<Q", 90 << 20) + b"{" + b" " * ((90 << 20) - 2) + b"}",
        "deep.safetensors": (lambda x: struct.pack("<Q", len(x)) + x)(b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
        "deep.pkl": b"\x80\x02" + b"]" * 500_000 + b"a" * 499_999 + b".",
        "memo.pkl": b"\x80\x04" + b"]r\xff\xff\xff\x7f.",
        "long string.pkl": b"\x80\x04\x8d" + struct.pack("<Q", 2**60) + b".",
        "doubling.pkl": b"\x80\x02]q\0" + b"(h\0h\0l" * 60 + b".",
    }
    made |= archives(whole["torch.pt"] if "torch.pt" in whole else next(x for x in whole.values() if x[:2] == b"PK"))
    for i in range(max(count - len(made), 0)):
        name = names[i % len(names)]
        stem, end = os.path.splitext(name)
        made[f"{stem} {i}{end}"] = fuzz.damaged(whole[name], list(whole.values()), rng)
    return made


def _damaged(paths: list[Path], rng: random.Random, count: int) -> dict[str, bytes]:
    """Copies with some bytes changed, most of them near the start, or cut."""
    made = {}
    for i in range(max(count, 0)):
        path = paths[i % len(paths)]
        data = bytearray(path.read_bytes())
        for _ in range(rng.choice((1, 3, 20))):
            at = int(len(data) * rng.random() ** 3)
            data[at : at + rng.choice((1, 2, 4))] = rng.choice(
                (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f", rng.randbytes(4))
            )
        made[f"damaged {i}{path.suffix}"] = bytes(data[: rng.randrange(20, len(data))] if rng.random() < 0.2 else data)
    return made


def open_file(kind: str, path: Path) -> None:
    """As our loaders open it, to its end."""
    from soundguide_core.audio.waveform import load_audio
    from soundguide_core.checkpoints import safe_pickle
    from soundguide_core.checkpoints.formats import open_foreign
    from soundguide_core.cli.inspect import describe
    from soundguide_core.common.errors import InputError
    from soundguide_core.media.images import load_image
    from soundguide_core.media.video import probe, read_frames

    readers = {
        "picture": (load_image,),
        "sound": (load_audio,),
        "video": (probe, lambda x: collections.deque(read_frames(x, fps=12.0, seconds=20), maxlen=1), load_audio),
        "checkpoint": (describe, open_foreign, *(() if path.suffix == ".safetensors" else (safe_pickle.read,))),
    }
    for reader in readers[kind]:
        try:
            reader(path)
        except InputError as error:
            assert error.cause and error.remedy and "\n" not in str(error), error


def watched(kind: str, path: Path, report: Path) -> None:
    """Opens the file in this process and writes what happened."""
    Path("/proc/self/clear_refs").write_text(
        "5"
    )  # the peak of the memory starts here; not to be written as another user
    sandbox.drop_root()
    seen: list[str] = []
    place = str(path.parent)

    def hook(event: str, args: tuple) -> None:
        starts = (
            "subprocess.",
            "os.exec",
            "os.posix_spawn",
            "os.system",
            "os.fork",
            "pty.",
            "socket.",
            "ctypes.dlopen",
        )
        writes = event == "open" and isinstance(args[2], int) and args[2] & os.O_ACCMODE != os.O_RDONLY
        if event.startswith(starts) or (writes and not str(args[0]).startswith(place) and args[0] != os.devnull):
            seen.append(f"{event} {args!r}"[:300])

    limit = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + (2 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
    before, began, faults = resident("VmRSS"), time.process_time(), []
    sys.addaudithook(hook)
    try:
        open_file(kind, path)
    except BaseException:
        faults.append(traceback.format_exc()[-1200:])
    seconds, memory = time.process_time() - began, resident("VmHWM") - before
    faults += seen
    faults += [f"{seconds:.1f} s"] * (seconds > MOST_SEC) + [f"{memory} MB"] * (memory > MOST_MB)
    report.write_text(json.dumps({"faults": faults, "seconds": seconds, "memory_mb": memory}))


def resident(what: str) -> int:
    """Megabytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) // 1024


def run(count: int, seed: int) -> dict:
    import PIL.Image
    import torch

    torch.set_num_threads(1)
    PIL.Image.init()
    rng = random.Random(seed)
    report = {"files": collections.Counter(), "failures": {}, "most_seconds": 0.0, "most_mb": 0}
    with tempfile.TemporaryDirectory(prefix="hostile") as place:
        folder = Path(place)
        folder.chmod(0o755)
        sandbox.fill(folder)
        for kind, name in (("picture", "picture.png"), ("sound", "rain.wav"), ("video", "clip.mp4")):
            open_file(kind, folder / "in" / name)  # what is imported late
        open_file("checkpoint", folder / "weights" / "foreign.pkl")
        "\x01".encode("unicode_escape")
        shutil.copy(folder / "in" / "rain.wav", folder / "secret.wav")
        each = count // 4
        made = {
            "picture": pictures(folder, rng, each), "sound": sounds(folder, rng, each),
            "video": videos(folder, rng, each), "checkpoint": checkpoints(rng, each),
        }  # fmt: skip
        box, result = folder / "box", folder / "result.json"
        for kind, files in made.items():
            for name, data in list(files.items())[:each]:
                box.mkdir()
                (box / name).write_bytes(data)
                result.write_text(json.dumps({"faults": ["died"], "seconds": 0.0, "memory_mb": 0}))
                if os.getuid() == 0:
                    sandbox.own(box, sandbox.NOBODY)
                    os.chown(result, sandbox.NOBODY, sandbox.NOBODY)
                child = os.fork()
                if child == 0:
                    try:
                        os.chdir(box)
                        watched(kind, box / name, result)
                    except BaseException:
                        traceback.print_exc()
                    finally:
                        os._exit(0)
                os.waitpid(child, 0)
                found = json.loads(result.read_text())
                left = [x.name for x in box.iterdir() if x.name != name]
                if found["faults"] or left:
                    report["failures"][f"{kind}: {name}"] = found["faults"] + left
                report["files"][kind] += 1
                report["most_seconds"] = max(report["most_seconds"], round(found["seconds"], 2))
                report["most_mb"] = max(report["most_mb"], found["memory_mb"])
                shutil.rmtree(box)
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    report = run(args.count, args.seed)
    print(json.dumps(report, indent=1))
    return 1 if report["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
