"""The one place where picture files are opened: named formats only, nothing enormous, every kind of pixel as painted.

Colours come out as sRGB: a profile in the file (Display P3, Adobe RGB, a printer's) is followed. PNG, JPEG, WEBP, BMP,
TIFF and GIF are read, whatever the name of the file; of several pictures in one, the first. Pillow opens far more, some
of it with other programs: an EPS goes to Ghostscript, under any name.
"""

from __future__ import annotations

import io
import math
import os
import warnings
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

from ..common.errors import InputError
from ..common.files import check_input

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
MOST_PIXELS = 50_000_000  # that are decoded; a larger JPEG is decoded at a half, a quarter or an eighth
KEPT_PIXELS = 24_000_000  # larger pictures are shrunk by a whole factor, before they take 12 bytes a pixel
MOST_PROFILE = 8 << 20  # bytes
BLACK_POINT = 0x2000  # of Little CMS: compensate it
ORIENTATION = 0x0112  # the EXIF tag
PHOTOMETRIC, SAMPLE_FORMAT, BITS = 262, 339, 258  # tags of TIFF 6.0
WHITE_IS_ZERO, UNSIGNED, SIGNED = 0, 1, 2  # of their values
HDR = 8.0  # how bright lights are in pictures whose white is 1
OTHERWISE = "Save it as PNG or JPEG with an image editor and try again."
WHITE = {"I;16": 65535.0, "I;16L": 65535.0, "I;16B": 65535.0, "I;16N": 65535.0}  # white, of modes that say it


def read_picture(source: str | os.PathLike | BinaryIO) -> np.ndarray:
    """A picture as [H,W,C], upright by its EXIF mark: uint8, or float32 in 0..1. C is 1, 3, or 4 with alpha.

    A picture of more than KEPT_PIXELS is shrunk. Values of floats are taken as 0..1, brighter lights cut off, unless
    all are whole numbers or one in a hundred is above 8; those, and values of 32 bits, as 0..255 where none is above
    255, as 0..65535 where none is above that, and else against the largest.

    Raises:
        InputError: the file is missing, is not a picture of a known format, is damaged, or has too many pixels.
    """
    import PIL.Image
    from PIL import UnidentifiedImageError

    if hasattr(source, "read"):
        name = getattr(source, "name", "The picture")
    else:
        name = check_input(cast("str | os.PathLike", source), "picture")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes, which are judged here, and of odd metadata
            with PIL.Image.open(source, formats=FORMATS) as picture:
                _fit(picture, name)
                profile = picture.info.get("icc_profile")
                return _pixels(_srgb(_upright(_shrunk(_of_tiff(picture))), profile), name)
    except PIL.Image.DecompressionBombError as error:
        raise _too_large(name) from error
    except UnidentifiedImageError as error:
        raise InputError(
            f"{name} cannot be read as a picture: it is none of {', '.join(FORMATS)}, or a rare kind of one.",
            OTHERWISE,
        ) from error
    except MemoryError as error:
        raise InputError(f"There is not enough memory for the picture {name}.", "Scale it down.") from error
    except InputError:
        raise
    except Exception as error:  # each decoder has exceptions of its own for damaged files: struct.error, KeyError, ...
        raise InputError(f"{name} cannot be read as a picture.", OTHERWISE) from error


def _fit(picture: Image, name: object) -> None:
    """Have a large JPEG decoded smaller; refuse what is too large and cannot be."""
    if picture.format in ("JPEG", "MPO"):
        factor = 1
        while picture.width * picture.height > MOST_PIXELS * factor**2:
            factor *= 2
        if factor > 1:
            picture.draft("RGB", (picture.width // factor, picture.height // factor))
    if picture.width * picture.height > MOST_PIXELS:
        raise _too_large(name)


def _of_tiff(picture: Image) -> Image:
    """A TIFF of one channel of more than 8 bits, with what Pillow does not tell: its sign, and what is white."""
    import PIL.Image

    if picture.format != "TIFF" or not (picture.mode in ("I", "F") or picture.mode.startswith("I;")):
        return picture
    tags: Any = getattr(picture, "tag_v2", {})
    bits, sign = tags.get(BITS, (1,))[0], tags.get(SAMPLE_FORMAT, (UNSIGNED,))[0]
    known: dict[str, object] = {}
    if picture.mode == "I" and (bits, sign) == (32, UNSIGNED):  # Pillow's are signed: half of the range is negative
        values = np.asarray(picture).view(np.uint32)
        known["white"] = _white(values, floats=False)
        picture = PIL.Image.fromarray(values.astype(np.float32))
    elif picture.mode == "I" and (bits, sign) == (16, SIGNED):
        known["white"] = 32767.0 if np.asarray(picture).max() > 255 else 255.0
    if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
        known["white is zero"] = True
    picture.info |= known
    return picture


def _shrunk(picture: Image) -> Image:
    factor = math.ceil(math.sqrt(picture.width * picture.height / KEPT_PIXELS))
    if factor <= 1:
        return picture
    if picture.mode == "P":
        picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    elif picture.mode == "1":
        picture = picture.convert("L")
    elif picture.mode.startswith("I;"):
        picture = picture.convert("I")
        picture.info["white"] = 65535.0  # of this mode, which I does not say
    premultiplied = {"LA": "La", "RGBA": "RGBa"}.get(picture.mode)  # a colour counts as far as it is seen
    if premultiplied:
        return picture.convert(premultiplied).reduce(factor).convert(picture.mode)
    return picture.reduce(factor)


def _upright(picture: Image) -> Image:
    import PIL.Image

    turns = PIL.Image.Transpose
    turn = {
        2: turns.FLIP_LEFT_RIGHT, 3: turns.ROTATE_180, 4: turns.FLIP_TOP_BOTTOM, 5: turns.TRANSPOSE,
        6: turns.ROTATE_270, 7: turns.TRANSVERSE, 8: turns.ROTATE_90,
    }  # fmt: skip
    picture.load()  # which turns a TIFF, and takes its mark away
    try:
        orientation = picture.getexif().get(ORIENTATION, 1)
    except Exception:  # a broken EXIF block says nothing
        return picture
    return picture.transpose(turn[orientation]) if orientation in turn else picture


def _srgb(picture: Image, profile: bytes | None) -> Image:
    """The picture in the colours of sRGB by its ICC profile; as it is where it has none that can be followed.

    Relative colorimetric, with compensation of the black point.
    """
    space = {"RGB": "RGB", "RGBA": "RGB", "P": "RGB", "L": "GRAY", "LA": "GRAY", "CMYK": "CMYK"}.get(picture.mode)
    if not isinstance(profile, bytes) or not 128 < len(profile) <= MOST_PROFILE or space is None:
        return picture
    try:
        from PIL import ImageCms

        known = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        about: Any = known.profile
        if about.xcolor_space.strip() != space or "srgb" in (about.profile_description or "").lower():
            return picture
        alpha = picture.convert("RGBA").getchannel("A") if picture.has_transparency_data else None
        base = picture.convert({"GRAY": "L"}.get(space, space))
        painted = ImageCms.profileToProfile(
            base, known, ImageCms.createProfile("sRGB"), ImageCms.Intent.RELATIVE_COLORIMETRIC, "RGB",
            flags=cast("ImageCms.Flags", BLACK_POINT),
        )  # fmt: skip
    except Exception:  # a damaged profile, one of another kind, or a Pillow without the library
        return picture
    if painted is None:
        return picture
    if alpha is not None:
        painted.putalpha(alpha)
    return painted


def _pixels(picture: Image, name: object) -> np.ndarray:
    """[H,W,C] uint8, or float32 in 0..1"""
    mode = picture.mode
    if mode in WHITE or mode in ("I", "F"):
        values = np.asarray(picture).astype(np.float32)[..., None]
        if not np.isfinite(values).all():
            raise InputError(f"The picture {name} holds values that are not numbers.", OTHERWISE)
        white = WHITE.get(mode) or picture.info.get("white") or _white(values, floats=mode == "F")
        grey = np.clip(values / white, 0, 1)
        if picture.info.get("white is zero"):
            grey = 1 - grey
        clear = picture.info.get("transparency")  # of 16 bits: one value, all of which is clear
        return np.where(values == clear, np.float32(1), grey) if isinstance(clear, int) else grey
    if mode == "1":
        picture = picture.convert("L")
    elif picture.has_transparency_data:
        picture = picture.convert("RGBA")
    elif mode not in ("L", "RGB"):
        picture = picture.convert("RGB")
    pixels = np.array(picture)
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _white(values: np.ndarray, *, floats: bool) -> float:
    """The value of white of a picture whose mode does not say it."""
    largest, some = float(values.max()), values.reshape(-1)[:: max(values.size // 2**16, 1)]
    if floats and (largest <= 1 or ((some % 1).any() and np.quantile(some, 0.99) <= HDR)):
        return 1.0
    return next((white for white in (255.0, 65535.0) if largest <= white), max(largest, 1.0))


def _too_large(name: object) -> InputError:
    return InputError(
        f"The picture {name} has more than {MOST_PIXELS // 10**6} million pixels.", "Scale it down, or save it as JPEG."
    )
