"""Regression before the adversary: free latents first, then the mapping to them."""

from __future__ import annotations

import pytest
import torch

from soundguide_core.common.errors import InputError
from soundguide_core.common.rng import with_seed
from soundguide_core.generators.stylegan2 import Generator, StyleGAN2Config
from soundguide_core.training import stylegan2
from soundguide_core.training.engine.adversarial import GANSettings
from soundguide_core.training.warm_start import WarmStart, WarmStartSettings, finish_noise, start_noise

NETWORK = {"resolution": 16, "z_dim": 8, "w_dim": 8, "mapping_layers": 2, "channel_base": 128, "channel_max": 8}
CONFIG = StyleGAN2Config.from_dict(NETWORK)


class Shades:
    """Pictures of one grey each, dark or light, plain or reddened, by the signs of two numbers of z."""

    def __len__(self) -> int:
        return 4

    def draw(self, batch, z_dim, rng):
        z = torch.randn(batch, z_dim, generator=rng)
        return z, 2 * (z[:, 0] > 0).long() + (z[:, 1] > 0).long()

    def batch(self, indices) -> torch.Tensor:
        indices = torch.as_tensor(indices)
        grey = 1.2 * (indices // 2).float() - 0.6
        colour = torch.stack([grey + 0.3 * (indices % 2), grey, grey], 1)
        return colour[:, :, None, None].expand(-1, -1, 16, 16).contiguous()

    @torch.no_grad()
    def write_mapping(self, mapping):
        """w = z, but for the slope of negative numbers."""
        for fc in (mapping.fc0, mapping.fc1):
            fc.weight.copy_(torch.eye(8) * (8**0.5 / 2**0.5 / fc.lr_mul))


def test_stages_and_rates():
    settings = WarmStartSettings(stages=((8, 0.032), (16, 0.016)), batch=8)
    assert [settings.resolution_at(i) for i in (0, 3, 4, 5)] == [8, 8, 16, 16] and settings.steps == 6
    assert settings.lr_factor(0) == settings.lr_factor(0.6) == 1 and settings.lr_factor(1) == pytest.approx(0.1)
    with pytest.raises(InputError, match="unknown entry 'kl'"):
        WarmStartSettings.from_dict({"stages": [[8, 1]], "kl": 1})


def test_pictures_are_learned():
    settings = WarmStartSettings(((8, 0.8), (16, 0.8)), batch=8, lr=0.02)
    training = WarmStart(with_seed(0, lambda: Generator(CONFIG)), settings, Shades(), "cpu", 0)
    recon = [training.step(i)["recon"] for i in range(settings.steps)]
    assert len(recon) == 200 and sum(recon[-5:]) < 0.6 * sum(recon[:5])
    z, indices = Shades().draw(64, 8, torch.Generator().manual_seed(9))
    made, real = training.generator(z, noise_mode="none"), Shades().batch(indices)
    assert (made - real).abs().mean() < 0.7 * (made - real.roll(1, 0)).abs().mean()


class Specks(Shades):
    """Shades, the light ones strewn with specks in fixed places."""

    specks = 0.5 * (torch.rand(16, 16, generator=torch.Generator().manual_seed(5)) < 0.2)

    def batch(self, indices) -> torch.Tensor:
        light = (torch.as_tensor(indices) // 2)[:, None, None, None]
        return 0.5 * super().batch(indices) + light * self.specks


@pytest.mark.slow
def test_learned_noise_holds_what_is_small_and_stays_in_its_place():
    def error(learn_noise: bool) -> float:
        settings = WarmStartSettings(((16, 1.2),), 8, 0.05, psi=1.0, square=8, detail=2, learn_noise=learn_noise)
        training = WarmStart(with_seed(0, lambda: Generator(CONFIG)), settings, Specks(), "cpu", 0)
        for i in range(settings.steps):
            training.step(i)
        z, indices = Specks().draw(64, 8, torch.Generator().manual_seed(9))
        made = training.generator(z, noise_mode=training.noise_mode).detach()
        return float((made - Specks().batch(indices))[indices > 1].abs().mean())

    assert error(learn_noise=True) < 0.75 * error(learn_noise=False)


def test_learned_noise_ends_in_the_published_form():
    generator = with_seed(0, lambda: Generator(CONFIG))
    maps = start_noise(generator)
    assert len(maps) == 5 and all(not noise.any() for noise in maps)
    with torch.no_grad():
        for noise in maps:
            noise.copy_(0.3 * torch.randn(noise.shape, generator=torch.Generator().manual_seed(1)))
    ws = generator.sample_ws([3], psi=1.0)
    before = generator.synthesis(ws).detach()
    finish_noise(generator)
    assert all(noise.std() == pytest.approx(1, abs=1e-5) and not noise.requires_grad for noise in maps)
    torch.testing.assert_close(generator.synthesis(ws), before)


def test_noise_of_recipes_of_before():
    assert GANSettings(1, noise=False).noise_mode == "none" and GANSettings(1, noise=True).noise_mode == "random"
    assert GANSettings.from_dict({"kimg": 1, "noise": "const"}).noise_mode == "const"
    with pytest.raises(InputError, match="noise"):
        GANSettings.from_dict({"kimg": 1, "noise": "blue"})


def test_training_goes_on_from_a_warm_start_and_resumes_within_it(tmp_path):
    config = {
        "generator": NETWORK,
        "warm_start": {"stages": [[16, 0.016]], "batch": 8},
        "training": {"kimg": 0.016, "batch": 8, "g_warmup_steps": 1, "samples": 8},
    }

    def run(out, resume=False, stop=None):
        seen = []

        def on_step(i, n, losses):
            seen.append(losses)
            if len(seen) == stop:
                raise KeyboardInterrupt

        stylegan2.run(config=config, out=out, seed=1, resume=resume, on_step=on_step, pictures=Shades())
        return seen

    whole = run(tmp_path / "whole")
    assert ["generator" in losses for losses in whole] == [False] * 2 + [True] * 2
    assert list((tmp_path / "whole" / "warm_start").glob("renderings-*.png"))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", stop=3)  # the warm start is complete, the training has no checkpoint yet
    assert run(tmp_path / "parts", resume=True) == whole[2:]
