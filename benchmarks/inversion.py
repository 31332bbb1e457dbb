"""How near pictures are found, by each method at equal time, and what edits are worth afterwards.

    python benchmarks/inversion.py [--layouts 20] [--steps 200] [--methods a,b] [--edited 10] [--out DIR]
        [--refine-steps 0] [--tuning-rate 0.01]

Pictures: scenes of the miniature world with layouts that no training has seen. Each method gets the processor time that
`optimise` takes: the number of its last steps is chosen by timing a few of them; all else is as the node and the
command have it by default unless it is named here, but for the short search before tuning in optimise+tuning. Errors
are the mean squared and the root mean square one of pixels in -1..1, and the perceptual distance on the features of the
scene classifier, which is part of no loss. Afterwards pictures are changed by the seven sounds; the classifier judges
what they show.

One picture is found by all methods before the next, so a run that is stopped says something already; started again with
the same --out it goes on, with the same numbers of steps. 20 layouts take about 25 minutes of one core.
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

from soundguide_core.common.memory import tune_malloc  # noqa: E402
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
    if config.method == "encoder":
        return config

    def steps(n: int) -> ProjectionConfig:
        return replace(config, **{last_steps(config): n})

    few, many = 4, 28
    timed(img, generator, joint, steps(1))  # warms up
    short, long = (timed(img, generator, joint, steps(n))[1] for n in (few, many))
    each = max((long - short) / (many - few), 1e-4)
    return steps(max(int((seconds - short) / each) + few, few))


def last_steps(config: ProjectionConfig) -> str:
    return "tuning_steps" if config.tunes else "refine_steps"


def configs(steps: int, **changed) -> dict[str, ProjectionConfig]:
    """changed: of ProjectionConfig, for all methods."""
    usual = ProjectionConfig(schedule=Schedule(steps, 0.1), **changed)
    made = {method: replace(usual, method=method) for method in METHODS}
    short = Schedule(max(steps // 8, 1), 0.1)
    made["optimise+tuning"] = replace(made["optimise+tuning"], schedule=short, candidates=64)
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


def planned(methods: list[str], steps: int, path: Path, generator, joint, **changed) -> dict[str, ProjectionConfig]:
    """What each method does within optimise's time; its number of steps is read from the file, or measured and kept."""
    img, made = scene(FIRST - 1, generator.resolution), configs(steps, **changed)
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"optimise": steps}
    if kept["optimise"] != steps:
        raise SystemExit(f"{path} is of {kept['optimise']} steps of optimise; give another --out.")
    budget = 0.0
    for method in (m for m in methods if m not in kept):
        budget = budget or timed(img, generator, joint, made["optimise"])[1]
        made[method] = within(made[method], budget, img, generator, joint)
        kept[method] = getattr(made[method], last_steps(made[method]))
        path.write_text(json.dumps(kept, indent=2), encoding="utf-8")
    return {m: made[m] if m == "optimise" else replace(made[m], **{last_steps(made[m]): kept[m]}) for m in methods}


def measured(method: str, number: int, config: ProjectionConfig, generator, joint, judge, sheet: Path | None) -> dict:
    """One picture by one method; with a sheet, its edits too."""
    img = scene(FIRST + number, generator.resolution)
    found, seconds = timed(img, generator, joint, config)
    row = {
        "method": method, "layout": number, "seconds": seconds,
        "mse": float((found.img - img).square().mean()), "perceptual": perceptual(judge, found.img, img),
    }  # fmt: skip
    if sheet is not None:
        row["named"], row["edits"], pictures = edits(found, joint, judge, number, ManipulationConfig())
        save_image(grid(torch.cat([img, found.img, pictures]).clamp(-1, 1), len(pictures) + 2)[None], sheet)
    return row


def table_of(rows: list[dict], methods: list[str], plan: dict[str, ProjectionConfig]) -> dict[str, dict]:
    """Means over the layouts, and how they compare to optimise's over the same ones."""
    table: dict[str, dict] = {}
    for method in methods:
        mine = [row for row in rows if row["method"] == method]
        if not mine:
            continue
        means = {key: sum(row[key] for row in mine) / len(mine) for key in ("seconds", "mse", "perceptual")}
        edited = [row for row in mine if "edits" in row]
        wanted = sum(row["edits"] for row in edited)
        named = sum(row["named"] for row in edited) / wanted if wanted else None
        steps = getattr(plan[method], last_steps(plan[method])) if method != "optimise" else plan[method].schedule.steps
        table[method] = {
            "layouts": len(mine), "steps": steps, **means, "rms": means["mse"] ** 0.5, "named": named, "edits": wanted,
        }  # fmt: skip
        same = {row["layout"] for row in mine}
        first = [row for row in rows if row["method"] == "optimise" and row["layout"] in same]
        for key in ("mse", "perceptual") if len(first) == len(mine) else ():
            table[method][f"{key}_of_optimise"] = means[key] / (sum(row[key] for row in first) / len(first))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layouts", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="number of the first layout, to share the work")
    parser.add_argument("--steps", type=int, default=200, help="of optimise, which sets the time of all")
    parser.add_argument("--refine-steps", type=int, help="before tuning (default: the node's)")
    parser.add_argument("--tuning-rate", type=float, help="(default: the node's)")
    parser.add_argument("--methods", default="optimise,encoder,encoder+refine,encoder+tuning")
    parser.add_argument("--edited", type=int, default=10, help="pictures that are edited, with seven sounds each")
    parser.add_argument("--edit-methods", default="optimise,encoder+tuning", help="whose pictures are edited")
    parser.add_argument("--out", type=Path, default=Path("runs/inversion"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    tune_malloc()
    args.out.mkdir(parents=True, exist_ok=True)
    methods, rows_path = args.methods.split(","), args.out / "rows.jsonl"
    joint, generator, judge = load_joint(), load_generator(), load_scene_classifier()
    changed = {key: getattr(args, key) for key in ("refine_steps", "tuning_rate") if getattr(args, key) is not None}
    plan = planned(methods, args.steps, args.out / "steps.json", generator, joint, **changed)
    rows = [json.loads(line) for line in rows_path.read_text().splitlines()] if rows_path.is_file() else []
    done = {(row["method"], row["layout"]) for row in rows}
    for number in range(args.first, args.first + args.layouts):
        for method in (m for m in methods if (m, number) not in done):
            shown = number - args.first < args.edited and method in args.edit_methods.split(",")
            sheet = args.out / f"{method}-{number:02d}.png" if shown else None
            rows.append(measured(method, number, plan[method], generator, joint, judge, sheet))
            with rows_path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(rows[-1]) + "\n")
            print(rows[-1], flush=True)
    table = table_of(rows, methods, plan)
    (args.out / "table.json").write_text(json.dumps(table, indent=2), encoding="utf-8")
    head = ("method", "steps", "s", "mse", "rms", "perceptual", "of optimise", "named")
    print("{:16} {:>5} {:>6} {:>8} {:>7} {:>10} {:>12} {:>6}".format(*head))
    for method, row in table.items():
        named = "" if row["named"] is None else f"{row['named']:.3f}"
        ratio = f"{row.get('mse_of_optimise', 0):.2f} {row.get('perceptual_of_optimise', 0):.2f}"
        figures = f"{row['seconds']:6.1f} {row['mse']:8.5f} {row['rms']:7.4f} {row['perceptual']:10.5f}"
        print(f"{method:16} {row['steps']:5d} {figures} {ratio:>12} {named:>6}")


if __name__ == "__main__":
    main()
