"""Optical flow: how a video moves, which of it is seen in the next frame, and pictures moved along with it.

A flow says in pixels (x, y) where a point of one frame is in another. Axes: B batch, F frames, H W picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..common.errors import InputError, check_whole
from ..common.shapes import check_shape
from ..common.types import FlowEstimator, OnStep
from ..media.images import from_uint8

RESIZE = "Estimate it on the same frames, or resize it to theirs."


@dataclass(frozen=True)
class Flow:
    """The movement between the neighbours of F frames; one pair of frames is one row.

    fw: [F-1,2,H,W], from frame i to i+1. bw: [F-1,2,H,W], from frame i+1 to i. visible_fw: [F-1,1,H,W] in 0..1,
    whether a point of frame i is seen in frame i+1. visible_bw: the same of frame i+1 in frame i.
    """

    fw: Tensor
    bw: Tensor
    visible_fw: Tensor
    visible_bw: Tensor

    def __post_init__(self) -> None:
        pairs, _, *size = self.fw.shape
        vectors, shares = (pairs, 2, *size), (pairs, 1, *size)
        for name, shape in (("fw", vectors), ("bw", vectors), ("visible_fw", shares), ("visible_bw", shares)):
            if (found := tuple(getattr(self, name).shape)) != shape:
                raise InputError(f"{name} of the flow has shape {list(found)}.", f"Its shape must be {list(shape)}.")

    def __len__(self) -> int:
        """Pairs of frames: one less than frames."""
        return len(self.fw)

    def __getitem__(self, pairs: slice) -> Flow:
        """The flow of frames [a : b + 1] is flow[a:b]."""
        return self.each(lambda x: x[pairs])

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)"""
        return self.fw.shape[2], self.fw.shape[3]

    def each(self, change: Callable[[Tensor], Tensor]) -> Flow:
        """change() of the four tensors."""
        return Flow(*map(change, (self.fw, self.bw, self.visible_fw, self.visible_bw)))

    def to(self, device: str | torch.device) -> Flow:
        return self.each(lambda x: x.to(device))

    def resized(self, h: int, w: int) -> Flow:
        """For the same frames at h x w pixels: a vector grows with them."""
        if self.size == (h, w):
            return self
        scale = self.fw.new_tensor([w / self.size[1], h / self.size[0]]).view(2, 1, 1)
        scaled = self.each(lambda x: _interpolated(x, h, w))
        return Flow(scaled.fw * scale, scaled.bw * scale, scaled.visible_fw, scaled.visible_bw)


def _interpolated(x: Tensor, h: int, w: int) -> Tensor:
    return F.interpolate(x, (h, w), mode="bilinear", antialias=True) if len(x) else x.new_zeros(*x.shape[:2], h, w)


def backward_warp(x: Tensor, flow: Tensor) -> Tensor:
    """x at p + flow(p) for every pixel p: the picture x, moved to where the flow starts. Differentiable in both.

    x [B,C,H,W]; flow [B,2,H,W] in pixels. Between pixels it is bilinear; beyond the border x goes on as it ends there.
    """
    b, _, h, w = x.shape
    if tuple(flow.shape) != (b, 2, h, w):
        raise InputError(f"A flow of shape {list(flow.shape)} meets pictures of shape {list(x.shape)}.", RESIZE)
    at = _pixels(h, w, flow) + flow  # [B,2,H,W]
    # grid_sample's -1 and 1 are the centres of the outermost pixels
    grid = 2 * at / at.new_tensor([max(w - 1, 1), max(h - 1, 1)]).view(2, 1, 1) - 1
    return F.grid_sample(x, grid.permute(0, 2, 3, 1).to(x), mode="bilinear", padding_mode="border", align_corners=True)


def visible(flow: Tensor, back: Tensor) -> Tensor:
    """Whether a point is seen in the other frame: the flow there and back, [B,2,H,W] twice => [B,1,H,W], 0 or 1.

    |w + w'(p + w)|^2 < 0.01 (|w|^2 + |w'(p + w)|^2) + 0.5: equation 5 of N. Sundaram, T. Brox and K. Keutzer, "Dense
    Point Trajectories by GPU-Accelerated Large Displacement Optical Flow", ECCV 2010; the same in S. Meister et al.,
    "UnFlow", AAAI 2018. A point that leaves the picture is not seen.
    """
    h, w = flow.shape[2:]
    returned = backward_warp(back, flow)
    off = (flow + returned).square().sum(dim=1, keepdim=True)
    length = flow.square().sum(dim=1, keepdim=True) + returned.square().sum(dim=1, keepdim=True)
    at = _pixels(h, w, flow) + flow
    last = at.new_tensor([w - 0.5, h - 0.5]).view(2, 1, 1)
    inside = ((at >= -0.5) & (at <= last)).all(dim=1, keepdim=True)
    return ((off < 0.01 * length + 0.5) & inside).to(flow)


def _pixels(h: int, w: int, like: Tensor) -> Tensor:
    """[2,H,W]: x and y of every pixel."""
    ys, xs = torch.meshgrid(torch.arange(h).to(like), torch.arange(w).to(like), indexing="ij")
    return torch.stack([xs, ys])


@torch.no_grad()
def estimate_flow(
    frames: Tensor,
    estimator: FlowEstimator,
    chunk: int = 8,
    on_step: OnStep | None = None,
) -> Flow:
    """The flow between neighbours of frames [F,3,H,W] in -1..1, `chunk` pairs in the estimator at once.

    One frame has no pairs, and its flow no rows. No gradient passes.
    """
    sizes = check_shape(frames, "F 3 H W", name="the frames")
    check_whole(chunk, "The number of pairs in a chunk", low=1, high=100_000)
    pairs = sizes["F"] - 1
    flow_fw, flow_bw = (frames.new_zeros(pairs, 2, *frames.shape[2:]) for _ in range(2))
    seen_fw, seen_bw = (x[:, :1].clone() for x in (flow_fw, flow_bw))
    for i, first in enumerate(range(0, pairs, chunk)):
        rows = slice(first, first + chunk)
        before, after = frames[:-1][rows], frames[1:][rows]
        fw, bw = estimator(before, after), estimator(after, before)
        flow_fw[rows], flow_bw[rows] = fw, bw
        seen_fw[rows], seen_bw[rows] = visible(fw, bw), visible(bw, fw)
        if on_step is not None:
            on_step(i, -(-pairs // chunk), {}, lambda fw=fw: flow_picture(fw))
    return Flow(flow_fw, flow_bw, seen_fw, seen_bw)


def flow_picture(flow: Tensor) -> Tensor:
    """flow [B,2,H,W], B > 0 => [B,3,H,W] in -1..1: hue is the direction, depth of colour the length, of the longest."""
    from torchvision.utils import flow_to_image

    return from_uint8(flow_to_image(flow.float()).permute(0, 2, 3, 1))
