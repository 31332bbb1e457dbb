"""Whether a sound is known: the regression, somebody's own sounds, and that a run in parts is the whole."""

import numpy as np
import pytest
import soundfile
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from soundguide_core.common.errors import InputError
from soundguide_core.embedding.sound import load_sound
from soundguide_core.miniature.training import familiarity
from soundguide_core.training.engine.metrics_log import read_metrics
from soundguide_core.training.recipe import merged, read_recipe

RATE = 8000


@pytest.fixture
def own(tmp_path):
    """Twelve tones, and twelve noises that are not known."""
    rng, t = np.random.default_rng(0), np.arange(RATE) / RATE
    for k in range(12):
        for label, wave in (("hum", np.sin(2 * np.pi * (200 + 20 * k) * t)), ("unknown", rng.standard_normal(RATE))):
            path = tmp_path / "sounds" / label / f"{k:02d}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, 0.2 * wave, RATE)
    return tmp_path / "sounds"


def recipe(data, joint, **training):
    made = merged(read_recipe("familiarity"), {"training": {"steps": 4, "crops": 1, **training}})
    made["models"]["joint"], made["data"] = str(joint), {**made["data"], "folder": str(data)}
    return made


def test_the_loss_is_the_mean_over_both_sides():
    known, unknown = torch.randn(5, 3, dtype=torch.float64) + 1, torch.randn(20, 3, dtype=torch.float64) - 1
    training = familiarity.FamiliarityTraining(known.float(), unknown.float(), decay=0.0)
    for i in range(60):
        found = training.step(i)["cross_entropy"]
    weight, bias = training.weights()
    training_again = sum(
        binary_cross_entropy_with_logits(x.float() @ weight + bias, torch.full((len(x),), y)).item() / 2
        for x, y in ((known, 1.0), (unknown, 0.0))
    )
    assert training_again <= found  # after the last step
    assert (known.float() @ weight + bias > 0).float().mean() > 0.7


def test_own_sounds_are_told_apart(own, tiny, tmp_path):
    config = recipe(own, tiny.joint, steps=200)
    config["run"] = {"validate_every": 100}
    encoder, _ = load_sound(familiarity.run(config=config, out=tmp_path / "out"))
    assert encoder.config.familiar
    told = {row["name"]: float(row["value"]) for row in read_metrics(tmp_path / "out" / "metrics.csv")
            if row["split"] == "held_out" and row["step"] == "200"}  # fmt: skip
    assert told == {"known": 1.0, "unknown": 1.0}


def test_a_run_in_parts_is_the_whole(own, tiny, tmp_path):
    config = recipe(own, tiny.joint)
    config["run"] = {"log_every": 1}
    whole, _ = load_sound(familiarity.run(config=config, out=tmp_path / "whole"))
    config["run"]["max_time"] = 1e-6  # one step, each time
    for i in range(4):
        parts, _ = load_sound(familiarity.run(config=config, out=tmp_path / "parts", resume=i > 0))
    assert torch.equal(whole.familiar.weight, parts.familiar.weight)
    runs = [read_metrics(out / "metrics.csv") for out in (tmp_path / "whole", tmp_path / "parts")]
    found = [[(row["step"], row["value"]) for row in rows if row["split"] == "train"] for rows in runs]
    assert found[0] == found[1] and len(found[0]) == 4


def test_one_side_alone_is_refused(own, tiny, tmp_path):
    for path in (own / "unknown").iterdir():
        path.rename(path.with_suffix(".txt"))
    (own / "bell").mkdir()
    for path in sorted((own / "hum").iterdir())[:6]:
        path.rename(own / "bell" / path.name)
    with pytest.raises(InputError, match="unknown"):
        familiarity.run(config=recipe(own, tiny.joint), out=tmp_path)
