"""Loading a 1024 px StyleGAN2: ours from .safetensors beside rosinality's own loader from the .pt that it came from.

python benchmarks/stylegan2_loading.py CHECKOUT, the repository rosinality/stylegan2-pytorch. Both files hold the same
random weights. Each load runs in a process of its own, after all imports and one reading of the file, in turns; printed
are the medians, and ours as a share of theirs: seconds, and how far memory rises at its highest.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import types
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]


def load_ours(file: str):
    from soundguide_core.checkpoints import registry, weights
    from soundguide_core.generators import stylegan2
    from soundguide_core.generators.loading import load_generator

    assert registry and stylegan2 and weights  # imported before the clock starts
    return lambda: load_generator(file)


def load_theirs(file: str, checkout: str, size: int):
    model = reference(checkout)

    def load():
        generator = model.Generator(size, 512, 8, channel_multiplier=2)
        generator.load_state_dict(torch.load(file, map_location="cpu", weights_only=True)["g_ema"])
        return generator.eval()

    return load


def reference(checkout: str):
    """Their module; its compiled operators are stubbed, for the CPU does not call them."""
    import torch.utils.cpp_extension

    torch.utils.cpp_extension.load = lambda *args, **kwargs: types.SimpleNamespace()
    sys.path.insert(0, checkout)
    import model

    return model


def anonymous_kb() -> int:
    """Memory of this process that is not a mapped file, in kB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


class Peak(threading.Thread):
    """The highest anonymous_kb while it runs, by looking every millisecond."""

    def __init__(self):
        super().__init__(daemon=True)
        self.start_kb = self.highest_kb = anonymous_kb()
        self.done = False

    def run(self):
        while not self.done:
            self.highest_kb = max(self.highest_kb, anonymous_kb())
            time.sleep(0.001)


def measure(load) -> dict:
    """Seconds of one load, and the rise of memory in bytes during a second one."""
    started = time.perf_counter()
    load()
    seconds = time.perf_counter() - started
    peak = Peak()
    peak.start()
    kept = load()
    peak.done = True
    peak.join()
    del kept
    return {"seconds": seconds, "rise": 1024 * (peak.highest_kb - peak.start_kb)}


def write_files(folder: Path, checkout: str, size: int) -> None:
    from soundguide_core.checkpoints import weights

    generator = reference(checkout).Generator(size, 512, 8, channel_multiplier=2)
    torch.save({"g_ema": generator.state_dict(), "latent_avg": torch.zeros(512)}, folder / "theirs.pt")
    weights.convert(folder / "theirs.pt", folder / "ours.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout")
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    if args.measure:
        ours, theirs = f"{args.folder}/ours.safetensors", f"{args.folder}/theirs.pt"
        load = load_ours(ours) if args.measure == "ours" else load_theirs(theirs, args.checkout, args.size)
        Path(ours if args.measure == "ours" else theirs).read_bytes()
        print(json.dumps(measure(load)))
        return
    results = {"ours": [], "theirs": []}
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), args.checkout, args.size)
        weights = (Path(folder) / "ours.safetensors").stat().st_size
        for _ in range(args.rounds):
            for who, figures in results.items():
                command = [sys.executable, __file__, args.checkout, "--size", str(args.size)]
                command += ["--measure", who, "--folder", folder]
                out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                figures.append(json.loads(out.splitlines()[-1]))
    print(f"{args.size} px, weights of {weights / 1e6:.0f} MB")
    for name, unit, scale in (("seconds", "s", 1), ("rise", "x weights", weights)):
        ours, theirs = (statistics.median(f[name] for f in results[who]) / scale for who in ("ours", "theirs"))
        print(f"{name:10} ours {ours:.2f} {unit}, theirs {theirs:.2f} {unit}, ratio {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
