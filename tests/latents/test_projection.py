"""Projection finds a latent that it could have come from."""

import pytest
import torch
import torch.nn.functional as F

from soundguide_core.latents.projection import nearest_sample, project
from soundguide_core.latents.schedule import Schedule


class TinyGenerator:
    """ws [B,4,6] => img [B,3,16,16], linear; w standard normal."""

    resolution, num_ws, w_dim = 16, 4, 6
    w_avg, w_std = torch.zeros(6), torch.ones(6)

    def __init__(self):
        self.matrix = torch.randn(24, 48, generator=torch.Generator().manual_seed(1)) / 8

    def sample_ws(self, seeds, psi=1.0, class_index=None):
        rows = [torch.randn(1, 6, generator=torch.Generator().manual_seed(s)) for s in seeds]
        return psi * torch.cat(rows)[:, None].expand(-1, 4, -1)

    def synthesis(self, ws):
        return F.interpolate((ws.flatten(1) @ self.matrix).reshape(-1, 3, 4, 4), size=16)


G = TinyGenerator()


def test_nearest_sample_finds_the_sample_itself():
    target = G.synthesis(G.sample_ws([23, 5]))
    torch.testing.assert_close(nearest_sample(target, G, candidates=40, seed=0), G.sample_ws([23, 5]))


def test_the_search_for_a_start_can_be_stopped():
    def on_step(i, n, terms, preview):
        assert (i, n, terms, preview()) == (0, 3, {}, None)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        project(torch.zeros(1, 3, 16, 16), G, candidates=40, on_step=on_step)


def test_projection_reaches_a_picture_of_the_generator_and_crops_others():
    torch.manual_seed(0)
    target = G.synthesis(torch.randn(1, 4, 6))
    result = project(target, G, schedule=Schedule(150, 0.1), prior=0.0, candidates=8)
    assert (result.img - target).abs().mean() < 0.05 * target.abs().mean()
    torch.testing.assert_close(result.img, G.synthesis(result.ws))
    wide = project(
        torch.zeros(1, 3, 20, 33),
        G,
        schedule=Schedule(2, 0.1),
        candidates=1,
        features=lambda x: F.normalize(x.flatten(1)),
    )
    assert wide.target.shape == (1, 3, 16, 16) and set(wide.history[0]) == {"pixels", "features", "prior", "total"}


def test_prior_keeps_near_the_mean():
    target = 3 * G.synthesis(torch.ones(1, 4, 6))
    loose, tight = (project(target, G, schedule=Schedule(60, 0.1), prior=p, candidates=4).ws for p in (0.0, 1.0))
    assert tight.norm() < 0.6 * loose.norm()
