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
    if model.model.latent_format.taesd_decoder_name is None:
        pytest.skip(f"this ComfyUI names no tiny decoder for {name}")
    tiny = importlib.import_module("comfy.taesd.taesd").TAESD(latent_channels=channels)
    randomised(tiny.taesd_decoder)
    file = {**PICTURES, "Flux2": "taef2_decoder"}[name] + suffix
    state = {key: x.half() for key, x in tiny.taesd_decoder.state_dict().items()}
    save(state, folder / file)
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


VIDEOS = {
    "Wan21": ("lighttaew2_1.pth", True),
    "Wan22": ("taew2_2.safetensors", False),
    "HunyuanVideo": ("taehv.safetensors", False),
    "HunyuanVideo15": ("lighttaehy1_5.safetensors", False),
    "LTXAV": ("taeltx_2.pth", False),
}


@pytest.mark.parametrize("name", VIDEOS)
def test_a_tiny_decoder_of_videos_goes_through_time_in_chunks(decoders, folder, name):
    """Values and gradients are those of the host's own way for all frames at once; what is remembered carries both."""
    taehv = pytest.importorskip("comfy.taesd.taehv")
    model, (file, like_the_vae) = model_of(name), VIDEOS[name]
    latents = model.model.latent_format
    whole = taehv.TAEHV(latents.latent_channels, parallel=True)
    if name == "LTXAV" and getattr(whole, "patch_size", 1) != 4:
        pytest.skip("this ComfyUI has no tiny decoder for LTX-2")
    save(randomised(whole).state_dict(), folder / file)
    forget(decoders)
    with torch.inference_mode():
        decoder = as_double(decoders.auto_decoder(model))
    assert decoder.name == f"tiny decoder {file}" and decoder.chunkable
    z = latent(1, latents.latent_channels, 3, 1, 1)
    formats = importlib.import_module("comfy.latent_formats")
    prepare = getattr(formats, name)().process_out if like_the_vae else lambda z: z
    wanted, pulled = gradient(lambda z: whole.double().decode(prepare(z))[0].movedim(1, 0) * 2 - 1, z)
    count = len(decoder.spans(3))
    assert count == (17 if name == "LTXAV" else 9)
    for chunk in (1, 2):
        made, got = gradient(partial(decoder.decode, chunk=chunk), z)
        assert made.shape[0] == count and torch.allclose(made, wanted, rtol=0, atol=tol.FLOAT64_SUM)
        assert torch.allclose(got, pulled, rtol=0, atol=tol.FLOAT64_SUM * float(pulled.abs().max()))
    holds_its_difference_quotient(partial(decoder.decode, chunk=2), z)


def save(state, path):
    state = {key: x.contiguous() for key, x in state.items()}
    if path.suffix == ".pth":
        torch.save(state, path)
    else:
        importlib.import_module("safetensors.torch").save_file(state, path)


def vae_of(network, channels, video):
    """What the module reads of a VAE, its weights made in inference mode as the host makes them."""
    with torch.inference_mode():
        for part in network.modules():
            for name, weight in part.named_parameters(recurse=False):
                part._parameters[name] = torch.nn.Parameter(weight.clone(), requires_grad=False)
    assert all(weight.is_inference() for weight in network.parameters())
    return SimpleNamespace(
        first_stage_model=network,
        latent_channels=channels,
        output_channels=3,
        latent_dim=3 if video else 2,
        process_output=lambda image: image.add_(1.0).div_(2.0).clamp_(0.0, 1.0),
    )


def test_a_full_vae_of_pictures_is_exact_in_two_passes(decoders, folder):
    autoencoder = importlib.import_module("comfy.ldm.models.autoencoder")
    sizes = dict(double_z=True, z_channels=4, resolution=32, in_channels=3, out_ch=3, ch=32, ch_mult=[1, 2])
    config = dict(**sizes, num_res_blocks=1, attn_resolutions=[], dropout=0.0)
    network = randomised(autoencoder.AutoencoderKL(embed_dim=4, ddconfig=config)).double()
    z, scale = latent(3, 4, 3, 3), 0.18215
    wanted, pulled = gradient(lambda z: network.decode(z / scale), z)
    with torch.inference_mode():
        decoder = decoders.make_decoder(model_of("SD15"), "full VAE", vae_of(network, 4, False))
    assert decoder.name == "VAE AutoencoderKL" and decoder.chunkable
    for chunk in (1, 2, 3):
        made, got = gradient(partial(decoder.decode, chunk=chunk), z)
        assert torch.allclose(made, wanted, rtol=0, atol=tol.FLOAT64_SUM)
        assert torch.allclose(got, pulled, rtol=0, atol=tol.FLOAT64_SUM * float(pulled.abs().max()))
    holds_its_difference_quotient(partial(decoder.decode, chunk=2), z)


@pytest.mark.parametrize("name, module, channels", [("Wan21", "vae", 16), ("Wan22", "vae2_2", 48)])
def test_the_vaes_of_wan_go_through_time_exactly(decoders, folder, name, module, channels):
    wan = pytest.importorskip(f"comfy.ldm.wan.{module}")
    config = dict(z_dim=channels, dim_mult=[1, 2, 2, 2], num_res_blocks=1, temperal_downsample=[False, True, True])
    small = {"dim": 8} if module == "vae" else {"dim": 8, "dec_dim": 8}
    network = randomised(wan.WanVAE(**small, **config)).double()
    model = model_of(name)
    prepare = type(model.model.latent_format)().process_out
    z = latent(1, channels, 4, 2, 2)
    wanted, pulled = gradient(lambda z: network.decode(prepare(z))[0].movedim(1, 0), z)
    with torch.inference_mode():
        decoder = decoders.make_decoder(model, "full VAE", vae_of(network, channels, True))
    assert decoder.chunkable and len(decoder.spans(4)) == 13 and "latent frame (4 pictures)" in decoder.cost
    made, got = gradient(decoder.decode, z)
    assert torch.allclose(made, wanted, rtol=0, atol=tol.FLOAT64_SUM)
    assert torch.allclose(got, pulled, rtol=0, atol=tol.FLOAT64_SUM * float(pulled.abs().max()))
    holds_its_difference_quotient(decoder.decode, z)


def test_the_vae_of_ltx_is_decoded_as_a_whole_with_its_true_gradient(decoders, folder):
    ltx = pytest.importorskip("comfy.ldm.lightricks.vae.causal_video_autoencoder")
    up = ["compress_all", {"residual": True, "multiplier": 2}]
    config = dict(
        dims=3, in_channels=3, out_channels=3, latent_channels=128, norm_layer="pixel_norm", patch_size=4,
        encoder_blocks=[["res_x", {"num_layers": 1}]], decoder_blocks=[["res_x", {"num_layers": 1}], up, up, up],
        encoder_base_channels=8, decoder_base_channels=8, latent_log_var="uniform", timestep_conditioning=False,
    )  # fmt: skip
    network = randomised(ltx.VideoVAE(config=config)).double()
    for buffer in network.per_channel_statistics.buffers():
        buffer.copy_(torch.ones_like(buffer))
    z = latent(1, 128, 3, 2, 2)
    prepare = type(model_of("LTXV").model.latent_format)().process_out
    wanted, pulled = gradient(lambda z: network.decode(prepare(z))[0].movedim(1, 0), z)
    with torch.inference_mode():
        decoder = decoders.make_decoder(model_of("LTXV"), "full VAE", vae_of(network, 128, True))
    assert not decoder.chunkable and "as a whole" in decoder.cost and len(wanted) == 17
    made, got = gradient(decoder.decode, z)
    assert torch.allclose(made, wanted, rtol=0, atol=tol.FLOAT64_SUM)
    assert torch.allclose(got, pulled, rtol=0, atol=tol.FLOAT64_SUM * float(pulled.abs().max()))
    holds_its_difference_quotient(decoder.decode, z)


def peak(fn) -> int:
    """The most bytes that fn has allocated at once."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiled:
        fn()
    events = [x for x in profiled.profiler.kineto_results.events() if x.name() == "[memory]"]
    alive = torch.tensor([x.nbytes() for x in sorted(events, key=lambda x: x.start_ns())], dtype=torch.float64)
    return int(alive.cumsum(0).max())


def tiny_video_decoder(decoders, folder):
    taehv = pytest.importorskip("comfy.taesd.taehv")
    save(randomised(taehv.TAEHV(16)).state_dict(), folder / "lighttaew2_1.safetensors")
    forget(decoders)
    return decoders.auto_decoder(model_of("Wan21"))


def wan_decoder(decoders, folder):
    wan = importlib.import_module("comfy.ldm.wan.vae")
    config = dict(dim=8, z_dim=16, dim_mult=[1, 2, 2, 2], num_res_blocks=1, temperal_downsample=[False, True, True])
    return decoders.make_decoder(model_of("Wan21"), "full VAE", vae_of(randomised(wan.WanVAE(**config)), 16, True))


@pytest.mark.parametrize("make", [tiny_video_decoder, wan_decoder])
def test_the_gradient_of_81_frames_needs_little_more_than_that_of_a_chunk(decoders, folder, make):
    """What is remembered at the start of log2 of the chunks; a chunk with what it remembers is two or three frames."""
    decoder = make(decoders, folder)
    found = []
    for latents in (3, 21):
        z = latent(1, 16, latents, 4, 4).float()
        found.append(peak(lambda z=z: decoder.gradient(z, 1, lambda pictures, i: pictures)))
    assert found[1] < 2 * found[0]


# Which one, and what is refused


def test_auto_falls_back_in_order_and_says_so(decoders, folder):
    model = model_of("SD15")
    decoder = decoders.auto_decoder(model)
    assert decoder.name == "latent2rgb" and "taesd_decoder.safetensors" in decoder.cost
    z = latent(2, 4, 3, 3)
    factors = torch.tensor(model.model.latent_format.latent_rgb_factors, dtype=torch.float64)
    made, _ = gradient(as_double(decoder).decode, z)
    assert torch.allclose(made, torch.einsum("bchw,cr->brhw", z, factors), atol=tol.FLOAT32)
    assert "vae_approx" not in decoders.make_decoder(model, "latent2rgb").cost
    (folder / "taesd_decoder.pth").write_bytes(b"no weights")
    forget(decoders)
    with pytest.raises(ValueError, match="taesd_decoder.pth"):
        decoders.auto_decoder(model)


@pytest.mark.parametrize("name", ["ChromaRadiance", "ZImagePixelSpace", "HiDreamO1Pixel"])
def test_models_of_pixels_need_no_decoder(decoders, folder, name):
    z = latent(2, 3, 4, 4)
    for choice in ("auto", "tiny decoder", "latent2rgb", "full VAE"):
        decoder = decoders.make_decoder(model_of(name), choice)
        assert decoder.name == "pixels" and torch.equal(decoder.decode(z), z)


def test_one_picture_stands_for_the_frames_of_its_latent(decoders, folder):
    decoder = decoders.make_decoder(model_of("Wan21"), "latent2rgb")
    assert decoder.spans(3) == [(0, 1), (1, 5), (5, 9)] and len(decoder.decode(latent(1, 16, 3, 2, 2))) == 3
    assert decoders.make_decoder(model_of("LTXV"), "latent2rgb").spans(2) == [(0, 1), (1, 9)]


def test_every_format_of_pictures_has_a_decoder_or_is_refused_by_name(decoders, folder):
    formats = importlib.import_module("comfy.latent_formats")
    refused = []
    for name, kind in vars(formats).items():
        if not (isinstance(kind, type) and issubclass(kind, formats.LatentFormat)) or kind is formats.LatentFormat:
            continue
        try:
            decoder = decoders.auto_decoder(model_of(name))
        except ValueError as error:
            assert name in str(error) and len(str(error).split(". ")) == 2, error
            refused.append(name)
        else:
            shape = (2, decoder.channels, 4, 4) if kind.latent_dimensions == 2 else (1, decoder.channels, 3, 2, 2)
            made, g = gradient(decoder.decode, latent(*shape).float())
            assert made.shape[1] == 3 and len(made) == len(decoder.spans(shape[-3] if len(shape) == 5 else 2))
            assert g.abs().max() > 0, name
    pictures = {"CogVideoX", "CogVideoX1_5", "SeedVR2", "HunyuanImage21Refiner"} & set(vars(formats))
    assert pictures <= set(refused)
    others = {name for name in refused if "Audio" in name or vars(formats)[name].latent_dimensions == 1}
    # TripoSplat makes clouds of points; LTX-2 has no factors in 0.8
    assert set(refused) - pictures - others <= {"TripoSplat", "LTXAV"}
    assert "LTXAV" not in refused or formats.LTXAV().latent_rgb_factors is None


@pytest.mark.parametrize(
    "name, choice, vae, said",
    [
        ("SD15", "tiny decoder", None, "taesd_decoder is not in models/vae_approx"),
        ("LTXV", "tiny decoder", None, "no tiny decoder for LTXV"),
        ("SD15", "full VAE", None, "none has arrived"),
        ("SD15", "full VAE", object(), "a object has arrived"),
        ("CogVideoX", "auto", None, "Connect the VAE"),
        ("CogVideoX", "latent2rgb", None, "no latent2rgb for CogVideoX"),
        ("StableAudio1", "auto", None, "sound, not pictures"),
    ],
)
def test_what_cannot_be_decoded_is_refused_in_words(decoders, folder, name, choice, vae, said):
    with pytest.raises(ValueError, match=said):
        decoders.make_decoder(model_of(name), choice, vae)


def test_a_vae_of_other_latents_and_other_models_are_refused(decoders, folder):
    with pytest.raises(ValueError, match="takes 16 channels to 3; SD15 has 4"):
        decoders.make_decoder(model_of("SD15"), "full VAE", vae_of(torch.nn.Conv2d(1, 1, 1), 16, False))
    with pytest.raises(ValueError, match="in place of a model"):
        decoders.auto_decoder("flux")
    with pytest.raises(ValueError, match="takes latents of 4 channels"):
        decoders.auto_decoder(model_of("SD15")).decode(latent(1, 16, 2, 2))
