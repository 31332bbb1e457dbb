"""The miniature's pixel diffusion: it loads by name, takes noise off scenes that it has not seen, paints others,
and what words ask for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from soundguide_core.media.images import from_uint8
from soundguide_core.miniature.data.scenes import HELD_OUT, draw
from soundguide_core.miniature.world import scenes

pytest.importorskip("diffusers")


@pytest.fixture(scope="module")
def denoiser(diffusers):
    from soundguide_core.diffusion.denoiser import load_denoiser

    return load_denoiser("miniature")


@pytest.fixture(scope="module")
def unseen() -> torch.Tensor:
    """[8,3,64,64]"""
    shown = [draw(HELD_OUT + i) for i in range(8)]
    pixels = [
        scenes.render(s.seed, s.phenomenon, s.intensity, size=64, variant=s.variant, start_sec=s.start_sec)[0]
        for s in shown
    ]
    return from_uint8(torch.from_numpy(np.stack(pixels)))


def test_it_is_as_its_card_says(denoiser):
    assert (denoiser.resolution, denoiser.multiple, denoiser.prediction_type) == (64, 8, "v_prediction")
    assert denoiser.num_train_timesteps == 1000


@pytest.mark.parametrize("t, share", [(100, 0.3), (300, 0.3), (500, 0.4), (700, 0.5)])
@torch.no_grad()
def test_it_takes_noise_off_unseen_scenes(denoiser, unseen, t, share):
    """Against the best estimate out of each channel's mean and spread, which are told, and nothing of its shapes."""
    noise = torch.randn(unseen.shape, generator=torch.Generator().manual_seed(t))
    alpha, sigma = denoiser.alpha_sigma(t)
    x_t = denoiser.add_noise(unseen, t, noise)
    mean, var = unseen.mean((2, 3), keepdim=True), unseen.var((2, 3), keepdim=True)
    linear = mean + alpha * var / (alpha**2 * var + sigma**2) * (x_t - alpha * mean)
    errors = [(x - unseen).square().mean((1, 2, 3)) for x in (denoiser(x_t, t).x0_hat, linear)]
    assert errors[0].mean() < share * errors[1].mean() and (errors[0] < errors[1]).all()


def test_it_paints_landscapes(denoiser):
    """Two pictures out of noise: smooth as scenes are, their colours within the range, and not the same."""
    from soundguide_core.diffusion.sampler import FrameNoise, SamplerConfig, sample

    noise = FrameNoise(1, range(2))
    x_t = noise.source(torch.zeros(2, 3, 64, 64), 999)
    img = sample(denoiser, x_t, denoiser.schedule, SamplerConfig("ddim", 12), noise=noise)
    rough = (img[..., 1:] - img[..., :-1]).abs().mean()
    assert img.abs().max() <= 1 and rough < 0.15
    assert (img[0] - img[1]).abs().mean() > rough


@torch.no_grad()
def test_it_paints_what_words_ask_for(denoiser):
    """One noise and a word for each phenomenon: the judge, part of no training of it, names them."""
    from soundguide_core.diffusion.sampler import SamplerConfig
    from soundguide_core.embedding.joint import load_joint
    from soundguide_core.miniature.evaluation.scene_classifier import load_scene_classifier
    from soundguide_core.miniature.evaluation.told_pictures import asked_in_words, painted

    asked = asked_in_words(load_joint("miniature"))[::2]
    img = painted(denoiser, asked, SamplerConfig("dpm-solver", 8), scale=2.0, pictures=1, seed=5)
    right = [name == each.phenomenon for name, each in zip(load_scene_classifier().name(img), asked, strict=True)]
    assert sum(right) >= 6


@torch.no_grad()
def test_it_is_better_than_before_it_was_told_anything(denoiser, unseen):
    """Against the errors of v of the network that it went on from, on these eight scenes and this noise. At the highest
    level, where a tenth of the draws were left to learn from, it is about the same."""
    for t, error in {100: 0.131, 300: 0.0452, 500: 0.0308, 700: 0.0291, 900: 0.0385 * 1.05}.items():
        noise = torch.randn(unseen.shape, generator=torch.Generator().manual_seed(t))
        alpha, sigma = denoiser.alpha_sigma(t)
        v = denoiser.unet(denoiser.add_noise(unseen, t, noise), t).sample
        assert (v - (alpha * noise - sigma * unseen)).square().mean() < error


@pytest.mark.parametrize("t, floor, bare_below", [(800, 0.88, 0.85), (400, 0.93, 0.93), (100, 0.95, 0.97)])
def test_one_pass_forward_points_where_the_way_back_does(denoiser, unseen, t, floor, bare_below):
    """cos(J g, J^T g) of what sounds' words ask of unseen scenes; the bare gradient lies further off."""
    from soundguide_core.diffusion.guidance import direction, gradient
    from soundguide_core.diffusion.levels import Level
    from soundguide_core.diffusion.rules import jacobian_product, pull_back
    from soundguide_core.embedding.joint import load_joint
    from soundguide_core.losses.views import SoundTerms

    def look(x):
        return denoiser(x, t).x0_hat

    def cosine(a, b):
        return torch.nn.functional.cosine_similarity(a.flatten(1), b.flatten(1)).mean().item()

    joint, level = load_joint("miniature").requires_grad_(False), Level.of_alpha_bar(denoiser.alpha_bar[t].item())
    scene = unseen[:3]
    x = denoiser.add_noise(scene, t, torch.randn(scene.shape, generator=torch.Generator().manual_seed(t)))
    with torch.no_grad():
        x0_hat = look(x)
    words = joint.encode_text(["rain", "fire", "stars"])
    asked = gradient(x0_hat, SoundTerms(("sound",), joint, words), {"sound": 1.0})
    u = direction(asked.g)
    back = pull_back(look, x, x0_hat, u)
    with torch.no_grad():
        forward = jacobian_product(look, x, x0_hat, u, level)
    assert cosine(forward, back) > max(floor, cosine(u, back)) and cosine(u, back) < bare_below
