"""Decoders that remember: a chunk of time after the other is the whole at once, in value and in gradient."""

from __future__ import annotations

import weakref
from functools import partial

import pytest
import torch
from torch import nn

import tolerances as tol
from soundguide_core.diffusion import preview_decoders as pd
from soundguide_core.diffusion.causal_decoding import TinyVideoDecoder, decode_in_time, gradient_in_time


class Remember(nn.Module):
    """x' = tanh(W [x, past])"""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(2 * channels, channels, 3, padding=1)

    def forward(self, x, past):
        return torch.tanh(self.conv(torch.cat([x, past], dim=1)))


class Grow(nn.Module):
    """Each frame becomes `times` of them."""

    def __init__(self, channels, times):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels * times, 1)
        self.channels = channels

    def forward(self, x):
        return self.conv(x).reshape(-1, self.channels, *x.shape[2:])


@pytest.fixture
def tiny():
    """8 channels => 4 pictures a latent frame, through memories at one, one and two frames a latent frame."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Sequential(
            *(nn.Conv2d(8, 4, 3, padding=1), Remember(4), Remember(4), nn.Upsample(scale_factor=2), Grow(4, 2)),
            *(Remember(4), Grow(4, 2), nn.Conv2d(4, 12, 3, padding=1)),
        )
    return TinyVideoDecoder(layers.double(), [1, 2, 5], grow=4, patch=2)


def frame_by_frame(decoder, z):
    """The definition: every frame alone, deepest layer first, each memory the last input that its layer has seen."""
    past = {}

    def through(x, i):
        if i == len(decoder.layers):
            return [nn.functional.pixel_shuffle(x, decoder.patch)]
        layer = decoder.layers[i]
        if i in decoder.remembers:
            made = layer(x, past.get(i, torch.zeros_like(x)))
            past[i] = x
            return through(made, i + 1)
        made = layer(x)
        grown = made.unflatten(0, (len(x), -1)).unbind(1)
        return [picture for part in grown for picture in through(part, i + 1)]

    pictures = [picture for frame in z.unbind(2) for picture in through(frame, 0)]
    return torch.stack(pictures[decoder.grow - 1 :], dim=1)


def gradient(fn, z):
    z = z.clone().requires_grad_()
    made = fn(z)
    pull = torch.randn(made.shape, generator=torch.Generator().manual_seed(1), dtype=made.dtype)
    return made.detach(), torch.autograd.grad((made * pull).sum(), z)[0]


def latent(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 9])
def test_chunks_of_time_are_the_frames_one_by_one_and_so_is_their_gradient(tiny, chunk):
    z = latent(2, 8, 5, 3, 4)
    wanted, pulled = gradient(partial(frame_by_frame, tiny), z)
    made, got = gradient(partial(tiny, chunk=chunk), z)
    assert made.shape == (2, 17, 3, 12, 16)
    assert torch.allclose(made, wanted, rtol=0, atol=tol.FLOAT64)
    assert torch.allclose(got, pulled, rtol=0, atol=tol.FLOAT64_SUM)


def test_the_last_picture_pulls_on_the_latents_before(tiny):
    """What the memories carry is part of the gradient: two of them see one latent frame back each. Cut there, as in the
    host's way through time, it would reach the last one only."""
    z = latent(1, 8, 4, 2, 2).requires_grad_()
    g = torch.autograd.grad(tiny(z, 1)[:, -1].sum(), z)[0]
    assert (g.abs().amax(dim=(0, 1, 3, 4)) > 0).tolist() == [False, True, True, True]


@pytest.mark.parametrize("chunk", [1, 2, 3, 5])
def test_a_gradient_of_each_chunk_by_itself_is_that_of_all_pictures(tiny, chunk):
    z = latent(2, 8, 5, 3, 4).requires_grad_()
    pictures = frame_by_frame(tiny, z)
    weights = latent(*pictures.shape)
    wanted = torch.autograd.grad((weights * pictures.square()).sum(), z)[0]
    firsts = [0, *torch.tensor([4 * part.shape[2] for part in tiny.parts(z, chunk)]).cumsum(0).sub(3).tolist()]
    pull = lambda p, i: 2 * weights[:, firsts[i] : firsts[i] + p.shape[1]] * p  # noqa: E731
    got = gradient_in_time(tiny, z, chunk, pull)
    assert torch.allclose(got, wanted, rtol=0, atol=tol.FLOAT64_SUM)


class Counted:
    """A decoder; how many memories are alive at the most, and how many chunks were decoded."""

    def __init__(self, decoder):
        self.decoder, self.alive, self.most, self.steps = decoder, 0, 0, 0

    def parts(self, z, chunk):
        return self.decoder.parts(z, chunk)

    def step(self, part, memory):
        made, memory = self.decoder.step(part, memory)
        self.steps, self.alive = self.steps + 1, self.alive + 1
        self.most = max(self.most, self.alive)
        memory = [x.clone() for x in memory]
        weakref.finalize(memory[0], self._gone)
        return made, memory

    def _gone(self):
        self.alive -= 1


def test_memories_are_kept_for_log2_of_the_chunks(tiny):
    counted = Counted(tiny)
    gradient_in_time(counted, latent(1, 8, 32, 2, 2), 1, lambda p, i: torch.ones_like(p))
    assert counted.most <= 5 + 2  # log2 32, one on its way and that of the chunk at hand
    assert counted.steps == 32 + 32 // 2 * 5


def test_what_is_kept_of_a_chunk_holds_none_of_the_others(tiny):
    class Last(nn.Module):
        def parts(self, z, chunk):
            return z.split(chunk, dim=2)

        def step(self, part, memory):
            if memory is not None:
                assert memory[0].untyped_storage().nbytes() == memory[0].nbytes
            return part.transpose(1, 2), [part[:, :, -1:], "a note"]

    z = latent(1, 3, 6, 2, 2)
    assert torch.equal(gradient_in_time(Last(), z, 3, lambda p, i: torch.full_like(p, i)).mean((0, 1, 3, 4)),
                       torch.tensor([0, 0, 0, 1, 1, 1]).double())  # fmt: skip


class Causal(nn.Module):
    """A causal convolution over time that keeps its last two inputs in the caller's list, as in Wan's VAE."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(0)).double())

    def parts(self, z, chunk):
        return z.split(chunk, dim=2)

    def step(self, part, memory):
        past = part.new_zeros(*part.shape[:2], 2, *part.shape[3:]) if memory is None else memory[1]
        seen = torch.cat([past, part], dim=2)
        made = torch.tanh(torch.einsum("oik,bitkhw->bothw", self.weight, seen.unfold(2, 3, 1).movedim(-1, 3)))
        return made.transpose(1, 2), ["Rep", seen[:, :, -2:]]


@pytest.mark.parametrize("chunk", [1, 2, 7])
def test_memories_with_other_notes_in_them_are_carried_and_differentiated(chunk):
    network, z = Causal(), latent(1, 2, 7, 2, 2)
    wanted, pulled = gradient(lambda z: network.step(z, None)[0], z)
    made, got = gradient(lambda z: decode_in_time(network, z, chunk), z)
    assert torch.allclose(made, wanted, atol=tol.FLOAT64) and torch.allclose(got, pulled, rtol=0, atol=tol.FLOAT64)


# What else makes pictures


def test_a_linear_map_is_one_product_a_point():
    factors, bias = latent(4, 3), latent(3)
    decoder = pd.Factors(factors.tolist(), bias.tolist()).double()
    z = latent(2, 4, 3, 5, 6)
    wanted = torch.einsum("bcthw,cr->btrhw", z, decoder.weight[:, :, 0, 0].T) + decoder.bias[:, None, None]
    assert torch.allclose(decoder(z, 1), wanted.flatten(0, 1), atol=tol.FLOAT64)
    assert torch.allclose(decoder.weight[:, :, 0, 0].T, factors, atol=tol.FLOAT32)  # not transposed
    cut = pd.Factors(factors.tolist(), reshape=lambda z: z[:, :4])
    z = latent(1, 9, 2, 2).float()
    assert torch.allclose(cut(z, 1)[0, :, 0, 0], factors.T.float() @ z[0, :4, 0, 0], atol=tol.FLOAT32)


class Vae(nn.Module):
    def __init__(self, break_it=False):
        super().__init__()
        self.conv, self.break_it = nn.Conv2d(4, 4, 3, padding=1).double(), break_it

    def decode(self, z):
        x = torch.tanh(self.conv(z.transpose(1, 2).flatten(0, 1) if z.ndim == 5 else z))
        x = x.detach() if self.break_it else x
        return x.unflatten(0, (len(z), -1)).transpose(1, 2) if z.ndim == 5 else x


@pytest.mark.parametrize("video", [False, True])
def test_a_full_decoder_in_two_passes_is_the_whole_at_once(video):
    vae, z = Vae(), latent(3, 4, 2, 3, 3) if video else latent(5, 4, 3, 3)
    decoder = pd.FullDecoder(vae, lambda z: z / 0.5 + 1, video=video, scale=2.0, shift=-1.0)
    direct = lambda z: pd.as_batch(vae.decode(z / 0.5 + 1))[:, :3] * 2 - 1  # noqa: E731
    wanted, pulled = gradient(direct, z)
    for chunk in (1, 2, 5):
        made, got = gradient(partial(decoder, chunk=chunk), z)
        assert torch.allclose(made, wanted, rtol=0, atol=tol.FLOAT64)
        assert torch.allclose(got, pulled, rtol=0, atol=tol.FLOAT64)


def test_a_vae_that_cuts_gradients_is_refused():
    decoder = pd.FullDecoder(Vae(break_it=True), lambda z: z, video=True)
    with pytest.raises(ValueError, match="No gradient comes back"):
        decoder(latent(1, 4, 2, 2).requires_grad_(), 1)
