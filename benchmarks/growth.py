"""Time and memory against the size of the task, each in a process of its own, and the exponent that fits: t ~ size^e.

    python benchmarks/growth.py                                   some minutes on two cores
    python benchmarks/growth.py --what sound --sizes 10 60 600 3600 7200
    python benchmarks/growth.py --what frames --sizes 10 100 1000 2000

sound: what `generate` hears in so many seconds, no picture rendered. frames: a `continuous` video of so many frames, as
a file. pixels: a picture of a StyleGAN2 with so many along a side. sounds: so many sounds into the joint space.

An exponent of 1 is linear; that of a picture's side is 2 where all is done per pixel. The start (imports, loading) is
measured by an empty run and taken off. Seconds are the processor's, which other programs do not change much; memory is
the highest resident beyond the empty run's, and should stay where it is as sounds and videos grow.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SIZES = {"sound": [10, 60, 600], "frames": [16, 64, 256], "pixels": [64, 128, 256, 512], "sounds": [1, 2, 4, 8]}
UNITS = {"sound": "s", "frames": "frames", "pixels": "px", "sounds": "sounds"}
LINEAR = {"sound": 1, "frames": 1, "pixels": 2, "sounds": 1}  # the exponent of work that is the same for every part
RATE = 22050


def write_sound(path: Path, seconds: float) -> None:
    """Noise that swells, a second at a time."""
    import numpy as np
    import soundfile

    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
        for i in range(round(seconds)):
            level = 0.02 + 0.4 * np.sin(np.pi * (i + np.arange(RATE) / RATE) / 8) ** 2
            file.write(rng.uniform(-1, 1, RATE) * level)


def hear(folder: Path, size: int):
    """size seconds of sound, to segments of latents at 12 frames a second; 0: everything but that."""
    import soundguide_core as sg
    from soundguide_core.pipelines.recording import Recording
    from soundguide_core.pipelines.sound_to_video import invert

    path = folder / "sound.wav"
    write_sound(path, max(size, 1))
    generator, trajectory = sg.load_generator(), sg.load_trajectory()
    ws, config = generator.sample_ws([0]), sg.VideoConfig(fps=12)
    parts, _ = invert(Recording.of_file(str(path)), ws, trajectory, config=config)
    return lambda: [len(part) for part in parts] if size else next(iter(parts))


def film(folder: Path, size: int):
    import soundguide_core as sg
    from soundguide_core.media.video_writing import writing

    generator, config = sg.load_video_generator(), sg.ContinuousConfig(seconds=max(size, 1) / 8, fps=8)
    ws = generator.sample_ws([0])

    def run():
        with writing(folder / "film.mp4", 8) as write:
            for part in sg.stream_continuous(ws, generator=generator, config=config):
                write(part.frames)

    return run


def picture(folder: Path, size: int):
    import torch

    from soundguide_core.generators.stylegan2 import Generator, StyleGAN2Config

    generator = Generator(StyleGAN2Config(max(size, 8), channel_base=8192)).eval().requires_grad_(False)
    generator = generator.to(memory_format=torch.channels_last)
    ws = generator.sample_ws([0])
    generator.synthesis(ws)  # the first picture prepares the kernels for all others
    return lambda: generator.synthesis(ws) if size else None


def listen(folder: Path, size: int):
    import soundguide_core as sg
    from soundguide_core.pipelines.hearing import encode_files

    joint = sg.load_joint()
    write_sound(folder / "sound.wav", 10)
    paths = [str(folder / "sound.wav")] * max(size, 1)
    encode_files(joint, paths[:1], None)  # the first sound prepares the filters for all others
    return lambda: encode_files(joint, paths, None) if size else None


WORK = {"sound": hear, "frames": film, "pixels": picture, "sounds": listen}


def run_one(what: str, size: int) -> None:
    """In a process of its own: prints the figures of one size."""
    import resource
    import time

    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory() as folder:
        work = WORK[what](Path(folder), size)
        began = time.process_time()
        work()
        seconds = time.process_time() - began
    usage = resource.getrusage(resource.RUSAGE_SELF)
    peak = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)  # macOS counts bytes
    print(json.dumps({"seconds": seconds, "peak_mb": peak}))


def measured(what: str, size: int, rounds: int) -> tuple[float, float]:
    """(seconds of the processor, MB at the highest): medians."""
    found = []
    for _ in range(rounds):
        command = [sys.executable, __file__, "--what", what, "--one", str(size)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return tuple(statistics.median(run[key] for run in found) for key in ("seconds", "peak_mb"))  # type: ignore[return-value]


def exponent(sizes: list[int], values: list[float]) -> float:
    """The slope of log value over log size, by least squares."""
    xs, ys = [math.log(size) for size in sizes], [math.log(max(value, 1e-9)) for value in values]
    x, y = statistics.mean(xs), statistics.mean(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys)) / sum((a - x) ** 2 for a in xs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", choices=(*WORK, "all"), default="all")
    parser.add_argument("--sizes", type=int, nargs="+", help="of one --what")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one is not None:
        run_one(args.what, args.one)
        return
    for what in WORK if args.what == "all" else (args.what,):
        sizes = args.sizes or SIZES[what]
        empty, start_mb = measured(what, 0, args.rounds)
        print(f"\n{what} (without the start: {empty:.2f} CPU s, {start_mb:.0f} MB)", flush=True)
        seconds, memory = [], []
        for size in sizes:
            took, peak = measured(what, size, args.rounds)
            seconds.append(max(took - empty, 1e-3))
            memory.append(peak - start_mb)
            print(f"  {size:6d} {UNITS[what]:6} {seconds[-1]:9.2f} CPU s   {memory[-1]:+7.0f} MB", flush=True)
        if len(sizes) > 1:
            fit = exponent(sizes, seconds)
            times = sizes[-1] / sizes[0]
            print(f"  time ~ size^{fit:.2f} (the same for every part: {LINEAR[what]})")
            print(f"  memory {memory[0]:+.0f} to {memory[-1]:+.0f} MB while the size grows {times:g} times", flush=True)


if __name__ == "__main__":
    main()
