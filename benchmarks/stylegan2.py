"""Speed of the StyleGAN2 forms and layouts, as ratios measured in one process.

python benchmarks/stylegan2.py [--resolution 128 --base 2048 --threads 2 --rounds 5]

Cases take turns, so that a busy machine slows all of them alike; the figure is the median of the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from soundguide_core.common.memory import tune_malloc
from soundguide_core.generators.stylegan2 import Generator, StyleGAN2Config
from soundguide_core.training.stylegan2 import GANSettings, StyleGAN2Training


class Noise:
    """Pictures of nothing, for steps of training."""

    def __init__(self, size: int):
        self.size = size

    def __len__(self) -> int:
        return 64

    def batch(self, indices) -> torch.Tensor:
        return torch.zeros(len(indices), 3, self.size, self.size)


def compare(title: str, cases: dict[str, tuple[int, Callable[[], object]]], rounds: int) -> None:
    """Prints milliseconds an image and the ratio to the first case; cases are (images a call, call)."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for i in range(rounds + 1):  # the first round warms up
        for name, (images, call) in cases.items():
            start = time.perf_counter()
            call()
            if i:
                times[name].append((time.perf_counter() - start) / images)
    figures = {name: statistics.median(values) for name, values in times.items()}
    first = next(iter(figures.values()))
    print(f"\n{title}")
    for name, figure in figures.items():
        print(f"  {name:34s} {figure * 1e3:8.1f} ms/image   x{first / figure:.2f}")


def synthesis(config: StyleGAN2Config, batch: int, layout: torch.memory_format, dtype: torch.dtype):
    generator = Generator(config).eval().requires_grad_(False).to(memory_format=layout)
    ws = generator.sample_ws(range(batch))
    return batch, lambda: generator.synthesis(ws, dtype=dtype)


def step(config: StyleGAN2Config, layout: torch.memory_format, dtype: str):
    settings = GANSettings(kimg=1, batch=16, dtype=dtype, path_weight=0, r1_gamma=0)
    training = StyleGAN2Training(config, settings, Noise(config.resolution), "cpu", 0)
    for module in training.modules.values():
        module.to(memory_format=layout)
    return 16, lambda: training.step(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--base", type=int, default=2048, help="channel_base")
    parser.add_argument("--max", type=int, default=128, help="channel_max")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--plain-malloc", action="store_true", help="let glibc return big blocks to the kernel")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if not args.plain_malloc:
        tune_malloc()

    sizes = {"resolution": args.resolution, "z_dim": 128, "w_dim": 128, "channel_base": args.base}
    config = StyleGAN2Config(**sizes, channel_max=args.max)
    grouped = StyleGAN2Config(**sizes, channel_max=args.max, grouped=True)
    plain, last, f32, bf16 = torch.contiguous_format, torch.channels_last, torch.float32, torch.bfloat16
    for batch in (1, 8):
        cases = {
            "unfused": synthesis(config, batch, plain, f32),
            "grouped": synthesis(grouped, batch, plain, f32),
            "unfused, channels last": synthesis(config, batch, last, f32),
            "unfused, channels last, bfloat16": synthesis(config, batch, last, bf16),
        }
        compare(f"synthesis, batch {batch}", cases, args.rounds)
    cases = {
        "float32": step(config, plain, "float32"),
        "float32, channels last": step(config, last, "float32"),
        "bfloat16, channels last": step(config, last, "bfloat16"),
    }
    compare("training step of both networks, batch 16", cases, max(args.rounds // 2, 2))


if __name__ == "__main__":
    main()
