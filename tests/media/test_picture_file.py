"""Picture files of every kind are read as painted; what is no picture, or enormous, is refused in a sentence."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.media import picture_file
from soundguide_core.media.images import load_image

RAMP = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)


def save(path, pixels, **options):
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(path, **options)
    return path


def png(width: int, height: int, colour: int = 2) -> bytes:
    """A PNG of zeros, a thousandth the size of its pixels."""
    pack = zlib.compressobj(9)
    row = b"\0" + bytes(width * {2: 3, 6: 4}[colour])
    data = b"".join([pack.compress(row) for _ in range(height)] + [pack.flush()])

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("name", ["a.png", "a.eps", "a.jpg"])
def test_a_picture_starts_no_program(tmp_path, monkeypatch, name):
    for start in ("subprocess.Popen", "os.system", "os.posix_spawn"):
        monkeypatch.setattr(start, lambda *_, **__: pytest.fail("a program was started"))
    (tmp_path / name).write_bytes(EPS)
    with pytest.raises(InputError, match="it is none of"):
        load_image(tmp_path / name)


@pytest.mark.parametrize("kind", ["PPM", "TGA", "PCX", "SGI", "ICO", "PDF"])
def test_other_formats_are_refused_under_any_name(tmp_path, kind):
    save(tmp_path / "a.png", np.zeros((16, 16, 3), np.uint8), format=kind)
    with pytest.raises(InputError, match="it is none of"):
        load_image(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"])
def test_the_known_formats_are_read_under_any_name(tmp_path, kind):
    path = save(tmp_path / "a.picture", Image.new("RGB", (8, 8), (200, 100, 50)), format=kind)
    expected = torch.tensor([200, 100, 50]) / 127.5 - 1
    assert (load_image(path)[0, :, 4, 4] - expected).abs().max() < 0.03
    assert torch.equal(load_image(io.BytesIO(path.read_bytes())), load_image(path))


def test_enormous_pictures_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("it was decoded"))
    (tmp_path / "a.png").write_bytes(png(12000, 9000))
    with pytest.raises(InputError, match="more than 50 million pixels"):
        load_image(tmp_path / "a.png")
    head = b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\0\0\0"
    (tmp_path / "a.gif").write_bytes(head + b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x08\x00;")
    with pytest.raises(InputError):
        load_image(tmp_path / "a.gif")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "1", "P", "I;16", "F", "CMYK"])
def test_large_pictures_are_shrunk_and_keep_their_colours(tmp_path, monkeypatch, mode):
    kind = {"CMYK": "TIFF", "F": "TIFF"}.get(mode, "PNG")
    colour = {"F": 0.5, "I;16": 32768, "CMYK": (0, 0, 0, 127), "RGBA": (128, 128, 128, 255), "LA": (128, 255)}
    flat = Image.new(mode, (40, 20), colour.get(mode, 1 if mode == "1" else 128 if mode in ("L", "P") else (128,) * 3))
    path = save(tmp_path / "a", flat, format=kind)
    whole = load_image(path)
    monkeypatch.setattr(picture_file, "KEPT_PIXELS", 100)
    small = load_image(path)
    assert small.shape == (1, 3, 7, 14)
    assert (small - whole[..., :7, :14]).abs().max() < 0.02


def test_a_large_jpeg_is_decoded_smaller(tmp_path, monkeypatch):
    path = save(tmp_path / "a.jpg", Image.new("RGB", (400, 300), (10, 200, 30)))
    monkeypatch.setattr(picture_file, "MOST_PIXELS", 10_000)
    img = load_image(path)
    assert img.shape == (1, 3, 75, 100)
    assert (img[0, :, 5, 5] - (torch.tensor([10, 200, 30]) / 127.5 - 1)).abs().max() < 0.03


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0, 1e6])
def test_float_pictures_are_as_painted(tmp_path, white):
    path = save(tmp_path / "a.png", RAMP * white, format="TIFF")
    torch.testing.assert_close(load_image(path)[0, 1] / 2 + 0.5, torch.from_numpy(RAMP), atol=tol.FLOAT32_SUM, rtol=0)


def test_a_float_picture_a_little_above_one_is_clipped(tmp_path):
    path = save(tmp_path / "a.tiff", RAMP * 1.3)
    torch.testing.assert_close(load_image(path)[0, 0] / 2 + 0.5, torch.from_numpy(RAMP * 1.3).clamp(max=1))


def test_lights_of_a_float_picture_are_cut_off(tmp_path):
    img = load_image(save(tmp_path / "a.tiff", RAMP * 3))[0, 0] / 2 + 0.5
    torch.testing.assert_close(img, torch.from_numpy(RAMP * 3).clamp(max=1), atol=tol.FLOAT32_SUM, rtol=0)
    sun = np.full((64, 64), 0.25, np.float32)
    sun[:4, :4] = 1000.0
    assert load_image(save(tmp_path / "b.tiff", sun))[0, 0, 32, 32] == -0.5


def test_whole_numbers_in_floats_are_levels(tmp_path):
    levels = np.arange(8, dtype=np.float32).reshape(2, 4)
    img = load_image(save(tmp_path / "a.tiff", levels))[0, 0] / 2 + 0.5
    torch.testing.assert_close(img, torch.from_numpy(levels / 255), atol=tol.FLOAT32_SUM, rtol=0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_is_turned_once(tmp_path, orientation):
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[0, 0] = 255
    exif = Image.Exif()
    exif[0x112] = orientation
    tiff = save(tmp_path / "a.tiff", Image.fromarray(pixels), tiffinfo={0x112: orientation})
    assert torch.equal(load_image(tiff), load_image(save(tmp_path / "a.png", pixels, exif=exif)))


def test_one_clear_value_of_sixteen_bits(tmp_path):
    path = save(tmp_path / "a.png", np.array([[1000, 20000]], np.uint16))
    whole, clear = path.read_bytes(), b"tRNS" + struct.pack(">H", 1000)
    chunk = struct.pack(">I", 2) + clear + struct.pack(">I", zlib.crc32(clear))
    path.write_bytes(whole[:33] + chunk + whole[33:])
    img = load_image(path)[0, 0, 0] / 2 + 0.5
    assert img[0] == 1 and abs(float(img[1]) - 20000 / 65535) < 1e-4


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_float_pictures_without_numbers_are_refused(tmp_path, value):
    with pytest.raises(InputError, match="not numbers"):
        load_image(save(tmp_path / "a.tiff", np.full((4, 4), value, np.float32)))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_as_painted(tmp_path, kind):
    path = save(tmp_path / "a", (RAMP * 65535).round().astype(np.uint16), format=kind)
    torch.testing.assert_close(load_image(path)[0, 0] / 2 + 0.5, torch.from_numpy(RAMP), atol=tol.PARITY, rtol=0)
    dark = save(tmp_path / "b", np.full((4, 4), 200, np.uint16), format=kind)
    assert load_image(dark).max() < -0.98


def test_thirty_two_bits_are_as_painted(tmp_path):
    path = save(tmp_path / "a.tiff", (RAMP * 65535).round().astype(np.int32))
    torch.testing.assert_close(load_image(path)[0, 0] / 2 + 0.5, torch.from_numpy(RAMP), atol=tol.PARITY, rtol=0)


def tiff(values: np.ndarray, *, sign: int, white_is_zero: bool = False, order: str = "<") -> bytes:
    """A TIFF of one channel as other programs write them. sign: 1 unsigned, 2 signed, 3 floats."""
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    height, width = values.shape
    tags = ((256, width), (257, height), (258, values.itemsize * 8), (259, 1), (262, int(not white_is_zero)), (273, 8),
            (277, 1), (278, height), (279, len(data)), (339, sign))  # fmt: skip
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags)
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", 8 + len(data))
    return head + data + struct.pack(f"{order}H", len(tags)) + entries + b"\0" * 4


@pytest.mark.parametrize("white", [255, 65535, 2**31 - 1, 2**32 - 1])
@pytest.mark.parametrize("shrunk", [False, True])
def test_unsigned_thirty_two_bits_do_not_wrap(tmp_path, monkeypatch, white, shrunk):
    """ImageJ and microscopes write them; Pillow hands them over as signed."""
    values = (np.linspace(0, 1, 64).reshape(8, 8) * white).round()
    if shrunk:
        values = values.repeat(2, axis=0).repeat(2, axis=1)
        monkeypatch.setattr(picture_file, "KEPT_PIXELS", 64)
    (tmp_path / "a.tiff").write_bytes(tiff(values.astype(np.uint32), sign=1))
    img = load_image(tmp_path / "a.tiff")[0, 0] / 2 + 0.5
    torch.testing.assert_close(img, torch.from_numpy(RAMP), atol=3e-3 if white == 255 else tol.PARITY, rtol=0)


@pytest.mark.parametrize(
    "kind, sign, white, order, white_is_zero",
    [(np.uint16, 1, 65535, "<", False), (np.uint16, 1, 65535, ">", False), (np.uint16, 1, 65535, "<", True),
     (np.int16, 2, 32767, "<", False), (np.int16, 2, 32767, ">", False),
     (np.float32, 3, 1, "<", False), (np.float32, 3, 1, ">", False), (np.float32, 3, 1, "<", True)],
)  # fmt: skip
def test_one_channel_of_a_tiff_is_as_painted(tmp_path, kind, sign, white, order, white_is_zero):
    values = (1 - RAMP if white_is_zero else RAMP) * white
    values = values.round() if sign < 3 else values
    contents = tiff(values.astype(kind), sign=sign, white_is_zero=white_is_zero, order=order)
    (tmp_path / "a.tiff").write_bytes(contents)
    img = load_image(tmp_path / "a.tiff")[0, 0] / 2 + 0.5
    torch.testing.assert_close(img, torch.from_numpy(RAMP), atol=tol.PARITY, rtol=0)


def test_palettes_bits_and_printing_colours(tmp_path):
    colours = Image.new("RGB", (8, 8), (255, 0, 0))
    for path in (
        save(tmp_path / "a.png", colours.convert("P", palette=Image.Palette.ADAPTIVE)),
        save(tmp_path / "b.jpg", colours.convert("CMYK"), quality=100),
    ):
        assert (load_image(path)[0, :, 0, 0] - torch.tensor([1.0, -1, -1])).abs().max() < 0.05
    bits = save(tmp_path / "c.png", Image.fromarray(RAMP > 0.5))
    assert torch.equal(load_image(bits)[0, 0] > 0, torch.from_numpy(RAMP > 0.5))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_alpha_is_laid_on_white(tmp_path, mode):
    painted = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    painted.paste((0, 0, 0, 255), (0, 0, 2, 4))
    path = save(tmp_path / "a.png", painted.convert(mode))
    img = load_image(path)
    assert (img[..., :2] == -1).all() and (img[..., 2:] == 1).all()


def test_a_broken_exif_block_says_nothing(tmp_path):
    path = save(tmp_path / "a.jpg", Image.new("RGB", (6, 4)), exif=b"Exif\0\0II*\0\xff\xff\xff\xff\x99")
    assert load_image(path).shape == (1, 3, 4, 6)


@pytest.mark.parametrize("cut", [0, 1, 8, 20, 60, 100])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"])
def test_cut_pictures_are_refused_in_a_sentence(tmp_path, kind, cut):
    noise = np.random.default_rng(0).integers(256, size=(20, 20, 3), dtype=np.uint8)
    path = save(tmp_path / "a", noise, format=kind)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError):
        load_image(path)


# colour profiles

SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])  # to XYZ, D50
P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
GAMMA = 2.2


def profile(space: bytes, description: bytes = b"of a test", *, gamma: float = GAMMA) -> bytes:
    """An ICC profile, version 2: a matrix of primaries (P3) for RGB, a curve alone for GRAY."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))
    white = [0.9642, 1.0, 0.8249]

    def xyz(values) -> bytes:
        return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(float(v) * 65536) for v in values))

    text = b"desc" + bytes(4) + struct.pack(">I", len(description) + 1) + description + bytes(1 + 78)
    tags = {b"desc": text, b"cprt": b"text" + bytes(4) + b"none\0", b"wtpt": xyz(white)}
    if space == b"RGB ":
        for name, column in zip("rgb", P3.T, strict=True):
            tags |= {f"{name}XYZ".encode(): xyz(column), f"{name}TRC".encode(): curve}
    else:
        tags[b"kTRC"] = curve
    table, body, at = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data
    head = struct.pack(">I4sI4s4s4s", at + len(body), b"none", 0x02100000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + body


def in_srgb(rgb) -> np.ndarray:
    """P3 values [...,3] in 0..1 with the test's curve => sRGB ones, computed another way."""
    linear = np.clip(np.asarray(rgb) ** GAMMA @ P3.T @ np.linalg.inv(SRGB).T, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("colour", [(200, 120, 80), (255, 0, 0), (90, 160, 90)])
def test_a_wide_gamut_becomes_srgb(tmp_path, kind, colour):
    options = {"quality": 100} if kind in ("JPEG", "WEBP") else {}
    path = save(
        tmp_path / "a", Image.new("RGB", (16, 16), colour), format=kind, icc_profile=profile(b"RGB "), **options
    )
    found = load_image(path)[0, :, 8, 8].numpy() / 2 + 0.5
    assert np.abs(found - in_srgb(np.array(colour) / 255)).max() < 3 / 255


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_a_profile_keeps_the_transparency(tmp_path, mode):
    painted = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    painted.paste((200, 120, 80, 255), (0, 0, 2, 4))
    path = save(tmp_path / "a.png", painted.convert(mode), icc_profile=profile(b"RGB "))
    found = load_image(path)[0].numpy() / 2 + 0.5
    assert (found[..., 2:] == 1).all()
    assert np.abs(found[:, 0, 0] - in_srgb(np.array([200, 120, 80]) / 255)).max() < 0.04


def test_a_profile_of_grey(tmp_path):
    path = save(tmp_path / "a.png", Image.new("L", (4, 4), 128), icc_profile=profile(b"GRAY", gamma=1.0))
    assert abs(float(load_image(path)[0, 1, 0, 0]) / 2 + 0.5 - 188 / 255) < 2 / 255


def test_srgb_and_odd_profiles_change_nothing(tmp_path):
    plain = load_image(save(tmp_path / "a.png", Image.new("RGB", (4, 4), (200, 120, 80))))
    odd = profile(b"RGB ")
    for i, given in enumerate((profile(b"RGB ", b"sRGB IEC61966-2.1"), profile(b"GRAY"), odd[:200], b"x" * 500,
                               odd[:128] + b"\xff" * 400)):  # fmt: skip
        path = save(tmp_path / f"{i}.png", Image.new("RGB", (4, 4), (200, 120, 80)), icc_profile=given)
        assert torch.equal(load_image(path), plain)
