import numpy as np
import pytest
import torch
from PIL import Image

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.media import images


def random_img(b=2, h=5, w=7, seed=0):
    return torch.rand(b, 3, h, w, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_host_layout_both_ways():
    img = random_img()
    host = images.to_host(img)
    for b, c, y, x in np.ndindex(2, 3, 5, 7):
        assert host[b, y, x, c] == pytest.approx((img[b, c, y, x].item() + 1) / 2, abs=tol.FLOAT32)
    torch.testing.assert_close(images.from_host(host), img)


def test_to_host_clamps():
    assert images.to_host(torch.full((1, 3, 1, 1), 9.0)).max() == 1


def test_grey_and_alpha():
    grey = images.from_host(torch.full((1, 2, 2, 1), 0.25))
    torch.testing.assert_close(grey, torch.full((1, 3, 2, 2), -0.5))
    half = torch.tensor([0.0, 0.0, 0.0, 0.5]).expand(1, 2, 2, 4)  # black, half transparent, on white: mid grey
    torch.testing.assert_close(images.from_host(half), torch.zeros(1, 3, 2, 2))


def test_uint8_is_exact_both_ways():
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).expand(1, 16, 16, 3)
    assert torch.equal(images.to_uint8(images.from_uint8(pixels)), pixels)


def test_png_round_trip(tmp_path):
    img = images.from_uint8(images.to_uint8(random_img(1)))
    images.save_image(img, tmp_path / "a.png")
    torch.testing.assert_close(images.load_image(tmp_path / "a.png"), img)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_a_quick_png_is_the_same_picture(tmp_path):
    img = random_img(1)
    images.write_png(img, tmp_path / "usual.png")
    images.write_png(img, tmp_path / "quick.png", quick=True)
    first, second = (np.array(Image.open(tmp_path / f"{name}.png")) for name in ("usual", "quick"))
    assert np.array_equal(first, second)


def test_exif_turns_the_picture_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    Image.fromarray(np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)).save(tmp_path / "a.png", exif=exif)
    assert images.load_image(tmp_path / "a.png").shape == (1, 3, 3, 2)


def test_sixteen_bit_grey(tmp_path):
    Image.fromarray(np.array([[0, 65535]], dtype=np.uint16)).save(tmp_path / "a.png")
    torch.testing.assert_close(images.load_image(tmp_path / "a.png")[0, 0], torch.tensor([[-1.0, 1.0]]))


def test_failed_save_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(Image.Image, "save", lambda self, path, **_: (path.write_bytes(b"half"), 1 / 0))
    with pytest.raises(ZeroDivisionError):
        images.save_image(random_img(1), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_stretch_is_interpolate():
    img = random_img()
    expected = torch.nn.functional.interpolate(img, (9, 4), mode="bilinear", antialias=True)
    torch.testing.assert_close(images.resize(img, (9, 4), "stretch"), expected)


def test_cover_crops_the_centre():
    img = torch.zeros(1, 3, 4, 8)
    img[..., 2:6] = 1
    torch.testing.assert_close(images.resize(img, (4, 4), "cover"), torch.ones(1, 3, 4, 4))


def test_contain_pads_with_black():
    out = images.resize(torch.ones(1, 3, 4, 8), (8, 8), "contain")
    assert (out[0, 0].mean(dim=1) == torch.tensor([-1.0] * 2 + [1] * 4 + [-1] * 2)).all()


@pytest.mark.parametrize("policy", ["cover", "contain", "stretch"])
@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (33, 47)])
def test_any_size_goes_in(policy, size):
    out = images.resize(torch.zeros(1, 3, *size), (16, 24), policy)
    assert out.shape == (1, 3, 16, 24) and torch.isfinite(out).all()


def test_resize_is_differentiable():
    img = random_img().requires_grad_()
    images.resize(img, (4, 4)).sum().backward()
    assert img.grad.abs().sum() > 0


def test_grid_places_every_picture():
    imgs = random_img(5, 4, 6)
    sheet = images.grid(imgs, columns=2, gap=1)
    assert sheet.shape == (3, 3 * 5 - 1, 2 * 7 - 1)
    torch.testing.assert_close(sheet[:, 10:14, 0:6], imgs[4])
    torch.testing.assert_close(sheet[:, 5:9, 7:13], imgs[3])
    assert (sheet[:, 4] == 1).all() and (sheet[:, 10:, 7:] == 1).all()


@pytest.mark.parametrize("name", ["a.txt", "a", "a.mp4"])
def test_ending(tmp_path, name):
    with pytest.raises(InputError, match=r"\.png"):
        images.save_image(random_img(1), tmp_path / name)


def test_bytes_come_in_as_the_hosts_pictures_do():
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).expand(-1, -1, -1, 3).contiguous()
    assert torch.equal(images.from_uint8(pixels), images.from_host(pixels.float() / 255))
