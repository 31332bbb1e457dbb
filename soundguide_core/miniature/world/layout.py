"""What a scene is made of: its light, its layout, and the frame that painters share."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import overload

import numpy as np

from .paint import Array, ValueNoise, rgb

PHENOMENA = ("rain", "waves", "fire", "wind", "thunder", "birds", "crickets")
MOST_CYCLES = 6  # of one motion in a loop
PACE = 1.5  # how many times faster than as painted a loop is shown, on average


@dataclass(frozen=True)
class Palette:
    """The light of a scene, each colour [3] in 0..1."""

    sky_top: Array
    sky_low: Array
    haze: Array
    far: Array
    near: Array
    shore: Array
    water: Array
    light: Array

    @classmethod
    def of(cls, row: str) -> Palette:
        return cls(*(rgb(code) for code in row.split()))

    def towards(self, other: Palette, amount: float) -> Palette:
        """Linear mix, amount in 0..1."""
        return Palette(*((1 - amount) * getattr(self, f.name) + amount * getattr(other, f.name) for f in fields(self)))


#                sky_top sky_low haze   far    near   shore  water  light
CALM = [
    Palette.of("5f9fd0 cfe6ec dfe9e6 8fb0b8 4f7f72 3c5f45 6fa3b8 fff6d8"),  # noon
    Palette.of("7d8fc4 f6d3bd f3dccb a99fbb 6b6f8c 4a4f5c 9a9fc0 ffe9c4"),  # morning
    Palette.of("566fb0 e9b9a8 e4c2b4 8d86aa 5a5f80 3f4656 8088b0 ffd9a8"),  # evening
    Palette.of("6fb0c4 e6ecd4 e6ebd6 98b8a4 5d8a5c 46663c 7fb3ac fffbe0"),  # summer
]
LIGHT = {
    "rain": [Palette.of("4f5d68 8a979c 929da0 6f7d84 46545a 333f42 5d6b72 a9b3b5")],
    "waves": [Palette.of("2f8fc0 bfe9ee c9ecec 5fa3b4 2f7488 2b5a5e 0f7f95 ffffff")],
    "fire": [Palette.of("2b1a2e d9572b b8502f 6e3436 3a1f28 21141a 7a3526 ffb45a")],
    "wind": [Palette.of("b9a35c f3e3ae efe0b0 bfae78 8f8648 6b6632 b3aa74 fff4c8")],
    "thunder": [Palette.of("1d1836 57497f 4f4475 3a3260 241f42 17142b 322b58 d8ccff")],
    "birds": [Palette.of("39a0ff ffd9e6 ffe3ea 9fb4e6 5f86c8 3f6a58 79b8f2 fff0c0")],
    "crickets": [Palette.of("070b26 1f3a63 1c3558 15284a 0e1c38 081020 102645 f2f0d0")],
}


@dataclass(frozen=True)
class Layout:
    """Where things are. Lengths are fractions of the picture; ridges from far to near."""

    seed: int
    calm: int
    horizon: float
    orb: tuple[float, float, float]
    ridges: tuple[tuple[float, float, float], ...]
    clouds: float
    shore: tuple[float, float, float]
    trees: tuple[tuple[float, float, float], ...]

    def words(self) -> list[str]:
        """What a person would name in it, for captions."""
        names = ["sea" if self.ridges[-1][0] < 0.09 else "lake", "mountains" if self.ridges[0][0] > 0.25 else "hills"]
        names += ["trees"] if len(self.trees) > 3 else []
        return names + (["clouds"] if self.clouds > 0.55 else [])


def random_layout(seed: int) -> Layout:
    """The layout of a seed."""
    rng = np.random.default_rng([seed, 1])
    horizon = float(rng.uniform(0.5, 0.62))
    side = 1.0 if rng.random() < 0.5 else -1.0
    ridges = tuple(
        (float(rng.uniform(low, high)), float(rng.uniform(1.6, 3.4) * (1 + 0.7 * k)), float(rng.uniform(0, 64)))
        for k, (low, high) in enumerate([(0.12, 0.42), (0.06, 0.22), (0.02, 0.1)])
    )
    shore = (side, float(rng.uniform(0.45, 1.05)), float(rng.uniform(0.1, 0.22)))
    trees = []
    for _ in range(rng.integers(2, 7)):
        inward = float(rng.uniform(0.03, 0.42))
        x = 1 - inward if side > 0 else inward
        trees.append((x, float(rng.uniform(0.2, 0.42) * (1.15 - inward)), float(rng.uniform(0.035, 0.06))))
    return Layout(
        seed=seed,
        calm=int(rng.integers(len(CALM))),
        horizon=horizon,
        orb=(float(rng.uniform(0.15, 0.85)), float(rng.uniform(0.12, 0.3)), float(rng.uniform(0.035, 0.06))),
        ridges=ridges,
        clouds=float(rng.uniform(0.2, 0.9)),
        shore=shore,
        trees=tuple(sorted(trees, key=lambda tree: tree[1])),
    )


@dataclass
class Frame:
    """What the painters of one frame share.

    noise shapes the land, air the weather; power in 0..1 is the intensity of the phenomenon, time is in seconds.
    loop: seconds after which all motion repeats, None for motion without an end. Every motion asks one of cycles,
    angle, sway and drift where it is, so that a loop closes without a seam.
    """

    canvas: Array
    x: Array
    y: Array
    layout: Layout
    palette: Palette
    noise: ValueNoise
    air: ValueNoise
    phenomenon: str | None
    power: float
    time: float
    loop: float | None = None

    @property
    def size(self) -> int:
        return self.canvas.shape[0]

    def amount(self, phenomenon: str) -> float:
        return self.power if self.phenomenon == phenomenon else 0.0

    @overload
    def cycles(self, rate: float) -> float: ...

    @overload
    def cycles(self, rate: Array) -> Array: ...

    def cycles(self, rate: Array | float) -> Array | float:
        """rate * time; in a loop 1 to MOST_CYCLES whole cycles of it, near the rate when it is shown at PACE."""
        if self.loop is None:
            return self.time * rate
        return np.clip(np.round(rate * self.loop / PACE), 1, MOST_CYCLES) * (self.time / self.loop)

    @overload
    def angle(self, rate: float) -> float: ...

    @overload
    def angle(self, rate: Array) -> Array: ...

    def angle(self, rate: Array | float) -> Array | float:
        """rate * time in radians; in a loop whole turns."""
        return rate * self.time if self.loop is None else 2 * math.pi * self.cycles(rate / (2 * math.pi))

    def sway(self, rate: float, quarter: float = 0.0) -> float:
        """rate * time; in a loop there and back once, as fast in the middle. quarter: of a turn, later."""
        if self.loop is None:
            return rate * self.time
        turn = 2 * math.pi / self.loop
        return rate / turn * math.sin(turn * self.time + 0.5 * math.pi * quarter)

    def drift(self, rate: float, cells: int) -> float:
        """rate * time; in a loop the cells of noise that wraps after so many."""
        return rate * self.time if self.loop is None else math.copysign(cells, rate) * (self.time / self.loop)

    def wrap(self, across: int, down: int) -> tuple[int, int]:
        """After how many cells noise wraps that drifts in a loop."""
        return (64, 64) if self.loop is None else (across, down)

    def below(self, line: Array) -> Array:
        """1 under the line y = line(x), 0 above it, one pixel of soft edge between. [H,W]"""
        return np.clip((self.y - line) * self.size + 0.5, 0, 1)
