"""Every training small, on data that somebody might have: what test_every_training.py and its processes share."""

from __future__ import annotations

import csv
import io
import json
import sys
import tarfile
from importlib import import_module
from pathlib import Path

import numpy as np

from soundguide_core.cli.train import _things

RATE = 8000
GAN = {"z_dim": 8, "w_dim": 8, "mapping_layers": 2, "channel_base": 128, "channel_max": 8, "resolution": 16}
GAN_TRAINING = {"kimg": 0.032, "batch": 8, "save_kimg": 0.016, "samples": 8, "dtype": "float32"}
MEL = {
    "sample_rate": RATE, "n_fft": 256, "hop_length": 128, "n_mels": 32, "fmin": 0, "fmax": 4000, "top_db": 80,
    "columns": 32, "stride": 16, "frame_columns": 16, "layout": "plain", "fill": "mirror", "focus": 4.0,
}  # fmt: skip
JUDGE = {"size": 16, "channels": [4, 6]}
STAGE = {"steps": 2, "batch": 4, "frames": 2}
# module of training => what it replaces in its recipe for one's own data
RECIPES = {
    "stylegan2": {"generator": GAN, "training": GAN_TRAINING},
    "styleganv": {
        "generator": {**GAN, "fps": 10, "motion_z_dim": 8, "motion_u_dim": 8, "motion_kernel": 3, "waves": 4,
                      "concat_resolution": 8, "max_frames": 16},
        "training": GAN_TRAINING,
    },
    "pixel_diffusion": {
        "unet": {"sample_size": 8, "block_out_channels": [16, 16, 16], "layers_per_block": 1, "norm_num_groups": 4,
                 "attention_head_dim": 8},
        "training": {"steps": 4, "batch": 4, "warmup": 2, "save_every": 2, "samples": 2, "dtype": "float32"},
    },
    "joint": {
        "training": {"steps": 4, "pictures": 6, "warmup": 2, "save_every": 2, "oov_share": 0.3},
        "clip": {
            "embed_dim": 16, "preprocess": {"size": 32},
            "vision_cfg": {"layers": [1, 1, 1, 1], "width": 4, "head_width": 32, "image_size": 32},
            "text_cfg": {"context_length": 20, "width": 16, "heads": 2, "layers": 1},
        },
    },
    "sound_encoder": {
        "mel": MEL,
        "encoder": {"kwargs": {"stem_width": 8, "channels": [8, 8, 8, 16], "drop_rate": 0.0}},
        "training": {"steps": 4, "batch": 6, "columns": [24, 32], "bfloat16": False, "save_every": 2, "warmup": 2},
    },
    "sound_video": {
        "data": {"fps": 10.0, "frames": 8},
        "trajectory": {"encoder": {"width": 8}, "hidden": 6, "noise_dim": 2},
        "training": {"dtype": "float32", "save_every": 2, "image_discriminator": JUDGE, "video_discriminator": JUDGE},
    },
    "bridge": {"training": {"steps": 4, "batch": 8, "warmup": 2, "save_every": 2, "held_out": 0.2}},
    "inversion_encoder": {
        "encoder": {"size": [32, 32], "groups": [2, 3, 3], "sides": [2, 4, 8], "shared": 8,
                    "network": {"widths": [4, 4, 4, 8, 8], "units": [1, 1, 1, 1], "reduction": 2}},
        "training": {"steps": 4, "batch": 8, "pairs": 32, "warmup": 1, "progressive_start": 1, "progressive_every": 1,
                     "save_every": 2, "dtype": "float32"},
    },
    "familiarity": {"training": {"steps": 4, "crops": 1}},
    "outside_sounds": {"training": {"steps": 4}},
    "rest": {"training": {"steps": 4, "batch": 4, "frames": 2}},
    "scene_classifier": {
        "scenes": {"count": 24, "held_out": 16},
        "training": {"steps": 4, "pictures": 8, "warmup": 2},
        "classifier": {"size": 32, "channels": [8, 8, 8]},
    },
}  # fmt: skip
WEIGHTS = {
    "stylegan2": "generator", "styleganv": "generator", "pixel_diffusion": "unet", "joint": "clip",
    "sound_encoder": "sound", "sound_video": "trajectory", "bridge": "sound", "inversion_encoder": "encoder",
    "familiarity": "sound", "outside_sounds": "trajectory", "rest": "trajectory",
    "scene_classifier": "scene_classifier",
}  # fmt: skip
DATA = {
    "stylegan2": "pictures", "pixel_diffusion": "pictures", "joint": "pictures", "styleganv": "clips",
    "sound_video": "clips", "sound_encoder": "sounds", "bridge": "pairs", "inversion_encoder": "pictures",
    "familiarity": "told sounds", "outside_sounds": "told sounds",
}  # fmt: skip
DRAWN = ("rest", "scene_classifier")  # learn from what they draw themselves, by latents and scenes that are named
LAYOUTS = ("folder", "table", "shards")


def config_of(module: str, data: str, tiny: Path) -> dict:
    """The recipe for one's own data, small, on data. tiny: a folder with untrained models, as conftest.make_tiny's."""
    from soundguide_core.training.recipe import RECIPES as SHIPPED
    from soundguide_core.training.recipe import Recipe, merged, read_recipe

    name = f"folder_{module}" if (SHIPPED / f"folder_{module}.toml").is_file() else module
    recipe = merged(read_recipe(name), RECIPES[module])
    joint = str(tiny / "joint")
    if module == "sound_video":
        recipe["models"] = {"joint": joint, "generator": str(tiny / "generator.safetensors")}
        recipe["training"]["stages"] = [{**stage, **STAGE} for stage in recipe["training"]["stages"]]
        recipe["training"]["stages"][1]["before"] = 2
    if module == "bridge":
        recipe |= {"source": joint, "target": joint}
    if module == "sound_encoder":
        recipe["data"]["clip"] = f"{joint}/clip.safetensors"
    if module == "familiarity":
        recipe["models"] = {"joint": joint}
    if module == "inversion_encoder":
        recipe["models"] = {"joint": joint, "generator": str(tiny / "generator.safetensors")}
    if module not in DRAWN:
        recipe["data"] = {**recipe.get("data", {}), "folder": data}
    return Recipe(recipe)


MODULES = {path.rpartition(".")[2]: f"soundguide_core.{path}" for path in _things().values()}


def run(module: str, config: dict, out: Path, **how) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    return import_module(MODULES[module]).run(config=config, out=out, **how)


# ---- data


def write_data(kind: str, layout: str, folder: Path) -> str:
    """Twelve of them => what --data is given."""
    folder.mkdir(parents=True)
    writers = {"pictures": pictures, "clips": clips, "sounds": sounds, "told sounds": told_sounds, "pairs": pairs}
    files = writers[kind](folder / "files")
    if layout == "folder":
        return str(folder / "files")
    if layout == "table":
        columns = {"pictures": ("file_name", "caption"), "pairs": ("file", "picture")}.get(kind, ("file", "label"))
        with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            for first, second in files:
                told = second.relative_to(folder) if isinstance(second, Path) else second
                writer.writerow([first.relative_to(folder).as_posix(), told])
        return str(folder / "table.csv")
    for shard in (0, 1):  # as many as processes
        with tarfile.open(folder / f"part-{shard}.tar", "w") as tar:
            for i, (first, second) in enumerate(files[shard::2]):
                add(tar, f"{i:03d}{first.suffix}", first.read_bytes())
                if isinstance(second, Path):
                    add(tar, f"{i:03d}{second.suffix}", second.read_bytes())
                else:
                    add(tar, f"{i:03d}.txt", second.encode())
    return str(folder / "part-{0..1}.tar")


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    about = tarfile.TarInfo(name)
    about.size = len(content)
    tar.addfile(about, io.BytesIO(content))


def pictures(folder: Path) -> list[tuple[Path, str]]:
    from PIL import Image

    files, rng = [], np.random.default_rng(0)
    for k in range(12):
        path = folder / f"{k:02d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (24, 20, 3), dtype=np.uint8)).save(path)
        caption = f"a picture of thing {'abc'[k % 3]} number {k}"
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")
        files.append((path, caption))
    return files


def clips(folder: Path) -> list[tuple[Path, str]]:
    import torch

    from soundguide_core.media.video_writing import writing

    files = []
    for k in range(12):
        path = folder / ("rain", "sea_waves")[k % 2] / f"{k:02d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = torch.Generator().manual_seed(k)
        wave = (torch.rand(1, 2 * RATE, generator=rng) - 0.5) * torch.linspace(0, 1, 2 * RATE)
        with writing(path, 10.0, (iter([wave]), RATE)) as put:
            put(torch.rand(20, 3, 16, 16, generator=rng) * 2 - 1)
        files.append((path, path.parent.name.replace("_", " ")))
    return files


def told_sounds(folder: Path) -> list[tuple[Path, str]]:
    return sounds(folder, ("hum", "unknown"))


def sounds(folder: Path, labels: tuple[str, str] = ("hum", "door bell")) -> list[tuple[Path, str]]:
    import soundfile

    files, t = [], np.arange(RATE) / RATE
    for k in range(12):
        label = labels[k % 2]
        path = folder / label.replace(" ", "_") / f"{k:02d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.5 * np.sin(2 * np.pi * (200, 2000)[k % 2] * (1 + k / 20) * t), RATE)
        files.append((path, label))
    return files


def pairs(folder: Path) -> list[tuple[Path, Path]]:
    import soundfile

    shown, rng = pictures(folder), np.random.default_rng(1)
    for path, _ in shown:
        soundfile.write(path.with_suffix(".wav"), rng.uniform(-0.5, 0.5, RATE), RATE)
        path.with_suffix(".txt").unlink()
    return [(path.with_suffix(".wav"), path) for path, _ in shown]


if __name__ == "__main__":  # of one process among several: MODULE CONFIG.json OUT
    import torch

    from soundguide_core.training.recipe import Recipe

    torch.set_num_threads(1)
    module, config, out = sys.argv[1:]
    run(module, Recipe(json.loads(Path(config).read_text(encoding="utf-8"))), Path(out))
