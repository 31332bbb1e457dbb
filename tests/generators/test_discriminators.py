from __future__ import annotations

import numpy as np
import pytest
import torch

from soundguide_core.generators.discriminators import Discriminator, minibatch_std
from soundguide_core.generators.stylegan2 import StyleGAN2Config

CONFIG = StyleGAN2Config(resolution=32, channel_base=200, channel_max=20)


def test_one_score_an_image():
    assert Discriminator(CONFIG)(torch.randn(4, 3, 32, 32)).shape == (4, 1)


def test_state_keys_are_the_published_ones():
    expected = {f"b4.{layer}.{leaf}" for layer in ("conv", "fc", "out") for leaf in ("weight", "bias")}
    for r in (32, 16, 8):
        expected |= {f"b{r}.{layer}.{leaf}" for layer in ("conv0", "conv1") for leaf in ("weight", "bias")}
        expected.add(f"b{r}.skip.weight")
    expected |= {"b32.fromrgb.weight", "b32.fromrgb.bias"}
    assert set(Discriminator(CONFIG).state_dict()) == expected


def test_minibatch_std_by_a_loop():
    x = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    y = minibatch_std(x).double().numpy()
    for b in range(8):
        members = x[b % 2 :: 2].double().numpy()  # images 8/4 apart
        deviations = [np.sqrt(members[:, c, h, w].var() + 1e-8) for c in range(3) for h in range(4) for w in range(4)]
        assert np.abs(y[b, 3] - np.mean(deviations)).max() < 1e-5
    assert np.abs(y[:, :3] - x.numpy()).max() == 0


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_small_batches_are_one_group(batch):
    assert Discriminator(CONFIG)(torch.randn(batch, 3, 32, 32)).shape == (batch, 1)


def test_bfloat16_is_close():
    discriminator = Discriminator(CONFIG)
    img = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    exact, low = discriminator(img), discriminator(img, torch.bfloat16)
    assert low.dtype == torch.float32
    assert (exact - low).abs().max() < 0.05
