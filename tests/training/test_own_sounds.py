"""Somebody's own sounds and clips: the layouts, and trainings on them that resume to the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from soundguide_core.audio.mel import MelSpec
from soundguide_core.checkpoints import safetensors_io
from soundguide_core.common.errors import InputError
from soundguide_core.embedding.sound import load_sound
from soundguide_core.media.video_writing import writing
from soundguide_core.training import sound_encoder, sound_video
from soundguide_core.training.recipe import merged, read_recipe
from soundguide_core.training.sound_data import open_sounds

RATE = 8000
SPEC = MelSpec(
    sample_rate=RATE, n_fft=256, hop_length=128, n_mels=32, fmin=0, fmax=4000, top_db=80,
    columns=32, stride=16, layout="plain", fill="mirror", focus=4.0,
)  # fmt: skip
ENCODER = {
    "mel": SPEC.to_dict(),
    "encoder": {"backbone": "resnet10t", "padding": 1, "kwargs": {"stem_width": 8, "channels": [8, 8, 8, 16]}},
    "training": {"steps": 4, "batch": 6, "columns": [24, 32], "bfloat16": False, "save_every": 2, "warmup": 2},
}
SMALL = {"size": 16, "channels": [4, 6]}
VIDEO = {
    "data": {"fps": 10.0, "frames": 8},
    "trajectory": {"encoder": {"width": 8}, "hidden": 6, "noise_dim": 2},
    "training": {"dtype": "float32", "save_every": 2, "image_discriminator": SMALL, "video_discriminator": SMALL},
}


def tone(path: Path, hertz: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    t = np.arange(RATE) / RATE
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * hertz * t) * (1 + np.sin(9 * t)) / 2, RATE)


def sounds(folder: Path, column: str | None) -> Path:
    """Six tones in folder/<label>/ without a column, else beside a table that has it."""
    rows = ["file," + str(column)]
    for k in range(6):
        label = ("hum", "door bell")[k % 2]
        name = f"{k}.wav" if column else f"{label.replace(' ', '_')}/{k}.wav"
        tone(folder / name, (200, 2000)[k % 2] * (1 + k / 20))
        rows.append(f"{name},{label if column == 'label' else f'a {label} number {k}'}")
    if column is not None:
        (folder / "sounds.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("column", ["label", None])
def test_labelled_sounds(tmp_path, column):
    data = open_sounds(sounds(tmp_path, column), SPEC)
    assert sorted({clip.label for clip in data.clips}) == ["door bell", "hum"] and len(data.clips) == 6
    rng = np.random.default_rng(0)
    assert {data.caption("hum", rng) for _ in range(40)} == {"hum", "the sound of hum", "a recording of hum"}
    assert data.pictures == {} and data.clips[0].level.shape[0] == 32


def test_described_sounds(tmp_path):
    data = open_sounds(sounds(tmp_path, "caption") / "sounds.csv", SPEC)
    assert data.clips[3].label == "a door bell number 3"
    assert data.caption("a hum number 0", np.random.default_rng(0)) == "a hum number 0"


def test_a_sound_that_cannot_be_read_is_named(tmp_path, caplog):
    (sounds(tmp_path, "label") / "2.wav").write_text("no sound")
    assert len(open_sounds(tmp_path, SPEC).clips) == 5 and "2.wav" in caplog.text


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("name,label\na.wav,x\n", "lacks a column"),
        ("file,label\na.wav,\n", "says nothing of a.wav"),
        (None, "no sounds"),
    ],
)  # fmt: skip
def test_what_is_no_layout(tmp_path, table, words):
    if table is not None:
        (tmp_path / "t.csv").write_text(table)
    with pytest.raises(InputError, match=words):
        open_sounds(tmp_path, SPEC)


def interrupted(trainer, config, folder: Path, after: int) -> tuple[Path, Path]:
    """The weights of a whole run, and of one that was stopped and taken up again."""

    def stop(i, n, terms):
        if terms and i == after:
            raise KeyboardInterrupt

    whole = trainer.run(config=config, out=folder / "a")
    with pytest.raises(KeyboardInterrupt):
        trainer.run(config=config, out=folder / "b", on_step=stop)
    return whole, trainer.run(config=config, out=folder / "b", resume=True)


@pytest.mark.parametrize("column", ["label", "caption"])
def test_an_encoder_learns_own_sounds(tmp_path, tiny, column):
    recipe = merged(read_recipe("folder_sound_encoder"), ENCODER)
    recipe["data"]["clip"] = str(tiny.joint / "clip.safetensors")
    data = sounds(tmp_path / "data", column) / ("sounds.csv" if column == "caption" else "")
    whole, resumed = interrupted(sound_encoder, on_folder(recipe, str(data)), tmp_path, 2)
    (one, spec), (other, _) = load_sound(whole), load_sound(resumed)
    assert spec == SPEC
    for (name, value), again in zip(one.state_dict().items(), other.state_dict().values()):
        assert torch.equal(value, again), name


def test_a_trajectory_learns_own_clips(tmp_path, tiny):
    for k, label in enumerate(("rain", "sea_waves")):
        path = tmp_path / "data" / label / f"{k}.mp4"
        path.parent.mkdir(parents=True)
        wave = torch.rand(1, 2 * RATE, generator=torch.Generator().manual_seed(k)) - 0.5
        with writing(path, 10.0, (iter([wave]), RATE)) as put:
            put(torch.rand(20, 3, 32, 32, generator=torch.Generator().manual_seed(k)) * 2 - 1)
    recipe = merged(read_recipe("folder_sound_video"), VIDEO)
    recipe["models"] = {"joint": str(tiny.joint), "generator": str(tiny.generator)}
    sizes = {"steps": 2, "batch": 2, "frames": 2}
    recipe["training"]["stages"] = [{**stage, **sizes} for stage in recipe["training"]["stages"]]
    recipe["training"]["stages"][1]["before"] = 2
    whole, resumed = interrupted(sound_video, on_folder(recipe, str(tmp_path / "data")), tmp_path, 2)
    one, other = safetensors_io.load(whole)[0], safetensors_io.load(resumed)[0]
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert list((tmp_path / "a").glob("frames-*.png"))


def on_folder(recipe: dict, path: str) -> dict:
    return {**recipe, "data": {**recipe["data"], "folder": path}}


def test_recipes_for_own_data_name_no_source():
    assert all("source" not in read_recipe(f"folder_{name}")["data"] for name in ("sound_encoder", "sound_video"))
