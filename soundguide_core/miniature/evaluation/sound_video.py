"""Videos of sounds, judged: is the phenomenon seen, does it move with the sound, does it change when the sound does?

The judge is part of no loss. Where a sound is silent there is nothing to name, so these frames do not count. Fréchet
distances are taken to rendered videos of the same phenomena, as strong as the same sounds say (miniature/strength).
Axes: F frames, D dims, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import torch
from torch import Tensor

from ...audio.features import curve
from ...audio.track import MelTrack
from ...common.types import ImageGenerator, JointSpace, TrajectoryModel
from ...media.images import from_uint8
from ...metrics.frechet import frechet_distance, window_features
from ...metrics.reactivity import Reactivity, reactivity
from ...metrics.video_meter import VideoFigures, VideoMeter
from ...systems.sound_to_video import VideoConfig, stream_video
from ..sounds import synthesis as sounds
from ..sounds.strength import heard, strength
from ..world import scenes
from .scene_classifier import SceneClassifier

SAMPLE_RATE = 22050
FIRST_SEED = 5_000_000  # of sounds that no training uses
WINDOW = 12  # frames of a window whose features are compared
HALF_SEC, FADE_SEC = 3.0, 0.5  # of a crossfade


@dataclass(frozen=True)
class Judged:
    """One video: what it was to show, the judge's probabilities [F,K], and its figures."""

    phenomenon: str
    probabilities: Tensor
    figures: VideoFigures
    reactivity: Reactivity
    loudness: np.ndarray
    fps: float
    frames: Tensor  # every WINDOW-th, for a sheet

    @property
    def audible(self) -> np.ndarray:
        """[F], whether there is something to hear."""
        return heard(self.loudness, self.fps) > 0.5

    def named(self, classes: tuple[str, ...]) -> float:
        """Share of the audible frames in which the judge names the phenomenon."""
        named = (self.probabilities.argmax(dim=1) == classes.index(self.phenomenon)).numpy()
        return float(named[self.audible].mean())


@dataclass(frozen=True)
class Models:
    """What is measured, and what measures."""

    generator: ImageGenerator
    trajectory: TrajectoryModel
    joint: JointSpace
    judge: SceneClassifier


def judged(
    models: Models, wave: np.ndarray, phenomenon: str, ws_src: Tensor, config: VideoConfig, *, seed: int = 0
) -> Judged:
    """The video of wave [N], from the source picture ws_src [1,L,D]."""
    track = MelTrack.of_wave(torch.from_numpy(wave), SAMPLE_RATE, models.trajectory.spec)
    num_frames = track.frames(config.fps)
    sound = torch.from_numpy(wave)
    meanings = models.joint.encode_audio_frames(sound, SAMPLE_RATE, fps=config.fps, num_frames=num_frames)
    meter, probabilities, kept, done = VideoMeter(models.joint.encode_image), [], [], 0
    for part in stream_video(track, ws_src, generator=models.generator, trajectory=models.trajectory, config=config):
        meter.add(part.frames, meanings[done : done + len(part.frames)])
        probabilities.append(models.judge.predict(part.frames.clamp(-1, 1)).cpu())
        kept += [frame for i, frame in enumerate(part.frames.cpu(), done) if i % WINDOW == 0]
        done += len(part.frames)
    figures = meter.figures()
    loudness = curve("loudness", torch.from_numpy(wave), SAMPLE_RATE, config.fps, num_frames)
    return Judged(
        phenomenon, torch.cat(probabilities), figures,
        reactivity(loudness, figures.visual_intensity, config.fps, seed=seed), loudness, config.fps, torch.stack(kept),
    )  # fmt: skip


def crossing_sec(models: Models, first: str, second: str, ws_src: Tensor, config: VideoConfig, *, seed: int) -> float:
    """When the picture crosses over from one phenomenon to another: seconds after the middle of the sounds' crossfade,
    below 0 before it. The moment from which on the judge names the second; infinite where there is none."""
    p = judged(models, crossfade(first, second, seed=seed), second, ws_src, config).probabilities
    return crossed_sec((p.argmax(dim=1) == models.judge.classes.index(second)).numpy(), config.fps) - HALF_SEC


def crossfade(first: str, second: str, *, seed: int) -> np.ndarray:
    """New sounds of two phenomena, equally loud, that go over into each other in the middle, the power being kept: [N]
    at SAMPLE_RATE, of twice HALF_SEC."""
    waves = [
        sounds.synthesise(
            p, HALF_SEC + FADE_SEC, intensity=np.full(8, 0.85), seed=seed + i, sample_rate=SAMPLE_RATE, fps=2
        )
        for i, p in enumerate((first, second))
    ]
    waves = [wave / (wave.std() + 1e-9) * 0.1 for wave in waves]
    t = np.arange(round(2 * HALF_SEC * SAMPLE_RATE)) / SAMPLE_RATE
    rise = np.clip((t - HALF_SEC) / FADE_SEC + 0.5, 0, 1)
    wave = np.zeros(len(t), np.float32)
    length = len(waves[0])
    wave[:length] += (waves[0] * np.cos(rise[:length] * np.pi / 2)).astype(np.float32)
    wave[-length:] += (waves[1] * np.sin(rise[-length:] * np.pi / 2)).astype(np.float32)
    return wave


def crossed_sec(second: np.ndarray, fps: float) -> float:
    """second [F], whether the second is named => the begin of the first frame from which on it always is; infinite
    where it is so from the beginning, or not at the end."""
    if not second[-1] or second[0]:
        return float("inf")
    return (len(second) - int(np.argmin(second[::-1]))) / fps


def rendered_embeds(models: Models, phenomenon: str, loudness: np.ndarray, layout: int, fps: float) -> Tensor:
    """Embeddings [F,D] of the painted video of the same phenomenon, as strong as the sound is loud."""
    pixels = scenes.render(layout, phenomenon, strength(loudness, fps), size=models.generator.resolution, fps=fps)
    with torch.no_grad():
        img = from_uint8(torch.from_numpy(pixels)).to(models.joint.device)
        return torch.cat([models.joint.encode_image(part) for part in img.split(32)]).cpu()


def swell(seconds: float, fps: float, seed: int) -> np.ndarray:
    """An intensity [F] that rises and falls every 2.5 to 6 seconds, between a quarter or more and all."""
    rng = np.random.default_rng(seed)
    t = np.arange(max(round(seconds * fps), 1)) / fps
    low = rng.uniform(0.25, 0.4)
    return low + (1 - low) * (0.5 - 0.5 * np.cos(2 * np.pi * (t / rng.uniform(2.5, 6) + rng.random())))


def new_sounds(
    count: int, seconds: float, *, fps: float, seed: int, swelling: bool = True
) -> Iterator[tuple[str, np.ndarray]]:
    """(phenomenon, wave [N]) of `count` sounds that no training uses, the phenomena in turn. swelling: of one strength
    that rises and falls; off, as they come, some of them so even that there is nothing to follow."""
    for k in range(count):
        phenomenon = scenes.PHENOMENA[k % len(scenes.PHENOMENA)]
        number = FIRST_SEED + seed + k
        intensity = swell(seconds, fps, number) if swelling else None
        yield (
            phenomenon,
            sounds.synthesise(phenomenon, seconds, intensity=intensity, seed=number, sample_rate=SAMPLE_RATE, fps=fps),
        )


def measure(
    models: Models,
    heard: Iterable[tuple[str, np.ndarray]],
    count: int,
    *,
    config: VideoConfig,
    psi: float,
    seed: int,
    crossfades: bool = True,
    on_step: Callable[..., None] | None = None,
) -> tuple[dict, list[Judged]]:
    """`count` sounds (phenomenon, wave [N] at SAMPLE_RATE), each over a picture of its own, and a crossfade from each
    phenomenon to each other: (figures, the videos)."""
    results, painted, pairs = [], [], list(permutations(scenes.PHENOMENA, 2)) if crossfades else []
    total = count + len(pairs)
    for k, (phenomenon, wave) in enumerate(heard):
        ws_src = models.generator.sample_ws([seed + k], psi)
        results.append(judged(models, wave, phenomenon, ws_src, config, seed=seed))
        painted.append(rendered_embeds(models, phenomenon, results[-1].loudness, k % 32, config.fps))
        if on_step is not None:
            on_step(k, total)
    crossings = []
    for k, (first, second) in enumerate(pairs):
        ws_src = models.generator.sample_ws([seed + k], psi)
        late = crossing_sec(models, first, second, ws_src, config, seed=FIRST_SEED + 10_000 + seed + 2 * k)
        crossings.append({"from": first, "to": second, "late_sec": late if np.isfinite(late) else None})
        if on_step is not None:
            on_step(count + k, total)
    return summary(results, painted, crossings, models), results


def summary(results: list[Judged], painted: list[Tensor], crossings: list[dict], models: Models) -> dict:
    """The figures as plain numbers."""
    classes = models.judge.classes
    ours, theirs, similarity, adjacent = [], painted, [], []
    for figures in (r.figures for r in results):
        # judged() measures with an encoder, against a sound
        assert figures.embeds is not None and figures.similarity is not None and figures.adjacent is not None
        ours.append(figures.embeds)
        similarity.append(figures.similarity)
        adjacent.append(figures.adjacent)
    late = np.abs([np.inf if c["late_sec"] is None else c["late_sec"] for c in crossings])
    median = float(np.median(late)) if len(late) else np.inf
    correlated = [r.reactivity for r in results]
    return {
        "videos": len(results),
        "named": float(np.mean([r.named(classes) for r in results])),
        "audible": float(np.mean([r.audible.mean() for r in results])),
        "named_per_class": {
            p: float(np.mean([r.named(classes) for r in results if r.phenomenon == p]))
            for p in dict.fromkeys(r.phenomenon for r in results)
        },
        "reactive": float(np.mean([r.reacts for r in correlated])),
        "correlation": float(np.mean([r.correlation for r in correlated])),
        "null_99": float(np.mean([r.null_99 for r in correlated])),
        "lag_frames": {
            "mean": float(np.mean([r.lag for r in correlated])),
            "within_2": float(np.mean([abs(r.lag) <= 2 for r in correlated])),
        },
        "similarity": float(np.mean([x.mean() for x in similarity])),
        "adjacent": {
            "mean": float(np.mean([x.mean() for x in adjacent])),
            "least": float(np.min([x.min() for x in adjacent])),
        },
        "motion": {
            "mean": float(np.mean([r.figures.motion.mean() for r in results])),
            "largest": float(np.max([r.figures.motion.max() for r in results])),
        },
        "crossfades_in_time": float((late <= 0.5).mean()) if len(late) else None,
        "crossfades_median_sec": median if np.isfinite(median) else None,
        "crossfades": crossings,
        "frechet": {
            "space": "pictures of the joint encoder",
            "frames": frechet_distance(torch.cat(ours).numpy(), torch.cat(theirs).numpy()),
            "windows": frechet_distance(
                *(np.concatenate([window_features(x, WINDOW) for x in side]) for side in (ours, theirs))
            ),
            "window": WINDOW,
        },
        "each": [
            {
                "phenomenon": r.phenomenon, "named": r.named(classes), "correlation": r.reactivity.correlation,
                "lag_frames": r.reactivity.lag, "null_99": r.reactivity.null_99, "reactive": r.reactivity.reacts,
            }
            for r in results
        ],
    }  # fmt: skip
