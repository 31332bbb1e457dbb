"""Pictures that explain: what was heard, how it moves, how the loss fell. IMAGE [1,H,W,3] in 0..1.

Drawn on matplotlib's own canvas, never through pyplot, which keeps state and is not safe outside the main thread.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ParamSpec

import torch
from torch import Tensor

from ..soundguide_core.common.errors import printable
from ..soundguide_core.systems.configs.hear_words import SURE
from .host import as_image
from .packages import is_there

if TYPE_CHECKING:
    from ..soundguide_core.embedding.hearing.words import HeardWords
    from ..soundguide_core.pipelines.recording import Recording
    from ..soundguide_core.pipelines.report import VideoReport

P = ParamSpec("P")

PAPER, INK, LINE, SOFT, FAINTLY = "#17181c", "#d7dae0", "#f2a65a", "#7fb4d6", "#6a6f78"
DPI = 100
COLUMNS = 1400  # of a spectrum, at most


def drawn(plot: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """A plot that without matplotlib is an empty picture, so that its node does its work all the same."""

    @functools.wraps(plot)
    def picture(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        if is_there("matplotlib"):
            return plot(*args, **kwargs)
        logging.warning(
            "[SoundGuide] without the package matplotlib plots are empty. Get it with: pip install matplotlib"
        )
        return as_image(torch.full((1, 64, 320, 3), 0.1))

    return picture


@drawn
def mel_picture(mel: Tensor, seconds: float, hz: Tensor, title: str) -> Tensor:
    """mel [M,T] in 0..1, low bands first; hz [M] their centres."""
    figure, axis = _figure(640, 340)
    axis.imshow(
        mel.numpy(),
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=0,
        vmax=1,
        interpolation="nearest",
        extent=(0, seconds, 0, len(mel)),
    )
    marks = [mark for mark in (100, 300, 1000, 3000, 10000) if hz[0] <= mark <= hz[-1]]
    axis.set_yticks(
        [int(hz.sub(mark).abs().argmin()) for mark in marks],
        [f"{mark // 1000}k" if mark >= 1000 else str(mark) for mark in marks],
    )
    axis.set(xlabel="seconds", ylabel="Hz")
    axis.set_title(_short(title), color=INK, fontsize=10)
    return _picture(figure)


@drawn
def curve_picture(curve: Sequence[float], fps: float, title: str, recording: Recording | None = None) -> Tensor:
    """One value per video frame, over seconds, each frame a step; above it the samples and the spectrum of the sound,
    if there is one, and frame numbers along the top."""
    figure, axes = _figure(720, 460 if recording else 260, 1, 3 if recording else 1)
    *above, axis = axes if recording else [axes]
    edges = [i / fps for i in range(len(curve) + 1)]
    if recording is not None:
        _draw_sound(above, recording, edges[-1])
    axis.stairs(curve, edges, color=LINE, fill=True, alpha=0.25)
    axis.stairs(curve, edges, color=LINE, linewidth=1.4, baseline=None)
    axis.set(xlabel="seconds", xlim=(0, edges[-1]))
    axis.set_title(_short(title), color=INK, fontsize=10)
    first = above[0] if above else axis
    frames = first.secondary_xaxis("top", functions=(lambda sec: sec * fps, lambda frame: frame / fps))
    frames.tick_params(colors=FAINTLY, labelsize=7)
    frames.spines["top"].set_color(FAINTLY)
    frames.set_xlabel("frame", color=FAINTLY, fontsize=7)
    return _picture(figure)


def _draw_sound(axes: Sequence, recording: Recording, seconds: float) -> None:
    """Samples and mel spectrum of the first seconds on two axes of the same span."""
    from ..soundguide_core.audio.mel import RELEASED
    from ..soundguide_core.pipelines.hearing import log_mel_of

    wave, sample_rate = recording.mono(seconds)
    times, low, high = _wave_outline(wave, sample_rate)
    axes[0].fill_between(times, low, high, color=INK, alpha=0.6, linewidth=0)
    axes[0].set(ylim=(-1.05, 1.05), yticks=[])
    mel, length, _ = log_mel_of(wave, sample_rate, RELEASED)
    mel = torch.nn.functional.adaptive_max_pool1d(mel, min(mel.shape[-1], COLUMNS))
    axes[1].imshow(
        mel.numpy(), origin="lower", aspect="auto", cmap="magma", vmin=0, vmax=1, extent=(0, length, 0, len(mel))
    )
    axes[1].set(yticks=[], ylabel="pitch")
    for axis in axes:
        axis.set_xlim(0, seconds)
        axis.tick_params(labelbottom=False)


@drawn
def shape_picture(before: Sequence[float], after: Sequence[float], fps: float, recording: Recording | None) -> Tensor:
    """A curve [F] before and after it was shaped, each frame a step; behind the upper one the sound, if there is
    one."""
    figure, axes = _figure(720, 420, 1, 2)
    edges = [i / fps for i in range(len(before) + 1)]
    span = (min(before), max(before))
    if recording is not None:
        top, middle = max(span[1] - span[0], 1e-6) / 2, (span[0] + span[1]) / 2
        seconds, low, high = _wave_outline(*recording.mono(edges[-1]))
        axes[0].fill_between(seconds, middle + top * low, middle + top * high, color=INK, alpha=0.35, linewidth=0)
    axes[0].stairs(before, edges, color=SOFT, linewidth=1.4, baseline=None)
    axes[0].set_title(f"in: {span[0]:.3g} to {span[1]:.3g}", color=INK, fontsize=10)
    axes[1].stairs(after, edges, color=LINE, fill=True, alpha=0.25, baseline=min(0.0, *after))
    axes[1].stairs(after, edges, color=LINE, linewidth=1.4, baseline=None)
    axes[1].set_title(
        f"out: {min(after):.3g} to {max(after):.3g}, {len(after)} frames at {fps:g} a second", color=INK, fontsize=10
    )
    axes[1].set(xlabel="seconds")
    for axis in axes:
        axis.set_xlim(0, edges[-1])
    return _picture(figure)


@drawn
def weights_picture(weights: Tensor, names: Sequence[str], fps: float) -> Tensor:
    """Weights [F,K] of words, each a filled line of its own over seconds; what they leave of 1 is the base prompt's."""
    shown = [name.partition(",")[0] for name in names] or ["base prompt alone"]
    figure, axes = _figure(720, 90 + 70 * len(shown), 1, len(shown))
    edges = [i / fps for i in range(len(weights) + 1)]
    for i, (axis, name) in enumerate(zip([axes] if len(shown) == 1 else axes, shown)):
        values = weights[:, i].tolist() if len(names) else [0.0] * len(weights)
        axis.stairs(values, edges, color=LINE, fill=True, alpha=0.35)
        axis.stairs(values, edges, color=LINE, linewidth=1.2, baseline=None)
        axis.set(xlim=(0, edges[-1]), ylim=(0, 1.05))
        axis.set_title(_short(name, 60), color=INK, fontsize=9, loc="left", pad=2)
        if i + 1 < len(shown):
            axis.tick_params(labelbottom=False)
        else:
            axis.set(xlabel="seconds")
    return _picture(figure)


def _wave_outline(wave: Tensor, sample_rate: float, columns: int = 700):
    """wave [N] => (seconds, lowest, highest) of each column, -1..1 at the loudest sample."""
    size = max(-(-len(wave) // columns), 1)
    padded = torch.nn.functional.pad(wave, (0, -len(wave) % size)).reshape(-1, size)
    loudest = max(float(wave.abs().max()), 1e-9)
    seconds = (torch.arange(len(padded)) + 0.5) * size / sample_rate
    return seconds.numpy(), (padded.amin(1) / loudest).numpy(), (padded.amax(1) / loudest).numpy()


@drawn
def report_picture(report: VideoReport, fps: float, before: VideoReport | None = None) -> Tensor:
    """Loudness [F] with what is seen, nearness to the sound, motion; of a report that has all three. before: of the
    same video before it was changed, of which nearness and motion are drawn too."""
    loudness, figures, found = report.curve, report.figures, report.reactivity
    similarity, adjacent = figures.similarity, figures.adjacent
    assert loudness is not None and found is not None and similarity is not None and adjacent is not None
    figure, axes = _figure(720, 560, 1, 3)
    seconds = [i / fps for i in range(len(loudness))]
    seen = figures.visual_intensity - figures.visual_intensity.mean()
    span = max(float(abs(seen).max()), 1e-9)
    together = 1.0 if float((seen * (loudness - loudness.mean())).sum()) >= 0 else -1.0
    axes[0].fill_between(seconds, loudness, color=LINE, alpha=0.3, linewidth=0)
    axes[0].plot(seconds, loudness, color=LINE, linewidth=1.2, label="loudness")
    axes[0].plot(seconds, 0.5 + 0.5 * together * seen / span, color=SOFT, linewidth=1.6, label="picture")
    axes[0].legend(loc="upper right", fontsize=8, facecolor=PAPER, edgecolor=PAPER, labelcolor=INK)
    verdict = "follows the sound" if found.reacts else "not told from chance"
    axes[0].set_title(
        f"{verdict}: r = {found.correlation:.2f} at {found.lag:+d} frames, shuffled sounds up to {found.null_99:.2f}",
        color=INK, fontsize=10,
    )  # fmt: skip
    axes[1].plot(seconds, similarity, color=LINE, linewidth=1.4)
    axes[1].set_title(f"nearness to the sound, mean {similarity.mean():.3f}", color=INK, fontsize=10)
    axes[2].plot(seconds[1:], figures.motion, color=SOFT, linewidth=1.4)
    axes[2].set_title(
        f"motion between frames, mean {figures.motion.mean():.4f}; neighbours {adjacent.mean():.4f} alike",
        color=INK, fontsize=10,
    )  # fmt: skip
    axes[2].set(xlabel="seconds", ylim=(0, None))
    if before is not None and before.figures.similarity is not None:
        axes[1].plot(seconds, before.figures.similarity, color=FAINTLY, linewidth=1.0, label="before")
        axes[2].plot(seconds[1:], before.figures.motion, color=FAINTLY, linewidth=1.0, label="before")
        axes[1].legend(loc="upper right", fontsize=8, facecolor=PAPER, edgecolor=PAPER, labelcolor=INK)
    for axis in axes:
        axis.set_xlim(0, max(seconds[-1], 1e-6))
    return _picture(figure)


@drawn
def layer_picture(moves: Sequence[float], title: str) -> Tensor:
    """A bar for each layer of a generator, coarse to fine: how far its latent moved."""
    figure, axis = _figure(640, 260)
    axis.bar(range(len(moves)), moves, color=LINE, width=0.7)
    axis.set(xlabel="layer, coarse to fine", ylabel="moved", xticks=range(len(moves)))
    axis.set_title(_short(title), color=INK, fontsize=10)
    return _picture(figure)


@drawn
def words_picture(heard: HeardWords, told: Sequence[bool], title: str) -> Tensor:
    """Words over time, one line each with its score from 0 to 1; told: which are more than what noise gets."""
    count = len(heard.words)
    figure, axis = _figure(760, 90 + 34 * count)
    times = [0.0, *heard.times.tolist(), heard.seconds]
    for row, scores in enumerate(heard.scores.T):
        floor, course = count - 1 - row, [float(scores[0]), *scores.tolist(), float(scores[-1])]
        colour = (LINE if max(course) >= SURE else SOFT) if told[row] else FAINTLY
        top = [floor + 0.86 * score for score in course]
        axis.fill_between(times, floor, top, color=colour, alpha=0.45, linewidth=0)
        axis.plot(times, top, color=colour, linewidth=1.1)
        axis.axhline(floor, color=INK, linewidth=0.3, alpha=0.4)
        axis.text(
            1.01, floor + 0.3, f"{max(course):.2f}", transform=axis.get_yaxis_transform(), color=colour, fontsize=8
        )
    axis.set_yticks([count - 1 - row + 0.3 for row in range(count)], [_short(word, 30) for word in heard.words])
    axis.tick_params(axis="y", length=0)
    axis.set(xlabel="seconds", xlim=(0, max(heard.seconds, 1e-3)), ylim=(-0.05, count))
    axis.set_title(_short(title), color=INK, fontsize=10)
    return _picture(figure)


@drawn
def loss_picture(history: Sequence[dict[str, float]], title: str) -> Tensor:
    """One panel per term, from the first step to the last."""
    terms = [name for name in history[0] if name != "total"]
    figure, axes = _figure(260 * len(terms) + 60, 260, len(terms))
    for axis, term in zip([axes] if len(terms) == 1 else axes, terms):
        values = [step[term] for step in history]
        axis.plot(values, color=LINE if term == "sound" else SOFT, linewidth=1.6)
        axis.set(xlabel="step", ylim=(min(0.0, *values), 1.08 * max(*values, 1e-6)))
        axis.set_title(f"{term}: {history[0][term]:.3g} to {history[-1][term]:.3g}", color=INK, fontsize=9)
    figure.suptitle(_short(title), color=INK, fontsize=10)
    return _picture(figure)


def _figure(width: int, height: int, columns: int = 1, rows: int = 1):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, layout="constrained", facecolor=PAPER)
    axes = figure.subplots(rows, columns)
    for axis in [axes] if columns == rows == 1 else axes:
        axis.set_facecolor(PAPER)
        axis.tick_params(colors=INK, labelsize=8)
        axis.xaxis.label.set(color=INK, fontsize=8)
        axis.yaxis.label.set(color=INK, fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[["left", "bottom"]].set_color(INK)
    return figure, axes


def _picture(figure) -> Tensor:
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return as_image(torch.from_numpy(np.asarray(canvas.buffer_rgba())[None, ..., :3].astype(np.float32) / 255))


def _short(text: str, letters: int = 72) -> str:
    """As a plot writes it: no half a character, which JSON can hold, and no formula between dollars."""
    text = printable(text)
    text = text if len(text) <= letters else text[: letters - 1] + "…"
    return text.replace("$", r"\$")
