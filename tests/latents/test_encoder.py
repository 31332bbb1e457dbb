"""Inversion encoders: what they see, which generator they belong to, and files of them."""

import pytest
import torch

from soundguide_core.common.errors import InputError
from soundguide_core.common.rng import with_seed
from soundguide_core.embedding.ir_se import IRSEConfig
from soundguide_core.embedding.style_pyramid import InversionConfig
from soundguide_core.generators.loading import load_generator
from soundguide_core.latents.encoder import InversionEncoder, load_inversion_encoder, save_inversion_encoder

NARROW = IRSEConfig((4, 4, 4, 4, 8), (1, 1, 1, 1), 4)


def build(**changes) -> InversionEncoder:
    sizes = {"w_dim": 8, "groups": (2, 3, 3), "sides": (2, 4, 8), "activated": False, "centred": True}
    config = InversionConfig(NARROW, **{**sizes, "shared": 6, "deltas": True, **changes})
    return with_seed(0, lambda: InversionEncoder(config, (32, 32))).eval()


@torch.no_grad()
def test_a_file_of_it(tiny, tmp_path):
    encoder, generator = build(), load_generator(tiny.generator)
    encoder.check(generator)
    save_inversion_encoder(tmp_path / "e.safetensors", encoder, half=False)
    again = load_inversion_encoder(tmp_path / "e.safetensors")
    img = torch.rand(2, 3, 40, 70) * 2 - 1
    assert torch.equal(again(img), encoder(img)) and again(img).shape == (2, 8, 8)
    assert torch.equal(again(img), again(again.view(img)))


def test_another_generator_is_refused(tiny):
    with pytest.raises(InputError, match="finds 7 latents of 8 dims, the generator takes 8 of 8"):
        build(groups=(2, 2, 3)).check(load_generator(tiny.generator))


@pytest.mark.parametrize("values", [{"shared": -1}, {"shared": 2**20}, {"groups": (2, -1, 3)}])
def test_impossible_sizes(values):
    with pytest.raises(InputError):
        build(**values)


@torch.no_grad()
def test_shared_heads_are_one_linear_layer_each():
    encoder = build(deltas=False)
    img = torch.rand(1, 3, 32, 32)
    maps = encoder._maps(img)
    first = 0
    for heads, seen, count in zip(encoder.styles, maps, (2, 3, 3)):
        features = heads.convs(seen).flatten(1)
        for i in range(count):
            rows = slice(8 * i, 8 * i + 8)
            expected = features @ heads.linear.weight[rows].T + heads.linear.bias[rows]
            torch.testing.assert_close(encoder(img)[:, first + i], expected)
        first += count
