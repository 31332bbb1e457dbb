"""Regression before the adversary: free latents first, then the mapping to them."""

from __future__ import annotations

import pytest
import torch

from soundguide_core.errors import InputError
from soundguide_core.generators.stylegan2 import Generator, StyleGAN2Config
from soundguide_core.training import loop, stylegan2
from soundguide_core.training.warm_start import WarmStart, WarmStartSettings

NETWORK = {"resolution": 16, "z_dim": 8, "w_dim": 8, "mapping_layers": 2, "channel_base": 128, "channel_max": 8}
CONFIG = StyleGAN2Config.from_dict(NETWORK)


class Shades:
    """Pictures of one grey each, dark or light, plain or reddened, by the signs of two numbers of z."""

    factors = (2, 2)

    def __len__(self) -> int:
        return 4

    def batch(self, indices) -> torch.Tensor:
        codes = torch.as_tensor(indices)
        return self.picture(torch.stack([codes // 2, codes % 2], 1), codes)

    def draw(self, batch, dims, rng):
        z = torch.randn(batch, dims, generator=rng)
        factors = (z[:, :2] > 0).long()
        return z, factors, 2 * factors[:, 0] + factors[:, 1]

    def picture(self, factors, indices):
        grey = 1.2 * factors[:, 0].float() - 0.6
        colour = torch.stack([grey + 0.3 * factors[:, 1], grey, grey], 1)
        return colour[:, :, None, None].expand(-1, -1, 16, 16).contiguous()


def test_stages_and_rates():
    settings = WarmStartSettings(stages=((8, 0.032), (16, 0.016)), batch=8, mapping_steps=5)
    assert [settings.resolution_at(i) for i in (0, 3, 4, 5)] == [8, 8, 16, 16]
    assert settings.synthesis_steps == 6 and settings.steps == 11
    assert settings.fall(0) == settings.fall(0.6) == 1 and settings.fall(1) == pytest.approx(0.1)
    with pytest.raises(InputError, match="unknown entry 'kl'"):
        WarmStartSettings.from_dict({"stages": [[8, 1]], "kl": 1})


def test_pictures_then_latents_are_learned():
    settings = WarmStartSettings(((8, 0.6), (16, 0.4)), batch=8, mapping_steps=150, mapping_batch=64, mapping_lr=0.01)
    training = WarmStart(loop.seeded(0, lambda: Generator(CONFIG)), settings, Shades(), "cpu", 0)
    losses = [training.step(i) for i in range(settings.steps)]
    likeness = [x["likeness"] for x in losses if "likeness" in x]
    mapping = [x["mapping"] for x in losses if "mapping" in x]
    assert len(likeness) == 125 and sum(likeness[-5:]) < 0.3 * sum(likeness[:5])
    assert len(mapping) == 150 and sum(mapping[-10:]) < 0.5 * sum(mapping[:10])
    z, factors, indices = Shades().draw(32, 8, torch.Generator().manual_seed(9))
    made = training.generator(z, noise_mode="none")
    assert (made - Shades().picture(factors, indices)).abs().mean() < 0.35


def test_training_goes_on_from_a_warm_start_and_resumes_within_it(tmp_path):
    config = {
        "generator": NETWORK,
        "warm_start": {"stages": [[16, 0.016]], "batch": 8, "mapping_steps": 1, "mapping_batch": 8},
        "training": {"kimg": 0.016, "batch": 8, "head_start": 1, "samples": 8},
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
    assert ["generator" in losses for losses in whole] == [False] * 3 + [True] * 2
    assert list((tmp_path / "whole" / "warm_start").glob("renderings-*.png"))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", stop=4)  # the warm start is complete, the training has no checkpoint yet
    assert run(tmp_path / "parts", resume=True) == whole[3:]
