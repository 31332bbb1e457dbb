"""The judge: shapes, a round trip, its training step, and what the shipped one can tell apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tolerances as tol
from soundguide_core.checkpoints import registry, safetensors_io
from soundguide_core.common.errors import InputError
from soundguide_core.media.images import from_uint8
from soundguide_core.miniature.data.scenes import HELD_OUT, SceneLabel
from soundguide_core.miniature.evaluation.scene_classifier import SceneClassifier, load_scene_classifier
from soundguide_core.miniature.training.scene_classifier import CLASSES, soft_label
from soundguide_core.miniature.world import scenes

CONFIG = {"classes": list(CLASSES), "size": 32, "channels": [8, 16]}


def test_probabilities_and_round_trip(tmp_path):
    classifier = SceneClassifier(CONFIG).eval()
    img = torch.rand(2, 3, 40, 48) * 2 - 1
    p = classifier.predict(img)
    assert p.shape == (2, 8) and torch.allclose(p.sum(1), torch.ones(2), atol=tol.FLOAT32)
    assert classifier.name(img) == [CLASSES[k] for k in p.argmax(1)]
    safetensors_io.save(tmp_path / "c.safetensors", classifier.state_dict(), classifier.config)
    assert torch.equal(load_scene_classifier(tmp_path / "c.safetensors").predict(img), p)
    safetensors_io.save(tmp_path / "d.safetensors", {"x": torch.zeros(1)}, {})
    with pytest.raises(InputError, match="scene classifier"):
        load_scene_classifier(tmp_path / "d.safetensors")


def test_faint_phenomena_are_partly_calm():
    assert soft_label(SceneLabel(0, "rain", 1.0, 0, 0.0)).tolist() == [1.0] + [0.0] * 7
    faint = soft_label(SceneLabel(0, "wind", 0.25, 0, 0.0))
    assert faint[CLASSES.index("wind")] == 0.5 and faint[-1] == 0.5
    assert soft_label(SceneLabel(0, None, 0.0, 0, 0.0))[-1] == 1.0


def test_the_shipped_judge_names_new_scenes():
    row = next(row for row in registry.rows() if row.kind == "scene-classifier")
    if row.missing:
        pytest.skip("the shipped scene classifier is not there")
    judge = load_scene_classifier()
    right = 0
    for k, phenomenon in enumerate((*scenes.PHENOMENA, None)):
        frames = [scenes.render(HELD_OUT + 50_000 + 8 * k + i, phenomenon, 0.9, start_sec=i)[0] for i in range(4)]
        named = judge.name(from_uint8(torch.from_numpy(np.stack(frames))))
        right += sum(name == (phenomenon or "calm") for name in named)
    assert right >= 30  # of 32
