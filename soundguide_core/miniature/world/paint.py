"""Painting on a float canvas [H,W,3] in 0..1: lattice noise, soft edges, blending, glows.

Coordinates are fractions of the picture: x to the right, y downward, both in 0..1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def rgb(code: str) -> Array:
    """'ff8800' => [3] in 0..1."""
    return np.array([int(code[i : i + 2], 16) for i in (0, 2, 4)], np.float32) / 255


def grid(size: int) -> tuple[Array, Array]:
    """Pixel centres: x [1,W] and y [H,1] in 0..1."""
    centres = (np.arange(size, dtype=np.float32) + 0.5) / size
    return centres[None, :], centres[:, None]


def smoothstep(low: float, high: float, x: Array | float) -> Array:
    """3 s^2 - 2 s^3 of s = (x - low) / (high - low) clipped to 0..1."""
    s = np.clip((np.asarray(x, np.float32) - low) / (high - low), 0, 1)
    return s * s * (3 - 2 * s)


class ValueNoise:
    """Value noise in -1..1: random numbers on a periodic 64 x 64 lattice, interpolated; in one or two dimensions.

    wrap: the noise repeats after as many cells in x and in y, powers of two up to 64.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.lattice = rng.uniform(-1, 1, (64, 64)).astype(np.float32)

    def __call__(
        self, x: Array | np.floating | float, y: Array | np.floating | float = 0.0, wrap: tuple[int, int] = (64, 64)
    ) -> Array:
        x, y = np.asarray(x, np.float32), np.asarray(y, np.float32)
        xi, yi = np.floor(x), np.floor(y)
        fx, fy = smoothstep(0, 1, x - xi), smoothstep(0, 1, y - yi)
        across, down = wrap[0] - 1, wrap[1] - 1
        x0, y0 = xi.astype(np.int32) & across, yi.astype(np.int32) & down
        x1, y1 = (x0 + 1) & across, (y0 + 1) & down
        top = self.lattice[y0, x0] + (self.lattice[y0, x1] - self.lattice[y0, x0]) * fx
        low = self.lattice[y1, x0] + (self.lattice[y1, x1] - self.lattice[y1, x0]) * fx
        return top + (low - top) * fy

    def fractal(
        self,
        x: Array | np.floating | float,
        y: Array | np.floating | float = 0.0,
        octaves: int = 3,
        wrap: tuple[int, int] = (64, 64),
    ) -> Array:
        """Octaves of halving amplitude, still in -1..1."""
        x, y = np.asarray(x, np.float32), np.asarray(y, np.float32)
        total = np.float32(0)
        for k in range(octaves):
            finer = min(wrap[0] * 2**k, 64), min(wrap[1] * 2**k, 64)
            total = total + self(x * 2**k + 17 * k, y * 2**k + 29 * k, finer) * 0.5**k
        return total / (2 - 2 ** (1 - octaves))


def over(canvas: Array, colour: Array, alpha: Array | float) -> None:
    """Blend a colour ([3] or [H,W,3]) over the canvas, in place; alpha [H,W] or broadcastable to it."""
    alpha = np.asarray(alpha, np.float32)
    canvas += (colour - canvas) * (alpha[..., None] if alpha.ndim else alpha)


def glow(canvas: Array, x: float, y: float, radius: float, colour: Array, amount: float) -> None:
    """Add a soft round light, in place, touching only the pixels near it."""
    size = canvas.shape[0]
    reach = int(np.ceil(3 * radius * size))
    column, row = int(x * size), int(y * size)
    rows = slice(max(row - reach, 0), min(row + reach + 1, size))
    columns = slice(max(column - reach, 0), min(column + reach + 1, size))
    xs, ys = grid(size)
    d2 = (xs[:, columns] - x) ** 2 + (ys[rows] - y) ** 2
    canvas[rows, columns] += amount * np.exp(-d2 / radius**2)[..., None] * colour
