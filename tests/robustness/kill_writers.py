"""Everything that writes, killed at random moments: python tests/robustness/kill_writers.py --moments 10

Each writer runs in a forked process again and again until SIGKILL. What was under its name before must be there after,
or the whole of what is new. Prints one JSON object; exit status 1 where a file is anything else.
"""

from __future__ import annotations

import argparse
import hashlib
import http.server
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

FRAMES, SIZE = 12, 64
PAYLOAD = bytes(range(256)) * 8000
WEIGHTS = {"a": torch.arange(300_000.0), "b": torch.ones(3, 4)}
TARGETS = {
    "picture": "out.png",
    "video": "out.mp4",
    "frames": "out",
    "gif": "out.gif",
    "webp": "out.webp",
    "unfinished": "out.unfinished",
    "report": "out.json",
    "weights": "out.safetensors",
    "convert": "out.safetensors",
    "download": "out.bin",
    "training": "state.safetensors",
}


def picture(path: Path) -> None:
    from soundguide_core.media.images import save_image

    save_image(torch.rand(3, SIZE * 4, SIZE * 4) * 2 - 1, path)


def video(path: Path) -> None:
    from soundguide_core.media.video_writing import writing

    with writing(path, 12.0, (iter([torch.rand(1, 16000) - 0.5]), 16000)) as write:
        for _ in range(6):
            write(torch.rand(2, 3, SIZE, SIZE) * 2 - 1)


def unfinished(path: Path) -> None:
    """An edit that goes on where the last one was killed; once it is at its end it begins anew."""
    from soundguide_core.diffusion.windows import EditedVideo, Reached
    from soundguide_core.pipelines import unfinished_edit

    path.mkdir(exist_ok=True)
    edit = unfinished_edit.UnfinishedEdit(path, "an edit", FRAMES)
    if edit.reached.first == FRAMES:
        unfinished_edit._clear(path)
        edit = unfinished_edit.UnfinishedEdit(path, "an edit", FRAMES)
    for first in range(edit.reached.first, FRAMES, 2):
        frames = torch.rand(2, 3, SIZE, SIZE) * 2 - 1
        edit.add(EditedVideo(frames, frames[:, :1], [], Reached(first + 2)))


def report(path: Path) -> None:
    from soundguide_core.cli.common import emit_json

    emit_json({"numbers": list(range(50_000))}, path)


def weights(path: Path) -> None:
    from soundguide_core.checkpoints import safetensors_io

    safetensors_io.save(path, WEIGHTS, {"x": 1})


def convert(path: Path) -> None:
    from soundguide_core.checkpoints.weights import convert

    convert(Path(__file__).resolve().parents[1] / "fixtures" / "stylegan2_ada.pkl", path)


class Slow(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(PAYLOAD)))
        self.end_headers()
        for first in range(0, len(PAYLOAD), 1 << 18):
            self.wfile.write(PAYLOAD[first : first + (1 << 18)])
            time.sleep(0.003)

    def log_message(self, *_):
        pass


def download(path: Path) -> None:
    from soundguide_core.checkpoints.download import download

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    download(f"http://127.0.0.1:{server.server_port}/x", path, size=len(PAYLOAD))
    server.shutdown()
    server.server_close()


class Training:
    def __init__(self):
        network = torch.nn.Linear(200, 400)
        self.modules, self.optimisers = {"net": network}, {"opt": torch.optim.Adam(network.parameters())}

    def step(self, i: int) -> dict[str, float]:
        return {"loss": 0.0}


def training(path: Path) -> None:
    from soundguide_core.training.engine.loop import run

    run(Training(), 20, path.parent, save_every=1)


MOVING = ("video", "frames", "gif", "webp")
WRITERS = {name: video if name in MOVING else globals()[name] for name in TARGETS}


# What is whole


def is_whole(name: str, path: Path) -> bool:
    """Is this all of what that writer writes?"""
    from PIL import Image

    from soundguide_core.checkpoints import safetensors_io
    from soundguide_core.media.images import load_image
    from soundguide_core.media.video import read_video
    from soundguide_core.pipelines.unfinished_edit import UnfinishedEdit

    try:
        if name == "picture":
            return load_image(path).shape[-1] == SIZE * 4
        if name == "webp":  # which FFmpeg does not read as a video
            with Image.open(path) as img:
                return img.n_frames == FRAMES
        if name in MOVING:
            return len(read_video(path)) == FRAMES and (name != "frames" or (path / "sound.wav").stat().st_size > 40)
        if name == "unfinished":  # whole up to where its state says
            edit = UnfinishedEdit(path, "an edit", FRAMES)
            return len(list(edit.frames())) == edit.reached.first
        if name == "report":
            return len(json.loads(path.read_text())["numbers"]) == 50_000
        if name == "download":
            return path.read_bytes() == PAYLOAD
        tensors = safetensors_io.load(path)[0]
        return name != "weights" or all(torch.equal(tensors[key], x) for key, x in WEIGHTS.items())
    except Exception:
        return False


def digest(path: Path) -> str | None:
    """Of a file, or of all files of a folder; None where there is none."""
    if not path.exists():
        return None
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return hashlib.sha256(b"".join(x.name.encode() + x.read_bytes() for x in files)).hexdigest()


def kill(name: str, folder: Path, moments: int, rng: random.Random) -> dict:
    """{"before", "new", "absent", "broken"}: what was found how often after the kill."""
    target, kept = folder / TARGETS[name], folder / "kept"
    WRITERS[name](target)
    began = time.monotonic()
    target.unlink() if name == "download" else None
    WRITERS[name](target)
    duration = time.monotonic() - began
    found = dict.fromkeys(("before", "new", "absent", "broken"), 0)
    assert is_whole(name, target), name
    os.replace(target, kept)
    for i in range(moments):
        for path in folder.iterdir():
            if path != kept:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        if i % 2:
            shutil.copytree(kept, target) if kept.is_dir() else shutil.copy2(kept, target)
        before = digest(target)
        child = os.fork()
        if child == 0:
            while True:
                if name == "download":
                    target.unlink(missing_ok=True)
                WRITERS[name](target)
        time.sleep(rng.uniform(0, 2 * duration))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        after = digest(target)
        state = (
            "absent"
            if after is None
            else "before"
            if after == before
            else "new"
            if is_whole(name, target)
            else "broken"
        )
        found["broken" if state == "absent" and before is not None and name != "download" else state] += 1
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moments", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rng, report = random.Random(args.seed), {}
    for name in TARGETS:
        with tempfile.TemporaryDirectory() as folder:
            report[name] = kill(name, Path(folder), args.moments, rng)
    print(json.dumps(report, indent=1))
    return 1 if any(found["broken"] for found in report.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
