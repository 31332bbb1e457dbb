"""Latents that name scenes: signs of z, plain codes in w, and the pictures that go with them."""

import pytest
import torch

from soundguide_core.common.errors import InputError
from soundguide_core.generators.stylegan2 import Mapping, StyleGAN2Config
from soundguide_core.miniature.world import codes
from soundguide_core.miniature.world.codes import (
    BITS,
    LAYOUTS,
    SCENES,
    WEATHERS,
    CodedScenes,
    decode_bits,
    write_mapping,
)


@pytest.fixture(scope="module")
def coded(tmp_path_factory):
    return CodedScenes(tmp_path_factory.mktemp("coded"), size=8)


def test_every_scene_once():
    assert len(SCENES) == len(set(SCENES)) == LAYOUTS * (7 * WEATHERS * len(codes.POWERS) + 1)


def test_bits_are_binary_numbers():
    z = torch.tensor([[1.0, -1, 1, 1, -1], [-1, -1, -1, -1, 3]])
    assert decode_bits(z, slice(0, 5)).tolist() == [0b10110, 0b00001]


def test_pictures_follow_the_signs_of_z(coded):
    z, indices = coded.draw(300, 20, torch.Generator().manual_seed(0))
    for row, index in zip((z > 0).long().tolist(), indices.tolist()):
        layout, kind, weather, power = (int("".join(map(str, row[part])), 2) for part in BITS.values())
        assert SCENES[index] == ((layout, kind, weather % WEATHERS, power) if kind < 7 else (layout, 7, 0, 0))
    picture = coded.batch(indices[:2])
    assert picture.shape == (2, 3, 8, 8) and picture.min() >= -1 and picture.max() <= 1


def test_mapping_spells_the_scene():
    """One direction for the layout, one for the weather as far along as it is strong, next to nothing elsewhere."""
    mapping = Mapping(StyleGAN2Config(8, 24, 128, mapping_layers=3))
    write_mapping(mapping)
    z = torch.randn(400, 24, generator=torch.Generator().manual_seed(1))
    z = z.sign() * z.abs().clamp(min=0.05)
    w = mapping(z)
    layout, kind, weather, power = (decode_bits(z, part).tolist() for part in BITS.values())
    for row, p, k, v, s in zip(w, layout, kind, weather, power):
        expected = torch.zeros(128)
        expected[p] = codes.AMPLITUDE
        if codes.KINDS[k] is not None:
            expected[LAYOUTS + k * WEATHERS + v % WEATHERS] = codes.AMPLITUDE * codes.POWERS[s]
        assert (row - expected).abs().max() < 0.25
        assert (row - expected)[expected > 0].abs().max() < 0.08


def test_mapping_needs_room():
    for config in (StyleGAN2Config(8, 24, 64, mapping_layers=3), StyleGAN2Config(8, 24, 128, mapping_layers=2)):
        with pytest.raises(InputError, match="cannot spell"):
            write_mapping(Mapping(config))


def test_a_second_opening_reads_what_the_first_rendered(tmp_path):
    calls = []
    CodedScenes(tmp_path, size=8, on_step=lambda i, n: calls.append((i, n)))
    assert calls[-1] == (len(SCENES) - 1, len(SCENES))
    again = CodedScenes(tmp_path, size=8, on_step=lambda i, n: calls.append("rendered twice"))
    assert calls[-1] != "rendered twice" and len(again) == len(SCENES)
