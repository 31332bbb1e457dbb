"""How the judge's accuracy is counted, and its soft labels."""

import numpy as np
import pytest
import torch

from soundguide_core.common.errors import InputError
from soundguide_core.miniature.data.scenes import SceneLabel, SceneSet
from soundguide_core.miniature.training.scene_classifier import CLASSES, accuracy, soft_label


class Reader(torch.nn.Module):
    """Names the class that the picture's grey level spells."""

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def predict(self, img):
        grey = ((img[:, 0, 0, 0] + 1) * 127.5).round().long()
        return torch.nn.functional.one_hot(grey, len(CLASSES)).float()


def spelled(*rows: tuple[str | None, float, int]) -> SceneSet:
    """(phenomenon, intensity, class that the picture spells)"""
    pixels = np.stack([np.full((4, 4, 3), spells, np.uint8) for _, _, spells in rows])
    return SceneSet(pixels, [SceneLabel(i, kind, power, 0, 0.0) for i, (kind, power, _) in enumerate(rows)])


def test_accuracy_counts_calm_and_strong_pictures_only():
    calm = len(CLASSES) - 1
    rows = [("rain", 0.9, 0), ("rain", 0.3, 5), ("waves", 0.8, 0), (None, 0.0, calm)]
    assert accuracy(Reader(), spelled(*rows)) == pytest.approx(2 / 3)
    assert accuracy(Reader(), spelled(*rows), above=0.2) == pytest.approx(2 / 4)
    assert accuracy(Reader(), spelled(*rows * 40)) == pytest.approx(2 / 3)


def test_accuracy_of_nothing_is_refused():
    with pytest.raises(InputError, match="held_out"):
        accuracy(Reader(), spelled(("rain", 0.3, 0)))


def test_faint_phenomena_are_partly_calm():
    label = soft_label(SceneLabel(0, "fire", 0.2, 0, 0.0))
    assert label[CLASSES.index("fire")] == pytest.approx(0.4) and label[-1] == pytest.approx(0.6)
    assert soft_label(SceneLabel(0, "fire", 0.7, 0, 0.0))[CLASSES.index("fire")] == 1
