"""Every change of a picture's range and layout.

[B,3,H,W] in -1..1 is the inside; [B,H,W,3] in 0..1 is the host's IMAGE; [B,H,W,3] uint8 is a file's.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import BinaryIO

import torch
import torch.nn.functional as F
from torch import Tensor

from ..common.errors import InputError
from ..common.files import check_name, replacing
from ..common.shapes import check_shape
from .picture_file import read_picture

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")  # of pictures that are written
READ_SUFFIXES = (*SUFFIXES, ".bmp", ".tif", ".tiff")  # of what is surely a picture, not a video
ROWS = 256  # of a picture that become floats at once


def load_image(source: str | os.PathLike | BinaryIO) -> Tensor:
    """A picture file as [1,3,H,W] in -1..1: upright by its EXIF mark, transparency laid on white.

    source: its path, or a file open in binary.

    PNG, JPEG, WEBP, BMP, TIFF and GIF are read. What has more than 24 million pixels is shrunk by a whole factor.

    Raises:
        InputError: the file is missing, is not a picture, is damaged, or is unreasonably large.
    """
    pixels = torch.from_numpy(read_picture(source))
    img = torch.empty(1, *pixels.shape[:2], 3).permute(0, 3, 1, 2)  # in memory as from_host has it: bits depend on it
    for rows, out in zip(pixels.split(ROWS), img.split(ROWS, dim=2)):  # a large one is not held three times over
        out.copy_(from_host((rows.float() / 255 if rows.dtype == torch.uint8 else rows)[None]))
    return img


def save_image(img: Tensor, path: str | os.PathLike) -> None:
    """Write img [3,H,W] or [1,3,H,W] in -1..1 to a file, whole or not at all; path ends in .png, .jpg or .webp.

    Raises:
        InputError: another ending, or a place that cannot be written to.
    """
    check_suffix(path)
    with replacing(path) as temporary:
        _write(img, temporary, **({"quality": 95} if Path(path).suffix.lower() != ".png" else {}))


def write_png(img: Tensor, path: str | os.PathLike, quick: bool = False) -> None:
    """Write img [3,H,W] or [1,3,H,W] in -1..1 to a new PNG file, for a folder that appears as a whole. quick: in a
    quarter of the time, for a file that will go again."""
    _write(img, path, **({"compress_level": 1} if quick else {}))


def _write(img: Tensor, path: str | os.PathLike, **options) -> None:
    from PIL import Image

    img = img[None] if isinstance(img, Tensor) and img.ndim == 3 else img
    check_shape(img, "1 3 H W", name="the picture to save")
    Image.fromarray(to_uint8(img)[0].cpu().numpy()).save(path, **options)


def check_suffix(path: str | os.PathLike) -> None:
    """Refuse a picture file name whose ending names no format that save_image writes."""
    if check_name(path).suffix.lower() not in SUFFIXES:
        raise InputError(f"{path} does not end like a picture file.", "Use a name that ends in .png, .jpg or .webp.")


def to_host(img: Tensor) -> Tensor:
    """[B,3,H,W] in -1..1 => [B,H,W,3] in 0..1, clamped."""
    check_shape(img, "B 3 H W", name="the picture")
    return (img / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).contiguous()


def from_host(image: Tensor) -> Tensor:
    """[B,H,W,C] in 0..1 => [B,3,H,W] in -1..1. C is 1 (grey), 3, or 4 (transparency is laid on white)."""
    check_shape(image, "B H W C", name="the picture")
    if image.shape[-1] not in (1, 3, 4):
        raise InputError(f"The picture has {image.shape[-1]} channels.", "Use a grey, RGB or RGBA picture.")
    if not torch.isfinite(image).all():
        raise InputError("The picture holds values that are not numbers.", "Check the node or file that it comes from.")
    if image.shape[-1] == 4:
        alpha = image[..., 3:]
        image = image[..., :3] * alpha + (1 - alpha)
    return _laid_out(image)


def _laid_out(image: Tensor) -> Tensor:
    """[B,H,W,1] or [B,H,W,3] in 0..1 => [B,3,H,W] in -1..1."""
    img = image.expand(*image.shape[:3], 3).permute(0, 3, 1, 2).float().clamp(0, 1) * 2 - 1
    return img.contiguous()  # sums are rounded by layout: the same picture must give the same result


def to_uint8(img: Tensor) -> Tensor:
    """[B,3,H,W] in -1..1 => [B,H,W,3] uint8, to the nearest of 256 levels."""
    return (to_host(img.float()) * 255).round().to(torch.uint8)


def from_uint8(pixels: Tensor) -> Tensor:
    """[B,H,W,3] uint8 => [B,3,H,W] in -1..1."""
    check_shape(pixels, "B H W 3", name="the picture")
    return _laid_out(pixels.float() / 255)


def resize(img: Tensor, size: tuple[int, int], policy: str = "cover") -> Tensor:
    """Scale img [B,3,H,W] to size (h, w), antialiased and differentiable.

    policy: "cover" keeps proportions and crops the centre, "contain" keeps proportions and pads with black,
    "stretch" keeps everything but the proportions.
    """
    sizes = check_shape(img, "B 3 H W", name="the picture")
    h, w = size
    scales = (h / sizes["H"], w / sizes["W"])
    if policy == "stretch":
        scaled = (h, w)
    elif policy in ("cover", "contain"):
        scale = max(scales) if policy == "cover" else min(scales)
        scaled = (max(1, round(sizes["H"] * scale)), max(1, round(sizes["W"] * scale)))
    else:
        raise InputError(f"There is no resize policy {policy!r}.", 'Use "cover", "contain" or "stretch".')
    # what falls outside the target is cut first, so that a very long picture is not scaled up whole
    if policy == "cover":
        keep_h = min(sizes["H"], math.ceil(h / scale))
        keep_w = min(sizes["W"], math.ceil(w / scale))
        top, left = (sizes["H"] - keep_h) // 2, (sizes["W"] - keep_w) // 2
        img, scaled = img[..., top : top + keep_h, left : left + keep_w], (h, w)
    img = F.interpolate(img, scaled, mode="bilinear", antialias=True)
    top, left = (h - scaled[0]) // 2, (w - scaled[1]) // 2
    return F.pad(img, (left, w - scaled[1] - left, top, h - scaled[0] - top), value=-1.0)


def grid(imgs: Tensor, columns: int, gap: int = 2) -> Tensor:
    """Lay imgs [B,3,H,W] out row by row, `gap` white pixels apart => [3,H',W']."""
    sizes = check_shape(imgs, "B 3 H W", name="the pictures")
    columns = max(1, min(columns, sizes["B"]))
    rows = math.ceil(sizes["B"] / columns)
    height, width = sizes["H"] + gap, sizes["W"] + gap
    sheet = imgs.new_ones(3, rows * height - gap, columns * width - gap)
    for i, img in enumerate(imgs):
        top, left = i // columns * height, i % columns * width
        sheet[:, top : top + sizes["H"], left : left + sizes["W"]] = img
    return sheet
