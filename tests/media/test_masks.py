from __future__ import annotations

import pytest
import torch

from soundguide_core.common.errors import InputError
from soundguide_core.media.masks import check_marked, composite, feathered, fitted


def half(h: int = 12, w: int = 20) -> torch.Tensor:
    """The left half."""
    mask = torch.zeros(1, 1, h, w)
    mask[..., : w // 2] = 1
    return mask


def test_a_mask_is_scaled_to_its_pictures():
    assert torch.equal(fitted(half(), (12, 20)), half())
    larger = fitted(half(), (24, 40))
    assert larger.shape == (1, 1, 24, 40) and torch.equal(larger[..., :18], torch.ones(1, 1, 24, 18))
    assert larger[..., 22:].max() == 0 and fitted(half().bool(), (12, 20)).dtype == torch.float32
    assert fitted(half(12, 20), (121, 200)).shape == (1, 1, 121, 200)  # a rounded proportion is no other shape


def test_what_is_no_mask_is_refused():
    with pytest.raises(InputError, match="mask of 20 x 12 does not have the shape of pictures of 20 x 20"):
        fitted(half(), (20, 20))
    for wrong in (255 * half(), half() - 0.5, half() * float("nan")):
        with pytest.raises(InputError, match=r"outside 0\.\.1"):
            fitted(wrong, (12, 20))
    with pytest.raises(InputError, match="F 1 H W"):
        fitted(half()[0], (12, 20))


def test_an_edge_fades_inwards():
    soft = feathered(half(), 3)[0, 0]
    assert torch.allclose(soft[5, 5:12], torch.tensor([1, 1, 3 / 4, 2 / 4, 1 / 4, 0, 0]))
    assert (soft == soft[5]).all()  # the border of the picture is no edge
    assert torch.equal(feathered(half(), 0), half()) and torch.equal(feathered(0 * half() + 1, 5), 0 * half() + 1)
    thin = torch.zeros(2, 1, 9, 9)
    thin[1, 0, 4] = 0.5
    assert torch.allclose(feathered(thin, 4), thin / 5)  # each picture by itself; what is thin does not vanish


def test_composite_keeps_the_source_to_the_bit():
    img_src, img = torch.randn(2, 3, 12, 20), torch.randn(2, 3, 12, 20)
    mask = torch.rand(2, 1, 12, 20) * half()
    laid = composite(img_src, img, mask)
    assert torch.equal(laid[..., 10:], img_src[..., 10:])
    assert torch.allclose(laid, mask * img + (1 - mask) * img_src)
    assert torch.equal(composite(img_src, img, half())[..., :10], img[..., :10])


@pytest.mark.parametrize("invert", [False, True])
def test_a_mask_must_mark_something_after_it_is_inverted(invert):
    empty, full = torch.zeros(2, 1, 3, 3), torch.ones(2, 1, 3, 3)
    useless, useful = (full, empty) if invert else (empty, full)
    check_marked(useful, invert)
    useful = useless.clone()
    useful[1, 0, 0, 0] = 0.5
    check_marked(useful, invert)
    with pytest.raises(InputError, match="marks nothing to edit"):
        check_marked(useless, invert)
