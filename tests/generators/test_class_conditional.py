"""Class-conditional StyleGAN2 and 3: the label's part of the mapping network against a loop, files of three makers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import tolerances as tol
from soundguide_core.checkpoints import safe_pickle, safetensors_io
from soundguide_core.checkpoints.formats import nvlabs_stylegan2, nvlabs_stylegan3, tensorflow_stylegan2
from soundguide_core.checkpoints.safe_pickle import Persistent
from soundguide_core.common.errors import InputError
from soundguide_core.generators import stylegan2, stylegan3
from soundguide_core.generators.loading import load_generator
from soundguide_core.pipelines.inversion import source_picture
from soundguide_core.pipelines.sound_to_video import start_latents
from soundguide_core.systems.configs.projection import ProjectionConfig

FIXTURES = Path(__file__).parents[1] / "fixtures"
CLASSES = 5


def build(module=stylegan2, **changes):
    sizes = {"resolution": 16, "z_dim": 6, "w_dim": 8, "mapping_layers": 2, "channel_base": 128, "channel_max": 16}
    config = getattr(module, f"StyleGAN{module.__name__[-1]}Config")(**{**sizes, "c_dim": CLASSES, **changes})
    torch.manual_seed(0)
    generator = module.Generator(config).eval().requires_grad_(False)
    if config.c_dim:
        generator.mapping.embed.bias.normal_()
    return generator


def by_hand(tensors: dict, z: np.ndarray, label: int) -> np.ndarray:
    """w of one z [D] and one label, number by number, in float64."""
    x = {key: value.double().numpy() for key, value in tensors.items()}

    def normalised(v):
        return [a / math.sqrt(sum(b * b for b in v) / len(v) + 1e-8) for a in v]

    weight, bias = x["mapping.embed.weight"], x["mapping.embed.bias"]
    y = [weight[i, label] / math.sqrt(weight.shape[1]) + bias[i] for i in range(len(weight))]
    v = normalised(z) + normalised(y)
    for n in range(2):
        weight, bias = x[f"mapping.fc{n}.weight"], x[f"mapping.fc{n}.bias"]
        sums = [sum(a * b for a, b in zip(row, v, strict=True)) for row in weight * 0.01 / math.sqrt(len(v))]
        sums = [s + 0.01 * b for s, b in zip(sums, bias, strict=True)]
        v = [math.sqrt(2) * (s if s > 0 else 0.2 * s) for s in sums]
    return np.array(v)


@pytest.mark.parametrize("module", [stylegan2, stylegan3])
def test_w_of_a_class_against_a_loop(module):
    generator = build(module)
    for seed, label in ((3, 0), (4, 4)):
        expected = by_hand(generator.state_dict(), np.random.RandomState(seed).randn(6), label)
        ws = generator.sample_ws([seed], psi=1, class_index=label)
        assert np.allclose(ws[0, 0].double().numpy(), expected, atol=tol.PARITY)
    img = generator(torch.zeros(2, 6), c=generator.labels([1, 2]))
    assert img.shape == (2, 3, 16, 16) and not torch.equal(img[0], img[1])


def test_without_a_class_every_seed_draws_its_own():
    generator = build()
    drawn = generator.sample_ws(range(40), psi=1)
    of_class = [generator.sample_ws(range(40), psi=1, class_index=k) for k in range(CLASSES)]
    found = [[torch.allclose(drawn[i], ws[i], atol=tol.FLOAT32_SUM) for ws in of_class] for i in range(40)]
    assert all(sum(row) == 1 for row in found) and all(map(any, zip(*found, strict=True)))
    assert torch.allclose(drawn[7:9], generator.sample_ws([7, 8], psi=1), atol=tol.FLOAT32_SUM)


def test_what_is_no_class():
    generator = build()
    for class_index in (-1, CLASSES, 1.5, True, "1"):
        with pytest.raises(InputError, match="class"):
            generator.sample_ws([0], class_index=class_index)
    with pytest.raises(InputError, match="this generator has none"):
        build(c_dim=0).sample_ws([0], class_index=0)
    with pytest.raises(InputError, match=r"class-conditional \(5 classes\)"):
        generator(torch.zeros(1, 6))
    for found in (
        lambda: source_picture(generator, None, image="a.png", config=ProjectionConfig(), psi=1.0, class_index=1),
        lambda: start_latents(generator, None, img=torch.zeros(1, 3, 16, 16), class_index=1),
    ):
        with pytest.raises(InputError, match="a picture is given"):
            found()


# files


def layer(content: dict, *names: str) -> dict:
    """The attributes of a layer of G_ema."""
    module = content["G_ema"]
    for name in names:
        module = module.state["_modules"][name]
    return module.state


def with_classes(content: dict) -> dict:
    """NVIDIA's fixture as its makers pickle one that was trained with labels."""
    rng = torch.Generator().manual_seed(1)
    mapping, w_dim = layer(content, "mapping"), layer(content)["w_dim"]
    fc0 = layer(content, "mapping", "fc0")["_parameters"]
    fc0["weight"] = torch.cat([fc0["weight"], torch.randn(w_dim, w_dim, generator=rng) * 100], dim=1)
    parameters = {"weight": torch.randn(w_dim, CLASSES, generator=rng), "bias": torch.randn(w_dim, generator=rng)}
    state = {"_parameters": parameters, "_buffers": {}, "_modules": {}, "activation": "linear", "bias_gain": 1}
    mapping["_modules"] = {"embed": Persistent("FullyConnectedLayer", (), {}, state), **mapping["_modules"]}
    for module in (layer(content), mapping):
        module["c_dim"] = CLASSES
    return content


@pytest.mark.parametrize(
    ("file", "layout"), [("stylegan2_ada.pkl", nvlabs_stylegan2), ("stylegan3.pkl", nvlabs_stylegan3)]
)
def test_nvidias_files(tmp_path, file, layout):
    tensors, config = layout.convert(with_classes(safe_pickle.read(FIXTURES / file)))
    assert config["c_dim"] == CLASSES and config["z_dim"] == load_generator(FIXTURES / file).z_dim
    safetensors_io.save(tmp_path / "g.safetensors", tensors, config)
    generator = load_generator(tmp_path / "g.safetensors")
    w = generator.sample_ws([0], psi=1, class_index=3)[0, 0]
    expected = by_hand(tensors, np.random.RandomState(0).randn(generator.z_dim), 3)
    assert np.allclose(w.double().numpy(), expected, atol=tol.PARITY)
    assert (generator.w_std > 0).all()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda c: layer(c, "mapping", "embed").update(activation="lrelu"), "mapping.embed has activation"),
        (lambda c: layer(c, "mapping", "embed").update(bias_gain=0.01), "mapping.embed has bias_gain"),
        (lambda c: layer(c, "mapping", "embed")["_parameters"].pop("bias"), "mapping.embed.bias is missing"),
        (lambda c: layer(c, "mapping", "embed")["_parameters"].update(weight=torch.zeros(3, 5)), "into 3 numbers"),
        (lambda c: layer(c).update(c_dim=4), "says 4 classes"),
    ],
)
def test_other_embeddings_are_refused(harm, message):
    content = with_classes(safe_pickle.read(FIXTURES / "stylegan2_ada.pkl"))
    harm(content)
    with pytest.raises(InputError, match=message):
        nvlabs_stylegan2.convert(content)


def test_a_tensorflow_file():
    content = safe_pickle.read(FIXTURES / "tensorflow.pkl")
    averaged = content[2].state
    averaged["static_kwargs"]["label_size"] = CLASSES
    variables = dict(averaged["components"]["mapping"].state["variables"])
    first = torch.as_tensor(variables["Dense0/weight"])  # [I,O]
    variables["Dense0/weight"] = torch.cat([first, torch.ones(first.shape[1], first.shape[1])])
    variables["LabelEmbed/weight"] = torch.arange(CLASSES * 8.0).reshape(CLASSES, 8)  # [I,O]
    variables["LabelEmbed/bias"] = torch.ones(8)
    averaged["components"]["mapping"].state["variables"] = list(variables.items())
    tensors, config = tensorflow_stylegan2.convert(content)
    assert config["c_dim"] == CLASSES and tensors["mapping.embed.weight"][1].tolist() == [1, 9, 17, 25, 33]
