"""Edited videos, judged: is the phenomenon seen, does the rest stay, does louder change more, do frames agree?

The judge is part of no loss, and looks at whole frames. Axes: F frames, K classes, H W picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...audio.features import curve, sones
from ...flow.estimators import load_flow
from ...flow.optical_flow import estimate_flow
from ...media.images import from_uint8, to_uint8
from ...media.masks import composite
from ...metrics.reactivity import shuffled
from ...metrics.warp_error import warp_error
from ...systems.video_editing import EditConfig, edit_video
from ..sounds import synthesis as sounds
from ..world import scenes

SAMPLE_RATE = 22050
FIRST_SOUND, FIRST_SCENE = 6_000_000, 900_000  # of which no training and no tuning takes any
BLOCK_SEC = 1.0  # of a loudness curve that stays together when it is shuffled
NULLS = 1000
REGIONS = ("whole", "above", "ellipse")


@dataclass(frozen=True)
class Pair:
    """A video and a sound: frames [F,3,H,W] in -1..1, mask [1,1,H,W], embeds [F,D], loudness [F] in 0..1.

    What can be reached: painted [F,3,H,W], the phenomenon as the renderer puts it into the region; heard, whether the
    encoder itself finds the word for it in the sound.
    """

    phenomenon: str
    shown: str | None
    region: str
    frames: Tensor
    mask: Tensor
    embeds: Tensor
    loudness: np.ndarray
    painted: Tensor
    heard: bool


@dataclass(frozen=True)
class Judged:
    """One edit.

    named, painted: [F], whether the judge names the sound's phenomenon in it, and in Pair.painted. kept: whether all
    uint8 pixels outside the mask are the source's. change [F]: mean absolute difference inside the mask, of values in
    0..1. rank: Spearman's of loudness and change; nulls [NULLS]: the same of shuffled loudness. warp_error,
    warp_error_src: means over pairs.
    """

    pair: Pair
    frames: Tensor
    named: np.ndarray
    painted: np.ndarray
    kept: bool
    change: np.ndarray
    rank: float
    nulls: np.ndarray
    warp_error: float
    warp_error_src: float


def region_mask(region: str, size: int) -> Tensor:
    """[1,1,size,size] of 0 and 1: "whole"; "above" the lowest 15 %; an "ellipse" that leaves the corners.

    All are large: a judge of whole frames does not name what is painted into half of one (see Pair.painted).
    """
    y, x = torch.meshgrid(*2 * [(torch.arange(size) + 0.5) / size], indexing="ij")
    inside = {
        "whole": torch.ones(size, size, dtype=torch.bool),
        "above": y < 0.85,
        "ellipse": (x - 0.5).square() + (y - 0.5).square() < 0.36,
    }[region]
    return inside.float()[None, None]


def make_pair(k: int, joint, *, num_frames: int, fps: float, size: int, seed: int = 0) -> Pair:
    """Pair k: phenomena in turn, over a calm scene or one that shows another phenomenon, in one of three regions.

    The sound swells twice or so between a third and all of its strength.
    """
    rng = np.random.default_rng([seed, k])
    phenomenon = scenes.PHENOMENA[k % len(scenes.PHENOMENA)]
    others = [name for name in scenes.PHENOMENA if name != phenomenon]
    shown = None if k % 2 == 0 else others[int(rng.integers(len(others)))]
    t = np.arange(num_frames) / fps
    seconds = num_frames / fps
    swell = 0.5 - 0.5 * np.cos(2 * np.pi * (t / seconds * rng.uniform(1.5, 2.5) + rng.random()))
    wave = torch.from_numpy(
        sounds.synthesise(
            phenomenon, seconds, intensity=0.35 + 0.65 * swell, seed=FIRST_SOUND + 1000 * seed + k,
            sample_rate=SAMPLE_RATE, fps=fps,
        )
    )  # fmt: skip
    source, painted = (
        from_uint8(torch.from_numpy(scenes.render(FIRST_SCENE + 1000 * seed + k, name, power, size=size, fps=fps)))
        for name, power in ((shown, np.full(num_frames, 0.8)), (phenomenon, np.full(num_frames, 0.8)))
    )
    region = REGIONS[k % len(REGIONS)]
    with torch.no_grad():
        embeds = joint.encode_audio_frames(wave, SAMPLE_RATE, fps=fps, num_frames=num_frames)
        heard = int(joint.classify(joint.encode_audio(wave, SAMPLE_RATE), scenes.PHENOMENA).argmax())
    loudness = curve("loudness", wave, SAMPLE_RATE, fps, num_frames)
    mask = region_mask(region, size)
    return Pair(
        phenomenon, shown, region, source, mask, embeds, loudness, composite(source, painted, mask),
        scenes.PHENOMENA[heard] == phenomenon,
    )  # fmt: skip


def judged(pair: Pair, frames: Tensor, judge, flow, fps: float, seed: int = 0) -> Judged:
    """The figures of an edited video, frames [F,3,H,W]. flow: the movement of the source, at its size."""
    device, wanted = next(judge.parameters()).device, judge.classes.index(pair.phenomenon)
    named, painted = (
        (judge.predict(x.clamp(-1, 1).to(device)).argmax(dim=1) == wanted).cpu().numpy() for x in (frames, pair.painted)
    )
    pixels, pixels_src = to_uint8(frames), to_uint8(pair.frames)
    outside = (pair.mask == 0).permute(0, 2, 3, 1).expand_as(pixels)
    inside = pair.mask > 0
    difference = (frames - pair.frames).abs().mean(dim=1, keepdim=True) / 2
    change = (difference * inside).sum(dim=(1, 2, 3)).div(inside.sum()).numpy().astype(np.float64)
    rng = np.random.default_rng(seed)
    block = max(round(BLOCK_SEC * fps), 1)
    nulls = np.array([rank_correlation(shuffled(pair.loudness, block, rng), change) for _ in range(NULLS)])
    return Judged(
        pair, frames, named, painted, bool((pixels == pixels_src)[outside].all()),
        change, rank_correlation(pair.loudness, change), nulls,
        float(warp_error(frames, flow).mean()), float(warp_error(pair.frames, flow).mean()),
    )  # fmt: skip


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's, of a and b [F]; 0 where one of them is constant."""
    from scipy.stats import rankdata

    a, b = rankdata(a), rankdata(b)
    return 0.0 if a.std() == 0 or b.std() == 0 else float(np.corrcoef(a, b)[0, 1])


def measure(
    denoiser,
    joint,
    judge,
    configs: dict[str, EditConfig],
    *,
    count: int,
    num_frames: int,
    fps: float,
    seed: int = 0,
    on_step: Callable[..., None] | None = None,
) -> tuple[dict[str, dict], dict[str, list[Judged]]]:
    """The same `count` pairs edited by each config: (figures, edits), by the configs' names."""
    estimator, found = load_flow(), {name: [] for name in configs}
    for k in range(count):
        pair = make_pair(k, joint, num_frames=num_frames, fps=fps, size=denoiser.resolution, seed=seed)
        flow = estimate_flow(pair.frames, estimator)
        for j, (name, config) in enumerate(configs.items()):
            out = edit_video(
                pair.frames, pair.embeds, denoiser=denoiser, joint=joint, mask=pair.mask, flow=flow,
                curves={"sound": sones(torch.from_numpy(pair.loudness))}, fps=fps, config=config,
            )  # fmt: skip
            found[name].append(judged(pair, out.frames.cpu(), judge, flow, fps, seed=k))
            if on_step is not None:
                on_step(k * len(configs) + j, count * len(configs))
    return {name: summary(edits) for name, edits in found.items()}, found


def summary(edits: list[Judged]) -> dict:
    """The figures as plain numbers. rank: the mean over videos, and the share of such means of nulls that lie below."""
    rank = float(np.mean([edit.rank for edit in edits]))
    nulls = np.mean([edit.nulls for edit in edits], axis=0)

    def by(key: Callable[[Judged], str]) -> dict[str, float]:
        groups = dict.fromkeys(key(edit) for edit in edits)
        return {group: float(np.mean([e.named.mean() for e in edits if key(e) == group])) for group in groups}

    return {
        "videos": len(edits),
        "named": float(np.mean([edit.named.mean() for edit in edits])),
        "named_of_heard": float(np.mean([edit.named.mean() for edit in edits if edit.pair.heard] or [0.0])),
        "heard": float(np.mean([edit.pair.heard for edit in edits])),
        "painted": float(np.mean([edit.painted.mean() for edit in edits])),
        "named_per_class": by(lambda edit: edit.pair.phenomenon),
        "named_per_region": by(lambda edit: edit.pair.region),
        "outside_equal": float(np.mean([edit.kept for edit in edits])),
        "change": float(np.mean([edit.change.mean() for edit in edits])),
        "rank": {"mean": rank, "above_nulls": float((nulls < rank).mean()), "null_99": float(np.percentile(nulls, 99))},
        "warp_error": float(np.mean([edit.warp_error for edit in edits])),
        "warp_error_source": float(np.mean([edit.warp_error_src for edit in edits])),
        "each": [
            {
                "phenomenon": edit.pair.phenomenon, "shown": edit.pair.shown, "region": edit.pair.region,
                "heard": edit.pair.heard, "named": float(edit.named.mean()), "painted": float(edit.painted.mean()),
                "outside_equal": edit.kept, "change": float(edit.change.mean()),
                "rank": edit.rank, "warp_error": edit.warp_error, "warp_error_source": edit.warp_error_src,
            }
            for edit in edits
        ],
    }  # fmt: skip
