"""Play the whole miniature through and leave sounds, pictures and a page to look at."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..common.files import make_folder, replacing
from ..common.outputs import own_folder
from . import demo_videos
from .common import add_common, pick_device, progress, say

if TYPE_CHECKING:
    from torch import Tensor

    from ..embedding.joint import JointEncoder
    from ..generators.generator import StyleGenerator

SECONDS = 5
SOURCE_SEEDS = (13, 35, 49)  # calm ones
MIXING_SEED = 18
WORLD_SEEDS = (9, 8, 21, 11)
PHOTOGRAPH_SEED = 20_000  # a scene that no training set has


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", default="soundguide-demo", metavar="DIR", help="default: soundguide-demo")
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    with own_folder(args.out, overwrite=args.overwrite) as folder:
        return play(args, folder)


def play(args: argparse.Namespace, folder: Path) -> int:
    """Everything into that folder."""
    began = time.monotonic()
    demo = Demo.prepare(args, folder)
    with stage("Painting the miniature world"):
        world_sheet(folder / "scenes.png")
    with stage("Synthesising seven sounds, and listening to them"):
        demo.listen()
    with stage(f"Changing {len(SOURCE_SEEDS)} pictures by each of the seven"):
        demo.edit()
    with stage("Mixing two sounds and a text"):
        demo.mix()
    with stage("Finding your own photograph in the generator, and changing it"):
        demo.photograph()
    with stage("Letting a fire edit the sky of a video"):
        demo_videos.edited(folder, demo.joint, demo.seed)
    with stage("Making a video of a sound that turns into another"):
        demo_videos.generated(folder, demo.generator, demo.seed)
    with stage("Letting thunder move a video"):
        demo_videos.moved(folder, demo.joint, demo.seed)
    write_page(folder)
    print()
    say(f"Done in {time.monotonic() - began:.0f} s. Open {(folder / 'index.html').resolve()}")
    return 0


def world_sheet(path: Path) -> None:
    """Four layouts, calm and under each of the seven phenomena."""
    import numpy as np
    import torch

    from ..media.images import from_uint8
    from ..miniature.world.scenes import PHENOMENA, render
    from .pictures import labelled_sheet

    rows = [
        render(seed, kind, 0.95, size=160, variant=k)[0]
        for k, seed in enumerate(WORLD_SEEDS)
        for kind in (None, *PHENOMENA)
    ]
    labelled_sheet(from_uint8(torch.from_numpy(np.stack(rows))), ["calm", *PHENOMENA], [""], path)


@contextmanager
def stage(title: str) -> Iterator[None]:
    print(title, flush=True)
    began = time.monotonic()
    yield
    print(f"    {time.monotonic() - began:.0f} s", flush=True)


@dataclass
class Demo:
    """The models of the miniature, and what one stage leaves for the next."""

    folder: Path
    seed: int
    joint: JointEncoder
    generator: StyleGenerator
    embeds: dict[str, Tensor]  # of the synthesised sounds, each [1,D]

    @classmethod
    def prepare(cls, args: argparse.Namespace, folder: Path) -> Demo:
        with stage("Loading the miniature"):
            from ..embedding.joint import load_joint
            from ..generators.loading import load_generator

            device = pick_device(args)
            return cls(folder, args.seed, load_joint(device=device), load_generator(device=device), {})

    def listen(self) -> None:
        """sounds/*.wav, heard.png"""
        import numpy as np
        import soundfile
        import torch

        from ..audio.waveform import load_audio, to_mono
        from ..miniature.sounds.synthesis import synthesise
        from ..miniature.world.scenes import PHENOMENA
        from .pictures import heard_table

        sounds = make_folder(self.folder / "sounds")
        for phenomenon in PHENOMENA:
            path = sounds / f"{phenomenon}.wav"
            with replacing(path) as temporary:
                wave = synthesise(phenomenon, SECONDS, intensity=np.full(2, 0.9), seed=self.seed, fps=1)
                soundfile.write(temporary, wave, 44100)
            wave, sample_rate = load_audio(path)
            self.embeds[phenomenon] = self.joint.encode_audio(to_mono(wave), sample_rate)
        p = self.joint.classify(torch.cat(list(self.embeds.values())), list(PHENOMENA))
        heard_table(p, PHENOMENA, PHENOMENA, self.folder / "heard.png")

    def edit(self) -> None:
        """edits.png, loss.png"""
        import torch

        from .pictures import labelled_sheet, loss_plot

        names = list(self.embeds)
        rows, histories = [], {}
        seeds = [self.seed + seed for seed in SOURCE_SEEDS]
        for i, seed in enumerate(seeds, start=1):
            ws_src = self.generator.sample_ws([seed])
            result = self._manipulate(ws_src, torch.cat(list(self.embeds.values())), f"picture {i} of {len(seeds)}")
            rows += [result.img_src[:1], result.img]
            histories[f"picture {i}"] = result.history
        labels = [f"seed {seed}" for seed in seeds]
        labelled_sheet(torch.cat(rows), ["source", *names], labels, self.folder / "edits.png")
        loss_plot(histories, self.folder / "loss.png")

    def mix(self) -> None:
        """mixes.png"""
        import torch

        from ..embedding.mixing import mix_embeds
        from ..systems.image_manipulation import mix_styles
        from .pictures import labelled_sheet

        waves, birds, thunder = (self.embeds[name] for name in ("waves", "birds", "thunder"))
        text = self.joint.encode_text(["rain"])
        mixes = {
            "waves": waves,
            "birds": birds,
            "waves + birds": mix_embeds([waves, birds]),
            "thunder": thunder,
            "“rain”": text,
            "thunder + “rain”": mix_embeds([thunder, text]),
        }
        ws_src = self.generator.sample_ws([self.seed + MIXING_SEED])
        result = self._manipulate(ws_src, torch.cat(list(mixes.values())), "mixing")
        with torch.no_grad():
            by_layers = self.generator.synthesis(mix_styles(result.ws[3:4], result.ws[4:5]))
        imgs = torch.cat([result.img_src[:1], result.img, by_layers])
        labelled_sheet(imgs, ["source", *mixes, "by layers"], [""], self.folder / "mixes.png")

    def photograph(self) -> None:
        """photograph.png"""
        import torch
        from PIL import Image

        from ..latents.projection import project
        from ..media.images import load_image
        from ..miniature.world.scenes import render
        from .pictures import labelled_sheet

        path = self.folder / "my-photograph.png"
        with replacing(path) as temporary:
            Image.fromarray(render(PHOTOGRAPH_SEED + self.seed, None, 0.0)[0]).save(temporary)
        with progress("finding") as on_step:
            found = project(
                load_image(path), self.generator, features=self.joint.encode_image, seed=self.seed, on_step=on_step
            )
        names = ["rain", "fire", "birds", "crickets"]
        result = self._manipulate(found.ws, torch.cat([self.embeds[name] for name in names]), "changing")
        imgs = torch.cat([found.target, found.img, result.img])
        labelled_sheet(imgs, ["photograph", "found", *names], [""], self.folder / "photograph.png")

    def _manipulate(self, ws_src: Tensor, embeds: Tensor, title: str):
        from ..systems.image_manipulation import ManipulationConfig, manipulate

        with progress(title) as on_step:
            return manipulate(
                ws_src.expand(len(embeds), -1, -1), embeds, generator=self.generator, joint=self.joint,
                config=ManipulationConfig(seed=self.seed), on_step=on_step,
            )  # fmt: skip


PAGE = """<!doctype html>
<meta charset="utf-8">
<title>SoundGuide: the miniature</title>
<style>
  body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; color: #22252b }}
  img, video {{ max-width: 100%; image-rendering: auto }} figure {{ margin: 0 0 2.5rem }}
  .sounds {{ display: flex; flex-wrap: wrap; gap: 1rem; margin-bottom: 2.5rem }}
  h2 {{ font-size: 1.15rem }} audio {{ width: 15rem; display: block }}
</style>
<h1>Pictures changed by sounds</h1>
<p>Listen to a sound, then find its column. Every model behind this page came with the package.</p>
<div class="sounds">{sounds}</div>
{figures}
"""

FIGURES = {
    "scenes.png": "The miniature world: the same layouts, calm and under each phenomenon. The models learned these.",
    "edits.png": "Each source, changed by each of the seven sounds.",
    "mixes.png": "Two sounds as one, a sound and a text as one, and the two mixed by style layers.",
    "photograph.png": "A picture from outside, found in the generator and then changed.",
    "video.png": "A calm video, and the same after the fire has edited its upper half; the lower half is untouched.",
    "video.mp4": "The same with its sound.",
    "generated.png": "A video made of a sound alone: waves that turn into a fire.",
    "generated.mp4": "The same with its sound.",
    "moved.png": "A video that moves with thunder, for as long as it lasts.",
    "moved.mp4": "The same with its sound.",
    "heard.png": "How each sound was heard, among the seven words.",
    "loss.png": "The terms of the loss while the pictures changed.",
}


def write_page(folder: Path) -> None:
    """index.html over everything that the demo has written."""
    from ..miniature.world.scenes import PHENOMENA

    sounds = "".join(f'<label>{p}<audio controls src="sounds/{p}.wav"></audio></label>' for p in PHENOMENA)
    figures = "".join(_figure(name, text) for name, text in FIGURES.items())
    with replacing(folder / "index.html") as temporary:
        temporary.write_text(PAGE.format(sounds=sounds, figures=figures), encoding="utf-8")


def _figure(name: str, text: str) -> str:
    shown = f'<video controls loop src="{name}"></video>' if name.endswith(".mp4") else f'<img src="{name}" alt="">'
    return f"<figure><h2>{text}</h2>{shown}</figure>"
