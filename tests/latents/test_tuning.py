"""Pivotal tuning: its terms by hand, and a generator that learns a picture without forgetting the others."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from soundguide_core.common.errors import InputError
from soundguide_core.common.rng import with_seed
from soundguide_core.generators.stylegan2 import Generator, StyleGAN2Config
from soundguide_core.latents import tuning
from soundguide_core.latents.schedule import Schedule
from soundguide_core.latents.tuning import locality, near, pivot_terms, tune, weighted
from soundguide_core.latents.tuning_config import PUBLISHED, TuningConfig

SIZES = StyleGAN2Config(resolution=16, z_dim=8, w_dim=8, mapping_layers=2, channel_base=128, channel_max=8)


@pytest.fixture(scope="module")
def generator():
    made = with_seed(0, lambda: Generator(SIZES)).eval().requires_grad_(False)
    made.measure_w(100, keep_avg=False)
    return made


def by_hand(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """A perceptual distance [B] that is none of ours: the mean fourth power."""
    return (a - b).pow(4).mean(dim=(1, 2, 3))


def test_latents_near_the_pivot_against_a_loop():
    rng = np.random.default_rng(0)
    pivots, others = rng.normal(size=(3, 4, 5)), rng.normal(size=(3, 4, 5))
    others[1] = pivots[1] + 0.01 * others[1]  # nearer than alpha
    found = near(torch.tensor(pivots), torch.tensor(others), alpha=2.0).numpy()
    for pivot, other, w_r in zip(pivots, others, found):
        length = math.sqrt(sum((o - p) ** 2 for o, p in zip(other.ravel(), pivot.ravel())))
        step = min(2.0, length)
        for i in range(4):
            for j in range(5):
                expected = pivot[i, j] + step * (other[i, j] - pivot[i, j]) / length
                assert w_r[i, j] == pytest.approx(expected, abs=1e-12)
    assert np.linalg.norm(found[0] - pivots[0]) == pytest.approx(2.0) and np.allclose(found[1], others[1])


def test_locality_against_a_loop(generator):
    tuned = with_seed(1, lambda: Generator(SIZES)).eval().requires_grad_(False)
    w_r = generator.sample_ws([1, 2])
    found = locality(tuned.synthesis, generator.synthesis, w_r, by_hand)
    new, old = (g.synthesis(w_r).double().numpy() for g in (tuned, generator))
    for b in range(2):
        squares = fourths = count = 0
        for x, y in zip(new[b].ravel(), old[b].ravel()):
            squares, fourths, count = squares + (x - y) ** 2, fourths + (x - y) ** 4, count + 1
        assert float(found[b]) == pytest.approx(squares / count + fourths / count, rel=1e-4)


def test_the_sum_of_the_terms(generator):
    ws, target = generator.sample_ws([3, 4]), torch.zeros(2, 3, 16, 16)
    terms = pivot_terms(generator.synthesis, ws, target, by_hand)
    terms["locality"] = torch.tensor([0.5, 2.0])
    made = generator.synthesis(ws).double()
    fit = 3 * made.square().mean((1, 2, 3)).sum() + 0.25 * made.pow(4).mean((1, 2, 3)).sum()
    for every in (1, 5):  # taken in every fifth step, the locality counts five times
        config = TuningConfig(l2=3.0, perceptual=0.25, locality=7.0, locality_every=every)
        assert float(weighted(terms, config)) == pytest.approx(float(fit + 7 * 2.5 * every), rel=1e-5)
    del terms["locality"]
    assert float(weighted(terms, config)) == pytest.approx(float(fit), rel=1e-5)


def config(**changes) -> TuningConfig:
    return TuningConfig(**{"schedule": Schedule(40, 0.01, 0.0, 0.0), "l2": 1.0, **changes})


def test_it_learns_the_picture_and_nothing_else_changes(generator):
    before = {key: x.clone() for key, x in generator.state_dict().items()}
    ws = generator.sample_ws([5])
    img = torch.linspace(-1, 1, 16).expand(1, 3, 16, 16)
    made = tune(img, ws, generator, perceptual=by_hand, config=config())
    error = [(g.synthesis(ws) - img).square().mean() for g in (generator, made.generator)]
    assert error[1] < 0.3 * error[0] and set(made.history[0]) == {"l2", "perceptual", "locality", "total"}
    assert all(torch.equal(x, before[key]) for key, x in generator.state_dict().items())
    mapping = dict(made.generator.mapping.named_parameters())
    assert all(torch.equal(x, mapping[key]) for key, x in generator.mapping.named_parameters())
    assert not any(x.requires_grad for x in made.generator.parameters())
    torch.testing.assert_close(made.img, made.generator.synthesis(ws))


def test_locality_keeps_other_pictures(generator):
    ws, img = generator.sample_ws([5]), torch.linspace(-1, 1, 16).expand(1, 3, 16, 16)
    others = generator.sample_ws(range(100, 116), psi=1.0)
    moved = {}
    for weight in (0.0, 1.0):
        tuned = tune(img, ws, generator, perceptual=by_hand, config=config(locality=weight)).generator
        moved[weight] = float((tuned.synthesis(others) - generator.synthesis(others)).square().mean())
    assert moved[1.0] < 0.5 * moved[0.0]


def test_the_rest_of_the_generator_is_looked_at_now_and_then(generator, monkeypatch):
    looks = []
    monkeypatch.setattr(tuning, "locality", lambda *of: looks.append(of[2]) or locality(*of))
    img = torch.linspace(-1, 1, 16).expand(1, 3, 16, 16)
    made = tune(img, generator.sample_ws([5]), generator, perceptual=by_hand, config=config(locality_every=3))
    assert len(looks) == 14 and not torch.equal(looks[0], looks[1])  # of 40 steps, each time at another picture
    figures = [terms["locality"] for terms in made.history]
    assert figures[3] == figures[4] == figures[5] != figures[6]


def test_it_stops_when_it_is_enough_and_when_it_is_told(generator):
    ws = generator.sample_ws([5])
    made = tune(generator.synthesis(ws), ws, generator, perceptual=by_hand, config=config(enough=1.0))
    assert made.history == [] and PUBLISHED.enough == 0.06 and PUBLISHED.alpha == 30

    def on_step(i, n, terms, preview):
        assert (i, n) == (0, 40) and preview().shape == (1, 3, 16, 16)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(torch.zeros(1, 3, 20, 30), ws, generator, config=config(), on_step=on_step)


def test_what_is_no_pivot(generator):
    with pytest.raises(InputError, match="pivots"):
        tune(torch.zeros(2, 3, 16, 16), generator.sample_ws([0]), generator)
    with pytest.raises(InputError, match="not a number at step"):
        tune(
            torch.zeros(1, 3, 16, 16), generator.sample_ws([0]), generator, perceptual=lambda a, b: (a - b).sum() / 0
        )  # fmt: skip
