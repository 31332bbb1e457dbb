"""nodes/host_decoders.py on the host's own decoders with small random weights: values, gradients, chunks, refusals."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import tolerances as tol

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def decoders(importable_host, tmp_path_factory):
    """nodes.host_decoders, loaded as ComfyUI loads it; models/vae_approx is an empty folder."""
    path = sys.path.copy()
    sys.path.insert(0, str(importable_host))
    importlib.import_module("comfy.cli_args").args.cpu = True
    spec = importlib.util.spec_from_file_location(
        "pack_with_decoders", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    pack = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = pack
    spec.loader.exec_module(pack)
    module = importlib.import_module("pack_with_decoders.nodes.host_decoders")
    folders = module.folder_paths
    kept = folders.folder_names_and_paths[module.FOLDER]
    folders.folder_names_and_paths[module.FOLDER] = ([str(tmp_path_factory.mktemp("vae_approx"))], kept[1])
    yield module
    folders.folder_names_and_paths[module.FOLDER] = kept
    sys.path[:] = path


@pytest.fixture
def folder(decoders):
    """models/vae_approx, emptied afterwards."""
    place = Path(decoders.folder_paths.folder_names_and_paths[decoders.FOLDER][0][0])
    forget(decoders)
    yield place
    for file in place.iterdir():
        file.unlink()
    forget(decoders)


def forget(decoders):
    decoders.folder_paths.filename_list_cache.pop(decoders.FOLDER, None)


def model_of(name: str):
    """What the module reads of a MODEL whose latents have this format, made in inference mode as the host makes it."""
    formats = importlib.import_module("comfy.latent_formats")
    if not hasattr(formats, name):
        pytest.skip(f"this ComfyUI has no {name}")
    with torch.inference_mode():
        return SimpleNamespace(model=SimpleNamespace(latent_format=getattr(formats, name)()))


def randomised(module, seed=0):
    """Every weight drawn, so that activations stay near 1: the host's layers are born uninitialised."""
    g = torch.Generator().manual_seed(seed)
    for name, weight in module.named_parameters():
        fan = weight[0].numel() if weight.ndim > 1 else 16
        weight.data = torch.randn(weight.shape, generator=g) * (1.4 / fan**0.5 if weight.ndim > 1 else 0.1)
        if "gamma" in name or ("norm" in name and name.endswith("weight")):
            weight.data = 1 + 0.1 * torch.randn(weight.shape, generator=g)
    return module.eval().requires_grad_(False)


def latent(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gradient(fn, z):
    """(pictures, their gradient in z for one fixed random direction of the pictures)."""
    z = z.clone().requires_grad_()
    made = fn(z)
    pull = torch.randn(made.shape, generator=torch.Generator().manual_seed(7), dtype=made.dtype)
    return made.detach(), torch.autograd.grad((made * pull).sum(), z)[0]


def as_double(decoder):
    decoder.model.patcher.model.double()
    return decoder


def holds_its_difference_quotient(fn, z):
    made, g = gradient(fn, z)
    pull = torch.randn(made.shape, generator=torch.Generator().manual_seed(7), dtype=made.dtype)
    direction, h = latent(*z.shape, seed=3), 1e-8  # small, for the kinks of ReLU
    with torch.no_grad():
        quotient = ((fn(z + h * direction) - fn(z - h * direction)) * pull).sum() / (2 * h)
    assert torch.allclose((g * direction).sum(), quotient, rtol=1e-3)


PICTURES = {"SD15": "taesd_decoder", "SDXL": "taesdxl_decoder", "SD3": "taesd3_decoder", "Flux": "taef1_decoder"}


@pytest.mark.parametrize(
    "name, suffix", [("SD15", ".pth"), ("SDXL", ".pth"), *((name, ".safetensors") for name in ("SD3", "Flux", "Flux2"))]
)
def test_auto_takes_the_tiny_decoder_whose_file_is_here(decoders, folder, name, suffix):
    model = model_of(name)
    channels = model.model.latent_format.latent_channels
    tiny = importlib.import_module("comfy.taesd.taesd").TAESD(latent_channels=channels)
    randomised(tiny.taesd_decoder)
    file = {**PICTURES, "Flux2": "taef2_decoder"}[name] + suffix
    state = {key: x.half() for key, x in tiny.taesd_decoder.state_dict().items()}
    if suffix == ".pth":
        torch.save(state, folder / file)
    else:
        importlib.import_module("safetensors.torch").save_file(state, folder / file)
    forget(decoders)
    with torch.inference_mode():
        decoder = decoders.auto_decoder(model)
    assert decoder.name == f"tiny decoder {file}" and "MiB" in decoder.cost
    z = latent(3, channels, 2, 3)
    tiny.taesd_decoder.load_state_dict(state)
    with torch.no_grad():
        wanted = tiny.taesd_decoder.double()(z) * 2 - 1
    made, whole = gradient(lambda z: as_double(decoder).decode(z, 3), z)
    assert torch.allclose(made, wanted, atol=tol.FLOAT64)
    for part in (gradient(partial(decoder.decode, chunk=chunk), z)[1] for chunk in (1, 2)):
        assert torch.allclose(part, whole, rtol=0, atol=tol.FLOAT64 * float(whole.abs().max()))
    holds_its_difference_quotient(lambda z: decoder.decode(z, 2), z)
    assert decoder.spans(3) == [(0, 1), (1, 2), (2, 3)]
