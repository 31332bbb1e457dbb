"""A change carried back to a photograph: none where nothing changed, everywhere or in the middle, at its own size."""

from __future__ import annotations

import pytest
import torch

from soundguide_core.common.errors import InputError
from soundguide_core.pipelines.blend_back import blend_back


def photo(height: int, width: int) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8


BEFORE = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("fit", ["crop", "whole"])
@pytest.mark.parametrize("size", [(90, 140), (140, 90), (64, 64), (20, 33), (200, 40)])
def test_no_change_is_none(fit, size):
    x = photo(*size)
    assert torch.equal(blend_back(x, BEFORE, BEFORE, fit=fit), x)


@pytest.mark.parametrize("fit", ["crop", "whole"])
def test_a_shift_of_light_keeps_the_texture(fit):
    x = photo(96, 160)
    made = blend_back(x, BEFORE.clamp(-0.5, 0.5), BEFORE.clamp(-0.5, 0.5) - 0.3, fit=fit)
    assert made.shape == x.shape
    middle = (made - x)[..., 30:66, 60:100]
    torch.testing.assert_close(middle, torch.full_like(middle, -0.3), atol=0.12, rtol=0)
    assert middle.std() < 0.3 * x.std()


def test_a_crop_fades_beyond_it_and_the_whole_does_not():
    x, after = photo(64, 256), BEFORE.clamp(-0.4, 0.4) - 0.4
    crop, whole = (blend_back(x, BEFORE.clamp(-0.4, 0.4), after, fit=fit) - x for fit in ("crop", "whole"))
    assert crop[..., :60].abs().max() == 0 and crop[..., -60:].abs().max() == 0
    assert crop[..., 120:136].mean() < -0.25 and whole[..., :60].mean() < -0.25
    beyond = crop[..., 82:94].mean()  # of the 16 columns over which it fades
    assert -0.4 < beyond < -0.01


def test_several_edits_of_one_photograph():
    x, after = photo(48, 48), torch.cat([BEFORE, -BEFORE])
    made = blend_back(x, BEFORE, after)
    assert torch.equal(made[:1], x) and not torch.equal(made[1:], x)
    torch.testing.assert_close(made[1:], blend_back(x, BEFORE, after[1:]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fit": "stretch"}, "no fit 'stretch'"),
        ({"keep": 2.0}, "share of contrast"),
        ({"after": torch.zeros(1, 3, 16, 16)}, "Take both pictures"),
        ({"after": torch.zeros(3, 3, 32, 32), "before": torch.zeros(2, 3, 32, 32)}, "Take both pictures"),
        ({"after": torch.zeros(1, 3, 32, 16)}, "edited picture"),
    ],
)
def test_what_does_not_meet(change, said):
    given = {"photo": photo(40, 40), "before": BEFORE, "after": BEFORE, **change}
    with pytest.raises(InputError, match=said):
        blend_back(given.pop("photo"), given.pop("before"), given.pop("after"), **given)
