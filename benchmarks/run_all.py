"""The figures that a user waits for, as one table; and beside those of another commit.

    git worktree add ../before COMMIT
    python benchmarks/run_all.py --against ../before              both in this run, in turns: the fairest
    python benchmarks/run_all.py --out here.json                  or each by itself, on the same machine,
    python benchmarks/run_all.py --against before.json            and beside what the other one wrote

Seconds are the processor's, on one thread, medians of --rounds (of three where a case takes long); every round is a
process of its own, and cases and commits take turns. Needs the package and the weights that come with it; with
--comfyui also what loading the pack takes in the host. What a commit cannot do is left empty, with the reason on
stderr. benchmarks/README.md lists what else is measured and how.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LONG, LONG_ROUNDS = ("generate", "continuous", "edit"), 3
COMMAND = """
import contextlib, io, sys, time
sys.path.insert(0, {root!r})
from soundguide_core.cli import main
status = 1
with contextlib.redirect_stdout(io.StringIO()):
    try:
        status = main({arguments!r})
    except SystemExit as end:
        status = end.code
print(time.process_time())
sys.exit(status)
"""
CODE = """
import sys, time
sys.path.insert(0, {root!r})
import torch
torch.set_num_threads(1); torch.set_grad_enabled(False)
{setup}
run()  # what is loaded once
began = time.process_time(); run(); print(time.process_time() - began)
"""
GENERATOR = """
from soundguide_core.generators.{module} import *
g = Generator({config}).eval().requires_grad_(False).to(memory_format=torch.channels_last)
ws = g.sample_ws(range({batch})); run = lambda: g.synthesis(ws{extra})
"""
ENCODER = """
import soundguide_core as sg
joint = sg.load_joint(); img = torch.zeros(16, 3, 128, 128); run = lambda: joint.encode_image(img)
"""
PACK = """
import asyncio, importlib.util, sys, time
sys.argv = ["main.py", "--cpu"]
sys.path.insert(0, {host!r})
import comfy.options
comfy.options.enable_args_parsing()
import nodes
import comfy_api.latest
spec = importlib.util.spec_from_file_location("pack", {root!r} + "/__init__.py", submodule_search_locations=[{root!r}])
module = importlib.util.module_from_spec(spec); sys.modules["pack"] = module
began = time.process_time()
spec.loader.exec_module(module)
async def load():
    return await (await module.comfy_entrypoint()).get_node_list()
assert asyncio.run(load())
print(time.process_time() - began)
"""


def commands(root: Path, folder: Path) -> dict[str, list[str]]:
    """Name => the words after `soundguide`."""
    sound, film = str(folder / "sound.wav"), str(folder / "film.mp4")
    processor = ["--device", "cpu"]
    return {
        "--help": ["--help"],
        "models": ["models"],
        "inspect, a file of ours": ["inspect", str(root / "soundguide_core/miniature/weights/clip.safetensors")],
        "inspect, a pickle of others": ["inspect", str(root / "tests" / "fixtures" / "stylegan2_ada.pkl")],
        "classify, 10 s": ["classify", sound, "--labels", "rain,fire,birds", *processor],
        "manipulate, 20 steps": ["manipulate", "--audio", sound, "--seed", "3", "--steps", "20", *processor,
                                 "--out", str(folder / "a.png")],
        "generate, 6 s": ["generate", "--audio", sound, "--seconds", "6", *processor, "--out", str(folder / "g.mp4")],
        "continuous, 4 s": ["continuous", "--audio", sound, "--seconds", "4", *processor,
                            "--out", str(folder / "c.mp4")],
        "edit, 16 frames of 320x180": ["edit", "--video", film, "--audio", sound, *processor,
                                       "--out", str(folder / "e.mp4")],
    }  # fmt: skip


def cases(root: Path, folder: Path, comfyui: str | None) -> dict[str, str]:
    """Name => a program that prints seconds last."""
    at = str(root)
    found = {name: COMMAND.format(root=at, arguments=words) for name, words in commands(root, folder).items()}
    if comfyui:
        found["loading the pack in ComfyUI"] = PACK.format(root=at, host=comfyui)
    two = {"module": "stylegan2", "config": "StyleGAN2Config(256)", "extra": ""}
    three = "StyleGAN3Config(128, channel_base={}, channel_max={}, conv_kernel={}, radial={})"
    networks = {
        "StyleGAN2, 256 px, batch 1": GENERATOR.format(**two, batch=1),
        "StyleGAN2, 256 px, batch 4": GENERATOR.format(**two, batch=4),
        "StyleGAN2, 256 px, batch 4, bfloat16": GENERATOR.format(**two | {"extra": ", dtype=torch.bfloat16"}, batch=4),
        "StyleGAN3-T, 128 px": GENERATOR.format(
            module="stylegan3", config=three.format(8192, 512, 3, False), batch=1, extra=""),
        "StyleGAN3-R, 128 px": GENERATOR.format(
            module="stylegan3", config=three.format(16384, 1024, 1, True), batch=1, extra=""),
        "picture tower, 16 pictures": ENCODER,
    }  # fmt: skip
    return found | {name: CODE.format(root=at, setup=code) for name, code in networks.items()}


def write_sound(path: Path) -> None:
    """Ten seconds of noise that swells."""
    import numpy as np
    import soundfile

    t = np.arange(441000) / 44100
    noise = np.random.default_rng(0).normal(size=len(t)) * (0.02 + 0.1 * np.sin(np.pi * t / 3) ** 2)
    soundfile.write(path, noise, 44100)


def write_film(path: Path, frames: int = 16, width: int = 320, height: int = 180) -> None:
    """A textured hill that moves under a sky, 8 frames a second."""
    import av
    import numpy as np

    rng = np.random.default_rng(0)
    grain = rng.normal(size=(height, width + 4 * frames, 1)) * 12
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=8, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for i in range(frames):
            x, y = np.arange(width) + 4 * i, np.arange(height)[:, None]
            ground = (y > height * (0.5 + 0.2 * np.sin(x / 40)))[..., None]
            frame = np.where(ground, [90, 110, 60], [150, 180, 220]) + grain[:, 4 * i : 4 * i + width]
            picture = av.VideoFrame.from_ndarray(frame.clip(0, 255).astype(np.uint8), format="rgb24")
            file.mux(stream.encode(picture))
        file.mux(stream.encode(None))


def commit(root: Path) -> str:
    done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, cwd=root)
    return done.stdout.strip() or "unknown"


def processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line] if (
        info.exists()) else []  # fmt: skip
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


def seconds_of(code: str, python: str, name: str, root: Path) -> float | None:
    """What a program prints last; None where it fails."""
    keep_blocks = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}  # as the commands set them
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **({} if "cli import main" in code else keep_blocks)}
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, env=environment, cwd=root)
    if done.returncode:
        print(f"{root}: {name}: {(done.stderr.splitlines() or ['failed'])[-1]}", file=sys.stderr)
        return None
    return float(done.stdout.split()[-1])


def measured(roots: list[Path], args: argparse.Namespace) -> Iterator[list[dict[str, float]]]:
    """After each round, for each checkout the medians by case; cases and checkouts take turns."""
    with tempfile.TemporaryDirectory() as folder:
        write_sound(Path(folder) / "sound.wav")
        write_film(Path(folder) / "film.mp4")
        programs = [cases(root, Path(folder), args.comfyui) for root in roots]
        names = [name for name in programs[0] if args.only in name]
        seconds: list[dict[str, list[float]]] = [{name: [] for name in names} for _ in roots]
        for turn in range(args.rounds):
            for name in names:
                if turn >= LONG_ROUNDS and name.startswith(LONG):
                    continue
                python = args.comfyui_python or sys.executable if "ComfyUI" in name else sys.executable
                for root, code, found in zip(roots, programs, seconds):
                    took = seconds_of(code[name], python, name, root)
                    found[name] += [] if took is None else [took]
            print(f"round {turn + 1} of {args.rounds}", file=sys.stderr, flush=True)
            yield [{name: statistics.median(x) for name, x in found.items() if x} for found in seconds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", metavar="FILE.json", help="where the figures go")
    parser.add_argument(
        "--against", metavar="FOLDER|FILE.json", help="a checkout of another commit, or figures that it wrote"
    )
    parser.add_argument("--only", metavar="WORD", default="", help="the cases whose names have it")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--comfyui", metavar="FOLDER", help="a ComfyUI, for the time in which it loads the pack")
    parser.add_argument("--comfyui-python", metavar="FILE", help="the Python that it runs in (default: this one)")
    args = parser.parse_args()
    other = Path(args.against).resolve() if args.against else None
    roots = [ROOT, other] if other and other.is_dir() else [ROOT]
    before = json.loads(other.read_text()) if other and other.is_file() else None
    figures = {}
    for rounds, medians in enumerate(measured(roots, args), 1):
        figures = {"commit": commit(ROOT), "machine": processor(), "rounds": rounds, "seconds": medians[0]}
        if len(roots) > 1:
            before = {"commit": commit(roots[1]), "rounds": rounds, "seconds": medians[1]}
        if args.out:  # after every round, so that a run that is broken off leaves what it has
            beside = {"before": before} if before else {}
            Path(args.out).write_text(json.dumps({**figures, **beside}, indent=2) + "\n")
    show(figures, before)


def show(figures: dict, before: dict | None) -> None:
    """A table, with the ratio to what was before."""
    print(f"{figures['machine']}; medians of {figures['rounds']}, seconds of the processor\n")
    head = f" {before['commit']} |" if before else ""
    print(f"| case |{head} {figures['commit']} |{' ratio |' if before else ''}")
    print(f"|---|---|{'---|---|' if before else ''}")
    for name, value in figures["seconds"].items():
        was = before["seconds"].get(name) if before else None
        was_cell = (f" {was:.2f} |" if was else " |") if before else ""
        print(f"| {name} |{was_cell} {value:.2f} |" + (f" {value / was:.2f} |" if was else " |" if before else ""))


if __name__ == "__main__":
    main()
