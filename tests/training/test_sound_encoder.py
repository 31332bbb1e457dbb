"""Training of the sound encoder in miniature: its draws, its terms, resuming, and the file it writes."""

from __future__ import annotations

import copy
import logging

import numpy as np
import pytest
import torch

import tolerances as tol
from soundguide_core.audio.augment import augment_level
from soundguide_core.audio.mel import MelSpec, arrange
from soundguide_core.common.errors import InputError
from soundguide_core.embedding.clip import load_clip
from soundguide_core.embedding.sound import SoundEncoder, load_sound
from soundguide_core.miniature.data.sounds import recorded, synthesised_level
from soundguide_core.miniature.world.captions import caption_for_sound
from soundguide_core.training import sound_encoder
from soundguide_core.training.recipe import read_recipe
from soundguide_core.training.sound_data import Clip, ClipDraw, SoundData

CONFIG = {
    "data": {"source": ".miniature.data.sounds:sounds_of", "clip": "set by the test",
             "recordings": "no such folder", "folds": [1], "scenes": 12,
             "ambience": {"wind": "wind"}},
    "synthesised": {"seconds": 0.6, "per_phenomenon": 1, "per_other": 1, "first_seed": 0},
    "label_weights": {"calm": 0.5},
    "mel": {"sample_rate": 8000, "n_fft": 256, "hop_length": 128, "n_mels": 32, "fmin": 0.0, "fmax": 4000.0,
            "top_db": 80.0, "columns": 32, "stride": 16, "layout": "plain", "fill": "mirror", "focus": 4.0},
    "encoder": {"backbone": "resnet10t", "padding": 1, "kwargs": {"stem_width": 8, "channels": [8, 8, 8, 16]}},
    "training": {"steps": 4, "batch": 6, "columns": [24, 32], "candidates": "labels", "recorded_share": 0.5,
                 "optimiser": "adamw",
                 "lr": 2e-3, "lr_last": 1e-5, "cycles": 1, "warmup": 2, "weight_decay": 0.05, "clip_norm": 2.0,
                 "tau": 0.07,
                 "ema": 0.99, "bfloat16": False, "save_every": 2,
                 "weights": {"text": 1.0, "image": 1.0, "self": 1.0, "alignment": 1.0}},
    "optimiser": {},
    "augment": {"text": 0.5, "level": {"spread_db": 2.0}, "mask": {"freq": 0.15, "time": 0.3, "rounds": 2}},
}  # fmt: skip


@pytest.fixture
def config(tiny) -> dict:
    config = copy.deepcopy(CONFIG)
    config["data"]["clip"] = str(tiny.joint / "clip.safetensors")
    return config


def tones(count: int = 3) -> list[Clip]:
    """Low tones are rain, high ones birds."""
    clips = []
    for label, row in (("rain", 6), ("birds", 24)):
        level = np.full((32, 60), -70.0, dtype=np.float16)
        level[row - 2 : row + 2] = 0
        clips += [Clip(label, "esc", 1, level)] * count
    return clips


def training(config: dict, steps: int = 4) -> sound_encoder.SoundTraining:
    config["training"]["steps"] = steps
    towers = load_clip(config["data"]["clip"])
    pictures = {
        "rain": torch.nn.functional.normalize(torch.randn(4, towers.dim, generator=torch.Generator().manual_seed(0)))
    }
    spec = MelSpec.from_dict(config["mel"])
    return sound_encoder.SoundTraining(config, spec, SoundData(tones(), caption_for_sound, pictures), towers, "cpu", 0)


def test_learns_to_tell_two_tones_apart(config):
    run = training(config, 30)
    losses = [sum(run.step(i).values()) for i in range(30)]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_the_three_terms(config):
    assert training(config).step(0).keys() == {"text", "image", "self", "alignment"}
    weights = config["training"]["weights"]
    weights["gap"] = weights.pop("alignment")  # as recipes of before 0.2 call it
    assert training(config).step(0).keys() == {"text", "image", "self", "alignment"}
    config["training"]["candidates"] = "batch"
    assert training(config).step(0).keys() == {"text", "image", "self", "alignment"}


def test_a_step_depends_on_seed_and_number_alone(config):
    one, other = training(config), training(config)
    before = torch.get_rng_state()
    assert [one.step(i) for i in range(3)] == [other.step(i) for i in range(3)]
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("cycles", [1, 2])
def test_learning_rate_is_a_cosine(config, cycles):
    config["training"].update(cycles=cycles, warmup=0)
    run = training(config, 100)
    assert run.lr_at(0) == pytest.approx(2e-3)
    assert run.lr_at(50) == pytest.approx(2e-3 if cycles == 2 else (2e-3 + 1e-5) / 2)
    assert run.lr_at(99) < 5e-5


@pytest.mark.slow
def test_run_writes_an_encoder_and_resumes_to_the_same(config, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        whole = sound_encoder.run(config=config, out=tmp_path / "a")
    assert "synthesised sounds only" in caplog.text

    def stop(i, n, terms):
        if terms and i == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sound_encoder.run(config=config, out=tmp_path / "b", on_step=stop)
    assert not (tmp_path / "b" / "sound.safetensors").exists()
    resumed = sound_encoder.run(config=config, out=tmp_path / "b", resume=True)
    (one, spec), (other, _) = load_sound(whole), load_sound(resumed)
    assert spec == MelSpec.from_dict(config["mel"])
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_a_missing_picture_and_text_model_is_named(config, tmp_path):
    config["data"]["clip"] = "nowhere/clip.safetensors"
    with pytest.raises(InputError, match="clip.safetensors"):
        sound_encoder.run(config=config, out=tmp_path)


@pytest.mark.parametrize("name", ["sound_encoder", "sound_encoder_paper"])
def test_shipped_recipes_fit_the_training(name):
    config = read_recipe(name)
    spec = MelSpec.from_dict(config["mel"])
    columns = config["training"]["columns"][1]
    level = -60 * torch.rand(2, spec.n_mels, columns + 8, generator=torch.Generator().manual_seed(0))
    mel = augment_level(level, columns, None, top_db=spec.top_db, **config["augment"]["level"])
    encoder = SoundEncoder.from_config({**config["encoder"], "dim": 8}).eval()
    assert encoder(arrange(mel, spec)).shape == (2, 8)
    assert encoder.to_config()["kwargs"] == config["encoder"].get("kwargs", {})


@pytest.mark.slow
def test_a_second_part_goes_on_from_the_first(config, tmp_path):
    config["training"]["steps"] = 2
    first = sound_encoder.run(config=config, out=tmp_path / "a")
    config["training"] |= {"lr": 0.0, "lr_last": 0.0}
    second = sound_encoder.run(config={**config, "start": str(first)}, out=tmp_path / "b")
    for (name, one), other in zip(load_sound(first)[0].named_parameters(), load_sound(second)[0].parameters()):
        assert torch.allclose(one, other, atol=tol.FLOAT32), name


def test_prototypes_are_what_labels_mean(config):
    config["encoder"] = {**config["encoder"], "prototypes": 2, "sharpness": 20.0}
    config["training"]["sharpness"] = 10.0
    run = training(config)
    assert (run.encoder.prototypes.sharpness, run.average.prototypes.sharpness) == (10.0, 20.0)
    means = run.encoder.prototypes.means
    assert run.draw.labels == ["birds", "rain"]
    wanted = torch.nn.functional.normalize(run.pictures["rain"].mean(dim=0), dim=0)
    assert torch.allclose(means[1], wanted, atol=tol.FLOAT32) and torch.equal(run.average.prototypes.means, means)
    assert means[0] @ run.towers.encode_text(["the sound of birds"])[0] > 0.5
    run.step(0)
    assert torch.equal(run.encoder.prototypes.means, means)
    config["encoder"]["prototypes"] = 3
    with pytest.raises(InputError, match="prototypes = 2"):
        training(config)


def test_a_weight_without_a_term_is_named(config):
    config["training"]["weights"]["colour"] = 1.0
    with pytest.raises(InputError, match="colour"):
        training(config)


def test_synthesised_sounds_follow_curves_by_halves():
    spec = MelSpec.from_dict(CONFIG["mel"])

    def range_db(seed):
        loudness = synthesised_level(("rain", seed), seconds=3.0, spec=spec).astype(np.float32).max(axis=0)
        return np.percentile(loudness, 95) - np.percentile(loudness, 5)

    ranges = [range_db(seed) for seed in range(16)]
    assert sum(r > 12 for r in ranges) >= 3 and sum(r < 8 for r in ranges) >= 3
    again = synthesised_level(("rain", 3), seconds=3.0, spec=spec)
    assert np.array_equal(again, synthesised_level(("rain", 3), seconds=3.0, spec=spec))


def test_draws_are_balanced_and_audible():
    quiet = np.full((4, 1000), -110.0, dtype=np.float16)
    quiet[:, 500:510] = 0
    clips = [Clip("dog", "esc", 1, quiet)] + [Clip("rain", "synthesised", 0, quiet + i) for i in range(9)]
    draw = ClipDraw(clips, recorded_share=0.7, weights={"rain": 3.0})
    levels, labels = draw.batch(400, 40, np.random.default_rng(0))
    assert 0.68 < labels.count("rain") / 400 < 0.82
    assert (levels.amax(dim=(1, 2)) >= 0).all() and levels.shape == (400, 4, 40)
    assert clips[0].crop(2500, np.random.default_rng(0)).shape == (4, 2500)


def test_recordings_of_the_chosen_folds(recordings):
    spec = MelSpec.from_dict({**CONFIG["mel"], "n_mels": 8})
    clips = recorded(recordings, spec, folds=[], ambience={"train": "train", "absent": "x"})
    assert [(c.label, c.source) for c in clips] == [("train", "ambience")]
    assert clips[0].level.shape[0] == 8 and clips[0].level.max() == 0
