"""Each term of L_man against loops in float64."""

import itertools
import math

import torch

from soundguide_core.losses.identity import identity_distance
from soundguide_core.losses.latent import (
    layer_masked_distance,
    learned_mask,
    released_mask,
    released_mask_update,
)
from soundguide_core.losses.perceptual import pyramid_distance
from soundguide_core.losses.semantic import RELEASED_SCALE, cosine_distance

RNG = torch.Generator().manual_seed(0)


def random(*shape):
    return torch.randn(*shape, generator=RNG, dtype=torch.float64)


def test_cosine_distance():
    a = torch.nn.functional.normalize(random(3, 5), dim=1)
    b = torch.nn.functional.normalize(random(3, 5), dim=1)
    for i, value in enumerate(cosine_distance(a, b)):
        dot = sum(x * y for x, y in zip(a[i].tolist(), b[i].tolist()))
        assert math.isclose(value.item(), 1 - dot, abs_tol=1e-12)
    assert math.isclose(RELEASED_SCALE, math.exp(0.07), rel_tol=1e-12)
    assert math.isclose(cosine_distance(a[:1], a[:1], RELEASED_SCALE).item(), 1 - math.exp(0.07), abs_tol=1e-9)


def test_layer_masked_distance_is_the_squared_norm_of_the_masked_difference():
    ws, src, g = random(2, 4, 6), random(2, 4, 6), random(2, 4)
    for b in range(2):
        total = 0.0
        for l in range(4):  # noqa: E741
            for d in range(6):
                total += (g[b, l].item() * (ws[b, l, d].item() - src[b, l, d].item())) ** 2
        assert math.isclose(layer_masked_distance(ws, src, g)[b].item(), total, rel_tol=1e-12)
    plain = layer_masked_distance(ws, src)
    torch.testing.assert_close(plain, layer_masked_distance(ws, src, torch.ones_like(g)))


def test_learned_mask_has_mean_one_and_its_gradient_frees_the_layers_that_moved():
    m = random(1, 5).requires_grad_()
    torch.testing.assert_close(learned_mask(m).mean(dim=1), torch.ones(1, dtype=torch.float64))
    m = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    ws, src = torch.zeros(1, 3, 2, dtype=torch.float64), torch.zeros(1, 3, 2, dtype=torch.float64)
    ws[0, 1] = 2.0
    layer_masked_distance(ws, src, learned_mask(m)).sum().backward()
    step = learned_mask((m - 0.1 * m.grad).detach())[0]
    assert step[1] < 1 < step[0] and torch.isclose(step[0], step[2])


def test_released_mask_rule():
    m, ws, src = random(1, 3), 0.3 * random(1, 3, 4), 0.3 * random(1, 3, 4)
    updated = released_mask_update(m, ws, src)
    for l in range(3):  # noqa: E741
        gate = 1 / (1 + math.exp(-m[0, l].item()))
        loss = gate * sum((x - y) ** 2 for x, y in zip(ws[0, l].tolist(), src[0, l].tolist()))
        assert math.isclose(updated[0, l].item(), m[0, l].item() - 0.1 * loss * (1 - loss), rel_tol=1e-12)
        assert math.isclose(released_mask(m)[0, l].item(), gate, rel_tol=1e-12)


def test_identity_distance_has_no_gradient_in_the_source():
    weight = random(3 * 4 * 4, 6)
    img, src = random(2, 3, 4, 4).requires_grad_(), random(2, 3, 4, 4).requires_grad_()
    value = identity_distance(lambda x: x.flatten(1) @ weight, img, src)
    for b in range(2):
        x, y = (v[b].detach().flatten() @ weight for v in (img, src))
        assert math.isclose(value[b].item(), 1 - (x @ y / x.norm() / y.norm()).item(), abs_tol=1e-12)
    value.sum().backward()
    assert src.grad is None and img.grad is not None


def test_pyramid_distance():
    a, b = random(2, 3, 8, 8), random(2, 3, 8, 8)
    for i in range(2):
        total = 0.0
        for level in (1, 2, 4):
            x, y = (v[i].numpy().reshape(3, 8 // level, level, 8 // level, level).mean(axis=(2, 4)) for v in (a, b))
            total += abs(x - y).mean() / 3
        assert math.isclose(pyramid_distance(a, b, levels=3)[i].item(), total, rel_tol=1e-12)
        squared = sum(float(x) ** 2 for x in (a[i] - b[i]).flatten()) / a[i].numel()
        assert math.isclose(pyramid_distance(a, b, levels=3, square=0.7)[i].item(), total + 0.7 * squared, rel_tol=1e-9)
        fine = 0.0  # each pixel against the mean of its block of four
        for c, y, x in itertools.product(range(3), range(8), range(8)):
            d = (a[i] - b[i])[c]
            block = d[y // 2 * 2 : y // 2 * 2 + 2, x // 2 * 2 : x // 2 * 2 + 2]
            fine += abs(float(d[y, x]) - float(block.sum()) / 4) / d.numel() / 3
        assert math.isclose(pyramid_distance(a, b, levels=3, detail=0.7)[i].item(), total + 0.7 * fine, rel_tol=1e-9)
    assert pyramid_distance(a, a).tolist() == [0, 0]
