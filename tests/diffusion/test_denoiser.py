"""eps, v and x0 models of one Gaussian give one x0_hat; sizes; what is learned of variances; loading."""

from __future__ import annotations

from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch

import tolerances as tol
from soundguide_core.common.errors import InputError

SMALL = {
    "sample_size": 8,
    "in_channels": 12,
    "out_channels": 12,
    "block_out_channels": [32, 32],
    "layers_per_block": 1,
    "down_block_types": ["DownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "UpBlock2D"],
}
MEAN, STD = 0.3, 0.5


def cosine_alpha_bar(num_levels: int) -> np.ndarray:
    """squaredcos_cap_v2 (Nichol and Dhariwal 2021, equation 17, betas capped at 0.999) by hand."""
    f = np.cos((np.arange(num_levels + 1) / num_levels + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.cumprod(1 - np.minimum(1 - f[1:] / f[:-1], 0.999))


class Exact(torch.nn.Module):
    """The ideal model of pixels that are drawn from N(MEAN, STD^2), as a UNet."""

    patch = 1
    config: ClassVar = {"sample_size": 8, "block_out_channels": [1, 1]}

    def __init__(self, prediction_type: str, learned: bool = False, **schedule):
        super().__init__()
        self.schedule = {
            "num_train_timesteps": 100,
            "beta_schedule": "squaredcos_cap_v2",
            "prediction_type": prediction_type,
            **schedule,
        }
        self.learned_variance = learned

    def forward(self, x_t, t):
        alpha_bar = cosine_alpha_bar(100)[t]
        alpha, sigma = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
        # E[x0 | x_t] of two Gaussians; E[eps | x_t] the same way, not from x0
        total = alpha_bar * STD**2 + sigma**2
        x0 = MEAN + alpha * STD**2 / total * (x_t - alpha * MEAN)
        eps = sigma / total * (x_t - alpha * MEAN)
        out = {"sample": x0, "epsilon": eps, "v_prediction": alpha * eps - sigma * x0}[self.schedule["prediction_type"]]
        if self.learned_variance:
            out = torch.cat([out, torch.full_like(out, 0.25)], dim=1)
        return SimpleNamespace(sample=out)


@pytest.mark.parametrize("t", [0, 7, 50, 98])
def test_eps_v_and_x0_models_agree(diffusers, t):
    from soundguide_core.diffusion.denoiser import Denoiser

    x_t = torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(t))
    alpha_bar = cosine_alpha_bar(100)[t]
    gain = alpha_bar**0.5 * STD**2 / (alpha_bar * STD**2 + 1 - alpha_bar)
    expected = MEAN + gain * (x_t - alpha_bar**0.5 * MEAN)
    for prediction in ("epsilon", "v_prediction", "sample"):
        denoiser = Denoiser(Exact(prediction))
        x0_hat, variance_mix = denoiser(x_t, t)
        assert torch.allclose(x0_hat, expected, rtol=tol.PARITY, atol=tol.FLOAT32_SUM), (
            prediction
        )  # diffusers' alpha_bar are float32
        assert variance_mix == -1
        eps = denoiser.eps(x_t, x0_hat, t)
        assert torch.allclose(denoiser.add_noise(x0_hat, t, eps), x_t, atol=tol.FLOAT64_SUM)


def test_what_the_variance_is(diffusers):
    from soundguide_core.diffusion.denoiser import Denoiser

    x_t = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    plain, learned = Denoiser(Exact("epsilon")), Denoiser(Exact("epsilon", learned=True, variance_type="learned_range"))
    assert torch.equal(plain(x_t, 40).x0_hat, learned(x_t, 40).x0_hat)
    assert torch.equal(learned(x_t, 40).variance_mix, torch.full_like(x_t, 0.25))
    assert Denoiser(Exact("epsilon", variance_type="fixed_large"))(x_t, 40).variance_mix == 1


def test_the_clean_level_has_no_noise(diffusers):
    from soundguide_core.diffusion.denoiser import CLEAN, Denoiser

    x0 = torch.rand(1, 3, 8, 8)
    assert torch.equal(Denoiser(Exact("sample")).add_noise(x0, CLEAN, torch.randn(1, 3, 8, 8)), x0)


def test_other_predictions_are_refused(diffusers):
    from soundguide_core.diffusion.denoiser import Denoiser

    with pytest.raises(InputError, match="flow"):
        Denoiser(Exact("flow_prediction"))


def test_a_patch_is_a_pixel_inside(diffusers):
    from soundguide_core.diffusion.denoiser import Denoiser
    from soundguide_core.diffusion.unet import UNet

    denoiser = Denoiser(UNet(**SMALL, patch=2, schedule={"prediction_type": "sample"}).eval())
    assert (denoiser.resolution, denoiser.multiple, denoiser.num_train_timesteps) == (16, 4, 1000)
    with torch.no_grad():
        assert denoiser(torch.randn(2, 3, 12, 20), 500).x0_hat.shape == (2, 3, 12, 20)
        inside = denoiser.unet.conv_in.register_forward_hook(lambda _, args, __: seen.append(args[0]))
        seen, x_t = [], torch.randn(1, 3, 8, 8)
        denoiser(x_t, 3)
        inside.remove()
    # channel c at (row, column) of a patch is channel 4 c + 2 row + column inside
    assert torch.equal(seen[0][0, 4 * 1 + 2 * 1 + 0], x_t[0, 1, 1::2, 0::2])
    with pytest.raises(InputError, match="multiples of 4"):
        denoiser(torch.randn(1, 3, 8, 10), 3)


def test_gradients_reach_x_t(diffusers):
    from soundguide_core.diffusion.denoiser import Denoiser
    from soundguide_core.diffusion.unet import UNet

    denoiser = Denoiser(UNet(**SMALL, patch=2).eval().requires_grad_(False))
    x_t = torch.randn(1, 3, 8, 8, requires_grad=True)
    denoiser(x_t, 300).x0_hat.square().sum().backward()
    assert x_t.grad.abs().min() > 0


@pytest.mark.parametrize("patch", [1, 2])
def test_saved_weights_load(diffusers, tmp_path, patch):
    from soundguide_core.checkpoints import safetensors_io
    from soundguide_core.diffusion.denoiser import load_denoiser
    from soundguide_core.diffusion.unet import UNet

    config = {**SMALL, "patch": patch, "in_channels": 3 * patch**2, "out_channels": 6 * patch**2}
    schedule = {"num_train_timesteps": 50, "beta_schedule": "linear", "variance_type": "learned_range"}
    unet = UNet(**config, schedule=schedule).eval()
    safetensors_io.save(tmp_path / "unet.safetensors", unet.state_dict(), {"unet": config, "schedule": schedule})
    denoiser = load_denoiser(tmp_path / "unet.safetensors")
    x_t = torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        out = unet(x_t, 20).sample
    assert torch.equal(denoiser(x_t, 20).variance_mix, out[:, 3:])
    assert denoiser.num_train_timesteps == 50 and denoiser.resolution == 8 * patch
    assert not any(p.requires_grad for p in denoiser.parameters())
