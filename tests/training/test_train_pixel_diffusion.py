"""Resuming, what is learned toward, and the recipe of the training of a pixel diffusion."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.training.recipe import read_recipe

pytest.importorskip("diffusers")

CONFIG = {
    "scenes": {"count": 8, "held_out": 3},
    "unet": {
        "patch": 2,
        "sample_size": 16,
        "in_channels": 12,
        "out_channels": 12,
        "block_out_channels": [16, 16],
        "layers_per_block": 1,
        "down_block_types": ["DownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "UpBlock2D"],
        "norm_num_groups": 4,
        "attention_head_dim": 8,
    },
    "schedule": {
        "num_train_timesteps": 50,
        "beta_schedule": "squaredcos_cap_v2",
        "prediction_type": "v_prediction",
    },
    "training": {"steps": 6, "batch": 4, "warmup": 2, "save_every": 4, "samples": 2},
}


@pytest.fixture(scope="module")
def trainer(diffusers):
    from soundguide_core.training import pixel_diffusion

    return pixel_diffusion


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp("scenes"))


class Stripes:
    """Pictures with one bright row."""

    def __len__(self) -> int:
        return 100

    def batch(self, indices, device="cpu") -> torch.Tensor:
        img = torch.full([len(indices), 3, 32, 32], -0.5)
        for k, i in enumerate(indices):
            img[k, :, i % 32] = 0.8
        return img


def training_of(trainer, **settings):
    network = {"unet": CONFIG["unet"], "schedule": CONFIG["schedule"]}
    settings = trainer.DiffusionSettings.from_dict({**CONFIG["training"], **settings})
    return trainer.DiffusionTraining(network, settings, Stripes(), "cpu", 0)


def test_a_resumed_run_has_the_losses_of_an_uninterrupted_one(trainer, cache, tmp_path):
    config = copy.deepcopy(CONFIG)
    config["scenes"]["cache"] = cache
    whole, parts = [], []

    def losses_into(kept, stop=None):
        def on_step(i, n, losses):
            if losses:
                kept.append(losses["v"])
                if i == stop:
                    raise KeyboardInterrupt

        return on_step

    weights = trainer.run(config=config, out=tmp_path / "whole", seed=3, on_step=losses_into(whole))
    with pytest.raises(KeyboardInterrupt):
        trainer.run(config=config, out=tmp_path / "parts", seed=3, on_step=losses_into(parts, stop=4))
    parts = parts[:4]
    resumed = trainer.run(config=config, out=tmp_path / "parts", seed=3, resume=True, on_step=losses_into(parts))
    assert len(whole) == 6 and parts == pytest.approx(whole, abs=tol.FLOAT32)
    assert resumed.read_bytes() == weights.read_bytes()
    written = {path.name for path in weights.parent.iterdir()}
    assert {"state.safetensors", "scores.json", "samples-000004.png", "samples-000006.png"} <= written


def test_the_weights_written_are_the_average(trainer, tmp_path):
    from soundguide_core.diffusion.denoiser import load_denoiser

    training = training_of(trainer, lr=1e-2)
    for i in range(3):
        training.step(i)
    training.export(tmp_path / "unet.safetensors")
    denoiser = load_denoiser(tmp_path / "unet.safetensors")
    assert (denoiser.resolution, denoiser.prediction_type, denoiser.num_train_timesteps) == (32, "v_prediction", 50)
    x_t = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        ours = [unet(x_t, 20).sample for unet in (denoiser.unet, training.ema, training.unet)]
    assert torch.allclose(ours[0], ours[1], atol=1e-2)  # fp16 in the file
    assert (ours[1] - ours[2]).abs().mean() > 3 * (ours[0] - ours[1]).abs().mean()


def test_the_loss_of_the_right_v_is_nothing(trainer):
    training = training_of(trainer)
    x0 = Stripes().batch(range(4))
    t = torch.tensor([2, 10, 30, 45])

    def knows_x0(x_t, t):
        alpha_bar = training.alpha_bar[t][:, None, None, None]
        eps = (x_t - alpha_bar.sqrt() * x0) / (1 - alpha_bar).sqrt()
        return SimpleNamespace(sample=alpha_bar.sqrt() * eps - (1 - alpha_bar).sqrt() * x0)

    def nothing(x_t, t):
        return SimpleNamespace(sample=torch.zeros_like(x_t))

    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    assert training._v_loss(knows_x0, x0, t, eps).max() < 1e-6
    # v = alpha eps - sigma x0 of unit noise: its mean square is alpha^2 + sigma^2 mean(x0^2)
    alpha_bar = training.alpha_bar[t]
    expected = alpha_bar + (1 - alpha_bar) * x0.square().mean(dim=(1, 2, 3))
    assert torch.allclose(training._v_loss(nothing, x0, t, eps), expected, atol=0.1)


def test_levels_are_spread_and_weighted(trainer):
    training = training_of(trainer, batch=10)
    t, weight = training._levels(torch.Generator().manual_seed(0))
    assert (t // 5).tolist() == list(range(10))  # 50 levels in ten parts
    snr = training.alpha_bar[t] / (1 - training.alpha_bar[t])
    # as weights of x0's error: the weight of v times SNR + 1
    assert torch.allclose(weight * (snr + 1), torch.minimum(snr + 1, torch.tensor(5.0)), rtol=tol.FLOAT32_SUM)


def test_it_learns(trainer):
    training = training_of(trainer, steps=30, lr=5e-3)
    losses = [training.step(i)["v"] for i in range(30)]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_the_rate_warms_up_and_falls_to_nothing(trainer):
    settings = trainer.DiffusionSettings(steps=100, lr=1.0, warmup=10)
    assert settings.lr_at(0) == pytest.approx(0.1) and settings.lr_at(50) == pytest.approx(0.5)
    assert settings.lr_at(99) < 1e-3


def test_recipes_are_checked(trainer, tmp_path):
    with pytest.raises(InputError, match="learning_rate"):
        trainer.DiffusionSettings.from_dict({"steps": 1, "learning_rate": 2})
    with pytest.raises(InputError, match="v_prediction"):
        trainer.run(config={**CONFIG, "schedule": {"prediction_type": "epsilon"}}, out=tmp_path)


def test_the_shipped_recipe_is_whole(trainer):
    from soundguide_core.diffusion.denoiser import load_denoiser

    config = read_recipe("pixel_diffusion")
    assert trainer.DiffusionSettings.from_dict(config["training"]).steps >= 1000
    assert config["data"]["count"] > 0 and config["data"]["held_out"] > 0
    unet = load_denoiser("miniature").unet
    assert unet.schedule == config["schedule"] and unet.patch == config["unet"]["patch"]
    assert all(unet.config[key] == value for key, value in config["unet"].items() if key != "patch")


class Towers:
    """A joint space of two dims: a text is its length, a picture its first pixel."""

    dim, device = 2, "cpu"

    def encode_text(self, texts):
        return torch.nn.functional.normalize(torch.tensor([[float(len(text)), 1.0] for text in texts]), dim=-1)

    def encode_image(self, img):
        return torch.nn.functional.normalize(torch.stack([img[:, 0, 0, 0], -torch.ones(len(img))], 1), dim=-1)


class Named(Stripes):
    def captions(self, indices, rng):
        return [None if i % 2 else "a" * (i + 1) for i in indices]


def context_of(pictures=None, **settings):
    from soundguide_core.training.conditioning import Conditioning, ConditioningSettings

    return Conditioning(ConditioningSettings.from_dict(settings), Towers(), pictures or Named())


def test_captions_and_pictures_are_told(trainer):
    """Captions where there are some, the picture itself where not; noise of the length that is said, unit norm."""
    indices = np.arange(6)
    x0 = Stripes().batch(indices)
    rng = torch.Generator().manual_seed(0)
    told = context_of(untold=0.0, seen=0.0, noise=0.0).draw(indices, x0, rng)
    expected = Towers().encode_image(x0)
    expected[::2] = Towers().encode_text(["a", "aaa", "aaaaa"])
    assert torch.allclose(told, expected)
    of_all = context_of(seen=1.0).told(Named())
    assert torch.allclose(of_all[1::2], Towers().encode_image(Stripes().batch(range(100)))[1::2])
    assert torch.allclose(
        context_of(Stripes(), untold=0.0, noise=0.0).draw(indices, x0, rng), Towers().encode_image(x0)
    )
    noisy = context_of(untold=0.0, seen=0.0, noise=0.5).draw(indices.repeat(50), x0.repeat(50, 1, 1, 1), rng)
    assert torch.allclose(noisy.norm(dim=1), torch.ones(300)) and not torch.allclose(noisy[:6], expected, atol=1e-3)


def test_a_share_is_told_nothing(trainer):
    indices = np.zeros(4000, dtype=int)
    told = context_of(untold=0.1).draw(indices, torch.zeros(4000, 3, 2, 2), torch.Generator().manual_seed(0))
    nothing = told.eq(0).all(1)
    assert nothing.float().mean() == pytest.approx(0.1, abs=0.02)
    assert torch.allclose(told[~nothing].norm(dim=1), torch.ones(int((~nothing).sum())))


def test_it_goes_on_from_smaller_weights(trainer, tmp_path):
    from soundguide_core.diffusion.unet import UNet

    small = training_of(trainer)
    small.export(tmp_path / "unet.safetensors")
    larger = {**CONFIG["unet"], "context_dim": 2, "detail_channels": 4}
    unet = UNet(**larger, schedule=CONFIG["schedule"])
    trainer.begin_from(unet, tmp_path / "unet.safetensors")
    x_t, context = torch.randn(2, 3, 32, 32), torch.randn(2, 2)
    with torch.no_grad():
        before, after = small.ema(x_t, 20).sample, unet(x_t, 20, context=context).sample
    assert torch.allclose(before, after, atol=1e-2)  # fp16 in the file
    with pytest.raises(InputError, match="not a smaller one"):
        trainer.begin_from(UNet(**{**CONFIG["unet"], "block_out_channels": [8, 8]}), tmp_path / "unet.safetensors")


@pytest.mark.slow
def test_what_is_told_is_learned(trainer):
    """The row that is bright, which noise alone hides at the highest levels."""
    network = {"unet": {**CONFIG["unet"], "context_dim": 2}, "schedule": CONFIG["schedule"]}
    settings = trainer.DiffusionSettings.from_dict({**CONFIG["training"], "steps": 60, "lr": 5e-3})

    class Halves(Stripes):
        def batch(self, indices, device="cpu"):
            return torch.stack([torch.full([3, 32, 32], 0.8 if i % 2 else -0.8) for i in indices])

    conditioning = context_of(Halves(), untold=0.2, noise=0.1)
    training = trainer.DiffusionTraining(network, settings, Halves(), "cpu", 0, conditioning=conditioning)
    for i in range(60):
        training.step(i)
    right = conditioning.told(Halves())
    scores = [training.evaluate(Halves(), (48,), context=c)["48"] for c in (right, right.flip(0))]
    assert scores[0] < 0.5 * scores[1]


def test_the_second_recipe_is_whole(trainer, tmp_path):
    from soundguide_core.training.conditioning import ConditioningSettings

    config = read_recipe("pixel_diffusion_told")
    assert trainer.DiffusionSettings.from_dict(config["training"]).batch == 16
    assert ConditioningSettings.from_dict(config["conditioning"]).untold == 0.1
    first = read_recipe("pixel_diffusion")
    assert {key: value for key, value in config["unet"].items() if key in first["unet"]} == first["unet"]
    with pytest.raises(InputError, match="no context"):
        trainer._conditioning({**CONFIG, "conditioning": {}}, Stripes(), "cpu")
    with pytest.raises(InputError, match="128 dims"):
        trainer._conditioning({"unet": {"context_dim": 5}}, Stripes(), "cpu")
