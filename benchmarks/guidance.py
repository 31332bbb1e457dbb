"""The variants of guidance at the same wall-clock: nearness to the sound against seconds, all in one run.

python benchmarks/guidance.py [--frames 8] [--steps 8 16 32] [--exact-weight W] [--unet NAME] [--joint NAME]
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from soundguide_core.diffusion.denoiser import load_denoiser
from soundguide_core.embedding.joint import load_joint
from soundguide_core.miniature.evaluation.scene_classifier import load_scene_classifier
from soundguide_core.miniature.evaluation.video_editing import make_pair
from soundguide_core.systems.video_editing import EditConfig, edit_video

PAIRS = 7  # one of each phenomenon


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=8, help="of each of the seven videos")
    parser.add_argument("--steps", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--unet", default="miniature")
    parser.add_argument("--joint", default="miniature")
    args = parser.parse_args()
    torch.set_num_threads(1)
    denoiser, joint = load_denoiser(args.unet), load_joint(args.joint)
    judge = load_scene_classifier("miniature")
    usual = EditConfig()
    pairs = [
        make_pair(k, joint, num_frames=args.frames, fps=4.0, size=denoiser.resolution, seed=77) for k in range(PAIRS)
    ]
    print("variant  steps  seconds  nearness  named")
    for steps in args.steps:
        for variant in ("clean", "paper", "score"):
            config = replace(
                usual, variant=variant, steps=steps, skip=round(usual.skip / usual.steps * steps),
                weights={"sound": 1.0},
            )  # fmt: skip
            began = time.perf_counter()
            edits = [
                edit_video(p.frames, p.embeds, denoiser=denoiser, joint=joint, mask=p.mask, config=config).frames
                for p in pairs
            ]
            seconds = time.perf_counter() - began
            with torch.no_grad():
                near = [(joint.encode_image(x) * p.embeds).sum(dim=1).mean().item() for p, x in zip(pairs, edits)]
            named = [
                (judge.predict(x).argmax(dim=1) == judge.classes.index(p.phenomenon)).float().mean().item()
                for p, x in zip(pairs, edits)
            ]
            print(
                f"{variant:7s} {steps:6d} {seconds:8.1f} {sum(near) / PAIRS:9.3f} {sum(named) / PAIRS:6.1%}", flush=True
            )


if __name__ == "__main__":
    main()
