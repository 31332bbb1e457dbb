"""The compiled loops beside PyTorch's operations, whole networks with and without them, and when they are used."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import tolerances as tol
from soundguide_core.generators import compiled, doubling, lowpass, ops, stylegan2, stylegan3

from .test_winograd import finished, layer


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(params=[1, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1, 1), (1, 5, 7, 4, 4), (3, 16, 24, 9, 5), (2, 32, 20, 33, 40)])
def test_doubling_filters_and_finishes(sizes, threads):
    x, weight, around = layer(*sizes)
    noise = torch.randn(1, 2 * sizes[3], 2 * sizes[4], generator=torch.Generator().manual_seed(2))
    for case in (replace(around, noise=noise), replace(around, noise=None, clamp=None)):
        found = doubling.up_filtered(x, doubling.phases_of(weight), case, compiled.load())
        wanted = finished(ops.conv2d_up(x.double(), weight.double()), case)
        assert found.is_contiguous(memory_format=torch.channels_last)
        assert found.shape == wanted.shape and (found - wanted).abs().max() < tol.FLOAT32_SUM


@pytest.mark.parametrize(("up", "down"), [(2, 2), (4, 2), (2, 4), (4, 4), (1, 1), (2, 1)])
@pytest.mark.parametrize("radial", [False, True])
@pytest.mark.parametrize("clamp", [None, 0.7])
def test_a_filtered_leaky_relu_equals_its_parts(up, down, radial, clamp, threads):
    rng = torch.Generator().manual_seed(up + down)
    x = torch.randn(2, 70, 24, 24, generator=rng).to(memory_format=torch.channels_last)
    rising = lowpass.Filter(torch.randn(6 * up, generator=rng) / up, up)
    falling = lowpass.lowpass_filter(6 * down, 4, 4, 32 * down, radial=radial)
    if not radial:
        falling = torch.randn(6 * down, generator=rng) / down
    falling = lowpass.Filter(falling, down)
    before, size = up + 1, 19 * up + 3
    assert rising.suits(6) and falling.suits(6)
    found = lowpass.filtered_lrelu(x, rising, falling, before, size, clamp, compiled.load())
    wanted = F.leaky_relu(lowpass.upsample(x.double(), rising.taps.double(), up, before, size), 0.2)
    wanted = wanted if clamp is None else wanted.clamp(-clamp, clamp)
    wanted = lowpass.downsample(wanted, falling.taps.double(), down)
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() < tol.FLOAT32_SUM * wanted.abs().max().clamp(min=1)


def test_filters_that_the_loop_does_not_take():
    assert not lowpass.Filter(torch.ones(16), 2).suits(6)
    uneven = torch.ones(12, 12)
    uneven[0] = 2
    assert not lowpass.Filter(uneven, 2).suits(6) and lowpass.Filter(torch.ones(12, 12), 2).suits(6)


def networks() -> list:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = stylegan2.StyleGAN2Config(128, z_dim=32, w_dim=32, channel_base=4096, channel_max=48, conv_clamp=256)
        net = stylegan2.Generator(config)
        for name, x in net.named_parameters():
            if name.endswith("noise_strength"):
                x.data.fill_(0.3)
        found = [pytest.param(net, id="StyleGAN2")]
        for radial in (False, True):
            config = stylegan3.StyleGAN3Config(64, z_dim=16, w_dim=16, channel_base=2048, channel_max=40, radial=radial,
                                               conv_kernel=1 if radial else 3)  # fmt: skip
            found.append(pytest.param(stylegan3.Generator(config), id="StyleGAN3-R" if radial else "StyleGAN3-T"))
    return found


@pytest.mark.parametrize("net", networks())
def test_a_network_with_and_without_them(net, monkeypatch):
    net = net.eval().requires_grad_(False)
    ws = net.sample_ws([0, 1])
    monkeypatch.setattr(compiled, "WORTH", float("inf"))
    wanted = net.synthesis(ws)
    monkeypatch.setattr(compiled, "WORTH", 0)
    found = net.synthesis(ws)
    assert not torch.equal(found, wanted)  # they were used
    assert (found - wanted).abs().max() < tol.PARITY * wanted.abs().max()
    assert net.synthesis(ws[:0]).shape == (0, *found.shape[1:])


@pytest.mark.parametrize("net", networks())
def test_several_callers_at_once(net, threads, monkeypatch):
    net = net.eval().requires_grad_(False)
    ws = net.sample_ws([0, 1])
    monkeypatch.setattr(compiled, "WORTH", 0)
    wanted = net.synthesis(ws)
    with ThreadPoolExecutor(4) as callers:
        assert all(torch.equal(found, wanted) for found in callers.map(net.synthesis, [ws] * 8))


@pytest.mark.slow
def test_no_index_leaves_its_array(tmp_path):
    """numba looks at no index unless it is told to: the tests that call the loops once more, in such a process."""
    here = Path(__file__).parent
    told = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    which = "doubling or filtered or with_and_without or a_layer or any_size or strips"
    files = [str(here / name) for name in ("test_compiled.py", "test_winograd.py")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files, "-k", which],
        env=told, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0 and "passed" in done.stdout, done.stdout


@pytest.mark.parametrize("clamp", [None, 0.5])
def test_what_is_no_number_stays_none(clamp):
    x, weight, around = layer(1, 8, 8, 9, 9)
    x[0, 3, 4, 4] = float("nan")
    around = replace(around, noise=None, clamp=clamp)
    doubled = doubling.up_filtered(x, doubling.phases_of(weight), around, compiled.load())
    assert doubled.isnan().any() and doubled[..., -1].isfinite().all()
    filters = lowpass.Filter(torch.ones(12), 2), lowpass.Filter(torch.ones(12), 2)
    assert lowpass.filtered_lrelu(x, *filters, 3, 20, clamp, compiled.load()).isnan().any()


def test_the_size_of_a_layer_decides():
    """And neither the batch nor what was rendered before: pictures would differ by rounding."""
    large, small = torch.empty(512, 512, 3, 3), torch.empty(64, 64, 3, 3)
    maps = torch.empty(1, 512, 64, 64)
    assert compiled.loops_for(maps, large) is compiled.load() is not None
    assert compiled.loops_for(torch.empty(64, 1, 64, 64), small) is None


ERRORS = [ImportError("no numba"), RuntimeError("cannot cache function: no locator"), OSError("no llvmlite.so")]


@pytest.mark.parametrize("error", [*ERRORS, AttributeError("numpy has no attribute")])
def test_nothing_is_compiled_where_it_cannot_be(monkeypatch, error):
    class Fails:
        def find_spec(self, name, *_):
            if name.endswith("generators.loops"):
                raise error

    monkeypatch.delitem(sys.modules, "soundguide_core.generators.loops", raising=False)
    monkeypatch.delattr("soundguide_core.generators.loops", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Fails(), *sys.meta_path])
    assert compiled.load.__wrapped__() is None


@pytest.mark.parametrize("count", [10, 7, 3, 1])
def test_sharing_does_each_piece_once(count, threads):
    done = []
    compiled.share(count, lambda first, last: done.append((first, last)))
    assert sorted(i for first, last in done for i in range(first, last)) == list(range(count))
    assert len(done) == min(count, threads)
