"""Soundini's losses against loops in float64, and the pairing of flow and frame by pictures that move five pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from soundguide_core.common.errors import InputError
from soundguide_core.flow.optical_flow import Flow
from soundguide_core.losses.editing import (
    STILL,
    background_distance,
    background_perceptual,
    direction_distance,
    flow_distance,
    range_distance,
)

RNG = torch.Generator().manual_seed(0)


def random(*shape):
    return torch.randn(*shape, generator=RNG, dtype=torch.float64)


def unit(*shape):
    return torch.nn.functional.normalize(random(*shape), dim=-1)


def test_direction_distance():
    v, z = unit(4, 6), unit(4, 6)
    for i, value in enumerate(direction_distance(v, z)):
        a, b = (x[i + 1] - x[i] for x in (v.numpy(), z.numpy()))
        assert math.isclose(value.item(), 1 - a @ b / math.sqrt((a @ a) * (b @ b)), rel_tol=1e-12)


def test_a_sound_that_stays_the_same_has_no_direction():
    v = unit(4, 6).requires_grad_()
    z = unit(1, 6).expand(4, 6) + 1e-8 * random(4, 6)
    value = direction_distance(v, z)
    value.sum().backward()
    assert value.tolist() == [0, 0, 0] and v.grad.abs().max() == 0


def test_frames_that_are_the_same_are_drawn_along_the_sound():
    v, z = unit(1, 6).repeat(2, 1).requires_grad_(), unit(2, 6)
    value = direction_distance(v, z)
    value.sum().backward()
    along = (z[1] - z[0]) / (z[1] - z[0]).norm()
    assert value.item() == 1 and torch.allclose(v.grad, torch.stack([along, -along]) / STILL)


def test_direction_distance_wants_one_sound_for_each_frame():
    with pytest.raises(InputError, match="embeddings of the sound"):
        direction_distance(unit(4, 6), unit(1, 6))
    assert direction_distance(unit(1, 6), unit(1, 6)).shape == (0,)


def shifting(frames: int, step: int, h: int = 12, w: int = 24) -> torch.Tensor:
    """Noise that moves `step` pixels to the right every frame."""
    wide = random(1, 3, h, w + step * (frames - 1))
    return torch.cat([wide[..., step * (frames - 1 - i) :][..., :w] for i in range(frames)])


def shifting_flow(frames: int, step: int, h: int = 12, w: int = 24) -> Flow:
    fw = torch.zeros(frames - 1, 2, h, w, dtype=torch.float64)
    fw[:, 0] = step
    x = torch.arange(w)
    stays, came = ((x + step < w).double(), (x - step >= 0).double())
    seen = [line.expand(frames - 1, 1, h, w) for line in (stays, came)]
    return Flow(fw, -fw, *seen)


def test_five_pixels_to_the_right_are_followed_exactly():
    img, flow = shifting(3, 5), shifting_flow(3, 5)
    assert flow_distance(img, flow).abs().max() < 1e-12  # to the pixel: the grid is not half a pixel off
    released = Flow(flow.bw, flow.fw, flow.visible_fw, flow.visible_bw)  # the pairing of the released code
    unmoved = Flow(0 * flow.fw, 0 * flow.bw, flow.visible_fw, flow.visible_bw)
    assert flow_distance(img, released).min() > 1 and flow_distance(img, unmoved).min() > 1


def test_flow_distance_by_a_loop():
    img, flow = random(3, 3, 12, 24), shifting_flow(3, 5)
    weights = torch.rand(2, 2, 1, 12, 24, generator=RNG, dtype=torch.float64)
    flow = Flow(flow.fw, flow.bw, flow.visible_fw * weights[0], flow.visible_bw * weights[1])
    x = img.numpy()
    for i, value in enumerate(flow_distance(img, flow)):
        total = 0.0
        for a, b, shift, seen in ((i, i + 1, 5, flow.visible_fw[i, 0]), (i + 1, i, -5, flow.visible_bw[i, 0])):
            squared = weight = 0.0
            for row in range(12):
                for column in range(24):
                    if 0 <= column + shift < 24:
                        w = seen[row, column].item()
                        squared += w * np.mean((x[a, :, row, column] - x[b, :, row, column + shift]) ** 2)
                        weight += w
            total += squared / weight
        assert math.isclose(value.item(), total, rel_tol=1e-9)


def test_what_is_hidden_does_not_count():
    img, flow = shifting(2, 5).requires_grad_(), shifting_flow(2, 5)
    hidden = Flow(flow.bw, flow.fw, 0 * flow.visible_fw, 0 * flow.visible_bw)
    value = flow_distance(img, hidden)
    value.sum().backward()
    assert value.item() == 0 and img.grad.abs().max() == 0


def test_background_is_masked_on_both_sides():
    img, src, mask = random(2, 3, 4, 5), random(2, 3, 4, 5), torch.rand(2, 1, 4, 5, generator=RNG, dtype=torch.float64)
    weight = random(3 * 4 * 5)

    def perceptual(a, b):
        return ((a - b).flatten(1) * weight).sum(dim=1).square()

    for i in range(2):
        a, b, m = img[i].numpy(), src[i].numpy(), mask[i].numpy()
        expected = np.mean(np.abs(a * (1 - m) - b * (1 - m)))
        assert math.isclose(background_distance(img, src, mask)[i].item(), expected, rel_tol=1e-12)
        seen = (((a * (1 - m)) - (b * (1 - m))).ravel() @ weight.numpy()) ** 2
        assert math.isclose(background_perceptual(perceptual, img, src, mask)[i].item(), seen, rel_tol=1e-9)
    inside = torch.ones_like(mask)
    assert background_distance(img, src, inside).abs().max() == 0  # the hole itself is not held


def test_range_distance():
    img = 2 * random(2, 3, 4, 5)
    for i in range(2):
        beyond = [max(abs(x) - 1, 0) ** 2 for x in img[i].flatten().tolist()]
        assert math.isclose(range_distance(img)[i].item(), sum(beyond) / len(beyond), rel_tol=1e-12)
