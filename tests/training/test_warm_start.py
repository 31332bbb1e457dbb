from __future__ import annotations

import pytest
import torch

from soundguide_core.generators.stylegan2 import Generator, StyleGAN2Config
from soundguide_core.training import loop, stylegan2
from soundguide_core.training.warm_start import Encoder, WarmStart, WarmStartSettings, kl_to_normal

NETWORK = {"resolution": 16, "z_dim": 8, "w_dim": 8, "mapping_layers": 2, "channel_base": 128, "channel_max": 8}
CONFIG = StyleGAN2Config.from_dict(NETWORK)


class Shades:
    """Pictures of one colour each."""

    def __len__(self) -> int:
        return 64

    def batch(self, indices) -> torch.Tensor:
        values = torch.as_tensor(indices).float()[:, None] * torch.tensor([0.37, 0.61, 0.83])
        return (2 * (values % 1) - 1)[:, :, None, None].expand(-1, -1, 16, 16).contiguous()


def test_kl_is_that_of_the_distributions():
    rng = torch.Generator().manual_seed(0)
    mean, log_var = torch.randn(3, 5, generator=rng), torch.randn(3, 5, generator=rng)
    q = torch.distributions.Normal(mean, (0.5 * log_var).exp())
    expected = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1)
    assert torch.allclose(kl_to_normal(mean, log_var), expected, atol=1e-5)
    assert torch.allclose(kl_to_normal(torch.zeros(2, 4), torch.zeros(2, 4)), torch.zeros(2))


def test_encoder():
    mean, log_var = Encoder(CONFIG)(torch.randn(3, 3, 16, 16))
    assert mean.shape == log_var.shape == (3, 8)


def test_renderings_come_to_resemble_their_pictures():
    settings = WarmStartSettings(kimg=0.32, batch=8, lr=0.01)
    training = WarmStart(loop.seeded(0, lambda: Generator(CONFIG)), settings, Shades(), "cpu", 0)
    losses = [training.step(i)["likeness"] for i in range(settings.steps)]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_training_goes_on_from_a_warm_start_and_resumes_within_it(tmp_path):
    config = {
        "generator": NETWORK,
        "warm_start": {"kimg": 0.024, "batch": 8},
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
    assert [set(losses) >= {"kl"} for losses in whole] == [True] * 3 + [False] * 2
    assert list((tmp_path / "whole" / "warm_start").glob("renderings-*.png"))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", stop=4)  # the warm start is complete, the training has no checkpoint yet
    assert run(tmp_path / "parts", resume=True) == whole[3:]
