"""Cost of StyleGAN-V against StyleGAN2 of the same size, as ratios measured in one process; the paper reports about 5 %
more for training.

python benchmarks/styleganv.py [--resolution 64 --base 2048 --threads 1 --rounds 5]

Both see the same number of pictures in a step: `videos` of three frames, or three times as many pictures. Cases take
turns, so that a busy machine slows all of them alike; figures are processor time, the median of the rounds.
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
from soundguide_core.generators import stylegan2, stylegan_v
from soundguide_core.generators.motion import Noise
from soundguide_core.training.data.videos import VideoBatch
from soundguide_core.training.stylegan2 import GANSettings, StyleGAN2Training
from soundguide_core.training.styleganv import StyleGANVTraining, VideoSettings


class Nothing:
    """Pictures and videos of nothing, for steps of training."""

    def __init__(self, size: int):
        self.size = size

    def __len__(self) -> int:
        return 64

    def batch(self, indices) -> torch.Tensor:
        return torch.zeros(len(indices), 3, self.size, self.size)

    def draw(self, times: torch.Tensor, z: torch.Tensor, motion_z: Noise, rng: torch.Generator) -> VideoBatch:
        frames = torch.zeros(*times.shape, 3, self.size, self.size)
        return VideoBatch(z, motion_z, times, torch.zeros(*times.shape, 2), frames)


def compare(title: str, cases: dict[str, tuple[int, Callable[[int], object]]], rounds: int) -> None:
    """Prints milliseconds a picture and the ratio to the first case; cases are (pictures a call, call of round i)."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for i in range(rounds + 1):  # the first round warms up
        for name, (pictures, call) in cases.items():
            start = time.process_time()
            call(i)
            if i:
                times[name].append((time.process_time() - start) / pictures)
    figures = {name: statistics.median(values) for name, values in times.items()}
    first = next(iter(figures.values()))
    print(f"\n{title}")
    for name, figure in figures.items():
        print(f"  {name:34s} {figure * 1e3:8.1f} ms/picture   {figure / first:.3f} of the first")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--base", type=int, default=2048, help="channel_base")
    parser.add_argument("--channels", type=int, default=128, help="channel_max")
    parser.add_argument("--motion", type=int, default=128, help="numbers of motion noise, motion_u and motion_v")
    parser.add_argument("--videos", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    tune_malloc()

    sizes = dict(z_dim=128, w_dim=128, mapping_layers=2, channel_base=args.base, channel_max=args.channels)
    picture = stylegan2.StyleGAN2Config(args.resolution, noise=False, **sizes)
    video = stylegan_v.StyleGANVConfig(
        args.resolution, **sizes, motion_z_dim=args.motion, motion_u_dim=args.motion, waves=args.motion // 2
    )
    same = dict(kimg=1000, r1_every=16, dtype="float32")
    pictures = GANSettings(batch=3 * args.videos, path_weight=0.0, style_mixing=0.0, noise=False, **same)
    videos = VideoSettings(batch=args.videos, **same)
    nothing = Nothing(args.resolution)
    still = StyleGAN2Training(picture, pictures, nothing, "cpu", 0)
    moving = StyleGANVTraining(video, videos, nothing, "cpu", 0)
    count = 3 * args.videos
    compare(
        f"training step, {count} pictures at {args.resolution} px (a step in 16 with R1 is left out)",
        {
            "StyleGAN2": (count, lambda i: still.step(16 * i + 1)),
            "StyleGAN-V": (count, lambda i: moving.step(16 * i + 1)),
        },
        args.rounds,
    )

    g, v = still.g_ema, moving.g_ema
    ws = g.sample_ws([0]).expand(16, -1, -1)
    noise = v.motion_noise([0])
    t = torch.arange(16, dtype=torch.float64)[None]
    with torch.inference_mode():
        codes = v.motion_codes(t, noise)
        compare(
            "rendering, 16 frames at once",
            {
                "StyleGAN2": (16, lambda i: g.synthesis(ws)),
                "StyleGAN-V": (16, lambda i: v.video(ws[:1], t + 16 * i, noise)),
                "StyleGAN-V, codes given": (16, lambda i: v.render(ws[:1], codes)),
            },
            args.rounds,
        )


if __name__ == "__main__":
    main()
