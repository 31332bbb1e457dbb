from __future__ import annotations

import numpy as np
import pytest
import torch

import tolerances as tol
from soundguide_core.checkpoints import safetensors_io
from soundguide_core.common.errors import InputError
from soundguide_core.generators.loading import load_generator
from soundguide_core.generators.stylegan2 import Generator, StyleGAN2Config

CONFIG = StyleGAN2Config(resolution=32, z_dim=10, w_dim=14, mapping_layers=3, channel_base=200, channel_max=20)


def build(config: StyleGAN2Config = CONFIG, seed: int = 0) -> Generator:
    """Random weights everywhere, noise strengths and biases too, which start at zero."""
    generator = Generator(config).eval().requires_grad_(False)
    rng = torch.Generator().manual_seed(seed)
    for name, x in generator.state_dict().items():
        if name.endswith(("bias", "noise_strength")):
            x.add_(torch.randn(x.shape, generator=rng) * 0.3)
        elif not name.endswith("w_std"):
            x.copy_(torch.randn(x.shape, generator=rng) * (100 if ".fc" in name else 1))
    generator.mapping.w_avg.mul_(0.1)
    return generator


def test_sizes():
    generator = build()
    assert (generator.num_ws, generator.resolution) == (8, 32)
    assert CONFIG.resolutions == [4, 8, 16, 32]
    assert [CONFIG.channels(r) for r in CONFIG.resolutions] == [20, 20, 12, 6]
    ws = generator.sample_ws([0, 1])
    assert ws.shape == (2, 8, 14)
    assert generator.synthesis(ws).shape == (2, 3, 32, 32)


@pytest.mark.parametrize(("resolution", "num_ws", "millions"), [(64, 10, 24.9), (128, 12, 27.2)])
def test_parameter_counts_are_the_published_ones(resolution, num_ws, millions):
    generator = Generator(StyleGAN2Config(resolution))
    count = sum(p.numel() for p in generator.synthesis.parameters()) / 1e6
    assert generator.num_ws == num_ws
    assert count == pytest.approx(millions, abs=0.15)


def test_state_keys_are_the_published_ones():
    keys = set(build().state_dict())
    for block in ("b4", "b8", "b16", "b32"):
        for layer in ("conv1",) if block == "b4" else ("conv0", "conv1"):
            for leaf in ("affine.weight", "affine.bias", "weight", "bias", "noise_strength", "noise_const"):
                keys.remove(f"synthesis.{block}.{layer}.{leaf}")
        for leaf in ("affine.weight", "affine.bias", "weight", "bias"):
            keys.remove(f"synthesis.{block}.torgb.{leaf}")
    keys.remove("synthesis.b4.const")
    for i in range(3):
        keys -= {f"mapping.fc{i}.weight", f"mapping.fc{i}.bias"}
    assert keys == {"mapping.w_avg", "mapping.w_std"}


def test_grouped_and_unfused_generators_are_equal():
    generator = build()
    grouped = Generator(StyleGAN2Config(**{**CONFIG.to_dict(), "grouped": True}))
    grouped.load_state_dict(generator.state_dict())
    ws = generator.sample_ws([3, 4], psi=1)
    img = generator.synthesis(ws)
    assert (img - grouped.synthesis(ws)).abs().max() < 1e-4 * img.abs().max()


def test_channels_last_and_float64_are_equal():
    generator = build()
    ws = generator.sample_ws([3, 4], psi=1)
    img = generator.synthesis(ws)
    exact = build().double().synthesis(ws.double(), dtype=torch.float64)
    assert (img - exact).abs().max() < 1e-4 * img.abs().max()
    last = build().to(memory_format=torch.channels_last).synthesis(ws)
    assert (img - last).abs().max() < 1e-4 * img.abs().max()


def test_a_batch_is_its_images():
    generator = build()
    ws = generator.sample_ws([5, 6, 7], psi=1)
    single = torch.cat([generator.synthesis(w[None]) for w in ws])
    assert (generator.synthesis(ws) - single).abs().max() < 1e-4 * single.abs().max()


def test_noise_modes():
    generator = build()
    ws = generator.sample_ws([0])
    const, none = generator.synthesis(ws), generator.synthesis(ws, "none")
    assert torch.equal(const, generator.synthesis(ws, "const"))
    draws = [generator.synthesis(ws, "random", torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.allclose(draws[0], draws[2], atol=1e-2)
    assert not torch.allclose(const, none, atol=1e-2)
    for name, x in generator.state_dict().items():
        if name.endswith("noise_strength"):
            x.zero_()
    assert torch.allclose(generator.synthesis(ws, "const"), generator.synthesis(ws, "none"), atol=tol.FLOAT32_SUM)
    with pytest.raises(InputError, match="noise mode"):
        generator.synthesis(ws, "pink")


def test_seeds_are_nvidias():
    generator = build()
    w = generator.mapping(torch.from_numpy(np.random.RandomState(85).randn(1, 10)).float())
    assert torch.allclose(generator.sample_ws([1, 85], psi=1)[1], w.expand(8, -1), atol=tol.FLOAT32)


def test_truncation_and_its_cutoff():
    generator = build()
    full, half = generator.sample_ws([2], psi=1), generator.sample_ws([2], psi=0.5, cutoff=4)
    assert torch.allclose(half[:, :4], (full[:, :4] + generator.w_avg) / 2, atol=tol.FLOAT32)
    assert torch.equal(half[:, 4:], full[:, 4:])
    z = torch.from_numpy(np.random.RandomState(2).randn(1, 10)).float()
    img = generator.synthesis(generator.sample_ws([2], psi=0.6))
    assert torch.allclose(generator(z, psi=0.6), img, atol=tol.PARITY)


def test_w_std_is_measured_once_and_kept():
    generator = build()
    assert not generator.mapping.w_std.any()
    w_std = generator.w_std
    z = torch.from_numpy(np.random.RandomState(123).randn(10000, 10)).float()
    assert torch.allclose(w_std, generator.mapping(z).double().std(0).float(), rtol=tol.HALF)
    generator.mapping.w_std.fill_(7)
    assert (generator.w_std == 7).all()


def test_w_avg_follows_the_batches():
    generator = build()
    generator.mapping.w_avg.zero_()
    for _ in range(3):
        generator.mapping.track(torch.ones(14), beta=0.9)
    assert torch.allclose(generator.w_avg, torch.full([14], 1 - 0.9**3))


def test_clamp_bounds_the_features():
    generator = build(StyleGAN2Config(**{**CONFIG.to_dict(), "conv_clamp": 0.01}))
    assert generator.synthesis(generator.sample_ws([0], psi=1)).abs().max() < 0.0401


def test_bfloat16_is_close_and_its_image_float32():
    generator = build()
    ws = generator.sample_ws([0, 1], psi=1)
    img, low = generator.synthesis(ws), generator.synthesis(ws, dtype=torch.bfloat16)
    assert low.dtype == torch.float32
    assert (img - low).std() < 0.03 * img.std()


def test_images_are_differentiable_in_the_latents():
    generator = build()
    ws = generator.sample_ws([0]).requires_grad_(True)
    generator.synthesis(ws).square().mean().backward()
    assert (ws.grad.flatten(2).abs().sum(2) > 0).all()


def test_export_and_reload(tmp_path):
    generator = build()
    generator.measure_w(200)
    path = tmp_path / "g.safetensors"
    safetensors_io.save(path, generator.state_dict(), CONFIG.to_dict())
    loaded = load_generator(path)
    ws = generator.sample_ws([0, 1])
    assert loaded.config == CONFIG
    assert torch.equal(loaded.sample_ws([0, 1]), ws)
    img = generator.synthesis(ws)
    assert (loaded.synthesis(ws) - img).abs().max() < 1e-4 * img.abs().max()
    assert not any(p.requires_grad for p in loaded.parameters())


def test_a_foreign_checkpoint_has_no_w_std(tmp_path):
    state = build().state_dict()
    del state["mapping.w_std"]
    safetensors_io.save(tmp_path / "g.safetensors", state, CONFIG.to_dict())
    assert (load_generator(tmp_path / "g.safetensors").w_std > 0).all()


@pytest.mark.parametrize("harm", ["missing", "unknown", "shape", "config", "resolution"])
def test_checkpoints_that_do_not_fit_are_refused(tmp_path, harm):
    state, config = build().state_dict(), CONFIG.to_dict()
    if harm == "missing":
        del state["synthesis.b8.conv0.weight"]
    elif harm == "unknown":
        state["synthesis.b64.conv0.weight"] = torch.zeros(3)
    elif harm == "shape":
        state["synthesis.b8.conv0.weight"] = torch.zeros(3)
    elif harm == "config":
        config = {"size": 32}
    else:
        config["resolution"] = 48
    safetensors_io.save(tmp_path / "g.safetensors", state, config)
    with pytest.raises(InputError):
        load_generator(tmp_path / "g.safetensors")


@pytest.mark.parametrize("shape", [[1, 7, 14], [1, 8, 13], [8, 14]])
def test_latents_of_another_generator_are_refused(shape):
    with pytest.raises(InputError, match=r"\[B,8,14\]"):
        build().synthesis(torch.zeros(shape))


def test_the_miniature_loads():
    generator = load_generator("miniature")
    img = generator.synthesis(generator.sample_ws([0]))
    assert img.shape == (1, 3, generator.resolution, generator.resolution)
    assert torch.isfinite(img).all()
    assert (generator.w_std >= 0).all() and generator.w_std.any()
