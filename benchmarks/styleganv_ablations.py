"""StyleGAN-V's parts, one left out at a time: each variant is trained by the same short recipe, then measured.

python benchmarks/styleganv_ablations.py [--only NAME ...] [--clips FOLDER --out FOLDER --videos 64 --device cuda]

The recipe is miniature/recipes/styleganv_short.toml (a few minutes of a core each), the distance that of
styleganv_quality.py. So short a training shows how soon a variant learns, not what it could reach.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from styleganv_quality import Bench, distances, learned_motion

from soundguide_core.generators.loading import load_video_generator
from soundguide_core.miniature.world.clip_codes import CodedClips
from soundguide_core.training import styleganv
from soundguide_core.training.recipe import read_recipe

# what [generator] says instead
VARIANTS = {
    "as-shipped": {},
    "sinusoidal": {"codes": "sinusoidal"},
    "no-alignment": {"codes": "unaligned"},
    "two-frames": {"num_frames": 2},
    "four-frames": {"num_frames": 4},
    "motion-at-constant": {"motion_input": "constant"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--clips", default="runs/styleganv/clips")
    parser.add_argument("--out", default="runs/styleganv-ablations")
    parser.add_argument("--videos", type=int, default=64)
    parser.add_argument("--device", default="cpu", help="where it is trained; figures are made on the CPU")
    args = parser.parse_args()
    for name in args.only:
        recipe = read_recipe("styleganv_short")
        recipe["generator"] |= VARIANTS[name]
        size = recipe["generator"]["resolution"]
        clips = CodedClips(args.clips, size, device=args.device)
        path = styleganv.run(config=recipe, out=Path(args.out) / name, device=args.device, seed=0, videos=clips)
        print(f"\n{name}, {recipe['warm_start']['stages']}, {recipe['training']['kimg']} kimg")
        bench = Bench(load_video_generator(path), CodedClips(args.clips, size))
        with torch.no_grad():
            distances(bench, args.videos)
            learned_motion(bench)


if __name__ == "__main__":
    main()
