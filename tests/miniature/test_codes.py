"""Latents that name scenes are standard normal, and name the scene that they come with."""

import numpy as np
import pytest
import torch

from soundguide_core.miniature import codes
from soundguide_core.miniature.codes import KIND, LAYOUT, MIRROR, POWER, SCENES, WEATHER, CodedScenes


@pytest.fixture(scope="module")
def coded(tmp_path_factory):
    return CodedScenes(tmp_path_factory.mktemp("coded"), size=8)


def test_every_scene_once():
    assert len(SCENES) == len(set(SCENES)) == codes.LAYOUTS * (7 * codes.WEATHERS * len(codes.POWERS) + 1)


def test_z_names_its_factors(coded):
    z, factors, indices = coded.draw(300, 64, torch.Generator().manual_seed(0))
    for row, (place, weather_code), index in zip(z, factors.tolist(), indices.tolist()):
        layout, kind, weather, power = SCENES[index]
        assert int(row[LAYOUT].argmax()) == layout == place // 2
        assert int(row[KIND].argmax()) == kind
        assert place % 2 == int(row[MIRROR] > 0)
        assert weather_code == (kind * codes.WEATHERS + weather) * len(codes.POWERS) + power
        if codes.KINDS[kind] is not None:
            assert int(row[WEATHER].argmax()) == weather
            assert int(torch.special.ndtr(row[POWER]) * len(codes.POWERS)) == power


def test_z_is_standard_normal_where_all_scenes_are_equally_likely(coded):
    coded = CodedScenes.__new__(CodedScenes)
    calm = np.array([codes.KINDS[kind] is None for _, kind, _, _ in SCENES])
    coded.chance = np.where(calm, codes.WEATHERS * len(codes.POWERS), 1.0)
    coded.chance /= coded.chance.sum()
    z, _, _ = coded.draw(20000, 40, torch.Generator().manual_seed(1))
    assert z.mean(0).abs().max() < 0.04
    assert (torch.cov(z.T) - torch.eye(40)).abs().max() < 0.05
    assert (z.pow(4).mean(0) - 3).abs().max() < 0.3


def test_mirrored_factors_give_mirrored_pictures(coded):
    picture = coded.picture(torch.tensor([[0, 0], [1, 0]]), torch.tensor([5, 5]))
    assert picture.shape == (2, 3, 8, 8) and torch.equal(picture[0], picture[1].flip(2))
    assert -1 <= picture.min() and picture.max() <= 1
