"""Training of the towers: out-of-vocabulary tokens, adversarial pictures, and repeated steps."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pytest
import torch

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.embedding.clip import load_clip
from soundguide_core.miniature.data import captions as data
from soundguide_core.miniature.data import scenes as datasets
from soundguide_core.training import joint
from soundguide_core.training.augment import augment
from soundguide_core.training.engine import loop

CONFIG = {
    "clip": {
        "embed_dim": 16,
        "vision_cfg": {"layers": [1, 1, 1, 1], "width": 4, "head_width": 32, "image_size": 32},
        "text_cfg": {"context_length": 20, "width": 16, "heads": 2, "layers": 1},
        "preprocess": {"size": 32, "mean": [0.5] * 3, "std": [0.5] * 3},
        "prompts": ["{}"],
    },
    "training": {
        "steps": 10,
        "lr_steps": 10,
        "pictures": 6,
        "texts": 4,
        "lr": 3e-3,
        "warmup": 1,
        "weight_decay": 0.0,
        "first_scale": 10.0,
        "largest_scale": 20.0,
        "oov_share": 0.5,
        "fgm_radius": 0.01,
        "learn": "both",
        "margin_weight": 1.0,
        "margin": 0.45,
        "ema": 0.9,
    },
}


SOURCE = ".miniature.data.captions:captioned_scenes"


def captioned(scenes):
    return data.CaptionedScenes(scenes, even_strengths=0.5, softened=0.3, softened_strength=0.4)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return datasets.render_scenes(12, tmp_path_factory.mktemp("scenes"), size=32)


@pytest.fixture()
def training(scenes):
    return joint.JointTraining(copy.deepcopy(CONFIG), captioned(scenes), "cpu", seed=3)


def test_augmentation_is_seeded_and_in_range(scenes):
    img = scenes.batch(np.arange(6))
    once = augment(img, torch.Generator().manual_seed(0))
    assert torch.equal(once, augment(img, torch.Generator().manual_seed(0)))
    assert once.shape == img.shape and once.abs().max() <= 1 and (once - img).abs().mean() > 0.02
    assert torch.allclose(augment(img, torch.Generator().manual_seed(1), strength=0.0).abs(), img.abs(), atol=2.0)


def test_oov_tokens_lie_between_the_captions_words(training):
    oov, rng = training.oov, np.random.default_rng(0)
    ids = training.towers.tokenizer(["heavy rain in the hills", "crackling fire"])
    assert oov.known[ids.unique()].all() and torch.equal(oov.insert(ids, 0.0, rng), ids)
    mixed = oov.insert(ids, 1.0, rng)
    for row, was in zip(mixed, ids, strict=True):
        assert row[0] == was[0] and (~oov.known[row]).sum() in (1, 2, 3)
        kept = row[oov.known[row]]
        assert torch.equal(kept[kept > 0], was[was > 0])


def test_the_perturbation_climbs_the_loss_by_its_radius():
    target = torch.rand(2, 3, 8, 8)
    img = torch.zeros(2, 3, 8, 8)

    def loss_of(x):
        return (x - target).square().sum()

    moved = joint.fgm_perturb(img, loss_of, 0.05)
    assert torch.allclose((moved - img).square().mean((1, 2, 3)).sqrt(), torch.full((2,), 0.05))
    grad = -2 * target  # d/dx of the loss at 0
    want = 0.05 * grad / grad.square().mean((1, 2, 3), keepdim=True).sqrt()
    assert torch.allclose(moved, want, atol=tol.FLOAT32)


def test_steps_repeat_themselves_and_leave_oov_tokens_alone(training, scenes):
    before = training.towers.model.token_embedding.weight.detach().clone()
    losses = [training.step(i) for i in range(3)]
    other = joint.JointTraining(copy.deepcopy(CONFIG), captioned(scenes), "cpu", seed=3)
    assert [other.step(i) for i in range(3)] == losses
    moved = (training.towers.model.token_embedding.weight.detach() != before).any(1)
    assert moved.any() and not moved[~training.oov.known].any()


def test_a_resumed_run_ends_as_an_unbroken_one(tmp_path):
    config = copy.deepcopy(CONFIG)
    config["data"] = {"source": SOURCE, "count": 6, "held_out": 3, "cache": str(tmp_path / "cache")}
    config["training"]["steps"] = 4
    scenes = datasets.render_scenes(6, tmp_path / "cache")
    parts = joint.JointTraining(config, data.CaptionedScenes(scenes), "cpu", 0)
    loop.run(parts, 2, tmp_path / "parts")
    whole, broken = (
        joint.run(config=config, out=tmp_path / name, resume=name == "parts") for name in ("whole", "parts")
    )
    assert whole.read_bytes() == broken.read_bytes()
    told = json.loads((tmp_path / "whole" / "scores.json").read_text())
    assert told.keys() == {"pictures", "phrases"} and all(0 <= value <= 1 for value in told.values())
    assert load_clip(whole).dim == 16


def test_intensity_margin_loss_equals_a_loop():
    rng = np.random.default_rng(0)
    v, t = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in rng.normal(size=(2, 3, 4)))
    calm, s = t[0], np.array([0.0, 0.25, 1.0])
    want = np.mean([(v[i] @ t[i] - v[i] @ calm - 0.3 * (2 * math.sqrt(s[i]) - 1)) ** 2 for i in range(3)])
    got = joint.intensity_margin_loss(*(torch.from_numpy(x) for x in (v, t, calm, s)), 0.3)
    assert got.item() == pytest.approx(want)


def test_learning_pictures_leaves_the_text_tower_alone(training, scenes):
    config = copy.deepcopy(CONFIG)
    config["training"]["learn"] = "pictures"
    words = training.ema.encode_text(["rain", "a dog"])
    more = joint.JointTraining(config, captioned(scenes), "cpu", 1, start=training.ema)
    seen = more.ema.encode_image(scenes.batch(np.arange(2)))
    assert more.step(0).keys() == {"picture_text", "intensity_margin"}
    assert torch.equal(more.ema.encode_text(["rain", "a dog"]), words)
    assert not torch.equal(more.ema.encode_image(scenes.batch(np.arange(2))), seen)


def test_recipes_of_earlier_versions_still_load():
    old = {"steps": 5, "strange_words": 0.2, "adversary": 0.1, "graded": 3.0, "sounds": 7, "softened": 0.5}
    new = joint.JointSettings(steps=5, oov_share=0.2, fgm_radius=0.1, margin_weight=3.0, texts=7)
    assert joint.JointSettings.from_dict(old) == new
    with pytest.raises(InputError, match="unknown entry 'width'"):
        joint.JointSettings.from_dict({"steps": 5, "width": 2})
