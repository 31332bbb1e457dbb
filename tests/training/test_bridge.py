"""A bridge between two spaces: learned from texts alone or from sounds with pictures, and used as a joint encoder."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import torch
import torch.nn.functional as F
from PIL import Image

import tolerances as tol
from soundguide_core.checkpoints import registry
from soundguide_core.checkpoints.formats import exmcr
from soundguide_core.common.errors import InputError
from soundguide_core.embedding.bridge import Head
from soundguide_core.embedding.clip import ClipTowers
from soundguide_core.embedding.joint import load_joint
from soundguide_core.training import bridge
from soundguide_core.training.bridge import BridgeSettings, BridgeTraining, retrieval
from soundguide_core.training.bridge_pairs import captions_of, paired_files
from soundguide_core.training.recipe import read_recipe


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    """Another picture and text model, in 24 dims."""
    path = tmp_path_factory.mktemp("target") / "clip.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(5)
        towers = ClipTowers.from_config(
            {
                "embed_dim": 24,
                "vision_cfg": {"image_size": 32, "patch_size": 8, "layers": 1, "width": 32, "head_width": 16},
                "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
                "preprocess": {"size": 32},
                "prompts": ["{}"],
            }
        )
    towers.save(path)
    return path


def recipe(tiny, target, **training) -> dict:
    settings = {"steps": 60, "batch": 32, "lr": 3e-3, "warmup": 5, "noise": 0.1, **training}
    return {"source": str(tiny.joint), "target": str(target), "training": settings}


def test_texts_alone_lead_from_one_space_to_another(tiny, target, tmp_path):
    path = bridge.run(config=recipe(tiny, target), out=tmp_path / "out")
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert scores["pairs"] + scores["held_out"] > 1000
    before, after = scores["before"], scores["after"]
    assert after["place"] < 0.8 * before["place"] and after["cosine"] > before["cosine"] + 0.2  # untrained towers

    joint, source = load_joint(path.parent), load_joint(tiny.joint)
    assert joint.dim == 24 and joint.spec == source.spec
    wave = torch.randn(9000, generator=torch.Generator().manual_seed(1)) / 5
    windows, weights = source.spec.windows(wave, 8000)
    with torch.no_grad():
        carried = joint.sound.head(F.normalize(source.sound(windows), dim=-1))
    expected = F.normalize(weights @ carried, dim=-1)
    assert torch.allclose(joint.encode_audio(wave, 8000)[0], expected, atol=tol.PARITY)


def test_a_resumed_run_has_the_weights_of_an_uninterrupted_one(tiny, target, tmp_path):
    whole = bridge.run(config=recipe(tiny, target, steps=8), out=tmp_path / "a")
    bridge.run(config=recipe(tiny, target, steps=4) | {"training": {**recipe(tiny, target)["training"], "steps": 8,
               "save_every": 4}}, out=tmp_path / "b")  # fmt: skip
    again = bridge.run(config=recipe(tiny, target, steps=8), out=tmp_path / "b", resume=True)
    assert whole.read_bytes() == again.read_bytes()


def test_sounds_with_pictures(tiny, target, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(6):
        soundfile.write(folder / f"{i}.wav", rng.uniform(-0.5, 0.5, 8000), 8000)
        Image.fromarray(rng.integers(0, 255, (40, 40, 3), np.uint8)).save(folder / f"{i}.png")
    soundfile.write(folder / "alone.wav", np.zeros(100), 8000)
    assert len(paired_files(folder)) == 6
    config = recipe(tiny, target, steps=2, batch=4, held_out=0.0) | {"data": {"folder": str(folder)}}
    bridge.run(config=config, out=tmp_path / "out")
    written = (tmp_path / "out" / "features.safetensors").stat().st_mtime_ns
    bridge.run(config=config, out=tmp_path / "out")
    assert (tmp_path / "out" / "features.safetensors").stat().st_mtime_ns == written  # encoded once


def test_the_head_is_ex_mcrs():
    head = Head()
    state, config = exmcr.convert(head.state_dict())
    assert {key.removeprefix("head."): x.shape for key, x in state.items()} == {
        key: x.shape for key, x in head.state_dict().items()
    }
    assert config["encoder"] == {"architecture": "clap", "clap": None, "dim": 512}


def test_one_step_is_the_equation():
    draw = torch.Generator().manual_seed(0)
    source, target = (F.normalize(torch.randn(6, dim, generator=draw), dim=-1) for dim in (5, 4))
    training = BridgeTraining(source, target, BridgeSettings(batch=6, noise=0.0), "cpu", 0)
    made = training.head(source).detach()
    losses = training.step(0)
    logits = made @ target.T / 0.07
    rows, columns = (-x.log_softmax(dim=1).diagonal().mean() for x in (logits, logits.T))
    assert losses["nce"] == pytest.approx(float(rows + columns), abs=tol.PARITY)
    assert losses["alignment"] == pytest.approx(float(1 - (made * target).sum(dim=1).mean()), abs=tol.PARITY)


def test_retrieval_by_hand():
    target = torch.eye(3)
    made = torch.tensor([[1.0, 0, 0], [0.9, 0.1, 0], [0, 0, 1]])
    found = retrieval(made, target)
    assert found["first"] == pytest.approx(2 / 3) and found["place"] == pytest.approx(1 / 3 / 2)


def test_captions_of_a_file_a_function_and_the_table(tmp_path):
    (tmp_path / "a.txt").write_text("rain\n\nrain \nwind on a hill\n")
    assert captions_of({"folder": str(tmp_path / "a.txt")}, 0) == ["rain", "wind on a hill"]
    (client,) = [client for client in registry.clients() if (client.recipes / "bridge_captions.toml").is_file()]
    shipped = read_recipe(str(client.recipes / "bridge_captions.toml"))
    assert len(captions_of({**shipped["data"], "count": 50}, 0)) > 20
    assert "heavy rain, wet streets, raindrops" in captions_of({}, 0)


def test_what_cannot_be_learned_from(tiny, target, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "one.txt").write_text("rain\n")
    for data, why in (
        ({"folder": str(tmp_path / "empty")}, "no sound with a picture"),
        ({"folder": str(tmp_path / "one.txt")}, "There are 1 pairs"),
        ({"files": 3}, "unknown entry 'files'"),
    ):
        with pytest.raises(InputError, match=why):
            bridge.run(config=recipe(tiny, target) | {"data": data}, out=tmp_path / "out")


def test_a_clap_leads_on_by_its_texts(tiny, target, tmp_path, make_clap):
    clap_folder = make_clap(fused=False)
    config = recipe(tiny, target, steps=3) | {"source": str(clap_folder)}
    path = bridge.run(config=config, out=tmp_path / "out")
    with pytest.raises(InputError, match="head of Ex-MCR only"):
        load_joint(path.parent)
    (path.parent / "clap").symlink_to(clap_folder)
    joint = load_joint(path.parent)
    assert joint.dim == 24 and joint.encode_audio(torch.randn(9000) / 5, 48000).shape == (1, 24)
