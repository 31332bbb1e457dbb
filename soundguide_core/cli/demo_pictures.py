"""The demo's sounds and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..common.files import make_folder, replacing
from .common import progress

if TYPE_CHECKING:
    import numpy as np

    from .demo_models import Demo

SOURCE_SEEDS = (13, 35, 49)  # calm ones
MIXING_SEED = 18
WORLD_SEEDS = (9, 8, 21, 11)
WHOLE_SOUNDS, SKY_SOUNDS = ("fire", "crickets", "thunder"), ("thunder", "wind", "fire")
FOUND_SOUNDS = ("rain", "fire", "birds", "crickets")
PHOTOGRAPH = ("sklearn", "datasets/images/china.jpg")  # a package that librosa brings, and its file
PICTURE, MASK = "my-photograph.png", "my-sky.png"
CREDIT = "Photograph: danielbuechele, CC BY 2.0."


def sounds(demo: Demo) -> None:
    """sounds/*.wav, and what they mean."""
    import numpy as np
    import soundfile

    from ..audio.waveform import load_audio, to_mono
    from ..miniature.sounds.synthesis import synthesise
    from ..miniature.world.scenes import PHENOMENA

    folder = make_folder(demo.folder / "sounds")
    for phenomenon in PHENOMENA:
        path = folder / f"{phenomenon}.wav"
        with replacing(path) as temporary:
            wave = synthesise(phenomenon, demo.size.sound_sec, intensity=np.full(2, 0.9), seed=demo.seed, fps=1)
            soundfile.write(temporary, wave, 44100)
        wave, sample_rate = load_audio(path)
        demo.embeds[phenomenon] = demo.joint.encode_audio(to_mono(wave), sample_rate)


def world(demo: Demo) -> None:
    """scenes.png: four layouts, calm and under each of the seven phenomena."""
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
    imgs = from_uint8(torch.from_numpy(np.stack(rows)))
    labelled_sheet(imgs, ["calm", *PHENOMENA], [""], demo.folder / "scenes.png")


def heard(demo: Demo) -> None:
    """heard.png"""
    import torch

    from .pictures import heard_table

    names = list(demo.embeds)
    p = demo.joint.classify(torch.cat(list(demo.embeds.values())), names)
    heard_table(p, names, names, demo.folder / "heard.png")


def changes(demo: Demo) -> None:
    """edits.png, loss.png"""
    import torch

    from .pictures import labelled_sheet, loss_plot

    names = list(demo.embeds)
    rows, histories = [], {}
    seeds = [demo.seed + seed for seed in SOURCE_SEEDS[: demo.size.sources]]
    for i, seed in enumerate(seeds, start=1):
        ws_src = demo.generator.sample_ws([seed])
        result = demo.manipulate(ws_src, torch.cat(list(demo.embeds.values())), f"picture {i} of {len(seeds)}")
        rows += [result.img_src[:1], result.img]
        histories[f"picture {i}"] = result.history
    labels = [f"seed {seed}" for seed in seeds]
    labelled_sheet(torch.cat(rows), ["source", *names], labels, demo.folder / "edits.png")
    loss_plot(histories, demo.folder / "loss.png")


def mixes(demo: Demo) -> None:
    """mixes.png"""
    import torch

    from ..embedding.mixing import mix_embeds
    from ..systems.image_manipulation import mix_styles
    from .pictures import labelled_sheet

    waves, birds, thunder = (demo.embeds[name] for name in ("waves", "birds", "thunder"))
    text = demo.joint.encode_text(["rain"])
    mixed = {
        "waves": waves,
        "birds": birds,
        "waves + birds": mix_embeds([waves, birds]),
        "thunder": thunder,
        "“rain”": text,
        "thunder + “rain”": mix_embeds([thunder, text]),
    }
    ws_src = demo.generator.sample_ws([demo.seed + MIXING_SEED])
    result = demo.manipulate(ws_src, torch.cat(list(mixed.values())), "mixing")
    with torch.no_grad():
        by_layers = demo.generator.synthesis(mix_styles(result.ws[3:4], result.ws[4:5]))
    imgs = torch.cat([result.img_src[:1], result.img, by_layers])
    labelled_sheet(imgs, ["source", *mixed, "by layers"], [""], demo.folder / "mixes.png")


def photograph() -> Path | None:
    """A photograph with a sky from a package that is installed anyway; None where that is not."""
    from importlib.util import find_spec

    package, name = PHOTOGRAPH
    found = find_spec(package)
    path = None if found is None or found.origin is None else Path(found.origin).parent / name
    return path if path is not None and path.is_file() else None


def sky_mask(pixels: np.ndarray) -> np.ndarray:
    """pixels [H,W,3] uint8 of that photograph => [H,W] in 0..1: what is light, not reddish, and hangs together from the
    top edge down to the horizon."""
    import numpy as np
    from scipy.ndimage import label

    rgb = pixels.astype(np.float32) / 255
    light = (rgb.mean(-1) > 0.72) & (rgb[..., 2] >= rgb[..., 0] - 0.02)
    light[round(0.54 * len(light)) :] = False  # the lake is as light as the sky
    regions = np.zeros(light.shape, np.int32)
    label(light, output=regions)
    return (regions == regions[1, -1]).astype(np.float32)


def listening_photograph(demo: Demo) -> None:
    """listening.png: the photograph edited by sounds, all of it and its sky alone, at full size; PICTURE and MASK."""
    import torch

    from ..diffusion.denoiser import load_denoiser
    from ..media.images import load_image, save_image, to_uint8
    from ..pipelines.hearing import Heard
    from ..pipelines.video_editing import EditNetworks, edit_whole
    from ..systems.configs.video_editing import CONSTANT, EditConfig, LeadConfig
    from .pictures import titled_grid

    path = photograph()
    if path is None:
        return
    img = load_image(path)
    mask = torch.from_numpy(sky_mask(to_uint8(img)[0].numpy()))[None, None]
    shown_mask = (mask * 2 - 1).expand(-1, 3, -1, -1)
    save_image(img, demo.folder / PICTURE)
    save_image(shown_mask, demo.folder / MASK)
    demo.credit = CREDIT
    each = demo.size.edits
    names = [*WHOLE_SOUNDS[:each], *SKY_SOUNDS[:each]]
    in_sky = torch.tensor([i >= each for i in range(2 * each)])
    with progress("editing") as on_step:
        edited = edit_whole(
            img.expand(len(names), -1, -1, -1), Heard(torch.cat([demo.embeds[name] for name in names])),
            EditNetworks(load_denoiser("miniature", demo.joint.device), demo.joint),
            EditConfig(seed=demo.seed, weights={"sound": 1.0}, smooth_sec=0.0), lead=LeadConfig(loudness=CONSTANT),
            curve=1.0 + in_sky, masks=torch.where(in_sky.view(-1, 1, 1, 1), mask, torch.ones_like(mask)),
            on_step=on_step,
        ).frames  # fmt: skip
    imgs = torch.cat([img, edited[:each], shown_mask, edited[each:]])
    imgs = torch.nn.functional.interpolate(imgs, scale_factor=0.75, mode="bilinear", antialias=True)
    titles = ["photograph", *names[:each], "mask", *names[each:]]
    titled_grid(imgs, titles, each + 1, demo.folder / "listening.png")


def found(demo: Demo) -> None:
    """photograph.png"""
    import torch

    from ..latents.projection import Schedule, project
    from ..media.images import load_image
    from .pictures import labelled_sheet

    path = demo.folder / PICTURE
    if not demo.credit:
        return
    with progress("finding") as on_step:
        result = project(
            load_image(path), demo.generator, features=demo.joint.encode_image, seed=demo.seed,
            schedule=Schedule(steps=demo.size.find_steps, lr=0.1), on_step=on_step,
        )  # fmt: skip
    changed = demo.manipulate(result.ws, torch.cat([demo.embeds[name] for name in FOUND_SOUNDS]), "changing")
    imgs = torch.cat([result.target, result.img, changed.img])
    labelled_sheet(imgs, ["photograph", "found", *FOUND_SOUNDS], [""], demo.folder / "photograph.png")
