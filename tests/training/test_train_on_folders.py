"""train THING --data FOLDER on photographs, clips and captions that have nothing to do with the shipped weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from soundguide_core.cli import main
from soundguide_core.embedding.clip import load_clip
from soundguide_core.generators.loading import load_generator, load_video_generator
from soundguide_core.media.images import save_image
from soundguide_core.training.engine import loop

GAN = {"z_dim": 8, "w_dim": 8, "channel_base": 128, "channel_max": 8, "resolution": 16}
RECIPES = {
    "stylegan2": {"generator": GAN, "training": {"kimg": 0.08, "batch": 4, "save_kimg": 0.04, "samples": 4}},
    "styleganv": {
        "generator": {**GAN, "fps": 12, "motion_z_dim": 8, "motion_u_dim": 8, "motion_kernel": 3,
                      "concat_resolution": 8},
        "training": {"kimg": 0.08, "batch": 4, "save_kimg": 0.04, "samples": 8},
    },
    "pixel_diffusion": {
        "unet": {"sample_size": 8, "block_out_channels": [16, 16, 16], "layers_per_block": 1, "norm_num_groups": 4,
            "attention_head_dim": 8},
        "training": {"steps": 20, "batch": 4, "warmup": 2, "save_every": 10, "samples": 2},
    },
    "joint": {
        "training": {"steps": 20, "pictures": 6, "warmup": 2, "save_every": 10, "oov_share": 0.3},
        "clip": {"embed_dim": 16},
        "clip.vision_cfg": {"layers": [1, 1, 1, 1], "width": 4, "head_width": 32, "image_size": 32},
        "clip.text_cfg": {"context_length": 20, "width": 16, "heads": 2, "layers": 1},
        "clip.preprocess": {"size": 32},
    },
}  # fmt: skip
WEIGHTS = {"stylegan2": "generator", "styleganv": "generator", "pixel_diffusion": "unet", "joint": "clip"}


@pytest.fixture(scope="session")
def photographs(tmp_path_factory) -> Path:
    """Twenty pieces of the photographs that come with scikit-image, a caption beside each."""
    data = pytest.importorskip("skimage.data")
    folder = tmp_path_factory.mktemp("photographs")
    for name in ("astronaut", "coffee", "chelsea", "rocket", "immunohistochemistry"):
        picture = Image.fromarray(getattr(data, name)())
        width, height = picture.size
        for k, (left, top) in enumerate([(0, 0), (width // 2, 0), (0, height // 2), (width // 2, height // 2)]):
            picture.crop((left, top, left + width // 2, top + height // 2)).save(folder / f"{name}-{k}.png")
            (folder / f"{name}-{k}.txt").write_text(f"a picture of {name}\n{name}, piece {k}\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def clips(tmp_path_factory) -> Path:
    """Folders of frames: a light that goes across, at one of three heights."""
    folder = tmp_path_factory.mktemp("clips")
    for k in range(3):
        (folder / f"clip-{k}").mkdir()
        for i in range(12 + 4 * k):
            img = torch.full([3, 16, 16], -0.7)
            img[k, 5 * k : 5 * k + 4, i % 16] = 0.9
            save_image(img, folder / f"clip-{k}" / f"{i:03d}.png")
    return folder


def recipe(thing: str, path: Path) -> str:
    """A small recipe over the generic one."""
    lines = [f'base = "folder_{thing}"']
    for table, entries in RECIPES[thing].items():
        lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in entries.items())]
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def train(thing: str, data: Path, out: Path, *extra: str) -> int:
    config = recipe(thing, out.parent / f"{thing}.toml")
    name = thing.replace("_", "-")
    return main(["train", name, "--config", config, "--data", str(data), "--out", str(out), "--device", "cpu", *extra])


class Interrupted(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("thing", RECIPES)
def test_a_folder_is_learned_from_and_resumed(thing, photographs, clips, tmp_path, monkeypatch):
    if thing == "pixel_diffusion":
        pytest.importorskip("diffusers")
    data = clips if thing == "styleganv" else photographs
    losses: dict[str, dict[int, dict]] = {"whole": {}, "parts": {}}
    run, kept, stop = loop.run, "whole", None

    def spied(training, steps, out, *, on_step=None, **options):
        def seen(i, n, terms):
            losses[kept][i] = terms
            if i == stop:
                raise Interrupted

        run(training, steps, out, on_step=seen, **options)

    monkeypatch.setattr(loop, "run", spied)
    assert train(thing, data, tmp_path / "whole") == 0
    kept, stop = "parts", 13  # the checkpoint is of ten steps
    with pytest.raises(Interrupted):
        train(thing, data, tmp_path / "parts")
    stop = None
    assert train(thing, data, tmp_path / "parts", "--resume") == 0
    assert sorted(losses["whole"]) == list(range(20))
    assert losses["parts"] == losses["whole"]
    name = f"{WEIGHTS[thing]}.safetensors"
    weights = tmp_path / "whole" / name
    assert weights.read_bytes() == (tmp_path / "parts" / name).read_bytes()
    if thing == "stylegan2":
        assert load_generator(weights).resolution == 16
    if thing == "styleganv":
        assert load_video_generator(weights).fps == 12
    if thing == "joint":
        assert load_clip(weights).dim == 16
        scores = json.loads((tmp_path / "whole" / "scores.json").read_text())
        assert 0 <= scores["recall_at_1"] <= 1


@pytest.mark.parametrize("thing", ["stylegan2", "styleganv", "joint"])
@pytest.mark.parametrize("fault", ["missing", "empty", "text"])
def test_bad_data_get_a_sentence(thing, fault, tmp_path, capsys):
    folder = tmp_path / "data"
    if fault != "missing":
        folder.mkdir()
    if fault == "text":
        (folder / "picture.png").write_text("no picture")
        (folder / "picture.txt").write_text("a caption")
    assert train(thing, folder, tmp_path / "out") == 2
    error = capsys.readouterr().err
    expected = {"missing": "There is no folder", "empty": "holds no", "text": "can be read"}
    assert expected[fault] in error and "Traceback" not in error


def test_a_recipe_with_a_warm_start_needs_coded_pictures(photographs, tmp_path, capsys):
    path = Path(recipe("stylegan2", tmp_path / "x.toml"))
    path.write_text(path.read_text() + "\n[warm_start]\nstages = [[16, 0.016]]\n")
    out = str(tmp_path / "out")
    code = main(["train", "stylegan2", "--config", str(path), "--data", str(photographs), "--out", out])
    assert code == 2 and "latents stand for" in capsys.readouterr().err
