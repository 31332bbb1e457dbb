"""Two passes against one, in float64, for decoders that give a picture a frame and ones that give several."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import tolerances as tol
from soundguide_core.diffusion.decoding import decode_in_chunks, decoded
from soundguide_core.diffusion.frames import Layout
from soundguide_core.diffusion.guidance import gradient


class Decoder(nn.Module):
    """[n,4,h,w] => [n * each,3,2h,2w]."""

    def __init__(self, each: int = 1):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.conv = nn.Conv2d(4, 12 * each, 3, padding=1).double().requires_grad_(False)
        self.each, self.sizes, self.recorded = each, [], []

    def forward(self, z):
        self.sizes.append(len(z))
        self.recorded.append(torch.is_grad_enabled())
        return nn.functional.pixel_shuffle(self.conv(z).tanh(), 2).unflatten(1, (self.each, 3)).flatten(0, 1)


def coupled(pictures):
    return {
        "sound": pictures.square().mean(dim=(1, 2, 3)).sin(),
        "flow": (pictures[1:] - pictures[:-1]).abs().mean(dim=(1, 2, 3)),
    }


@pytest.mark.parametrize("each", [1, 3])
@pytest.mark.parametrize("chunk", [0, 1, 2, 5])
def test_two_passes_are_exact(chunk, each):
    z = torch.randn(1, 4, 5, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights, layout = {"sound": 1.0, "flow": 2.0}, Layout()
    plain = gradient(z, lambda z: coupled(Decoder(each)(layout.frames_of(z))), weights)
    decoder = Decoder(each)
    found = gradient(z, decoded(decoder, layout.frames_of, chunk, coupled), weights)
    assert plain.g.abs().max() > 1e-4 and (found.g - plain.g).abs().max() <= tol.FLOAT64
    assert all(torch.equal(found.terms[name], plain.terms[name]) for name in weights)
    count = -(-5 // (chunk or 5))
    assert max(decoder.sizes) == (chunk or 5) and decoder.recorded == [False] * count + [True] * count


def test_without_gradients_it_decodes_once():
    decoder = Decoder()
    with torch.no_grad():
        pictures = decode_in_chunks(decoder, torch.zeros(5, 4, 3, 3, dtype=torch.float64), 2)
    assert pictures.shape == (5, 3, 6, 6) and decoder.sizes == [2, 2, 1]
