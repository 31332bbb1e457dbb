from __future__ import annotations

from pathlib import Path

import pytest
import torch

from soundguide_core.common.errors import InputError
from soundguide_core.generators.loading import load_generator
from soundguide_core.generators.stylegan2 import StyleGAN2Config
from soundguide_core.losses.adversarial import discriminator_loss
from soundguide_core.media.images import load_image
from soundguide_core.training import stylegan2
from soundguide_core.training.recipe import read_recipe

NETWORK = {"resolution": 16, "z_dim": 8, "w_dim": 8, "mapping_layers": 2, "channel_base": 128, "channel_max": 8}
TRAINING = {
    "kimg": 0.048, "batch": 8, "r1_every": 2, "path_every": 3, "save_kimg": 0.032, "mirror": True, "samples": 8
}  # fmt: skip


class Stripes:
    """Pictures with one bright row."""

    def __init__(self, size: int = 16):
        self.size = size

    def __len__(self) -> int:
        return 100

    def batch(self, indices) -> torch.Tensor:
        img = torch.full([len(indices), 3, self.size, self.size], -0.5)
        for k, i in enumerate(indices):
            img[k, :, i % self.size] = 0.8
        return img


def train(out: Path, resume: bool = False, on_step=None) -> Path:
    config = {"generator": NETWORK, "training": TRAINING}
    return stylegan2.run(config=config, out=out, seed=3, resume=resume, on_step=on_step, pictures=Stripes())


def test_a_resumed_run_has_the_losses_of_an_uninterrupted_one(tmp_path):
    whole, parts = [], []
    weights = train(tmp_path / "whole", on_step=lambda i, n, losses: whole.append(losses))
    assert len(whole) == 6
    assert {"generator", "discriminator", "real", "fake", "path", "r1"} == whole[0].keys()
    assert "path" not in whole[1] and "r1" not in whole[1]

    def interrupt(i, n, losses):
        parts.append(losses)
        if i == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", on_step=interrupt)
    parts = parts[:4]
    resumed = train(tmp_path / "parts", resume=True, on_step=lambda i, n, losses: parts.append(losses))
    assert parts == whole
    assert resumed.read_bytes() == weights.read_bytes()


def test_what_training_leaves(tmp_path):
    weights = train(tmp_path)
    generator = load_generator(weights)
    assert generator.config == StyleGAN2Config.from_dict(NETWORK)
    assert generator.w_avg.abs().sum() > 0 and generator.mapping.w_std.abs().sum() > 0
    sheets = sorted(tmp_path.glob("samples-*.png"))
    assert len(sheets) == 2  # both checkpoints are within the first thousand
    assert load_image(sheets[0]).shape == (1, 3, 16, 8 * 16 + 7 * 2)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_discriminator_learns(dtype):
    settings = stylegan2.GANSettings(kimg=1, batch=8, lr=0.01, dtype=dtype)
    training = stylegan2.StyleGAN2Training(StyleGAN2Config.from_dict(NETWORK), settings, Stripes(), "cpu", 0)

    def judge() -> float:
        with torch.no_grad():
            real = Stripes().batch(range(8))
            fake = training.generator.synthesis(training.generator.sample_ws(range(8), 1), "none")
            return discriminator_loss(training.discriminator(real), training.discriminator(fake)).item()

    training.optimisers["generator_adam"].step = lambda: None  # the generator stands still
    before = judge()
    for i in range(12):
        training.step(i)
    assert judge() < before - 0.3


def test_lazy_regularisation_corrects_adam():
    settings = stylegan2.GANSettings(kimg=1, lr=0.002, r1_every=16, path_every=4)
    training = stylegan2.StyleGAN2Training(StyleGAN2Config.from_dict(NETWORK), settings, Stripes(), "cpu", 0)
    training.step(1)
    for name, ratio in (("discriminator_adam", 16 / 17), ("generator_adam", 4 / 5)):
        group = training.optimisers[name].param_groups[0]
        assert group["lr"] == pytest.approx(0.002 * ratio)
        assert group["betas"] == (0.0, pytest.approx(0.99**ratio))


def test_the_rate_falls_at_the_end():
    settings = stylegan2.GANSettings(kimg=1.6, batch=16, lr=1.0, anneal=0.5)
    assert settings.steps == 100
    assert [settings.lr_at(i) for i in (0, 49, 75)] == [1.0, 1.0, pytest.approx(0.525)]
    assert settings.lr_at(100) == pytest.approx(0.05)
    assert stylegan2.GANSettings(kimg=1, lr=1.0).lr_at(10**6) == 1.0


@pytest.mark.parametrize("style_mixing", [0.0, 0.5, 1.0])
def test_style_mixing_changes_late_layers_only(style_mixing):
    settings = stylegan2.GANSettings(kimg=1, style_mixing=style_mixing)
    training = stylegan2.StyleGAN2Training(StyleGAN2Config.from_dict(NETWORK), settings, Stripes(), "cpu", 0)
    drawn = training._latents(32, torch.Generator().manual_seed(0))
    ws, _ = training._ws(drawn)
    mixed = drawn.mixed[:, 0]
    changes = (ws[:, 1:] != ws[:, :-1]).any(2).sum(1)
    assert torch.equal(changes == 1, mixed) and (changes <= 1).all()
    assert mixed.float().mean() == pytest.approx(style_mixing, abs=0.25)
    assert torch.equal(ws[:, 0], training.generator.mapping(drawn.z))


class NamedStripes(Stripes):
    """The sign of z's first number names one of two rows."""

    def draw(self, batch, z_dim, rng):
        z = torch.randn(batch, z_dim, generator=rng)
        return z, 8 * (z[:, 0] > 0).long()


def test_reconstruction_keeps_the_generator_to_the_pictures_that_latents_name():
    settings = stylegan2.GANSettings(
        kimg=1, batch=8, lr=0.01, recon_weight=100.0, style_mixing=0.5, path_weight=0, r1_gamma=0
    )
    training = stylegan2.StyleGAN2Training(StyleGAN2Config.from_dict(NETWORK), settings, NamedStripes(), "cpu", 0)
    recon = [training.step(i)["recon"] for i in range(60)]
    assert sum(recon[-10:]) < 0.6 * sum(recon[:10])


def test_reconstruction_needs_coded_pictures():
    with pytest.raises(InputError, match="coded pictures"):
        stylegan2.StyleGAN2Training(
            StyleGAN2Config.from_dict(NETWORK), stylegan2.GANSettings(kimg=1, recon_weight=1), Stripes(), "cpu", 0
        )


def test_a_written_mapping_is_left_alone():
    settings = stylegan2.GANSettings(kimg=1, batch=8, learn_mapping=False)
    training = stylegan2.StyleGAN2Training(StyleGAN2Config.from_dict(NETWORK), settings, Stripes(), "cpu", 0)
    before = training.generator.mapping.fc0.weight.clone()
    losses = training.step(0)
    assert losses["path"] > 0 and torch.equal(training.generator.mapping.fc0.weight, before)


def test_a_batch_must_split_into_groups():
    with pytest.raises(InputError, match="groups of 4"):
        stylegan2.StyleGAN2Training(
            StyleGAN2Config.from_dict(NETWORK), stylegan2.GANSettings(kimg=1, batch=6), Stripes(), "cpu", 0
        )


def test_recipes_are_checked():
    with pytest.raises(InputError, match="learning_rate"):
        stylegan2.GANSettings.from_dict({"kimg": 1, "learning_rate": 2})
    with pytest.raises(InputError, match="does not say 'kimg'"):
        stylegan2.GANSettings.from_dict({})
    old = stylegan2.GANSettings.from_dict({"kimg": 1, "anchor": 2.0, "head_start": 3})
    assert old == stylegan2.GANSettings(kimg=1, recon_weight=2.0, g_warmup_steps=3)


def test_the_shipped_recipe_is_whole():
    config = read_recipe("stylegan2")
    network = StyleGAN2Config.from_dict(config["generator"])
    settings = stylegan2.GANSettings.from_dict(config["training"])
    assert load_generator("miniature").config == network
    assert settings.steps >= 500
