"""Figures of pictures that were asked for, on pictures whose figures are known; guidance against its equation."""

from __future__ import annotations

import pytest
import torch

import tolerances as tol

pytest.importorskip("diffusers")

from soundguide_core.common.types import Estimate
from soundguide_core.diffusion.denoiser import classifier_free
from soundguide_core.diffusion.sampler import SamplerConfig
from soundguide_core.miniature.evaluation import told_pictures as told
from soundguide_core.miniature.world import scenes


class Known:
    """A denoiser that knows one brightness: the context's first number, 0 where nothing is told."""

    resolution, device, num_train_timesteps = 8, "cpu", 100
    schedule = {"num_train_timesteps": 100}  # noqa: RUF012

    def __call__(self, x_t, t, context=None):
        level = torch.zeros(len(x_t)) if context is None else context[:, 0]
        return Estimate(level.view(-1, 1, 1, 1).expand(x_t.shape))

    def add_noise(self, x0, t, noise):
        return x0 + noise


class Judge:
    """Names "rain" where a picture is bright."""

    def name(self, img):
        return ["rain" if x.mean() > 0.3 else "fire" for x in img]

    def predict(self, img):
        return torch.full([len(img), 2], 0.5)


def asked(*levels):
    return [told.Asked("rain", "rain", torch.tensor([[level, 1.0]])) for level in levels]


def test_guidance_goes_from_nothing_to_the_prompt_and_beyond():
    x_t, context = torch.zeros(2, 3, 8, 8), torch.tensor([[0.2, 1.0], [0.4, 1.0]])
    for scale in (0.5, 1.0, 2.5):
        found = classifier_free(Known(), context, scale)(x_t, 5).x0_hat
        assert torch.allclose(found, scale * context[:, :1, None, None].expand(x_t.shape), atol=tol.FLOAT32)


def test_pictures_and_their_figures():
    wanted = asked(0.2, 0.5)
    img = told.painted(Known(), wanted, SamplerConfig("ddim", 3), scale=1.0, pictures=2)
    assert torch.allclose(img.mean((1, 2, 3)), torch.tensor([0.2, 0.2, 0.5, 0.5]), atol=tol.FLOAT32_SUM)
    figures = told.report(img, wanted, Judge(), Known())
    assert figures["named"] == 0.5 and figures["per_class"] == {"rain": 0.5}
    # told nothing, it takes everything for grey: the error is the picture's own square
    assert figures["strangeness"] == pytest.approx((0.2**2 + 0.5**2) / 2, rel=1e-4)
    free = told.painted(Known(), wanted, SamplerConfig("ddim", 3), scale=0.0, pictures=1)
    assert free.abs().max() < tol.FLOAT32_SUM


def test_every_phenomenon_is_asked_for_twice():
    assert tuple(told.PROMPTS) == tuple(scenes.PHENOMENA) and all(len(texts) == 2 for texts in told.PROMPTS.values())
