"""The miniature as a model of the host, guided by sounds through stock KSampler: named, strange, CPU time.

Three tasks, each with the same sounds for every rule and strength: pictures from noise, frames along a loudness curve
from one noise, and frames painted over a source picture (img2img). A judge, part of no loss, names what it sees.

COMFYUI_PYTHON benchmarks/miniature_listens.py [--host ~/comfy/ComfyUI] [--unet miniature] [--task noise curve img2img]
    [--rules "look again" measured] [--strength 1] [--response steep] [--seeds 5] [--steps 10] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import logging
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FRAMES = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", type=Path, default=Path("~/comfy/ComfyUI").expanduser())
    parser.add_argument("--unet", default="miniature")
    parser.add_argument("--task", nargs="+", default=["noise", "curve", "img2img"])
    parser.add_argument("--rules", nargs="+", default=["estimate", "look again", "measured"])
    parser.add_argument("--strength", nargs="+", type=float, default=[1.0])
    parser.add_argument("--response", default="steep", help="to the curve: steep, even")
    parser.add_argument("--warm-up", type=int, default=18, help="looks in all")
    parser.add_argument("--sampler", default="euler")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--denoise", type=float, default=0.7, help="of img2img")
    parser.add_argument("--out", type=Path, help="where sheets go")
    args = parser.parse_args()
    load_pack(args.host)
    import torch

    bench = Bench(args)
    print(f"strangeness of new scenes {bench.strange(bench.told.held_out_scenes(64, 64)):.4f}")
    with torch.inference_mode():
        for task in args.task:
            for rule, strength in [(None, 0.0), *((rule, s) for rule in args.rules for s in args.strength)]:
                getattr(bench, task)(rule, strength)


def load_pack(host: Path) -> None:
    """ComfyUI on the processor, and the pack as ComfyUI loads it, under the name pack; one thread."""
    sys.argv = sys.argv[:1]
    sys.path.insert(0, str(host))
    importlib.import_module("comfy.cli_args").args.cpu = True
    spec = importlib.util.spec_from_file_location("pack", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    sys.modules["pack"] = pack = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pack)
    logging.disable(logging.WARNING)
    importlib.import_module("torch").set_num_threads(1)


class Bench:
    """The models, the sounds, and what is measured of the pictures."""

    def __init__(self, args) -> None:
        def part(name):
            return importlib.import_module(f"pack.{name}")

        import nodes

        self.args, self.nodes, self.guide = args, nodes, part("nodes.guide_model").GuideModel
        self.told = part("soundguide_core.miniature.evaluation.told_pictures")
        self.rank = part("soundguide_core.miniature.evaluation.video_editing").rank_correlation
        self.sheet = part("soundguide_core.cli.pictures").labelled_sheet
        self.sockets = part("nodes.sockets")
        pixels, host = part("nodes.host_pixels"), part("nodes.host")
        load_joint = part("soundguide_core.embedding.joint").load_joint
        self.model, self.clip = pixels.pixel_model(args.unet), pixels.text_clip(None)
        self.encoder = host.Model("miniature", lambda device: load_joint("miniature", device), "joint")
        self.denoiser = part("soundguide_core.diffusion.denoiser").load_denoiser(args.unet)
        self.judge = part("soundguide_core.miniature.evaluation.scene_classifier").load_scene_classifier()
        self.asked = self.told.asked_by_sounds(load_joint("miniature"))
        self.nothing = nodes.CLIPTextEncode().encode(self.clip, "")[0]

    def strange(self, img) -> float:
        return self.told.strangeness(self.denoiser, img).mean().item()

    def sampled(
        self, rule, strength, embeds, latent, seed, curve=None, denoise=1.0, positive=None, negative=None, cfg=1.0
    ):  # fmt: skip
        """(pictures [F,3,H,W] in -1..1, CPU seconds)"""
        began = time.process_time()
        model = self.model
        if rule is not None:
            heard = self.sockets.Embeds(embeds, "sounds", "miniature")
            settings = dict(strength=strength, rule=rule, start=0.0, end=1.0, every=1, chunk=len(embeds))
            settings |= dict(response=self.args.response, warm_up=self.args.warm_up)
            model = self.guide.execute(model, self.encoder, heard, curve=curve, **settings).args[0]
        made = self.nodes.KSampler().sample(
            model,
            seed,
            self.args.steps,
            cfg,
            self.args.sampler,
            "normal",
            positive or self.nothing,
            negative or self.nothing,
            latent,
            denoise,
        )[0]["samples"]
        return made.clamp(-1, 1).clone(), time.process_time() - began

    def noise(self, rule, strength) -> None:
        import torch

        embeds = torch.cat([each.context for each in self.asked])
        images, seconds = [], 0.0
        for seed in range(self.args.seeds):
            latent = {"samples": torch.zeros(len(embeds), 3, 64, 64), "batch_index": [seed] * len(embeds)}
            img, took = self.sampled(rule, strength, embeds, latent, 7)
            images.append(img)
            seconds += took
        # report() takes the pictures of each sound together
        img = torch.stack(images, 1).flatten(0, 1)
        figures = self.told.report(img, self.asked, self.judge, self.denoiser)
        print(
            f"noise   {rule or 'unguided':<11}{strength:<5g} named {figures['named']:.2f}  strangeness "
            f"{figures['strangeness']:.4f}  {seconds / self.args.seeds:.1f} s  "
            + ", ".join(f"{name} {share:.1f}" for name, share in figures["per_class"].items()),
            flush=True,
        )
        columns = [each.phenomenon for each in self.asked]
        self._save(f"noise {rule or 'unguided'} {strength:g}", torch.cat(images[:4]), columns)

    def curve(self, rule, strength) -> None:
        self._along_a_curve("curve", rule, strength, None)

    def img2img(self, rule, strength) -> None:
        self._along_a_curve("img2img", rule, strength, self.args.denoise)

    def _along_a_curve(self, name, rule, strength, denoise) -> None:
        """8 frames of each of seven sounds; with denoise, over a calm scene."""
        import numpy as np
        import torch

        loudness = np.array([0.0, 0.1, 0.35, 0.65, 0.9, 1.0, 0.6, 0.15])
        loud, quiet, ranks, frames, seconds = [], [], [], [], 0.0
        for k, asked in enumerate(self.asked[::2]):
            start = self._source(k, denoise)
            latent = {"samples": start.repeat(FRAMES, 1, 1, 1), "batch_index": [k] * FRAMES}
            img, took = self.sampled(
                rule, strength, asked.context.repeat(FRAMES, 1), latent, 11, list(loudness), denoise or 1.0
            )
            right = np.array([found == asked.phenomenon for found in self.judge.name(img)])
            loud += list(right[loudness > 0.5])
            quiet += list(right[loudness < 0.2])
            change = (img - img[:1]).abs().mean((1, 2, 3)).numpy()  # the first frame is not guided
            ranks.append(self.rank(loudness, change) if change.any() else 0.0)
            frames.append(img)
            seconds += took
        print(
            f"{name:<8}{rule or 'unguided':<11}{strength:<5g} named where loud {np.mean(loud):.2f}, where quiet "
            f"{np.mean(quiet):.2f}  rank {np.mean(ranks):.2f} (least {np.min(ranks):.2f})  "
            f"strangeness {self.strange(torch.cat(frames)):.4f}  {seconds:.1f} s",
            flush=True,
        )
        self._save(f"{name} {rule or 'unguided'} {strength:g}", torch.cat(frames), [f"{x:g}" for x in loudness])

    def _source(self, k, denoise):
        import torch

        if denoise is None:
            return torch.zeros(1, 3, 64, 64)
        scenes = importlib.import_module("pack.soundguide_core.miniature.world.scenes")
        pixels = scenes.render_still((950_000 + k, None, 0.0, k, 0.0), size=64)
        return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1

    def _save(self, name, img, columns) -> None:
        if self.args.out:
            self.args.out.mkdir(parents=True, exist_ok=True)
            rows = [""] * (len(img) // len(columns))
            self.sheet(img, columns, rows, self.args.out / f"{name.replace(' ', '_')}.png")


if __name__ == "__main__":
    main()
