from __future__ import annotations

import pytest
import torch

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.generators.temporal_discriminator import TemporalDiscriminator, TemporalDiscriminatorConfig
from soundguide_core.losses.adversarial import discriminator_loss, r1_penalty


def build(reach: int, size: int = 8, channels=(6, 8)) -> TemporalDiscriminator:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TemporalDiscriminator(TemporalDiscriminatorConfig(size, channels, reach))


def video(batch: int = 2, frames: int = 5, size: int = 8) -> torch.Tensor:
    return torch.rand(batch, frames, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_it_sees_time_and_the_other_does_not():
    frames = video()
    shuffled = frames[:, [3, 0, 4, 1, 2]]
    for reach, sees in ((3, True), (1, False)):
        difference = (build(reach)(frames) - build(reach)(shuffled)).abs().max()
        assert (difference > 1e-3) == sees, reach


def test_a_score_for_each_video_of_any_size():
    score = build(3)(video(3))
    assert score.shape == (3, 1)
    assert build(3)(video(1, 1)).shape == (1, 1)
    assert build(3)(video(2, 4, size=32)).shape == (2, 1)


def test_variance_stays_of_order_one():
    score = build(3, 32, (16, 24, 32))(video(16, 4, 32))
    assert 0.01 < score.std() < 3


def test_r1_reaches_every_frame():
    model, frames = build(3), video().requires_grad_()
    penalty = r1_penalty(model(frames), frames)
    penalty.backward()
    (gradient,) = torch.autograd.grad(model(frames).sum(), frames)
    assert penalty.item() == pytest.approx(gradient.square().sum(dim=(1, 2, 3, 4)).mean().item(), rel=tol.FLOAT32_SUM)
    assert (gradient.abs().sum(dim=(0, 2, 3, 4)) > 0).all()
    assert all(p.grad is not None for name, p in model.named_parameters() if name.endswith("weight"))


def test_motion_alone_can_be_learned():
    """Both kinds show the same pictures; only their order differs."""
    generator = torch.Generator().manual_seed(2)

    def draw(real: bool) -> torch.Tensor:
        first = torch.rand(8, 1, 1, 1, 1, generator=generator) * 2 - 1
        step = torch.tensor([0.0, 0.3, 0.6, 0.9] if real else [0.0, 0.9, 0.3, 0.6]).view(1, 4, 1, 1, 1)
        return (first + step).expand(-1, -1, 3, 8, 8)

    losses = {}
    for reach in (3, 1):
        model = build(reach)
        adam = torch.optim.Adam(model.parameters(), lr=0.01, betas=(0.0, 0.99))
        for _ in range(60):
            loss = discriminator_loss(model(draw(True)), model(draw(False)))
            adam.zero_grad()
            loss.backward()
            adam.step()
        losses[reach] = loss.item()
    assert losses[3] < 0.4 and losses[1] > 1.2


@pytest.mark.parametrize("size, channels, reach", [(8, (4, 4), 2), (10, (4, 4), 3)])
def test_impossible_sizes_are_refused(size, channels, reach):
    with pytest.raises(InputError, match="cannot be"):
        TemporalDiscriminatorConfig(size, channels, reach)
