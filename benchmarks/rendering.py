"""What a long video waits for: the seconds of a whole `generate` and `continuous`, from the command to the file.

    python benchmarks/rendering.py [--seconds 60] [--chunks 0 1 4 16] [--commands generate continuous]

Clock: beginning (imports, loading, what is heard of the sound), the networks while frames are made, and their share of
the rest; of its thread's processor seconds too, which what else runs on the machine changes less. Encoding goes on in a
thread of its own; for how long the networks waited for it. --chunks: frames in the network at once; 0, as without
--chunk: found on the first frames. One process a line, PyTorch on --threads.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run_one(command: str, seconds: int, chunk: int, threads: int) -> None:
    """In a process of its own: prints the parts."""
    began = time.perf_counter()
    sys.path.insert(0, str(ROOT))
    import contextlib
    import io

    import torch
    from growth import write_sound

    from soundguide_core.cli import main
    from soundguide_core.generators import stylegan2
    from soundguide_core.media import video_writing

    torch.set_num_threads(threads)
    spent, encoders = {"first": 0.0, "networks": 0.0, "networks_cpu": 0.0, "first_cpu": 0.0}, []

    usual = stylegan2.Synthesis.run_blocks

    def run_blocks(self, *args):
        at, cpu = time.perf_counter(), time.thread_time()
        spent["first"], spent["first_cpu"] = spent["first"] or at - began, spent["first_cpu"] or cpu
        found = usual(self, *args)
        spent["networks"] += time.perf_counter() - at
        spent["networks_cpu"] += time.thread_time() - cpu
        return found

    stylegan2.Synthesis.run_blocks = run_blocks

    class Noted(video_writing.Behind):
        def __init__(self, work):
            super().__init__(work)
            encoders.append(self)

    video_writing.Behind = Noted
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        write_sound(Path(folder) / "sound.wav", seconds)
        words = [command, "--audio", f"{folder}/sound.wav", "--seconds", str(seconds)]
        words += ["--chunk", str(chunk)] if chunk else []
        if main([*words, "--device", "cpu", "--out", f"{folder}/film.mp4"]):
            raise SystemExit("the command failed")
    whole, cpu = time.perf_counter() - began, time.thread_time()
    encoder = encoders[-1]
    print(json.dumps({**spent, "whole": whole, "cpu": cpu, "encoding": encoder.busy_sec, "waited": encoder.waited_sec}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--chunks", type=int, nargs="+", default=[0])
    parser.add_argument("--commands", nargs="+", default=["generate", "continuous"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        command, *numbers = args.one
        run_one(command, *map(int, numbers))
        return
    columns = ("command, frames at once", "whole, s", "before the first frame", "its network")
    columns += ("of its processor seconds", "encoding", "waited for it")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for command in args.commands:
        for chunk in args.chunks:
            words = [sys.executable, __file__, "--one", command, str(args.seconds), str(chunk), str(args.threads)]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            x = json.loads(done.stdout.splitlines()[-1])
            share = x["networks"] / (x["whole"] - x["first"])
            cpu_share = x["networks_cpu"] / (x["cpu"] - x["first_cpu"])
            cells = [f"{command}, {chunk or 'measured'}", f"{x['whole']:.1f}", f"{x['first']:.1f}"]
            cells += [f"{x['networks']:.1f}, {share:.0%} of the rest", f"{cpu_share:.0%}"]
            cells += [f"{x['encoding']:.1f}", f"{x['waited']:.1f}"]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
