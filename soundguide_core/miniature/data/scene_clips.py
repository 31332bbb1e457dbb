"""Clips of the miniature world: rendered videos whose phenomenon is at every moment as strong as its sound is loud.

The layouts are those that a coded generator knows, so that a clip's source picture can be named.
Axes: N samples, F frames, B batch, K phenomena, Z dims of z.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...audio.features import loudness
from ...audio.mel import MelSpec
from ...audio.waveform import load_audio, to_mono
from ...common.files import make_folder, replacing
from ...common.parallel import parallel_map
from ...metrics.zero_shot import read_esc
from ...training.clips import Clip, SceneCode
from ...training.engine.distributed import rank0_first
from ...training.engine.loop import OnStep
from ...training.recipe import check_entries
from ...training.sound_video_sources import SoundVideoData, clip_set
from ..sounds import synthesis as sounds
from ..sounds.strength import strength
from ..world import codes, scenes
from ..world.captions import concept_of

SOUND_SEC = 6.0
SAMPLE_RATE = 22050
DATA_ENTRIES = (  # of a recipe's [data]
    "source", "cache", "fps", "frames", "recordings", "folds", "ambience", "crops", "first_seed", "per_phenomenon",
    "sounds",
)  # fmt: skip

log = logging.getLogger(__name__)


def draw_curve(rng: np.random.Generator, frames: int, fps: float) -> np.ndarray:
    """An intensity over time [F] in 0..1: wandering, swelling, pulsing, rising, falling, switched or steady."""
    t = np.arange(frames) / fps
    kind = rng.choice(["wander", "swell", "pulse", "ramp", "switch", "steady"], p=[0.3, 0.2, 0.15, 0.1, 0.15, 0.1])
    low, high = rng.uniform(0, 0.45), rng.uniform(0.75, 1.0)
    if kind == "wander":
        knots = rng.uniform(0, 1, int(t[-1] * rng.uniform(0.5, 2.0)) + 3)
        shape = np.interp(t, np.linspace(0, t[-1], len(knots)), knots)
        shape = (shape - shape.min()) / max(np.ptp(shape), 1e-6)
    elif kind == "swell":
        shape = 0.5 - 0.5 * np.cos(2 * np.pi * (t * rng.uniform(0.15, 0.7) + rng.random()))
    elif kind == "pulse":
        shape = np.exp(-((t * rng.uniform(0.4, 1.2) + rng.random()) % 1) * rng.uniform(2, 6))
    elif kind == "ramp":
        shape = np.linspace(0, 1, frames)[:: rng.choice([-1, 1])]
    elif kind == "switch":
        shape = (np.sin(2 * np.pi * (t * rng.uniform(0.15, 0.5) + rng.random())) > rng.uniform(-0.5, 0.5)).astype(float)
        shape, low = np.convolve(np.pad(shape, 1, mode="edge"), np.ones(3) / 3, mode="valid"), 0.3 * low
    else:
        shape = np.ones(frames)
    return low + (high - low) * shape


def curve_of(rng: np.random.Generator, fps: float) -> np.ndarray | None:
    """The intensity of one synthesised sound; for a third of them None, as they come."""
    return None if rng.random() < 1 / 3 else draw_curve(rng, round(SOUND_SEC * fps), fps)


def phenomenon_dim(number: int) -> int:
    """The dim of w along which a phenomenon grows. Of weathers that look different and sound the same always the first:
    a mean of them is none."""
    return codes.LAYOUTS + number * codes.WEATHERS


def synthesised(
    per_phenomenon: int, *, fps: float, frames: int, size: int, seed: int, cache: Path | None = None
) -> Iterator[Clip]:
    """`per_phenomenon` clips of each. cache: where their sounds are kept."""
    plan = [(seed, k, i) for k in range(len(scenes.PHENOMENA)) for i in range(per_phenomenon)]
    key = (SOUND_SEC, SAMPLE_RATE, fps, seed, per_phenomenon)
    for seeds, wave in zip(plan, kept(cache and cache / "waves.npz", key, partial(_wave, fps=fps), plan)):
        rng = np.random.default_rng(seeds)
        curve_of(rng, fps)  # what its sound has drawn
        rng.integers(2**31)  # and its number
        phenomenon = scenes.PHENOMENA[seeds[1]]
        yield _scene(f"synthesised/{phenomenon}-{seeds[2]}", phenomenon, torch.from_numpy(wave), SAMPLE_RATE, rng,
                     fps=fps, frames=frames, size=size)  # fmt: skip


def _wave(seeds: tuple[int, ...], *, fps: float) -> np.ndarray:
    """The sound [N] of those seeds, the second last of which is the phenomenon's number."""
    rng = np.random.default_rng(seeds)
    curve, number = curve_of(rng, fps), int(rng.integers(2**31))
    return sounds.synthesise(
        scenes.PHENOMENA[seeds[-2]], SOUND_SEC, intensity=curve, seed=number, sample_rate=SAMPLE_RATE, fps=fps
    )


def kept(
    path: Path | None, key: tuple, make: Callable[[tuple], np.ndarray], plan: Sequence[tuple],
    on_step: OnStep | None = None,
) -> np.ndarray:  # fmt: skip
    """make(item) of each item of a plan, stacked: made on every core, and kept in a file with what it depends on."""
    told = np.array(repr(key))
    if path is not None and path.is_file():
        with np.load(path) as found:
            if str(found["key"]) == str(told):
                return found["made"]
    made = []
    for i, x in enumerate(parallel_map(make, plan)):
        made.append(x)
        if on_step is not None:
            on_step(i, len(plan), {})
    made = np.stack(made)
    if path is not None:
        with replacing(path) as temporary:
            np.savez(temporary, key=told, made=made)
    return made


def recordings(table: Mapping) -> Iterator[tuple[Path, str, Tensor, int]]:
    """Those of phenomena under table["recordings"]: `folds` of esc10/ in the layout of ESC-50, and the files of
    ambience/ that the mapping names, as (path, phenomenon, wave [N], sample rate)."""
    folder, found = Path(table["recordings"]), []
    if table["folds"] and (folder / "esc10" / "meta" / "esc50.csv").is_file():
        found += of_phenomena(folder / "esc10", table["folds"])
    ambience = [(folder / "ambience" / f"{name}.ogg", phenomenon) for name, phenomenon in table["ambience"].items()]
    found += [(path, phenomenon) for path, phenomenon in ambience if path.is_file()]
    if not found:
        log.warning("No recordings under %s: training on synthesised sounds only.", folder)
    for path, phenomenon in found:
        wave, sample_rate = load_audio(path)
        yield path, phenomenon, to_mono(wave), sample_rate


def of_phenomena(folder: Path, folds: Sequence[int]) -> list[tuple[Path, str]]:
    """(path, phenomenon) of the recordings of phenomena, in these folds of a folder in the layout of ESC-50."""
    rows = [(row["path"], concept_of(row["category"]), row["fold"]) for row in read_esc(folder)]
    return [(path, concept) for path, concept, fold in rows if fold in folds and concept in scenes.PHENOMENA]


def recorded(table: Mapping, *, fps: float, frames: int, size: int) -> Iterator[Clip]:
    """A clip of each short recording, and `crops` of each that is longer than two clips."""
    for n, (path, phenomenon, wave, sample_rate) in enumerate(recordings(table)):
        rng = np.random.default_rng([table["first_seed"], 100, n])
        length = round(SOUND_SEC * sample_rate)
        for i in range(table["crops"] if wave.shape[-1] > 2 * length else 1):
            first = int(rng.integers(max(wave.shape[-1] - length, 0) + 1))
            part = wave[first : first + length]
            if float(part.abs().max()) < 1e-3 or int(part.shape[-1] / sample_rate * fps) < frames:
                continue
            yield _scene(f"{path.name}#{i}", phenomenon, part, sample_rate, rng, fps=fps, frames=frames, size=size)


def _scene(
    name: str, phenomenon: str, wave: Tensor, sample_rate: int, rng: np.random.Generator, *,
    fps: float, frames: int, size: int,
) -> Clip:  # fmt: skip
    total = int(wave.shape[-1] / sample_rate * fps)
    first = int(rng.integers(total - frames + 1))
    part = strength(loudness(wave, sample_rate, fps, total), fps)[first : first + frames]
    layout, amounts = int(rng.integers(codes.LAYOUTS)), np.zeros((frames, len(scenes.PHENOMENA)))
    amounts[:, scenes.PHENOMENA.index(phenomenon)] = part
    pixels = partial(scenes.render, layout, phenomenon, part, size=size, fps=fps, start_sec=first / fps)
    return Clip(name, phenomenon, pixels, wave, sample_rate, first / fps, SceneCode(layout, amounts))


def name_z(layouts: Tensor, calm: Tensor, z: Tensor) -> Tensor:
    """z [B,Z] with the signs of scenes of these layouts [B]; where `calm` [B], of scenes in which nothing goes on."""
    z = z.clone()

    def spell(part: slice, numbers: Tensor, rows: Tensor) -> None:
        width = part.stop - part.start
        bits = (numbers[:, None] >> torch.arange(width - 1, -1, -1)) & 1
        z[rows, part] = torch.where(bits[rows] > 0, z[rows, part].abs(), -z[rows, part].abs())

    spell(codes.BITS["layout"], layouts, torch.ones(len(layouts), dtype=torch.bool))
    spell(codes.BITS["kind"], torch.full((len(layouts),), codes.KINDS.index(None)), calm)
    return z


def scene_clips(table: Mapping, *, fps: float, frames: int, size: int, cache: Path | None = None) -> Iterator[Clip]:
    """Everything that a recipe's [data] asks for."""
    sizes = {"fps": fps, "frames": frames, "size": size}
    yield from synthesised(table["per_phenomenon"], seed=table["first_seed"], cache=cache, **sizes)
    yield from recorded(table, **sizes)


def departures(amounts: Tensor, w_dim: int, weather: int = 0) -> Tensor:
    """How far frames with so much of each phenomenon [B,F,K] lie from a source without, in w: [B,F,1,D]. What comes
    after the K phenomena is from outside and shows nothing. weather: which of those that sound the same, from 0."""
    amounts = amounts[..., : len(scenes.PHENOMENA)]
    out = amounts.new_zeros(*amounts.shape[:2], 1, w_dim)
    out[..., [phenomenon_dim(k) + weather for k in range(amounts.shape[-1])]] = codes.AMPLITUDE * amounts[:, :, None]
    return out


class SceneCodes:
    """The codes of this world, as training/sound_video_sources asks for them."""

    name_z = staticmethod(name_z)
    departures = staticmethod(departures)


def clips_and_sounds(
    *, table: Mapping, joint, spec: MelSpec, generator, cache: Path, device: torch.device | str, on_step: OnStep | None
) -> SoundVideoData:
    """Rendered clips, and for stages without pictures the sounds of [data.sounds], where a recipe has that table."""
    from .scene_sounds import SceneSounds

    check_entries({"data": table}, {"data": DATA_ENTRIES})
    sizes = {"fps": table["fps"], "frames": table["frames"], "size": generator.resolution}
    clips = scene_clips(table, cache=make_folder(cache), **sizes)
    found = clip_set(clips, joint=joint, spec=spec, cache=cache, on_step=on_step, **sizes)
    sounds = None
    if "sounds" in table:
        sounds = rank0_first(
            lambda: SceneSounds(
                table["sounds"], table, spec=spec, fps=table["fps"], cache=cache / "sounds", device=device,
                on_step=on_step,
            )
        )  # fmt: skip
    return SoundVideoData(found, sounds, SceneCodes())
