"""Zero-shot accuracy counted by hand on a data set of four clips."""

from __future__ import annotations

import shutil
import wave

import numpy as np
import pytest
import torch

from soundguide_core.common.errors import InputError
from soundguide_core.metrics.zero_shot import zero_shot


class LoudIsDog:
    """Hears dogs in loud clips and sea waves in quiet ones."""

    def encode_audio(self, sound, sample_rate):
        assert sound.ndim == 1 and sample_rate == 8000
        return torch.tensor([[float(sound.abs().max() > 0.5)]])

    def classify(self, embeds, labels):
        self.calls = getattr(self, "calls", 0) + 1
        return torch.cat([embeds if label == "dog" else 1 - embeds for label in labels], dim=1)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "meta").mkdir()
    (tmp_path / "audio").mkdir()
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for i, (fold, category, level) in enumerate(
        [(1, "dog", 0.9), (1, "dog", 0.1), (1, "sea_waves", 0.1), (2, "dog", 0.9)]
    ):
        with wave.open(str(tmp_path / "audio" / f"{i}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes((np.full(800, level) * 32767).astype(np.int16).tobytes())
        lines.append(f"{i}.wav,{fold},0,{category},True,{i},A")
    (tmp_path / "meta" / "esc50.csv").write_text("\n".join(lines))
    return tmp_path


def test_counts(folder):
    steps = []
    found = zero_shot(LoudIsDog(), folder, folds=[1], on_step=lambda i, n: steps.append((i, n)))
    assert found.clips == 3 and found.accuracy == pytest.approx(2 / 3)
    assert found.per_class == {"dog": 0.5, "sea_waves": 1.0}
    assert found.confusions == {"dog": {"sea_waves": 1}}
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert zero_shot(LoudIsDog(), folder).clips == 4


def test_the_labels_are_read_once(folder):
    joint = LoudIsDog()
    zero_shot(joint, folder)
    assert joint.calls == 1


def test_nothing_is_skipped(folder):
    (folder / "audio" / "2.wav").unlink()
    with pytest.raises(InputError, match="2.wav"):
        zero_shot(LoudIsDog(), folder)


def test_refusals(folder):
    with pytest.raises(InputError, match="fold 7"):
        zero_shot(LoudIsDog(), folder, folds=[1, 7])
    shutil.rmtree(folder / "meta")
    with pytest.raises(InputError, match="esc50.csv"):
        zero_shot(LoudIsDog(), folder)


def test_an_exception_from_on_step_stops(folder):
    def stop(i, n):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        zero_shot(LoudIsDog(), folder, on_step=stop)
