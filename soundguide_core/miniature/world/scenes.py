"""The miniature's world: painted landscapes whose layout and phenomenon are independent.

A seed gives the layout (horizon, ridges, trees, clouds, sun or moon, water); a phenomenon with an intensity in 0..1
per frame changes light, weather and motion, and leaves the layout where it is. Motion is a function of time alone, so
any frame can be rendered by itself and neighbouring frames agree.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...common.errors import InputError
from ...common.stop import check_stop
from . import phenomena
from .layout import CALM, LIGHT, PHENOMENA, Frame, Layout, random_layout
from .paint import Array, ValueNoise, grid, over, smoothstep

__all__ = ["PHENOMENA", "random_layout", "render"]


def render(
    seed: int,
    phenomenon: str | None = None,
    intensity: float | Sequence[float] | np.ndarray = 1.0,
    *,
    size: int = 128,
    fps: float = 12.0,
    variant: int = 0,
    start_sec: float = 0.0,
    loop_sec: float | None = None,
) -> np.ndarray:
    """Render a scene.

    Args:
        seed: layout of the scene, the same for every phenomenon.
        phenomenon: one of PHENOMENA, or None for a calm scene.
        intensity: 0..1, one number for one frame or one for each frame.
        size: pixels a side.
        fps: frames a second.
        variant: another weather of the same kind over the same layout.
        start_sec: time of the first frame.
        loop_sec: seconds after which all motion begins again, without a seam. There it is simpler: whole cycles, two
            sheets of rain, a bolt a second that goes out before the next.

    Returns:
        uint8 [F,H,W,3].
    """
    if phenomenon is not None and phenomenon not in PHENOMENA:
        raise InputError(f"There is no phenomenon named {phenomenon!r}.", f"Choose one of {', '.join(PHENOMENA)}.")
    curve = np.clip(np.atleast_1d(np.asarray(intensity, np.float32)), 0, 1)
    layout = random_layout(seed)
    noise = ValueNoise(np.random.default_rng([seed, 2]))
    times = start_sec + np.arange(len(curve)) / fps
    if loop_sec is not None:
        times %= loop_sec
    frames = [
        _paint(layout, noise, phenomenon, float(p), float(t), size, variant, loop_sec) for p, t in zip(curve, times)
    ]
    return np.stack([(f.clip(0, 1) * 255 + 0.5).astype(np.uint8) for f in frames])


def render_still(
    what: tuple[int, str | None, float, int, float], *, size: int, loop_sec: float | None = None
) -> np.ndarray:
    """uint8 [H,W,3] of (seed, phenomenon, intensity, variant, start_sec): render() for parallel_map."""
    seed, phenomenon, intensity, variant, start_sec = what
    return render(seed, phenomenon, intensity, size=size, variant=variant, start_sec=start_sec, loop_sec=loop_sec)[0]


def _paint(
    layout: Layout,
    noise: ValueNoise,
    phenomenon: str | None,
    power: float,
    time: float,
    size: int,
    variant: int,
    loop: float | None,
) -> Array:
    check_stop()
    x, y = grid(size)
    palette = CALM[layout.calm]
    if phenomenon is not None:
        choices = LIGHT[phenomenon]
        palette = palette.towards(choices[variant % len(choices)], float(smoothstep(0, 0.7, power)))
    weather = np.random.default_rng([3, variant])  # the same over every layout
    air = ValueNoise(weather)
    f = Frame(np.empty((size, size, 3), np.float32), x, y, layout, palette, noise, air, phenomenon, power, time, loop)
    sky(f)
    phenomena.in_the_sky(f, weather)
    ridges(f)
    phenomena.on_the_land(f, weather)
    water(f)
    phenomena.on_the_water(f, weather)
    shore_and_trees(f)
    phenomena.in_the_air(f, weather)
    return f.canvas


def sky(f: Frame) -> None:
    """Gradient, sun or moon, clouds. Clouds drift; wind stretches them, thunder closes them."""
    p, layout = f.palette, f.layout
    down = np.clip(f.y / layout.horizon, 0, 1) ** 1.3
    f.canvas[:] = p.sky_top + (p.sky_low - p.sky_top) * down[..., None]
    ox, oy, radius = layout.orb
    hidden = max(f.amount("rain"), f.amount("thunder"), 0.6 * f.amount("fire"))
    over(f.canvas, p.light, 0.45 * (1 - hidden) * np.exp(-((f.x - ox) ** 2 + (f.y - oy) ** 2) / (5 * radius) ** 2))
    distance = np.sqrt((f.x - ox) ** 2 + (f.y - oy) ** 2)
    disc = np.clip((radius - distance) * f.size + 0.5, 0, 1)
    if night := f.amount("crickets"):
        bite = np.sqrt((f.x - ox + 0.5 * radius) ** 2 + (f.y - oy + 0.25 * radius) ** 2)
        disc = disc * (1 - night * np.clip((radius - bite) * f.size + 0.5, 0, 1))
    over(f.canvas, p.light, disc * (1 - hidden))

    wind, storm = f.amount("wind"), max(f.amount("thunder"), 0.7 * f.amount("rain"))
    drift = f.drift(0.9, 4) if f.phenomenon == "wind" else f.sway(0.08)  # a speed that followed power would jump
    wrap = f.wrap(4, 64) if f.phenomenon == "wind" else (64, 64)
    puff = f.noise.fractal((f.x - 0.5) * (4 - 2.8 * wind) - drift + 7, f.y * (9 + 7 * wind) + 3, octaves=3, wrap=wrap)
    cover = layout.clouds * (1 - 0.75 * f.amount("crickets")) + 0.7 * storm
    alpha = smoothstep(0.55 - 0.75 * cover, 0.95 - 0.5 * cover, puff) * (0.75 - 0.35 * f.amount("crickets"))
    colour = p.sky_low + (p.light - p.sky_low) * (0.55 * (1 - storm)) + storm * 0.35 * (p.sky_top - p.sky_low)
    over(f.canvas, colour, alpha * smoothstep(1.02, 0.55, f.y / layout.horizon))


def ridge_line(f: Frame, k: int) -> Array:
    """y of ridge k, [1,W]; the nearest is a wooded, rough one."""
    height, frequency, phase = f.layout.ridges[k]
    shape = 0.5 + 1.1 * f.noise.fractal(f.x * frequency + phase, 7.0 * k, octaves=3)
    rough = 0.012 * np.abs(f.noise(f.x * 60, 11.0)) if k == 2 else 0.0
    return f.layout.horizon - height * (0.08 + np.clip(shape, 0, None)) - rough


def ridges(f: Frame) -> None:
    """Three ridges, hazier with distance."""
    p = f.palette
    for k, depth in enumerate((0.0, 0.5, 1.0)):
        line = ridge_line(f, k)
        colour = p.far + (p.near - p.far) * depth
        fade = np.clip((f.y - line) / max(f.layout.ridges[k][0], 0.05), 0, 1) * (0.65 - 0.45 * depth)
        shaded = colour + (p.haze - colour) * fade[..., None]
        over(f.canvas, shaded, f.below(line))


def water(f: Frame) -> None:
    """Everything above the horizon mirrored in rippled water."""
    p, horizon = f.palette, f.layout.horizon
    top = round(float(horizon * f.size))
    rows = np.arange(top, f.size)
    depth = ((rows + 0.5) / f.size - horizon)[:, None] / (1 - horizon)
    choppy = 0.004 + 0.012 * f.amount("wind") + 0.02 * f.amount("waves") + 0.006 * f.amount("rain")
    ripple = f.noise(f.x * 9 + f.sway(0.9), 26 * depth**0.6 + f.sway(0.7, 1)) * choppy * (0.4 + 1.6 * depth)
    mirrored = 2 * horizon - (rows[:, None] + 0.5) / f.size + 6 * ripple
    source = np.clip(mirrored * f.size, 0, top - 1).astype(np.int32)
    columns = np.broadcast_to(np.arange(f.size), source.shape)
    reflection = f.canvas[source, columns]
    tint = (0.32 + 0.3 * depth + 0.35 * f.amount("waves"))[..., None]
    f.canvas[top:] = reflection + (p.water - reflection) * np.clip(tint, 0, 1)
    sparkle = smoothstep(0.55, 0.9, f.noise(f.x * 22, 46 * depth**0.6 - f.sway(0.8))) * (0.16 - 0.1 * f.amount("rain"))
    over(f.canvas[top:], p.light, sparkle * (1 - depth))
    over(f.canvas[top : top + 1], p.haze, 0.35)


def shore_line(f: Frame) -> Array:
    """y of the near bank, [1,W], rising toward the side it comes from."""
    side, reach, height = f.layout.shore
    inward = (1 - f.x) if side > 0 else f.x
    rise = height * (1 - smoothstep(0, reach, inward))
    return 1.02 - rise - 0.012 * f.noise.fractal(f.x * 7, 31.0)


def shore_and_trees(f: Frame) -> None:
    """The near bank with conifers, bent by wind."""
    p = f.palette
    line = shore_line(f)
    lit = p.shore + (p.near - p.shore) * (0.5 * np.clip(1 - (f.y - line) / 0.12, 0, 1))[..., None]
    over(f.canvas, lit, f.below(line))
    gust = f.amount("wind") * (0.2 + 0.05 * np.sin(f.angle(5.1)) + 0.03 * np.sin(f.angle(11.3)))
    breeze = 0.008 * np.sin(f.angle(1.7))
    for x0, height, width in f.layout.trees:
        base = float(line[0, min(int(x0 * f.size), f.size - 1)]) + 0.02
        up = np.clip((base - f.y) / height, 0, 1)
        bend = (breeze - gust) * up**1.6 * height * 2.2
        tier = 0.62 + 0.38 * (1 - (up * 5.5) % 1)
        half = np.where(up < 0.1, 0.12, (1 - up) * tier) * width * (1 + 0.25 * gust)
        inside = np.clip((half - np.abs(f.x - x0 - bend)) * f.size + 0.5, 0, 1)
        over(f.canvas, p.shore * 0.8, inside * ((f.y < base) & (f.y > base - height)))
