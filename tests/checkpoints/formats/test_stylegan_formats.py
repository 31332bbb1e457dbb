"""StyleGAN2, StyleGAN3 and StyleGAN-V in the layouts of their makers. The .pkl fixtures were written by the makers' own
code (tests/fixtures/make_nvidia_parity.py); whoever ran the text inside them would stop the test."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from soundguide_core.checkpoints import safe_pickle, weights
from soundguide_core.checkpoints.formats import nvlabs_stylegan2, nvlabs_stylegan3, open_foreign, stylegan_v
from soundguide_core.checkpoints.formats import rosinality as rosinality_format
from soundguide_core.checkpoints.formats import tensorflow_stylegan2 as tensorflow
from soundguide_core.checkpoints.safe_pickle import Foreign, Persistent
from soundguide_core.common.errors import InputError
from soundguide_core.generators.latents import truncate
from soundguide_core.generators.loading import load_generator, load_video_generator
from soundguide_core.generators.stylegan2 import Generator, StyleGAN2Config

FIXTURES = Path(__file__).parents[2] / "fixtures"


def script(name: str):
    spec = importlib.util.spec_from_file_location(name, FIXTURES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make, rosinality = script("make_nvidia_parity"), script("make_stylegan2_parity")

FILES = [  # file, format, stored pictures
    ("stylegan2_ada.pkl", "NVIDIA's StyleGAN2 (PyTorch)", "stylegan2_ada_parity", "file"),
    ("stylegan3_repo_stylegan2.pkl", "NVIDIA's StyleGAN2 (PyTorch)", "stylegan3_parity", "file_stylegan2"),
    ("tensorflow.pkl", "NVIDIA's StyleGAN2 (TensorFlow)", "tensorflow_parity", "file"),
    ("stylegan3.pkl", "NVIDIA's StyleGAN3", "stylegan3_parity", "file"),
]


@pytest.mark.parametrize(("file", "format", "pictures", "key"), FILES, ids=[row[0] for row in FILES])
def test_the_makers_files_render_the_makers_pictures(file, format, pictures, key):
    foreign = open_foreign(FIXTURES / file)
    assert (foreign.format, foreign.kind) == (format, "generator")
    generator = load_generator(FIXTURES / file)
    config = make.SMALL3 if "3.pkl" in file else make.SMALL2
    assert generator.config == config
    expected = load_file(FIXTURES / f"{pictures}.safetensors")[key]
    img = generator(make.latents(config.z_dim), psi=make.PSI)
    assert (img - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.parametrize("file", [*(row[0] for row in FILES), "stylegan_v.pkl"])
def test_a_converted_file_is_the_same_network(tmp_path, file):
    weights.convert(FIXTURES / file, tmp_path / "g.safetensors")
    generator, converted = load_generator(FIXTURES / file), load_generator(tmp_path / "g.safetensors")
    assert converted.config == generator.config
    z = make.latents(generator.z_dim)
    assert (converted(z, psi=0.7) - generator(z, psi=0.7)).abs().max() < 1e-5


def test_a_styleganv_file_renders_its_makers_frames():
    given = load_file(FIXTURES / "stylegan_v_parity.safetensors")
    generator = load_video_generator(FIXTURES / "stylegan_v.pkl")
    ws = truncate(generator.broadcast(generator.mapping(make.latents(8))), generator.w_avg, make.PSI)
    motion_v = generator.motion_codes(given["t"], given["motion_z"])
    assert (motion_v.flatten(0, 1) - given["motion_v"]).abs().max() < 1e-5
    assert (generator.render(ws, motion_v).flatten(0, 1) - given["img"]).abs().max() < 1e-4
    assert (generator.fps, generator.config.motion_distance) == (25, 16)  # both by way of an interpolation


# ---- rosinality

CONFIG = StyleGAN2Config(32, 8, 8, 2, channel_base=256, channel_max=16)


def their_file(**changes) -> dict:
    """As train.py saves it, with the constants that their modules keep among the weights."""
    state = rosinality.to_reference_generator(make.ours(CONFIG, Generator))
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    for name in [name for name in state if name.endswith(".conv.weight")]:
        if name.startswith("convs.") and int(name.split(".")[1]) % 2 == 0:
            state[name.replace("conv.weight", "conv.blur.kernel")] = torch.outer(taps, taps) / 16
        elif name.startswith("to_rgbs."):
            state[name.replace("conv.weight", "upsample.kernel")] = torch.outer(taps, taps) / 16
    wrong = {name: x + 1 for name, x in state.items()}
    file = {"g": wrong, "d": {}, "g_ema": state, "g_optim": {"state": {}, "param_groups": [{"lr": 0.002}]}}
    return {**file, "args": argparse.Namespace(size=32), "ada_aug_p": 0.0, **changes}


def our_picture() -> torch.Tensor:
    generator = Generator(CONFIG).requires_grad_(False)
    generator.load_state_dict({**generator.state_dict(), **make.ours(CONFIG, Generator)})
    return generator(make.latents(8))


@pytest.mark.parametrize("zipped", [True, False])
def test_rosinality(tmp_path, zipped):
    w_avg = torch.arange(8.0)
    torch.save(their_file(latent_avg=w_avg[None]), tmp_path / "g.pt", _use_new_zipfile_serialization=zipped)
    foreign = open_foreign(tmp_path / "g.pt")
    assert foreign.format == "rosinality's StyleGAN2" and foreign.tensors.keys() >= {"mapping.w_avg"}
    generator = load_generator(tmp_path / "g.pt")
    assert generator.config == CONFIG and torch.equal(generator.w_avg, w_avg)
    expected = our_picture()
    assert (generator(make.latents(8)) - expected).abs().max() < 1e-4 * expected.abs().max()


def test_rosinality_without_an_average_or_noise(tmp_path):
    file = their_file()
    file["g_ema"] = {name: x for name, x in file["g_ema"].items() if not name.startswith("noises.")}
    torch.save(file, tmp_path / "g.pt")
    generator, again = load_generator(tmp_path / "g.pt"), load_generator(tmp_path / "g.pt")
    w = generator.mapping(make.latents(8, 4000))
    assert (generator.w_avg - w.mean(0)).abs().max() < 0.1 * w.std() and (generator.w_std > 0).all()
    ws = generator.sample_ws([0])
    assert torch.equal(generator.synthesis(ws), again.synthesis(ws))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda g: g.update({"extra.weight": torch.zeros(1)}), "extra.weight"),
        (lambda g: g.pop("to_rgb1.bias"), "to_rgb1.bias"),
        (lambda g: g["convs.0.conv.blur.kernel"].add_(1), "resample filter"),
        (lambda g: g.update({"convs.1.conv.weight": torch.zeros(1, 9, 16, 3, 3)}), "channels per resolution"),
    ],
)
def test_odd_rosinality_files(tmp_path, harm, message):
    file = their_file()
    harm(file["g_ema"])
    torch.save(file, tmp_path / "g.pt")
    with pytest.raises(InputError, match=message):
        load_generator(tmp_path / "g.pt")


# ---- what is not the published network


def layer(content: dict, *names: str) -> dict:
    """The attributes of a layer of G_ema."""
    module = content["G_ema"]
    for name in names:
        module = module.state["_modules"][name]
    return module.state


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda c: layer(c).update(c_dim=10), "says 10 classes"),
        (lambda c: layer(c).update(img_channels=1), "1 channels"),
        (lambda c: layer(c, "synthesis", "b8").update(architecture="resnet"), "resnet"),
        (lambda c: layer(c, "synthesis", "b8", "conv0").update(activation="relu"), "relu"),
        (lambda c: layer(c, "synthesis", "b8", "conv0").update(conv_clamp=None), "bounded in 2 ways"),
        (lambda c: layer(c, "mapping", "fc0").update(bias_gain=1), "bias_gain"),
        (lambda c: layer(c, "synthesis", "b8")["_buffers"]["resample_filter"].mul_(2), "resample filter"),
        (lambda c: layer(c, "synthesis", "b8")["_parameters"].update(skip=torch.zeros(1)), "b8.skip is odd"),
        (lambda c: layer(c, "synthesis", "b8", "conv0")["_parameters"].pop("bias"), "conv0.bias is missing"),
    ],
)
def test_other_stylegan2s_are_refused(harm, message):
    content = safe_pickle.read(FIXTURES / "stylegan2_ada.pkl")
    harm(content)
    assert nvlabs_stylegan2.recognises(content)
    with pytest.raises(InputError, match=message):
        nvlabs_stylegan2.convert(content)


def test_other_stylegan3s_and_vs_are_refused():
    content = safe_pickle.read(FIXTURES / "stylegan3.pkl")
    content["G_ema"].state["_modules"]["synthesis"].init_kwargs["stages"] = 3
    with pytest.raises(InputError, match="stages"):
        nvlabs_stylegan3.convert(content)
    settings = content["G_ema"].state["_modules"]["synthesis"].init_kwargs
    del settings["stages"]
    settings["conv_kernel"] = "3"
    with pytest.raises(InputError, match="conv_kernel"):
        nvlabs_stylegan3.convert(content)
    content = safe_pickle.read(FIXTURES / "stylegan_v.pkl")
    layer(content)["cfg"]["time_enc"]["cond_type"] = "concat_w"
    with pytest.raises(InputError, match="concat_w"):
        stylegan_v.convert(content)
    content = safe_pickle.read(FIXTURES / "stylegan_v.pkl")
    layer(content, "synthesis", "motion_encoder", "time_encoder")["_buffers"]["freqs"].mul_(1.1)
    with pytest.raises(InputError, match="frequencies"):
        stylegan_v.convert(content)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda g: g.update(version=3), "version 3"),
        (lambda g: g["static_kwargs"].update(label_size=10), "LabelEmbed"),
        (lambda g: g["static_kwargs"].update(architecture="resnet"), "resnet"),
        (lambda g: g["variables"].append(("odd", torch.zeros(1))), "odd"),
    ],
)
def test_other_tensorflow_networks_are_refused(harm, message):
    content = safe_pickle.read(FIXTURES / "tensorflow.pkl")
    harm(content[2].state)
    assert tensorflow.recognises(content)
    with pytest.raises(InputError, match=message):
        tensorflow.convert(content)


def test_anything_may_be_asked_for():
    other = Foreign("a", "b", (), None)
    synthesis = Persistent("Synthesis", (), {}, {"_modules": {3: None, "input": other}})
    odd = {"G_ema": Persistent("Generator", (), {}, {"_modules": {"synthesis": synthesis}})}
    contents = [odd, None, 3, [], {}, {"G_ema": 1}, {"G_ema": other}, {"g_ema": None}, (1, 2, 3), (other,) * 3, other]
    for content in contents:
        for layout in (nvlabs_stylegan2, nvlabs_stylegan3, rosinality_format, stylegan_v, tensorflow):
            assert not layout.recognises(content)
