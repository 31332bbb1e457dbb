"""Winograd's convolutions beside PyTorch's: one layer, a whole generator, and when they are not used."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

import tolerances as tol
from soundguide_core.generators import compiled, doubling, stylegan2, stylegan3, winograd
from soundguide_core.generators.toom_cook import toom_cook

POINTS = (0, 1, -1, 2, -2, 0.5, -0.5)

ROUNDING = 8 * tol.FLOAT32_SUM  # some five times a direct convolution's


@pytest.mark.parametrize(("outputs", "taps"), [(2, 3), (4, 3), (6, 3), (4, 2), (1, 3)])
def test_the_matrices_convolve(outputs, taps):
    a_t, g, b_t = (torch.tensor(m, dtype=torch.float64) for m in toom_cook(outputs, taps, POINTS[: outputs + taps - 2]))
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(outputs + taps - 1, generator=rng, dtype=torch.float64)
    kernel = torch.randn(taps, generator=rng, dtype=torch.float64)
    found = a_t @ ((g @ kernel) * (b_t @ x))
    wanted = torch.stack([(x[i : i + taps] * kernel).sum() for i in range(outputs)])
    assert (found - wanted).abs().max() < 1e-12


@pytest.mark.parametrize("sizes", [(1, 5, 7, 4, 4), (3, 8, 6, 8, 16), (2, 4, 4, 5, 3)])
def test_small_maps_double_as_large_ones_do(sizes):
    x, weight, _ = layer(*sizes)
    assert doubling.small(x) and not doubling.small(torch.empty(2, 1, 32, 32))
    found = doubling.conv_transpose(x, doubling.taps_of(weight))
    wanted = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert found.shape == wanted.shape and (found - wanted).abs().max() < tol.FLOAT32_SUM


def test_several_small_maps_share_a_strip():
    x, weight, around = layer(5, 16, 8, 20, 24)
    kernels = winograd.kernels_of(weight, 4)
    together = winograd.conv3x3(x, kernels, around)
    alone = []
    for i in range(5):
        one = replace(around, style=around.style[i : i + 1], scale=around.scale[i : i + 1])
        alone.append(winograd.conv3x3(x[i : i + 1], kernels, one))
    assert (together - torch.cat(alone)).abs().max() < tol.FLOAT32_SUM


def layer(batch, size_in, size, height, width, seed=0):
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, size_in, height, width, generator=rng)
    weight = torch.randn(size, size_in, 3, 3, generator=rng) / (9 * size_in) ** 0.5
    style, scale = (1 + 0.3 * torch.randn(batch, c, generator=rng) for c in (size_in, size))
    bias, noise = 0.3 * torch.randn(size, generator=rng), 0.3 * torch.randn(1, height, width, generator=rng)
    return x, weight, winograd.Around(style, scale, bias, noise, 1.5)


def finished(x, around):
    """What a layer does after its convolution x [B,O,H,W], by the definition."""
    x = x * around.scale[:, :, None, None] + around.bias[:, None, None]
    x = x if around.noise is None else x + around.noise[:, None]
    x = F.leaky_relu(x, around.slope)
    return x if around.clamp is None else x.clamp(-around.clamp, around.clamp)


def direct(x, weight, around, padding=1):
    x = x.double() * around.style.double()[:, :, None, None]
    return finished(F.conv2d(x, weight.double(), padding=padding), around)


@pytest.fixture(params=["torch", "compiled"])
def loops(request):
    return compiled.load() if request.param == "compiled" else None


@pytest.mark.parametrize(
    "sizes", [(1, 1, 1, 4, 3), (2, 5, 7, 16, 16), (1, 64, 96, 64, 32), (3, 16, 8, 128, 128), (1, 300, 20, 16, 64)]
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_layer_equals_a_direct_one(sizes, layout, loops):
    x, weight, around = layer(*sizes)
    kernels = winograd.kernels_of(weight, 6)
    found = winograd.conv3x3(x.contiguous(memory_format=layout), kernels, around, loops=loops)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert (found - direct(x, weight, around)).abs().max() < ROUNDING


@pytest.mark.parametrize(("side", "padding"), [(36, 2), (52, 2), (17, 1), (19, 0)])
@pytest.mark.parametrize("tile", [4, 6])
def test_any_size_and_padding(side, padding, tile, loops):
    x, weight, around = layer(2, 24, 20, side, side)
    around = replace(around, noise=None, clamp=None, slope=1)
    found = winograd.conv3x3(x, winograd.kernels_of(weight, tile), around, padding=padding, loops=loops)
    wanted = direct(x, weight, around, padding)
    assert found.shape == wanted.shape and (found - wanted).abs().max() < ROUNDING


@pytest.mark.parametrize("batch", [1, 3])
def test_strips_are_one_map(loops, monkeypatch, batch):
    """Tiles at the edges of strips see their neighbours, and each image has its own style and noise."""
    monkeypatch.setattr(winograd, "STRIP", 2**19)
    x, weight, around = layer(batch, 64, 48, 128, 96)
    around = replace(around, noise=torch.randn(batch, 128, 96, generator=torch.Generator().manual_seed(1)))
    found = winograd.conv3x3(x, winograd.kernels_of(weight, 6), around, loops=loops)
    assert (found - direct(x, weight, around)).abs().max() < ROUNDING


@pytest.fixture(scope="module")
def generator():
    config = stylegan2.StyleGAN2Config(64, z_dim=32, w_dim=32, channel_base=2048, channel_max=64, conv_clamp=256)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = stylegan2.Generator(config)
    for name, x in net.named_parameters():
        if name.endswith("noise_strength"):
            x.data.fill_(0.3)
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)


@pytest.mark.parametrize("noise_mode", ["const", "none", "random"])
def test_rendering_equals_what_is_differentiated(generator, noise_mode):
    ws = generator.sample_ws([0, 1, 2])
    rngs = (torch.Generator().manual_seed(0) for _ in range(2))
    rendered = generator.synthesis(ws, noise_mode, next(rngs))
    wanted = generator.synthesis(ws.clone().requires_grad_(), noise_mode, next(rngs))
    assert generator.synthesis.b64.conv1.kernels.made is not None and wanted.requires_grad
    assert (rendered - wanted).abs().max() < tol.FLOAT32_SUM * wanted.abs().max()


@pytest.mark.parametrize("radial", [False, True])
def test_rendering_a_stylegan3_equals_what_is_differentiated(radial):
    config = stylegan3.StyleGAN3Config(32, z_dim=16, w_dim=16, channel_base=1024, channel_max=32, radial=radial,
                                       conv_kernel=1 if radial else 3)  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = stylegan3.Generator(config).eval().requires_grad_(False)
    ws = net.sample_ws([0, 1])
    rendered, wanted = net.synthesis(ws), net.synthesis(ws.clone().requires_grad_())
    assert wanted.requires_grad
    assert (rendered - wanted).abs().max() < tol.PARITY * wanted.abs().max()


def test_kernels_follow_their_weights(generator):
    ws, weight = generator.sample_ws([0]), generator.synthesis.b64.conv1.weight
    before = generator.synthesis(ws)
    kept = generator.synthesis.b64.conv1.kernels.made
    generator.synthesis(ws)
    assert generator.synthesis.b64.conv1.kernels.made is kept
    weight.mul_(-1)
    after = generator.synthesis(ws)
    wanted = generator.synthesis(ws.clone().requires_grad_())
    weight.mul_(-1)
    assert (after - before).abs().max() > 0.01 and (after - wanted).abs().max() < tol.PARITY
    assert not any("kernels" in key for key in generator.state_dict())


def test_inference_mode_leaves_kernels_that_others_can_use():
    config = stylegan2.StyleGAN2Config(16, z_dim=8, w_dim=8, channel_base=128, channel_max=8)
    net = stylegan2.Generator(config).eval().requires_grad_(False)
    ws = net.sample_ws([0])
    with torch.inference_mode():
        first = net.synthesis(ws)
    assert torch.equal(net.synthesis(ws), first)
    assert not net.synthesis.b16.conv1.kernels.made.made.is_inference()


def test_not_where_it_cannot_be():
    weight, x = torch.randn(4, 4, 3, 3), torch.randn(1, 4, 16, 16)
    assert winograd.only_renders(x, weight) and winograd.pays(x, weight)
    assert not winograd.only_renders(x, weight.clone().requires_grad_())
    assert not winograd.only_renders(x.bfloat16()) and not winograd.only_renders(x.to("meta"))
    with torch.autocast("cpu"):
        assert not winograd.only_renders(x)
    with torch.no_grad():
        assert winograd.only_renders(x, weight.clone().requires_grad_())
    assert not winograd.pays(torch.randn(1, 4, 8, 8), weight) and not winograd.pays(x, weight[:, :, :1, :1])


def test_forward_differentiation_is_no_rendering(generator):
    ws = generator.sample_ws([0])
    step = torch.randn_like(ws)
    _, found = torch.func.jvp(generator.synthesis, (ws,), (step,))
    seen = ws.clone().requires_grad_()
    img = generator.synthesis(seen)
    weights = torch.randn_like(img)
    (grad,) = torch.autograd.grad((img * weights).sum(), seen)
    wanted, found = (grad * step).sum(), (found * weights).sum()
    assert (found - wanted).abs() < tol.PARITY * (grad * step).norm() * step.numel() ** 0.5
