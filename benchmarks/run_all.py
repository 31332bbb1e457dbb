"""The figures that a user waits for, as one table; and beside those of another commit.

    python benchmarks/run_all.py --out here.json
    python benchmarks/run_all.py --against before.json            after a change, on the same machine

Seconds are the processor's, medians of --rounds; every round is a process of its own, and the cases take turns. Needs
nothing but the package and the weights that come with it. benchmarks/README.md lists what else is measured and how.
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
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ROOT / "soundguide_core" / "miniature" / "weights"
COMMAND = """
import contextlib, io, sys, time
sys.path.insert(0, {root!r})
from soundguide_core.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main({arguments!r})
print(time.process_time())
"""
CODE = """
import sys, time
sys.path.insert(0, {root!r})
import torch
torch.set_num_threads(1); torch.set_grad_enabled(False)
{setup}
run(); began = time.process_time(); run(); print(time.process_time() - began)
"""
GENERATOR = """
from soundguide_core.generators.{module} import *
g = Generator({config}).eval().requires_grad_(False).to(memory_format=torch.channels_last)
ws = g.sample_ws(range({batch})); run = lambda: g.synthesis(ws)
"""
ENCODER = """
import soundguide_core as sg
joint = sg.load_joint(); img = torch.zeros(16, 3, 128, 128); run = lambda: joint.encode_image(img)
"""


def cases(folder: Path) -> dict[str, str]:
    """Name => a program that prints seconds last."""
    sound = str(folder / "sound.wav")
    commands = {
        "--help": ["--help"],
        "models": ["models"],
        "inspect": ["inspect", str(WEIGHTS / "clip.safetensors")],
        "inspect, a pickle of others": ["inspect", str(ROOT / "tests" / "fixtures" / "stylegan2_ada.pkl")],
        "classify, 10 s": ["classify", sound, "--labels", "rain,fire,birds", "--device", "cpu"],
        "manipulate, 20 steps": ["manipulate", "--audio", sound, "--seed", "3", "--steps", "20", "--device", "cpu",
                                 "--out", str(folder / "a.png")],
        "generate, 2 s": ["generate", "--audio", sound, "--seconds", "2", "--device", "cpu",
                          "--out", str(folder / "g.mp4")],
        "continuous, 2 s": ["continuous", "--audio", sound, "--seconds", "2", "--device", "cpu",
                            "--out", str(folder / "c.mp4")],
    }  # fmt: skip
    found = {name: COMMAND.format(root=str(ROOT), arguments=words) for name, words in commands.items()}
    two, three = "StyleGAN2Config(256)", "StyleGAN3Config(128, channel_base=8192)"
    networks = {
        "StyleGAN2, 256 px, batch 1": GENERATOR.format(module="stylegan2", config=two, batch=1),
        "StyleGAN2, 256 px, batch 4": GENERATOR.format(module="stylegan2", config=two, batch=4),
        "StyleGAN3-T, 128 px": GENERATOR.format(module="stylegan3", config=three, batch=1),
        "picture tower, 16 pictures": ENCODER,
    }
    return found | {name: CODE.format(root=str(ROOT), setup=code) for name, code in networks.items()}


def write_sound(path: Path) -> None:
    """Ten seconds of noise that swells."""
    import numpy as np
    import soundfile

    t = np.arange(441000) / 44100
    noise = np.random.default_rng(0).normal(size=len(t)) * (0.02 + 0.1 * np.sin(np.pi * t / 3) ** 2)
    soundfile.write(path, noise, 44100)


def commit() -> str:
    done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, cwd=ROOT)
    return done.stdout.strip() or "unknown"


def processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line] if (
        info.exists()) else []  # fmt: skip
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", metavar="FILE.json", help="where the figures go")
    parser.add_argument("--against", metavar="FILE.json", help="figures of another commit, to stand beside these")
    parser.add_argument("--only", metavar="WORD", default="", help="the cases whose names have it")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    before = json.loads(Path(args.against).read_text()) if args.against else None
    with tempfile.TemporaryDirectory() as folder:
        write_sound(Path(folder) / "sound.wav")
        chosen = {name: code for name, code in cases(Path(folder)).items() if args.only in name}
        seconds: dict[str, list[float]] = {name: [] for name in chosen}
        for _ in range(args.rounds):
            for name, code in chosen.items():
                done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
                seconds[name].append(float(done.stdout.split()[-1]))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    figures = {"commit": commit(), "machine": processor(), "rounds": args.rounds, "seconds": medians}
    print(f"{figures['commit']} on {figures['machine']}; medians of {args.rounds}, seconds of the processor\n")
    head = f" {before['commit']} | ratio |" if before else ""
    print(f"| case | {figures['commit']} |{head}\n|---|---|{'---|---|' if before else ''}")
    for name, value in medians.items():
        was = before["seconds"].get(name) if before else None
        print(f"| {name} | {value:.2f} |" + (f" {was:.2f} | {value / was:.2f} |" if was else " | |" if before else ""))
    if args.out:
        Path(args.out).write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
