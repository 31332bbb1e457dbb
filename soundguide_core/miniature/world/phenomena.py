"""The seven phenomena, painted in four places: the sky, the land, the water and the air in front of it all.

Every painter scales with `Frame.power`; `weather` gives the random numbers that stay the same over a clip.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .layout import Frame
from .paint import Array, glow, over, rgb, smoothstep

WHITE = np.ones(3, np.float32)
FLAME = [rgb("ff3b12"), rgb("ff8a1c"), rgb("ffe08a")]


def in_the_sky(f: Frame, weather: np.random.Generator) -> None:
    if f.phenomenon == "crickets":
        stars(f, weather)
    elif f.phenomenon == "thunder":
        lightning(f, weather)


def on_the_land(f: Frame, weather: np.random.Generator) -> None:
    if f.phenomenon == "fire":
        flames(f, weather)


def on_the_water(f: Frame, weather: np.random.Generator) -> None:
    if f.phenomenon == "waves":
        breakers(f, weather)
    elif f.phenomenon == "rain":
        rings(f, weather)


def in_the_air(f: Frame, weather: np.random.Generator) -> None:
    painters = {"rain": raindrops, "fire": embers, "wind": gusts, "birds": flock, "crickets": fireflies}
    if f.phenomenon in painters:
        painters[f.phenomenon](f, weather)


def each(weather: np.random.Generator, count: float, most: int, numbers: int) -> Iterator[tuple[float, np.ndarray]]:
    """(presence 0..1, random numbers) of the first `count` of `most` things; the last one fades in."""
    for k, values in enumerate(weather.random((most, numbers))):
        if k < count:
            yield min(1.0, count - k), values


def stars(f: Frame, weather: np.random.Generator) -> None:
    for x, y, bright, phase in weather.random((46, 4)):
        twinkle = 0.75 + 0.25 * np.sin(f.angle(3) + 6.28 * phase)
        glow(f.canvas, x, y * f.layout.horizon * 0.9, 0.006, WHITE, f.power * twinkle * (0.35 + 0.9 * bright**2))


def lightning(f: Frame, weather: np.random.Generator) -> None:
    """A bolt with branches; a new one every half second, fading until the next; in a loop every second."""
    offset = weather.uniform(0, 64)
    rate, loss = (2, 0.45) if f.loop is None else (1, 0.9)
    strike = int(f.time * rate)
    fade = 1 - loss * (f.time * rate - strike)
    x0 = 0.5 + 0.32 * float(f.air(offset + 3.7 * strike, 1.0))
    ground = f.layout.horizon - 0.02
    bolts: list[tuple[Array | float, float, float, float]] = [(x0, 0.0, ground, 1.0)]
    for k in range(2):
        start = ground * (0.25 + 0.28 * k)
        bolts.append((_bolt_x(f, offset, strike, x0, np.float32(start)), start, start + 0.22, 0.6))
    purple = rgb("b9a4ff")
    for k, (xb, start, end, bright) in enumerate(bolts):
        path = _bolt_x(f, offset + 9 * k, strike, xb, f.y - start)
        path = path + (0.55 * (-1) ** k) * (f.y - start) if k else path
        reach = ((f.y >= start) & (f.y <= end)).astype(np.float32)
        d = np.abs(f.x - path)
        alpha = f.power * fade * bright * reach
        over(f.canvas, purple, np.clip(0.75 * np.exp(-((d / 0.045) ** 2)) * alpha, 0, 1))
        over(f.canvas, WHITE, np.clip(1.3 * np.exp(-((d / (0.011 * bright)) ** 2)) * alpha, 0, 1))
    over(f.canvas, purple, 0.22 * f.power * fade * np.exp(-(((f.x - x0) / 0.35) ** 2)) * (f.y < ground + 0.1))


def _bolt_x(f: Frame, offset: float, strike: int, x0: Array | float, down: Array | np.floating) -> Array:
    """x of a jagged path that starts at x0."""
    zigzag = f.air(down * 13 + offset, 5.0 * strike) - f.air(offset, 5.0 * strike)
    fine = f.air(down * 34 + offset, 7.0 * strike) - f.air(offset, 7.0 * strike)
    return x0 + 0.085 * zigzag + 0.03 * fine


def flames(f: Frame, weather: np.random.Generator) -> None:
    """Tongues along the far bank, their light in the sky and smoke above; the water mirrors them afterwards."""
    centre, horizon = weather.uniform(0.3, 0.7), f.layout.horizon
    spread = 0.25 + 0.3 * f.power
    along = np.exp(-(((f.x - centre) / spread) ** 4))
    smoke = smoothstep(-0.1, 0.8, f.air.fractal(f.x * 5 - f.sway(0.3), f.y * 5 + f.drift(1.1, 4), wrap=f.wrap(64, 4)))
    over(f.canvas, rgb("1c1218"), 0.5 * f.power * smoke * smoothstep(horizon, 0.1, f.y))
    light = np.exp(-(((f.x - centre) / (spread + 0.1)) ** 2)) * np.exp(-np.clip(horizon - f.y, 0, 1) / 0.2)
    over(f.canvas, rgb("ff7a2a"), np.clip(0.75 * f.power * light, 0, 1) * (f.y < horizon + 0.01))
    offset = weather.uniform(0, 64)
    for k, (colour, scale) in enumerate(zip(FLAME, (1.0, 0.74, 0.42), strict=True)):
        beat = f.drift(2.6, 4) + 3 * k + offset
        tongues = 0.5 + 0.5 * f.air.fractal(f.x * 9 + offset, beat, octaves=3, wrap=f.wrap(64, 4))
        sway = 0.02 * f.air(f.y * 14 + f.drift(3, 8), offset, wrap=f.wrap(8, 64))
        height = (0.05 + 0.3 * tongues**1.5) * f.power * along * scale
        up = (horizon - f.y) / np.maximum(height, 1e-3) + 8 * np.abs(sway)
        over(f.canvas, colour, smoothstep(1.05, 0.75, up) * (f.y < horizon) * (height > 0.004))


def embers(f: Frame, weather: np.random.Generator) -> None:
    for x, phase, speed, sway in weather.random((26, 4)):
        rise = (phase + f.cycles(0.15 + 0.25 * speed)) % 1
        ex = x + 0.03 * np.sin(f.angle(4) + 6.28 * sway)
        glow(f.canvas, ex, f.layout.horizon * (1 - rise * 0.9), 0.008, FLAME[1], f.power * (1 - rise))


def breakers(f: Frame, weather: np.random.Generator) -> None:
    """Swells rolling in, each with a foaming crest, from the far one to the near one. In a loop each takes the shape
    of the one before it as it takes its place."""
    horizon, deep = f.layout.horizon, f.palette.water
    count = 5
    for k in range(count):
        near = (k + f.cycles(0.7 if f.loop else 0.35) % 1) / count
        depth = near**1.5
        amplitude = f.power * (0.012 + 0.085 * depth)
        phase, row = weather.uniform(0, 64), 2.0 * k
        if f.loop:
            phase, row = 0.0, 2.0 * count * near
        swell = f.air(f.x * (4.5 - 2.6 * near) + phase + f.sway(0.5), row)
        line = horizon + 0.03 + 0.42 * depth - amplitude * (0.4 + 0.9 * np.maximum(swell, -0.4))
        under = np.clip((f.y - line) / (0.05 + 0.15 * depth), 0, 1)
        body = deep * 0.62 + (rgb("48d0cf") - deep * 0.62) * (0.75 * (1 - under))[..., None]
        over(f.canvas, body, f.below(line) * min(1.0, 1.3 * f.power))
        lace = 0.5 + 0.5 * f.air(f.x * 26 + phase, f.y * 30 - f.sway(2))
        foam = smoothstep((0.018 + 0.05 * depth), 0.0, (f.y - line) * (0.55 + 0.9 * lace)) * f.below(line)
        over(f.canvas, WHITE, f.power * foam * (0.55 + 0.4 * near))


def rings(f: Frame, weather: np.random.Generator) -> None:
    """Drops meeting the water: small bright ellipses that open and fade."""
    below = 1 - f.layout.horizon
    for present, (x, y, phase) in each(weather, 6 + 20 * f.power, 26, 3):
        age = (phase + f.cycles(1.3)) % 1
        row = f.layout.horizon + below * (0.06 + 0.94 * y)
        radius = (0.01 + 0.05 * age) * (0.4 + y)
        d = np.sqrt((f.x - x) ** 2 + ((f.y - row) * 2.6) ** 2)
        over(f.canvas, rgb("dbe6ea"), 0.55 * present * f.power * (1 - age) * np.exp(-(((d - radius) / 0.009) ** 2)))


def raindrops(f: Frame, weather: np.random.Generator) -> None:
    """Three sheets of slanted streaks before a veil of mist; in a loop two nearer ones."""
    mist = 0.3 * f.power * np.exp(-(((f.y - f.layout.horizon) / 0.14) ** 2))
    over(f.canvas, f.palette.haze, mist * np.ones_like(f.x))
    sheets = [(44, 3.4, 0.2, 0.26), (30, 2.5, 0.18, 0.36), (19, 1.7, 0.15, 0.52)]  # columns, rows, width, brightness
    if f.loop:
        sheets = [(20, 2.0, 0.18, 0.45), (12, 1.4, 0.14, 0.65)]
    for layer, (columns, rows, width, bright) in enumerate(sheets):
        across = (f.x + 0.2 * f.y) * columns
        cell = np.floor(across)
        chance = 0.5 + 0.5 * f.air(cell * 1.618 + 7.3 * layer, 13.0 + layer)
        fall = f.y * rows - f.cycles(3.2 + layer) + 9 * chance
        streak = smoothstep(0.45, 0.95, fall % 1) * smoothstep(1.0, 0.95, fall % 1)
        thin = np.exp(-(((across - cell - 0.5) / width) ** 2))
        falling = smoothstep(0.05, -0.05, chance - 0.25 - 0.7 * f.power)
        over(f.canvas, rgb("e6eef2"), bright * f.power * streak * thin * falling)


def gusts(f: Frame, weather: np.random.Generator) -> None:
    """Long pale strokes of air and leaves flying with them."""
    for x, y, length, phase in weather.random((9, 4)):
        head = (x - 1.6 * f.cycles((0.9 + 0.6 * phase) / 1.6)) % 1.6 - 0.3
        curve = 0.12 + 0.7 * y + 0.025 * np.sin(9 * (f.x - head) + 6.28 * phase)
        along = np.clip((f.x - head) / (0.25 + 0.35 * length), 0, 1)
        body = np.sin(np.pi * along) ** 0.7
        over(f.canvas, WHITE, 0.7 * f.power * body * np.exp(-(((f.y - curve) / 0.008) ** 2)))
    colours = [rgb("b5541c"), rgb("d98e2b"), rgb("7a4a1c")]
    for k, (x, y, size, phase) in enumerate(weather.random((22, 4))):
        lx = (x - 1.2 * f.cycles((0.7 + 0.5 * size) / 1.2)) % 1.2 - 0.1
        ly = 0.15 + 0.8 * y + 0.04 * np.sin(f.angle(5) + 6.28 * phase)
        turn = 6.28 * phase + f.angle(4)
        u = (f.x - lx) * np.cos(turn) + (f.y - ly) * np.sin(turn)
        v = -(f.x - lx) * np.sin(turn) + (f.y - ly) * np.cos(turn)
        leaf = np.clip((1 - np.sqrt((u / (0.013 + 0.011 * size)) ** 2 + (v / 0.007) ** 2)) * 2.2, 0, 1)
        over(f.canvas, colours[k % 3], min(1.0, 1.6 * f.power) * leaf)


def flock(f: Frame, weather: np.random.Generator) -> None:
    """Dark birds on the wing: two arcs each, beating."""
    ink = rgb("16213a")
    for present, (x, y, near, phase) in each(weather, 4 + 11 * f.power, 15, 4):
        span = 0.035 + 0.055 * near
        bx = (x + 1.2 * f.cycles((0.05 + 0.06 * near) / 1.2)) % 1.2 - 0.1
        by = 0.06 + 0.46 * y + 0.015 * np.sin(f.angle(1.3) + 6.28 * phase)
        beat = np.sin(f.angle(7 * (1.2 - 0.4 * near)) + 6.28 * phase)
        u = np.abs(f.x - bx) / span
        wing = by - span * (0.55 + 0.25 * beat) * np.sin(np.clip(u, 0, 1) * 2.2) * 0.75 + span * 0.3 * u**2
        thick = span * (0.17 * (1 - u) + 0.035) + 0.002
        alpha = np.clip((thick - np.abs(f.y - wing)) * f.size + 0.6, 0, 1) * (u < 1)
        over(f.canvas, ink, present * min(1.0, 1.8 * f.power) * alpha)


def fireflies(f: Frame, weather: np.random.Generator) -> None:
    yellow = rgb("d8ff5a")
    for present, (x, y, phase, rate) in each(weather, 8 + 22 * f.power, 30, 4):
        fx = x + 0.03 * np.sin(f.angle(0.9) + 6.28 * phase)
        fy = 0.5 + 0.46 * y + 0.02 * np.sin(f.angle(1.3) + 9 * phase)
        pulse = present * (0.6 + 0.4 * np.sin(f.angle(1.5 + 2 * rate) + 6.28 * phase))
        glow(f.canvas, fx, fy, 0.024, yellow, 0.28 * f.power * pulse)
        glow(f.canvas, fx, fy, 0.009, yellow, 0.95 * f.power * pulse)
