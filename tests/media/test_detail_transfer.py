from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.media import detail_transfer
from soundguide_core.media.detail_transfer import local_mean, mixed_pixels, transfer_detail
from soundguide_core.media.masks import composite
from soundguide_core.metrics.detail import octave_gains


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 1.6 - 0.8


def scene(h: int = 96, w: int = 128) -> torch.Tensor:
    """A dark house before a bright sky, with texture everywhere: [1,3,h,w]."""
    img = torch.full((1, 3, h, w), 0.6)
    img[..., h // 3 :, w // 4 : w // 2] = -0.5
    img[:, 2, : h // 2] += 0.2
    return img + 0.15 * noise(1, 1, h, w, seed=3)


def smaller(img: torch.Tensor, by: int = 4) -> torch.Tensor:
    return F.interpolate(img, (img.shape[2] // by, img.shape[3] // by), mode="bilinear", antialias=True)


def mean_by_loops(x: np.ndarray, sigma: float) -> np.ndarray:
    """x [h,w] under Gaussian weights, cut at 3 sigma, nothing beyond the border."""
    h, w = x.shape
    reach = int(3 * sigma + 0.5)
    weights = np.array([np.exp(-(d * d) / (2 * sigma * sigma)) for d in range(-reach, reach + 1)])
    weights = weights / weights.sum()
    out = np.zeros_like(x)
    for i in range(h):
        for j in range(w):
            for k in range(max(i - reach, 0), min(i + reach, h - 1) + 1):
                for m in range(max(j - reach, 0), min(j + reach, w - 1) + 1):
                    out[i, j] += weights[k - i + reach] * weights[m - j + reach] * x[k, m]
    return out


def cubic(d: float) -> float:
    """Keys' kernel with a = -1/2."""
    d = abs(d)
    if d < 1:
        return 1.5 * d**3 - 2.5 * d**2 + 1
    return -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2 if d < 2 else 0.0


def enlarged_by_loops(x: np.ndarray, size: tuple[int, int], kernel) -> np.ndarray:
    for axis in (0, 1):
        n, m = x.shape[axis], size[axis]
        rows = np.array([[kernel((i + 0.5) * n / m - (j + 0.5)) for j in range(n)] for i in range(m)])
        x = np.moveaxis(np.tensordot(rows / rows.sum(axis=1, keepdims=True), x, (1, axis)), 0, axis)
    return x


def carried_by_loops(img: np.ndarray, x: np.ndarray, p: np.ndarray, mask: np.ndarray, keep: float) -> np.ndarray:
    """The equations of the module, [3,H,W], as y = mean p + a (Y - mean x) + kept (T(Y) - T(mean x)) + r."""
    (h, w), (H, W) = x.shape[1:], img.shape[1:]
    sigma = detail_transfer.REACH * min(h, w)

    def mean(v):
        return mean_by_loops(mask * v, sigma) / mean_by_loops(mask, sigma)

    def grow(v, kernel=lambda d: max(1 - abs(d), 0)):
        return enlarged_by_loops(v, (H, W), kernel)

    lines, kept_own = [], []
    for c in range(3):
        mean_x, mean_p = mean(x[c]), mean(p[c])
        variance = mean((x[c] - 0) ** 2) - mean_x**2
        a = 1 + (mean(x[c] * (p[c] - x[c])) - mean_x * (mean_p - mean_x)) / (variance + detail_transfer.EPS)
        a = np.clip(a, 0, 1)
        r = p[c] - mean_p - a * (x[c] - mean_x)
        dark = (mean_p + p[c]) / 2
        room = np.clip(np.minimum((1 + dark) / (1 + mean_x), (1 - p[c]) / (1 - mean_x)), None, 1)
        kept = (1 - h * w / (H * W)) * np.maximum(keep * room - a, 0)
        lines.append(grow(mean_p) + grow(a) * (img[c] - grow(mean_x)) + grow(r, cubic))
        kept_own.append((grow(kept), img[c] - grow(mean_x)))
    own = np.array([own for _, own in kept_own])
    grey = sum(share * own[c] for c, share in enumerate(detail_transfer.LUMA))
    paler = grey + detail_transfer.COLOUR * (own - grey)
    return np.clip(np.array([lines[c] + kept_own[c][0] * paler[c] for c in range(3)]), -1, 1)


@pytest.mark.parametrize("keep", [1.0, 0.4, 0.0])
def test_against_loops(keep):
    img, p = noise(2, 3, 18, 24).double(), noise(2, 3, 6, 8, seed=1).double()
    x, mask = smaller(img, 3), noise(2, 1, 6, 8, seed=2).double() / 2 + 0.5
    found = transfer_detail(img, x, x + mask * (p - x), mask, keep=keep)
    for f in range(2):
        expected = carried_by_loops(*(v[f].numpy() for v in (img, x, p)), mask[f, 0].numpy(), keep)
        assert np.abs(found[f].numpy() - expected).max() < tol.FLOAT64_SUM


def test_where_nothing_changes_the_picture_is_the_same_to_the_bit():
    img = noise(2, 3, 60, 90)
    assert torch.equal(transfer_detail(img, smaller(img), smaller(img)), img)


def test_at_the_scale_of_the_edit_the_result_is_the_edit():
    img, edited = noise(2, 3, 20, 30), noise(2, 3, 20, 30, seed=1)
    assert (transfer_detail(img, img, edited) - edited).abs().max() < tol.FLOAT32


def test_each_frame_is_carried_by_itself():
    img, edited = noise(3, 3, 40, 60), noise(3, 3, 10, 15, seed=1)
    whole = transfer_detail(img, smaller(img), edited)
    parts = [transfer_detail(a, smaller(a), b) for a, b in zip(img.split(1), edited.split(1))]
    assert torch.equal(whole, torch.cat(parts))


def test_a_colour_that_is_painted_over_all_keeps_the_contrast_of_the_picture_in_every_octave():
    img = scene()
    edited = torch.tensor([0.1, -0.2, 0.0]).view(1, 3, 1, 1).expand(1, 3, 24, 32)
    gains = octave_gains(transfer_detail(img, smaller(img), edited), img)
    as_a_difference = octave_gains(img + F.interpolate(edited - smaller(img), img.shape[2:], mode="bilinear"), img)
    assert gains.min() > 0.5 and gains.max() / gains.min() < 1.2
    assert as_a_difference.max() / as_a_difference.min() > 3  # a relief


def test_what_the_edit_adds_is_there():
    img = scene()
    edited = smaller(img).clone()
    edited[..., 4:20, 26] = 1.0  # a bolt of lightning
    found = transfer_detail(img, smaller(img), edited)
    bolt = (found - img).mean(dim=1)[0]
    assert bolt[24:72, 105:107].mean() > 0.3 and bolt[:, :90].abs().max() < 0.05


def test_light_and_dark_are_never_clipped_by_what_is_kept():
    img = scene().clamp(-0.95, 0.95)
    for level in (-0.9, 0.9):
        found = transfer_detail(img, smaller(img), torch.full((1, 3, 24, 32), level))
        assert found.min() > -1 and found.max() < 1
        assert octave_gains(found, img).min() > 0.02


def test_an_edit_behind_a_mask_reaches_up_to_its_border():
    """x0 = x + mask * change: a pixel of the copy that is half in the mask holds half of the change."""
    img, change = 0.3 * noise(1, 3, 64, 64), torch.tensor([0.3, 0.2, -0.3]).view(1, 3, 1, 1)
    hard = torch.zeros(1, 1, 64, 64)
    hard[..., :30] = 1  # ends within a pixel of the copy
    soft = torch.linspace(0, 1, 64).view(1, 1, 1, 64).expand(1, 1, 64, 64)
    for mask in (hard, soft):
        small = smaller(mask)
        found = composite(img, transfer_detail(img, smaller(img), smaller(img) + small * change, small), mask)
        assert (found - (img + mask * change)).abs().max() < 1e-3
        assert torch.equal(found[(mask == 0).expand_as(found)], img[(mask == 0).expand_as(img)])


def test_a_sky_painted_anew_has_no_halo_of_the_house_before_it():
    """A pixel of the copy that holds sky and house is darker than the sky: what was painted there is no measure."""
    img, mask = torch.full((1, 3, 96, 128), 0.7), torch.ones(1, 1, 96, 128)
    img[..., 30:, 33:63] = -0.6
    mask[..., 30:, 33:63] = 0
    x, small = smaller(img), smaller(mask)
    edited = x + small * (-0.5 - x)  # the model paints a dark sky
    rim = F.max_pool2d(1 - mask, 5, 1, 2) * mask > 0

    def halo(mixed) -> float:
        found = composite(img, transfer_detail(img, x, edited, small, mixed=mixed, keep=0.0), mask)
        assert torch.equal(found * (1 - mask), img * (1 - mask))
        return float((found[:, :1][rim] - found[:, :1, :15].mean()).abs().max())

    assert halo(mixed_pixels(mask, (24, 32))) < 0.02 < 0.08 < halo(None)


def test_mixed_pixels_are_those_that_a_border_runs_through():
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., :30] = 1
    columns = mixed_pixels(mask, (16, 16))[0, 0]
    assert columns[:, 7].all() and columns.sum() <= 2 * 16
    soft = torch.linspace(0, 1, 64).view(1, 1, 1, 64).expand(1, 1, 64, 64)
    assert not mixed_pixels(soft, (16, 16)).any() and not mixed_pixels(torch.full((1, 1, 64, 64), 0.4), (16, 16)).any()


def test_mixed_pixels_count_where_there_are_no_others():
    img, mask = 0.3 * noise(1, 3, 64, 64), torch.zeros(1, 1, 64, 64)
    mask[..., 32:34] = 1  # a line that no pixel of the copy is full of
    small, mixed = smaller(mask), mixed_pixels(mask, (16, 16))
    found = transfer_detail(img, smaller(img), smaller(img) + small * 0.4, small, mixed=mixed)
    assert mixed.any() and ((found - img - 0.4)[..., 32:34]).abs().max() < 0.02
    assert torch.equal(transfer_detail(img, smaller(img), smaller(img), small, mixed=mixed), img)


def test_a_small_change_stays_small_and_frames_stay_steady():
    """Between two edits that differ by 1 %, of every strength, the results differ by little more."""
    img = scene()
    x, added = smaller(img), noise(1, 3, 24, 32, seed=5)
    for strength in (0.0, 0.1, 0.3, 1.0):
        edits = [x + (strength + step) * (added - x) for step in (0.0, 0.01)]
        one, other = (transfer_detail(img, x, edit) for edit in edits)
        assert (one - other).abs().mean() < 4 * (edits[0] - edits[1]).abs().mean()


def test_wide_neighbourhoods_are_averaged_on_a_smaller_grid():
    x = F.interpolate(noise(1, 2, 12, 12), (240, 240), mode="bicubic")
    far = local_mean(x, 60.0)
    near, detail_transfer.SIGMA = detail_transfer.SIGMA, 1e9
    try:
        exact = local_mean(x, 60.0)
    finally:
        detail_transfer.SIGMA = near
    assert (far - exact).abs().max() < 0.01


def test_shapes_that_disagree_are_refused():
    img = noise(2, 3, 40, 40)
    with pytest.raises(InputError, match="edited copy"):
        transfer_detail(img, smaller(img), noise(2, 3, 8, 10))
    with pytest.raises(InputError, match="mask has shape"):
        transfer_detail(img, smaller(img), smaller(img), torch.ones(1, 1, 10, 10))
