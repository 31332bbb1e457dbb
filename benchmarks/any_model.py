"""Every family of models that the host tests know, guided by each rule: how far from the sound its pictures end, and
the CPU time against sampling without.

Tiny random weights in ComfyUI's own classes: it shows that the guidance arrives and what it costs in passes, nothing of
how the pictures look.

COMFYUI_PYTHON benchmarks/any_model.py [--host ~/comfy/ComfyUI] [--families SD1.5 Flux] [--steps 8] [--repeat 3]
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import logging
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RULES = ("estimate", "look again", "measured", "through")


def modules(host: Path):
    """The pack as ComfyUI loads it, and tests/host/families.py."""
    sys.path[:0] = [str(host), str(ROOT / "tests" / "host"), str(ROOT / "tests")]
    importlib.import_module("comfy.cli_args").args.cpu = True
    spec = importlib.util.spec_from_file_location("pack", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    sys.modules["pack"] = pack = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pack)
    logging.disable(logging.WARNING)
    return importlib.import_module("families"), importlib.import_module("test_guide_model"), pack


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", type=Path, default=Path("~/comfy/ComfyUI").expanduser())
    parser.add_argument("--families", nargs="*")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    sys.argv = sys.argv[:1]
    families, test, pack = modules(args.host)
    import torch

    torch.set_num_threads(1)
    world = test.World(lambda name: importlib.import_module(f"{pack.__name__}.{name}"))

    def sampled(model, name):
        how = {"denoise": 0.4} if name.startswith("SD") and name != "SD3" else {}
        seconds = []
        for _ in range(args.repeat):
            began = time.process_time()
            samples = families.run(model, name, steps=args.steps, **how)
            seconds.append(time.process_time() - began)
        return float(world.loss(model, samples).mean()), statistics.median(seconds)

    print("| family | unguided |", " | ".join(f"{rule} | x time" for rule in RULES), "|")
    print("|---|" + "---|" * (1 + 2 * len(RULES)))
    for name in args.families or families.FAMILIES:
        try:
            model = families.load(name)
            stock, base = sampled(model, name)
        except (AttributeError, TypeError, KeyError) as error:
            print(f"| {name} | not in this host: {error} |")
            continue
        cells = []
        for rule in RULES:
            try:
                loss, seconds = sampled(world.guide(model, rule=rule), name)
                cells.append(f"{loss:.3f} | {seconds / base:.1f}")
            except world.InputError:
                cells.append("refused | ")
        print(f"| {name} | {stock:.3f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
