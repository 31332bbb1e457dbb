"""StyleGAN3-T and -R beside a StyleGAN2 of the same width: seconds per picture on this machine, and the ratio.

Random weights, float32, one picture, synthesis only; cases take turns and the median of each is printed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from soundguide_core.generators import stylegan2, stylegan3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--base", type=int, default=16384, help="channel_base")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    t = stylegan3.StyleGAN3Config(args.resolution, channel_base=args.base)
    r = replace(t, channel_base=2 * args.base, channel_max=1024, conv_kernel=1, radial=True)
    generators = {
        "StyleGAN2": stylegan2.Generator(stylegan2.StyleGAN2Config(args.resolution, channel_base=args.base)),
        "StyleGAN3-T": stylegan3.Generator(t),
        "StyleGAN3-R": stylegan3.Generator(r),
    }
    seconds = {name: [] for name in generators}
    for generator in generators.values():
        generator.eval().requires_grad_(False).to(args.device, memory_format=torch.channels_last)
    with torch.inference_mode():
        for _ in range(args.rounds + 1):
            for name, generator in generators.items():
                ws = generator.sample_ws([0])
                started = time.perf_counter()
                generator.synthesis(ws).cpu()
                seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}  # the first warms up
    for name, median in medians.items():
        print(f"{name:12} {median:.3f} s, {median / medians['StyleGAN2']:.1f} x StyleGAN2")


if __name__ == "__main__":
    main()
