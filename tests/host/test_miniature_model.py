"""Load Miniature Model in the host's own graphs: prompts, samplers, picture to picture, inpainting, frames."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import tolerances as tol

pytestmark = pytest.mark.host

TOLD = {
    "unet": {
        "patch": 2, "sample_size": 16, "in_channels": 12, "out_channels": 12, "block_out_channels": [16, 16],
        "layers_per_block": 1, "norm_num_groups": 4, "down_block_types": ["DownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "UpBlock2D"], "resnet_time_scale_shift": "scale_shift", "context_dim": 128,
        "detail_channels": 4,
    },
    "schedule": {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"},
}  # fmt: skip


@pytest.fixture(scope="module")
def host(pack):
    """The host's own nodes."""
    import nodes

    return nodes


@pytest.fixture(scope="module")
def weights(pack, tmp_path_factory):
    """A small untrained network whom texts move, in a file."""
    from soundguide_core.checkpoints import safetensors_io
    from soundguide_core.diffusion.unet import UNet

    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet(**TOLD["unet"], schedule=TOLD["schedule"])
        unet.class_embedding.linear_2.weight.data.normal_(std=0.3)
    path = tmp_path_factory.mktemp("told") / "told.safetensors"
    safetensors_io.save(path, unet.state_dict(), TOLD)
    return path


@pytest.fixture(scope="module")
def told(pack, weights):
    """(MODEL, CLIP, VAE) of it, as they come out of the node."""
    pixels = pack("nodes.host_pixels")
    with torch.inference_mode():
        return pixels.pixel_model(str(weights)), pixels.text_clip(None), pixels.pixel_vae()


@pytest.fixture(scope="module")
def joint(pack):
    from soundguide_core.embedding.joint import load_joint

    return load_joint("miniature")


def say(host, clip, text):
    return host.CLIPTextEncode().encode(clip, text)[0]


@torch.inference_mode()
def sampled(host, model, positive, negative, latent, **options):
    options = {"seed": 3, "steps": 4, "cfg": 2.0, "sampler": "euler", "scheduler": "normal", "denoise": 1.0, **options}
    first = [options[key] for key in ("seed", "steps", "cfg", "sampler", "scheduler")]
    return host.KSampler().sample(model, *first, positive, negative, latent, options["denoise"])[0]["samples"]


def of_size(width, height, batch=1):
    return {"samples": torch.zeros(batch, 3, height, width)}


# The stock graph


def graph(**sampler) -> dict:
    options = {"seed": 1, "steps": 2, "cfg": 2.0, "sampler_name": "euler", "scheduler": "karras", "denoise": 1.0}
    return {
        "load": {"class_type": "SoundGuideLoadMiniatureModel", "inputs": {"name": "miniature"}},
        "yes": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["load", 1], "text": "heavy (rain:1.2)"}},
        "no": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["load", 1], "text": ""}},
        "latent": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 48, "batch_size": 2}},
        "sample": {
            "class_type": "KSampler",
            "inputs": {
                **options, "model": ["load", 0], "positive": ["yes", 0], "negative": ["no", 0],
                "latent_image": ["latent", 0], **sampler,
            },
        },
        "decode": {"class_type": "VAEDecode", "inputs": {"samples": ["sample", 0], "vae": ["load", 2]}},
        "save": {"class_type": "SaveImage", "inputs": {"images": ["decode", 0], "filename_prefix": "miniature"}},
    }  # fmt: skip


def test_text_to_picture_in_a_running_host(server, host_path):
    from PIL import Image

    run = server.run(graph())
    assert run.status == "success", run.error
    saved = [server.base / "output" / each["filename"] for each in run.outputs["save"]["images"]]
    # hosts before 0.9 make latents of an eighth of the size whatever the model is
    scaled = "downscale_ratio_spacial" in (host_path / "nodes.py").read_text(encoding="utf-8")
    assert [Image.open(path).size for path in saved] == [(64, 48) if scaled else (8, 6)] * 2


def test_a_model_without_text_runs_too(server):
    prompt = graph(scheduler="normal")
    prompt["load"]["inputs"]["name"] = "tiny.safetensors"
    run = server.run(prompt)
    assert run.status == "success", run.error


def test_an_encoder_of_another_space_is_refused(pack, weights, tiny_models):
    from soundguide_core.embedding.joint import load_joint

    load, joint = pack("nodes.miniature_model").LoadMiniatureModel, pack("nodes.host").Model
    pack("soundguide_core.checkpoints.registry").add_folder("unet", weights.parent)
    place = str(tiny_models / "joint" / "tiny")
    encoder = joint(place, lambda device: load_joint(place, device), "joint")
    with pytest.raises(Exception, match="understands 128 numbers, and the encoder says 16"):
        inspect.unwrap(load.execute.__func__)(load, weights.name, encoder)


# MODEL


@torch.inference_mode()
@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon", "sample"])
def test_the_host_asks_the_same_network(pack, weights, tmp_path, prediction):
    """x0 of the host at the sigma of a level, and of our denoiser at that level."""
    from soundguide_core.checkpoints import safetensors_io
    from soundguide_core.diffusion.denoiser import load_denoiser

    tensors, config = safetensors_io.load(weights)
    config["schedule"]["prediction_type"] = prediction
    safetensors_io.save(tmp_path / "unet.safetensors", tensors, config)
    model = pack("nodes.host_pixels").pixel_model(str(tmp_path / "unet.safetensors")).model
    denoiser = load_denoiser(tmp_path / "unet.safetensors")
    for t in (30, 400, 900):
        alpha, sigma = denoiser.alpha_sigma(t)
        x_t = torch.randn(2, 3, 32, 32)
        theirs = model.apply_model(x_t / alpha, torch.full([2], sigma / alpha))
        assert torch.allclose(theirs, denoiser(x_t, t).x0_hat, atol=tol.PARITY, rtol=tol.PARITY)


def test_what_karras_starts_from_is_capped(pack, told):
    from comfy.samplers import calculate_sigmas

    sampling = told[0].get_model_object("model_sampling")
    sigmas = calculate_sigmas(sampling, "karras", 10)
    assert 50 < sigmas[0] <= pack("nodes.host_pixels").LARGEST_SIGMA and (sigmas.diff() < 0).all()
    assert sigmas[5] < 5  # half of the steps are left for what is seen


def test_any_size(host, told):
    model, clip, _ = told
    out = sampled(host, model, say(host, clip, "rain"), say(host, clip, ""), of_size(50, 21))
    assert out.shape == (1, 3, 21, 50) and torch.isfinite(out).all()


def test_gradients_reach_the_picture(told):
    """Weights made by a node are inference tensors, which cannot be differentiated; these are not."""
    model = told[0].model
    with torch.inference_mode(False), torch.enable_grad():
        x = torch.randn(1, 3, 16, 16, requires_grad=True)
        model.apply_model(x, torch.tensor([1.0])).square().sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    assert not any(p.is_inference() or p.requires_grad for p in model.parameters())


def test_previews_are_the_picture(told):
    import latent_preview

    latents = told[0].model.latent_format
    previewer = latent_preview.Latent2RGBPreviewer(latents.latent_rgb_factors)
    x0 = torch.rand(1, 3, 8, 8) * 2 - 1
    shown = torch.from_numpy(np.array(previewer.decode_latent_to_preview(x0)))
    assert (shown.movedim(-1, 0) / 127.5 - 1 - x0[0]).abs().max() < 0.02


# CLIP


@torch.inference_mode()
def test_a_prompt_is_the_texts_embedding(host, told, joint):
    for text in ("heavy rain", "The sound of crickets, at night!", "a little wind"):
        points, more = say(host, told[1], text)[0]
        assert points.shape == (1, 1, 128)
        assert torch.allclose(points[:, 0], joint.encode_text([text]), atol=tol.FLOAT32_SUM)
        assert torch.equal(more["pooled_output"], points[:, 0])
    assert say(host, told[1], "")[0][0].abs().max() == 0


@torch.inference_mode()
def test_words_weigh(host, told, joint):
    """e + (w - 1) (e - e without the word)"""
    both, rain = joint.encode_text(["rain and birds", "rain and"])
    for weight in (0.0, 0.5, 1.0, 1.5):
        point = say(host, told[1], f"rain and (birds:{weight})")[0][0][0, 0]
        assert torch.allclose(point, both + (weight - 1) * (both - rain), atol=tol.FLOAT32_SUM)
    alone = say(host, told[1], "(birds:1.3)")[0][0][0, 0]
    assert torch.allclose(alone, 1.3 * joint.encode_text(["birds"])[0], atol=tol.FLOAT32_SUM)


@torch.inference_mode()
def test_a_long_prompt_is_several_points(host, told, joint):
    words = ["rain"] * joint.clip.model.context_length
    points = say(host, told[1], " ".join(words))[0][0]
    assert points.shape == (1, 2, 128)
    assert torch.allclose(points[0, 1], joint.encode_text(["rain rain"])[0], atol=tol.FLOAT32_SUM)


def test_a_prompt_counts_and_nothing_said_is_no_prompt(host, told):
    model, clip, _ = told
    nothing, latent = say(host, clip, ""), of_size(32, 32)
    rain = sampled(host, model, say(host, clip, "rain"), nothing, latent)
    assert not torch.allclose(rain, sampled(host, model, say(host, clip, "fire"), nothing, latent), atol=1e-2)
    assert not torch.allclose(rain, sampled(host, model, say(host, clip, "rain"), nothing, latent, cfg=1.0), atol=1e-2)
    zeroed = host.ConditioningZeroOut().zero_out(say(host, clip, "rain"))[0]
    assert torch.equal(rain, sampled(host, model, say(host, clip, "rain"), zeroed, latent))


# Frames, pictures, masks


def test_frames_are_a_batch(host, told):
    """One noise for all frames gives one picture; a prompt for each frame gives each its own."""
    model, clip, _ = told
    nothing, rain, fire = (say(host, clip, text) for text in ("", "rain", "fire"))
    latent = {**of_size(32, 32, 3), "batch_index": [0, 0, 0]}
    same = sampled(host, model, rain, nothing, latent)
    assert torch.allclose(same[:1].expand_as(same), same, atol=tol.PARITY)
    per_frame = [[torch.cat([rain[0][0], fire[0][0], rain[0][0]]), dict(rain[0][1])]]
    mixed = sampled(host, model, per_frame, nothing, latent)
    assert torch.allclose(mixed[[0, 2]], same[[0, 2]], atol=tol.PARITY)
    alone = sampled(host, model, fire, nothing, {**of_size(32, 32), "batch_index": [0]})
    assert torch.allclose(mixed[1], alone[0], atol=tol.PARITY) and not torch.allclose(mixed[1], mixed[0], atol=1e-2)


@torch.inference_mode()
def test_picture_to_picture_and_the_vae(host, told):
    model, clip, vae = told
    picture = F.interpolate(torch.rand(1, 3, 6, 8), (48, 64), mode="bicubic").clamp(0, 1).movedim(1, -1)
    latent = host.VAEEncode().encode(vae, picture)[0]
    assert latent["samples"].shape == (1, 3, 48, 64)
    assert torch.allclose(host.VAEDecode().decode(vae, latent)[0], picture, atol=tol.FLOAT32_SUM)
    rain, nothing = say(host, clip, "rain"), say(host, clip, "")
    little, much = (sampled(host, model, rain, nothing, latent, denoise=d, steps=3) for d in (0.05, 0.9))
    apart = [(out - latent["samples"]).abs().mean() for out in (little, much)]
    assert apart[0] < 0.1 and apart[0] < 0.3 * apart[1]


def test_only_the_mask_is_painted(host, told):
    model, clip, vae = told
    picture = torch.full((1, 32, 32, 3), 0.7)
    mask = torch.zeros(1, 32, 32)
    mask[:, 8:24, 8:24] = 1
    latent = host.SetLatentNoiseMask().set_mask(host.VAEEncode().encode(vae, picture)[0], mask)[0]
    out = sampled(host, model, say(host, clip, "fire"), say(host, clip, ""), latent)
    inside = torch.zeros(32, 32, dtype=torch.bool)
    inside[8:24, 8:24] = True
    assert (out[0, :, ~inside] - 0.4).abs().max() < tol.PARITY and (out[0, :, inside] - 0.4).abs().mean() > 0.05


# Samplers


def runs(host, told, sampler, scheduler="normal", steps=3):
    model, clip, _ = told
    out = sampled(
        host, model, say(host, clip, "rain"), say(host, clip, ""), of_size(16, 16), sampler=sampler,
        scheduler=scheduler, steps=steps,
    )  # fmt: skip
    assert torch.isfinite(out).all(), (sampler, scheduler)


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "dpmpp_2m_sde", "euler_ancestral", "ddim", "uni_pc", "lcm"])
def test_some_samplers(host, told, sampler):
    runs(host, told, sampler, "karras")


def test_every_scheduler(host, told):
    from comfy.samplers import SCHEDULER_NAMES

    for scheduler in SCHEDULER_NAMES:
        runs(host, told, "euler", scheduler)


@pytest.mark.slow
def test_every_sampler(host, told):
    from comfy.samplers import KSampler

    assert len(KSampler.SAMPLERS) >= 37
    for sampler in KSampler.SAMPLERS:
        runs(host, told, sampler, "karras", steps=5)
