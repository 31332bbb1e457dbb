"""How near pictures are found, by each method at equal time, and what edits are worth afterwards.

    python benchmarks/inversion.py [--layouts 20] [--steps 200] [--methods a,b] [--edited 10] [--out DIR]

Pictures: scenes of the miniature world with layouts that no training has seen. Each method gets the processor time that
`optimise` takes: the number of its last steps is chosen by timing a few of them. Errors are the mean squared and the
root mean square one of pixels in -1..1, and the perceptual distance on the features of the scene classifier, which is
part of no loss. Afterwards every picture is changed by the seven sounds; the classifier judges what they show.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from soundguide_core.embedding.joint import load_joint  # noqa: E402
from soundguide_core.generators.loading import load_generator  # noqa: E402
from soundguide_core.latents.schedule import Schedule  # noqa: E402
from soundguide_core.losses.features import feature_distance  # noqa: E402
from soundguide_core.media.images import from_uint8, grid, save_image  # noqa: E402
from soundguide_core.miniature.data.scenes import HELD_OUT, draw  # noqa: E402
from soundguide_core.miniature.evaluation.scene_classifier import load_scene_classifier  # noqa: E402
from soundguide_core.miniature.evaluation.seeing import synthesised_embeds  # noqa: E402
from soundguide_core.miniature.world.scenes import PHENOMENA, render_still  # noqa: E402
from soundguide_core.pipelines.inversion import FoundPicture, find_picture  # noqa: E402
from soundguide_core.systems.configs.image_manipulation import ManipulationConfig  # noqa: E402
from soundguide_core.systems.configs.projection import METHODS, ProjectionConfig  # noqa: E402
from soundguide_core.systems.image_manipulation import manipulate  # noqa: E402

FIRST = HELD_OUT + 500_000  # of the scenes' numbers


def scene(number: int, size: int) -> Tensor:
    """A picture [1,3,H,W] of a layout that is new to everything."""
    shown = draw(number)
    what = (shown.seed, shown.phenomenon, shown.intensity, shown.variant, shown.start_sec)
    return from_uint8(torch.from_numpy(render_still(what, size=size))[None])


def perceptual(judge, img: Tensor, target: Tensor) -> float:
    """The mean over the classifier's stages of the distance of unit features."""
    total = 0.0
    for block in judge.blocks:
        img, target = block(img), block(target)
        total += float(feature_distance(img, target).mean())
    return total / len(judge.blocks)


def timed(img: Tensor, generator, joint, config: ProjectionConfig) -> tuple[FoundPicture, float]:
    began = time.process_time()
    found = find_picture(img, generator, joint, config)
    return found, time.process_time() - began


def within(config: ProjectionConfig, seconds: float, img: Tensor, generator, joint) -> ProjectionConfig:
    """config with as many of its method's last steps as fit into the time."""
    name = "tuning_steps" if config.tunes else "refine_steps"
    if config.method == "encoder":
        return config
    few, many = 4, 16

    def steps(n: int) -> ProjectionConfig:
        return replace(config, **{name: n})

    short, long = (timed(img, generator, joint, steps(n))[1] for n in (few, many))
    each = max((long - short) / (many - few), 1e-4)
    return steps(max(int((seconds - short) / each) + few, few))


def configs(steps: int) -> dict[str, ProjectionConfig]:
    usual = ProjectionConfig(schedule=Schedule(steps, 0.1))
    made = {method: replace(usual, method=method) for method in METHODS}
    short = Schedule(max(steps // 8, 1), 0.1)
    made["optimise+tuning"] = replace(made["optimise+tuning"], schedule=short, candidates=64)
    made["encoder+tuning"] = replace(made["encoder+tuning"], refine_steps=max(steps // 10, 1))
    return made


def edits(found: FoundPicture, joint, judge, number: int, config: ManipulationConfig) -> tuple[int, int, Tensor]:
    """(how many of the seven edits the judge names rightly, of how many that the encoder heard rightly, the edits)"""
    embeds = synthesised_embeds(joint, number)
    heard = [PHENOMENA[k] for k in joint.classify(embeds, PHENOMENA).argmax(dim=1).tolist()]
    made = manipulate(
        found.ws.expand(len(embeds), -1, -1), embeds, generator=found.generator, joint=joint, config=config
    ).img
    named = judge.name(made)
    right = [see == what for see, what, hear in zip(named, PHENOMENA, heard) if hear == what]
    return sum(right), len(right), made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layouts", type=int, default=20)
    parser.add_argument("--steps", type=int, default=200, help="of optimise, which sets the time of all")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--edited", type=int, default=10, help="pictures that are edited, with seven sounds each")
    parser.add_argument("--out", type=Path, default=Path("runs/inversion"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    joint, generator, judge = load_joint(), load_generator(), load_scene_classifier()
    first = scene(FIRST - 1, generator.resolution)
    made = configs(args.steps)
    _, budget = timed(first, generator, joint, made["optimise"])
    table: dict[str, dict] = {}
    for method in args.methods.split(","):
        config = made[method] if method == "optimise" else within(made[method], budget, first, generator, joint)
        rows, shown, right, wanted = [], [], 0, 0
        for i in range(args.layouts):
            img = scene(FIRST + i, generator.resolution)
            found, seconds = timed(img, generator, joint, config)
            square = float((found.img - img).square().mean())
            rows.append((seconds, square, perceptual(judge, found.img, img)))
            if i < args.edited:
                hits, of, pictures = edits(found, joint, judge, i, ManipulationConfig())
                right, wanted = right + hits, wanted + of
                shown.append(torch.cat([img, found.img, pictures]))
            print(method, i, *(round(x, 5) for x in rows[-1]), f"{right}/{wanted}", flush=True)
        means = torch.tensor(rows).mean(dim=0).tolist()
        steps = {"refine_steps": config.refine_steps, "tuning_steps": config.tuning_steps}
        table[method] = {
            "seconds": means[0], "mse": means[1], "rms": means[1] ** 0.5, "perceptual": means[2],
            "named": right / wanted if wanted else None, "edits": wanted, **steps,
        }  # fmt: skip
        (args.out / "table.json").write_text(json.dumps(table, indent=2), encoding="utf-8")
        if shown:
            save_image(grid(torch.cat(shown).clamp(-1, 1), len(shown[0]))[None], args.out / f"{method}.png")
    print(f"{'method':16} {'s':>6} {'mse':>8} {'rms':>7} {'perceptual':>10} {'named':>6}")
    for method, row in table.items():
        named = "" if row["named"] is None else f"{row['named']:.3f}"
        figures = f"{row['seconds']:6.1f} {row['mse']:8.5f} {row['rms']:7.4f} {row['perceptual']:10.5f}"
        print(f"{method:16} {figures} {named:>6}")


if __name__ == "__main__":
    main()
