"""Pictures of few colours, as a GIF holds them. Axes: H W."""

from __future__ import annotations

import numpy as np

CLEAR = 255  # the index of what is clear


def in_255_colours(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """pixels [H,W,3], 0..255 => (indices [H,W], their colours [256,4] as alpha, red, green, blue).

    The colours are the picture's own (median cut), dithered after Floyd and Steinberg; CLEAR is left free for a writer
    that marks what does not change from frame to frame.
    """
    from PIL import Image

    img = Image.fromarray(pixels)
    palette = img.quantize(CLEAR, Image.Quantize.MEDIANCUT)
    img = img.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    rgb = np.array(img.getpalette(), np.uint8).reshape(-1, 3)[:CLEAR]
    argb = np.zeros((256, 4), np.uint8)
    argb[: len(rgb), 0], argb[: len(rgb), 1:] = 255, rgb
    return np.asarray(img), argb
