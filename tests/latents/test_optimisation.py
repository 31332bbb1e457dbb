"""The shared optimisation loop and the released learning-rate schedule."""

import math

import pytest
import torch

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.latents.optimisation import optimise
from soundguide_core.latents.schedule import Schedule


def released_lr(t, initial=0.05, rampdown=0.25, rampup=0.05):
    """Written from the published description: t in 0..1, cosine over the last quarter, linear over the first 5 %."""
    factor = min(1, (1 - t) / rampdown)
    factor = 0.5 - 0.5 * math.cos(factor * math.pi)
    return initial * factor * min(1, t / rampup)


def test_schedule_is_the_released_one():
    schedule = Schedule(steps=300, lr=0.05)
    for i in range(300):
        assert schedule.lr_at(i) == pytest.approx(released_lr(i / 300), abs=tol.FLOAT64)
    shares = [schedule.ramp(i) for i in (0, 15, 150, 225, 299)]
    assert shares[:4] == pytest.approx([0, 1, 1, 1]) and shares[4] < 1e-3
    assert schedule.ramp(250) == pytest.approx(0.75)


def adam_by_hand(x, grad, lrs, beta1=0.9, beta2=0.999, eps=1e-8):
    m = v = 0.0
    for k, lr in enumerate(lrs, start=1):
        g = grad(x)
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        x = x - lr * (m / (1 - beta1**k)) / (math.sqrt(v / (1 - beta2**k)) + eps)
    return x


def test_steps_are_adam_on_the_weighted_sum():
    schedule = Schedule(steps=12, lr=0.1)
    result = optimise(
        torch.tensor([[2.0]], dtype=torch.float64),
        lambda x: {"near": (x[:, 0] - 1) ** 2, "small": x[:, 0] ** 2},
        {"near": 3.0, "small": 0.5},
        schedule,
    )
    expected = adam_by_hand(2.0, lambda x: 6 * (x - 1) + x, [schedule.lr_at(i) for i in range(12)])
    assert result.latent.item() == pytest.approx(expected, abs=tol.FLOAT64_SUM)
    assert result.history[0] == {"near": 1.0, "small": 4.0, "total": 5.0}


def test_start_is_not_modified_and_batch_members_are_independent():
    start = torch.tensor([[2.0], [-3.0]])
    quadratic = lambda x: {"a": (x[:, 0] - 1) ** 2}  # noqa: E731
    both = optimise(start, quadratic, {"a": 1.0}, Schedule(20, 0.1)).latent
    each = [optimise(row[None], quadratic, {"a": 1.0}, Schedule(20, 0.1)).latent for row in start]
    assert start.tolist() == [[2.0], [-3.0]]
    torch.testing.assert_close(both, torch.cat(each))


def test_also_learns_with_its_own_rate():
    extra = torch.zeros(1)
    optimise(torch.zeros(1), lambda x: {"a": (x - extra - 1) ** 2}, {"a": 1.0}, Schedule(5, 0.0), also=[(extra, 0.1)])
    assert extra.item() < -0.05


@pytest.mark.parametrize("weights", [{}, {"a": 1.0, "b": 1.0}, {"b": 1.0}])
def test_weights_must_match_terms(weights):
    with pytest.raises(InputError, match="disagree on"):
        optimise(torch.zeros(1), lambda x: {"a": x**2}, weights, Schedule(2, 0.1))


def test_a_loss_that_is_no_number_ends_the_run():
    with pytest.raises(InputError, match="not a number at step 0"):
        optimise(torch.zeros(1), lambda x: {"a": x / 0}, {"a": 1.0}, Schedule(2, 0.1))


def test_an_exception_from_on_step_stops_and_preview_is_lazy():
    seen, looked = [], []

    def stop(i, n, terms, preview):
        seen.append((i, n))
        if i == 1:
            assert preview().shape == (1,)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        optimise(torch.ones(1), lambda x: {"a": x**2}, {"a": 1.0}, Schedule(9, 0.1),
                 preview=lambda x: looked.append(1) or x, on_step=stop)  # fmt: skip
    assert seen == [(0, 9), (1, 9)] and looked == [1]


@pytest.mark.parametrize("bad", [{"steps": 0}, {"lr": -1}, {"lr": float("nan")}, {"rampup": 2}])
def test_schedule_refuses(bad):
    with pytest.raises(InputError):
        Schedule(**bad)
