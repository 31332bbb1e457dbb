"""Peak memory of `generate` for a short and a long sound, each in a process of its own, and their ratio.

python benchmarks/video_memory.py [--seconds 60 600] [--fps 12] [--trajectory NAME]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[1]
RATE = 44100
CHILD = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from soundguide_core.cli import main
status = main(sys.argv[2:])
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(status)
"""


def write_sound(path: Path, seconds: float) -> None:
    """Noise that swells every eight seconds, in stereo, a second at a time."""
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16") as file:
        for i in range(round(seconds)):
            t = i + np.arange(RATE) / RATE
            level = 0.02 + 0.4 * np.sin(np.pi * t / 8) ** 2
            file.write(rng.uniform(-1, 1, (RATE, 2)) * level[:, None])


def peak_mb(folder: Path, seconds: float, options: list[str]) -> tuple[float, float]:
    """(peak resident memory in MB, seconds it took) of one run, with a report."""
    sound = folder / f"{seconds:g}.wav"
    write_sound(sound, seconds)
    command = ["generate", "--audio", str(sound), "--out", str(folder / "v.mp4"), "--json", str(folder / "r.json")]
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(ROOT), *command, *options], capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[-1]) / 1024, time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, nargs=2, default=[60, 600])
    parser.add_argument("--fps", default="12")
    parser.add_argument("--trajectory", default="miniature")
    args = parser.parse_args()
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        for seconds in args.seconds:
            peak, took = peak_mb(Path(folder), seconds, ["--fps", args.fps, "--trajectory", args.trajectory])
            peaks.append(peak)
            print(f"{seconds:5g} s of sound: peak {peak:6.0f} MB, {took:5.0f} s", flush=True)
    print(f"ratio {peaks[1] / peaks[0]:.3f}")


if __name__ == "__main__":
    main()
