from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from soundguide_core.checkpoints import safetensors_io
from soundguide_core.common.errors import InputError
from soundguide_core.generators.loading import load_generator
from soundguide_core.generators.stylegan3 import Generator, StyleGAN3Config
from soundguide_core.latents.schedule import Schedule
from soundguide_core.systems.image_manipulation import ManipulationConfig, manipulate

T = StyleGAN3Config(resolution=32, z_dim=6, w_dim=10, channel_base=256, channel_max=12)
R = replace(T, channel_base=512, channel_max=24, conv_kernel=1, radial=True)


def build(config: StyleGAN3Config = T, seed: int = 0) -> Generator:
    """Random weights everywhere, the input's affine too, which starts without an effect."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        generator = Generator(config).eval().requires_grad_(False)
        for name, x in generator.state_dict().items():
            if name.endswith("bias") or "input.affine" in name:
                x.add_(torch.randn(x.shape) * 0.2)
    return generator


@pytest.mark.parametrize(
    ("resolution", "sizes", "channels"),
    [
        (256, "36x3 52x2 84x2 148x3 276x3 256x2", "512x9 362 256 181 128 128 3"),
        (512, "36x2 52x2 84x2 148x2 276x2 532x3 512x2", "512x7 483 323 215 144 96 64 64 3"),
        (1024, "36x2 52x2 84 148x2 276x2 532 1044x3 1024x2", "512x7 323 203 128 81 51 32 32 3"),
    ],
)
def test_layers_are_the_published_ones(resolution, sizes, channels):
    def spelt(text):
        parts = [(*part.split("x"), "1")[:2] for part in text.split()]
        return [int(value) for value, count in parts for _ in range(int(count))]

    config = StyleGAN3Config(resolution)
    assert [band.size for band in config.bands] == spelt(sizes)
    assert [band.channels for band in config.bands] == spelt(channels)
    assert config.num_ws == 16


def test_state_keys_are_the_published_ones():
    generator = build()
    names = generator.synthesis.names
    assert names[0] == "L0_36_12" and names[-1] == "L14_32_3"
    leaves = {"weight", "bias", "affine.weight", "affine.bias", "magnitude_ema"}
    expected = {f"synthesis.{name}.{leaf}" for name in names for leaf in leaves}
    expected |= {f"synthesis.{name}.{leaf}" for name in names[:-1] for leaf in ("up_filter", "down_filter")}
    buffers = ("weight", "affine.weight", "affine.bias", "transform", "freqs", "phases")
    expected |= {f"synthesis.input.{leaf}" for leaf in buffers}
    expected |= {f"mapping.fc{i}.{leaf}" for i in (0, 1) for leaf in ("weight", "bias")}
    assert set(generator.state_dict()) == expected | {"mapping.w_avg", "mapping.w_std"}


@pytest.mark.parametrize("config", [T, R], ids=["T", "R"])
def test_a_batch_is_its_images(config):
    generator = build(config)
    ws = generator.sample_ws([0, 1], psi=1)
    img = generator.synthesis(ws)
    assert img.shape == (2, 3, 32, 32)
    single = torch.cat([generator.synthesis(w[None]) for w in ws])
    assert (img - single).abs().max() < 1e-5 * img.abs().max()


@pytest.mark.parametrize("config", [T, R], ids=["T", "R"])
def test_moving_the_input_moves_the_image(config):
    """Section 8's translation equivariance, by 4 of 32 samples, judged away from the borders."""
    generator = build(config)
    ws = generator.sample_ws([3], psi=1)
    img = generator.synthesis(ws)
    generator.synthesis.input.transform[0, 2] = -4 / 32  # the inverse of a move to the right
    moved = generator.synthesis(ws)
    here, there = img[..., 8:-8, 8:-12], moved[..., 8:-8, 12:-8]
    structure = (here - here.mean(dim=(2, 3), keepdim=True)).square().mean()
    assert (there - here).square().mean() < 1e-3 * structure
    assert (moved[..., 8:-8, 8:-12] - here).square().mean() > 0.2 * structure


def test_images_are_differentiable_in_the_latents():
    generator = build()
    ws = generator.sample_ws([0]).requires_grad_(True)
    generator.synthesis(ws).square().mean().backward()
    assert (ws.grad.flatten(2).abs().sum(2) > 0).all()


def test_a_sound_moves_its_latents():
    generator = build().to(memory_format=torch.channels_last)
    matrix = torch.randn(192, 5, generator=torch.Generator().manual_seed(0))

    class Joint:
        dim = 5

        def encode_image(self, img):
            return F.normalize(F.adaptive_avg_pool2d(img, 8).flatten(1) @ matrix, dim=1)

    sound = F.normalize(torch.ones(1, 5), dim=1)
    settings = ManipulationConfig(crops=0, samples=0, space="w+", schedule=Schedule(4, 0.3))
    ws = generator.sample_ws([0])
    edit = manipulate(ws, sound, generator=generator, joint=Joint(), config=settings)
    before, after = (float(Joint().encode_image(generator.synthesis(x)) @ sound.t()) for x in (ws, edit.ws))
    assert after > before + 0.02


def test_export_and_reload(tmp_path):
    generator = build(R)
    path = tmp_path / "g.safetensors"
    safetensors_io.save(path, generator.state_dict(), R.to_dict())
    loaded = load_generator(path)
    ws = generator.sample_ws([0, 1])
    assert loaded.config == R and torch.equal(loaded.sample_ws([0, 1]), ws)
    img = generator.synthesis(ws)
    assert (loaded.synthesis(ws) - img).abs().max() < 1e-5 * img.abs().max()


def test_refusals():
    with pytest.raises(InputError, match="power of two"):
        StyleGAN3Config(100)
    with pytest.raises(InputError, match="resolution"):
        StyleGAN3Config.from_dict({"architecture": "stylegan3"})
    generator = build()
    with pytest.raises(InputError, match=r"\[B,16,10\]"):
        generator.synthesis(torch.zeros(1, 3, 10))
    with pytest.raises(InputError, match="noise mode"):
        generator.synthesis(torch.zeros(1, 16, 10), "pink")
