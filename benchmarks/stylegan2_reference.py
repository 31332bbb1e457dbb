"""A StyleGAN2 beside the two that people use: NVIDIA's stylegan2-ada-pytorch and rosinality's stylegan2-pytorch.

    python benchmarks/stylegan2_reference.py --nvidia CHECKOUT [--rosinality CHECKOUT] [--threads 1] [--batch 1 4]

All in one process, in turns, the same weights in NVIDIA's and ours (rosinality's are random, of the same widths), so
that ratios hold on a busy machine; printed are the medians of the processor's seconds, the ratios, and the largest
difference of our pictures as a share of their range. NVIDIA's grouped convolutions are its own default.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import types
import warnings
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from soundguide_core.common.memory import tune_malloc
from soundguide_core.generators.stylegan2 import Generator, StyleGAN2Config


def nvidias(checkout: str, resolution: int, base: int):
    sys.path.insert(0, checkout)
    from training.networks import Generator as Theirs  # pyright: ignore[reportMissingImports]

    widths = {"channel_base": base, "channel_max": 512}
    net = Theirs(512, 0, 512, resolution, 3, synthesis_kwargs=widths).eval().requires_grad_(False)
    for name, x in net.named_parameters():  # what starts at zero would hide mistakes
        if name.endswith("noise_strength"):
            x.fill_(0.1)
        elif name.endswith(".bias") and "affine" not in name:
            x.normal_(0, 0.1)
    return net


def rosinalitys(checkout: str, resolution: int, base: int):
    import torch.utils.cpp_extension

    torch.utils.cpp_extension.load = lambda *_, **__: types.SimpleNamespace()  # CUDA operators, built at import
    sys.path.insert(0, checkout)
    from model import Generator as Theirs  # pyright: ignore[reportMissingImports]

    return Theirs(resolution, 512, 8, channel_multiplier=base // 16384).eval().requires_grad_(False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nvidia", required=True, metavar="CHECKOUT")
    parser.add_argument("--rosinality", metavar="CHECKOUT")
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--base", type=int, default=32768, help="channel_base")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--plain-malloc", action="store_true", help="let glibc return big blocks to the kernel")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    torch.manual_seed(0)
    if not args.plain_malloc:
        tune_malloc()

    theirs = nvidias(args.nvidia, args.resolution, args.base)
    ours = Generator(StyleGAN2Config(args.resolution, channel_base=args.base)).eval().requires_grad_(False)
    ours.load_state_dict({k: x for k, x in theirs.state_dict().items() if "resample_filter" not in k}, strict=False)
    ours = ours.to(memory_format=torch.channels_last)
    cases = {
        "NVIDIA": lambda ws: theirs.synthesis(ws, noise_mode="const"),
        "ours": lambda ws: ours.synthesis(ws),
        "ours, bfloat16": lambda ws: ours.synthesis(ws, dtype=torch.bfloat16),
    }
    if args.rosinality:
        other = rosinalitys(args.rosinality, args.resolution, args.base)
        cases["rosinality"] = lambda ws: other([ws], input_is_latent=True, randomize_noise=False)[0]
    for batch in args.batch:
        ws = theirs.mapping(torch.randn(batch, 512), None)
        wanted, found = cases["NVIDIA"](ws), cases["ours"](ws)
        apart = float((found - wanted).abs().max() / (wanted.max() - wanted.min()))
        times: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(args.rounds):
            for name, call in cases.items():
                began = time.process_time()
                call(ws)
                times[name].append(time.process_time() - began)
        medians = {name: statistics.median(values) for name, values in times.items()}
        print(f"\nbatch {batch}, {args.threads} threads, {args.resolution} px; apart by {apart:.1e} of the range")
        for name, median in medians.items():
            ratio = median / medians["ours"]
            print(f"  {name:15} {median * 1e3:7.0f} CPU ms   {ratio:.2f} x ours", flush=True)


if __name__ == "__main__":
    main()
