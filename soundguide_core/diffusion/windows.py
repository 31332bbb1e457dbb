"""A video in windows of frames, and what belongs to each. Axes: F frames, D dims, H W picture; h w in the model."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, cast

import torch
from torch import Tensor

from ..common.errors import InputError
from ..common.shapes import check_shape
from ..common.types import FlowEstimator, OnStep
from ..flow.optical_flow import Flow, backward_warp, estimate_flow
from ..media.masks import composite, fitted


def windows(frames: Iterable[Tensor], count: int) -> Iterator[Tensor]:
    """Frames as they come, each [n,3,H,W] => windows [F,3,H,W] of `count` of them, the last of what is left."""
    singles = (img for part in frames for img in part.split(1))
    while batch := list(itertools.islice(singles, count)):
        if len({img.shape for img in batch}) > 1:
            raise InputError("The frames differ in size.", "Give the frames of one video.")
        check_shape(batch[0], "F 3 H W", name="the frames")
        yield torch.cat(batch)


def next_masks(masks: Iterator[Tensor | None], img: Tensor, invert: bool = False) -> Tensor:
    """The next masks, each [1,1,h,w] or None for all of a frame => [F,1,H,W], one for each of img [F,3,H,W]."""
    given = list(itertools.islice(masks, len(img)))
    if len(given) < len(img):
        raise InputError("The video is longer than its masks.", "Give one mask for each frame, or one for all.")
    if given[0] is None:
        return img.new_ones(len(img), 1, *img.shape[2:])
    h, w = img.shape[2:]
    mask = torch.cat([fitted(mask, (h, w)) for mask in cast("list[Tensor]", given)]).to(img)
    return 1 - mask if invert else mask


def working_size(size: tuple[int, int], short: int | None, multiple: int) -> tuple[int, int]:
    """Height and width for a network: in the shape of (H, W), about `short` along the shorter side (None: as it is).

    Both are multiples of `multiple`.
    """
    scale = 1 if short is None else short / min(size)
    h, w = (max(round(side * scale / multiple), 1) * multiple for side in size)
    return h, w


def rows_for(x: Tensor, frames: range, what: str, one: bool = True) -> Tensor:
    """The rows of x [F,...] that belong to these frames. one: a single row stands for all frames."""
    if one and len(x) == 1:
        return x.expand(len(frames), *x.shape[1:])
    if len(x) < frames.stop:
        raise InputError(f"The video is longer than its {len(x)} {what}.", "Give one for each frame.")
    return x[frames.start : frames.stop]


def laid_on(mask: Tensor, presence: Tensor | None, first: int) -> Tensor:
    """Masks [F,1,H,W] of the frames from number `first` on, times how much of its edit each of all frames shows."""
    if presence is None:
        return mask
    rows = rows_for(presence, range(first, first + len(mask)), "values of presence", one=False)
    return mask * rows.to(mask).view(-1, 1, 1, 1)


@dataclass(frozen=True)
class Place:
    """Another sound, and where it acts.

    embeds: [F,D] or [1,D]. mask: [F,1,h,w] or [1,1,h,w] in 0..1. lead: [F], how far it leads at each frame.
    presence: [F] in 0..1, how much of its edit is laid on; None for all of it.
    """

    embeds: Tensor
    mask: Tensor
    lead: Tensor | None = None
    presence: Tensor | None = None

    def mask_of(self, img: Tensor, first: int) -> Tensor:
        """[F,1,H,W], of the frames img [F,3,H,W] from number `first` on."""
        rows = rows_for(self.mask, range(first, first + len(img)), "masks")
        return torch.cat([fitted(mask, (img.shape[2], img.shape[3])) for mask in rows.split(1)]).to(img)

    def lead_of(self, frames: range) -> Tensor:
        """[F]"""
        return torch.ones(len(frames)) if self.lead is None else rows_for(self.lead, frames, "values of the curve")


def check_count(count: int, num_frames: int, what: str, one: bool = True) -> None:
    """InputError unless there is one for each frame. one: or one for all."""
    if count != num_frames and not (one and count == 1):
        raise InputError(
            f"{count} {what} meet {num_frames} frames.", f"Give one for each frame{', or one for all' if one else ''}."
        )


def check_video(frames: Tensor, embeds: Tensor, mask: Tensor | None, curves: Mapping[str, Tensor]) -> None:
    """InputError unless frames [F,3,H,W], embeds [F,D] or [1,D], mask [F,1,h,w] or [1,1,h,w] and curves [F] meet."""
    count = check_shape(frames, "F 3 H W", name="the frames")["F"]
    check_shape(embeds, "F D", name="the embeddings")
    check_count(len(embeds), count, "embeddings")
    if mask is not None:
        check_shape(mask, "F 1 H W", name="the mask")
        check_count(len(mask), count, "masks")
    for name, curve in curves.items():
        check_count(len(curve), count, f"values of the curve of {name}", one=False)


class PreviousFrame(NamedTuple):
    """The last finished frame at the model's scale, source and result [1,3,h,w], and what the result shows, [1,D]; with
    sounds in several places what each of them shows, [K,D]."""

    x_src: Tensor
    x0: Tensor
    image_embeds: Tensor


class Reached(NamedTuple):
    """How far an edit has come: the number of the frame that is next, and the last finished one, if it was edited."""

    first: int = 0
    previous: PreviousFrame | None = None


@dataclass
class EditedVideo:
    """frames [F,3,H,W] in -1..1, and what was edited of each: mask [F,1,H,W] in 0..1, feathered.

    history: for each step the unweighted terms, means over the frames of a window. reached: of a window, where the next
    one goes on.
    """

    frames: Tensor
    mask: Tensor
    history: list[dict[str, float]]
    reached: Reached | None = None

    @classmethod
    def joined(cls, parts: Iterable[EditedVideo]) -> EditedVideo:
        """Windows after one another as one video."""
        windows = list(parts)
        history = [terms for part in windows for terms in part.history]
        return cls(torch.cat([part.frames for part in windows]), torch.cat([part.mask for part in windows]), history)


@dataclass(frozen=True)
class Window:
    """Frames that are edited together, from number `first` on: x_src [F,3,h,w], mask [F,1,h,w].

    The losses that couple frames run over P of them: these, and in front of them the previous frame, if there is one.
    audio: [P,D]. flow: of the P, or what estimates it. curves: values of terms for frames or pairs of the P.
    """

    first: int
    x_src: Tensor
    mask: Tensor
    previous: PreviousFrame | None
    audio: Tensor
    flow: Flow | FlowEstimator | None
    curves: Mapping[str, Tensor]

    def with_previous(self, x: Tensor, name: str) -> Tensor:
        """x [F,...] with the previous frame's tensor of that name in front: [P,...]."""
        return x if self.previous is None else torch.cat([getattr(self.previous, name), x])

    @classmethod
    def at(
        cls,
        first: int,
        x_src: Tensor,
        mask: Tensor,
        previous: PreviousFrame | None,
        embeds: Tensor,
        flow: Flow | FlowEstimator | None,
        curves: Mapping[str, Tensor],
        per_pair: Collection[str],
    ) -> Window:
        """The window at frame number `first`; embeds, flow and curves are those of the whole video.

        per_pair: the terms that have one number for each pair of frames.
        """
        frames = range(first - (previous is not None), first + len(x_src))  # in the losses that couple frames
        audio = rows_for(embeds, frames, "embeddings").to(x_src)
        flow = flow[frames.start : frames.stop - 1] if isinstance(flow, Flow) else flow
        values = {}
        for name, curve in curves.items():
            rows = rows_for(torch.as_tensor(curve), frames, f"values of the curve of {name}", one=False)
            # of a pair: the mean of both
            values[name] = (rows[1:] + rows[:-1]) / 2 if name in per_pair else rows[-len(x_src) :]
        return cls(first, x_src, mask, previous, audio, flow, values)

    def movement(self, chunk: int, on_source: bool) -> Flow | None:
        """The flow of the P frames at this scale: as given, or with on_source estimated, `chunk` pairs at a time."""
        if isinstance(self.flow, Flow):
            return self.flow.resized(*self.x_src.shape[2:]).to(self.x_src.device)
        if not on_source:
            return None
        return estimate_flow(self.with_previous(self.x_src, "x_src"), cast(FlowEstimator, self.flow), chunk)

    def moving(self, chunk: int, on_source: bool) -> Window:
        """With the flow of its P frames, where movement knows it, so that it is estimated once."""
        moved = self.movement(chunk, on_source)
        return self if moved is None else replace(self, flow=moved)

    def flow_of(self, x: Tensor, chunk: int) -> Flow:
        """The flow of the P frames where it is known, else that of x [P,3,h,w] in their place."""
        if isinstance(self.flow, Flow):
            return self.flow
        return estimate_flow(x.detach(), cast(FlowEstimator, self.flow), chunk)

    def reported(self, on_step: OnStep, history: list[dict[str, float]]) -> OnStep:
        """on_step, told the last terms of the history, and shown an estimate with the source around the mask."""

        def report(i: int, n: int, terms: dict[str, float], preview: Callable[[], Tensor | None]) -> None:
            def shown() -> Tensor | None:
                x0_hat = preview()
                return None if x0_hat is None else composite(self.x_src, x0_hat, self.mask)

            on_step(i, n, history[-1] if history else {}, shown)

        return report


def continued(x0: Tensor, window: Window, num_frames: int) -> Tensor:
    """Frames x0 [F,3,h,w] of a window; the first num_frames go over from the edit of the frame before to their own.

    That edit is moved along the flow, and its share falls in even steps from num_frames / (num_frames + 1). What the
    frame before does not show stays, and all of x0 where the window does not know its flow.
    """
    if window.previous is None or not isinstance(window.flow, Flow):
        return x0
    found, change = x0.clone(), window.previous.x0 - window.previous.x_src
    seen = torch.ones_like(change[:, :1])
    for i in range(min(num_frames, len(x0))):
        bw = window.flow.bw[i : i + 1]
        change, seen = backward_warp(change, bw), backward_warp(seen, bw) * window.flow.visible_bw[i : i + 1]
        share = (1 - (i + 1) / (num_frames + 1)) * window.mask[i] * seen[0]
        found[i] += share * (change[0] - (x0[i] - window.x_src[i]))
    return found
