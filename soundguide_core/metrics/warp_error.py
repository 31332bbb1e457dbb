"""W.-S. Lai et al., "Learning Blind Video Temporal Consistency", ECCV 2018, section 4.2: the warping error.

    E(V_t, V_{t+1}) = 1 / sum(M_t) * sum(M_t (V_t - warp(V_{t+1}))^2),    E(V) = mean of E over the pairs

Axes: F frames, H W picture.
"""

from __future__ import annotations

from torch import Tensor

from ..common.shapes import check_shape
from ..flow.optical_flow import Flow, backward_warp


def warp_error(frames: Tensor, flow: Flow) -> Tensor:
    """How much a video changes beside its movement: frames [F,3,H,W] in -1..1 => [F-1], of values in 0..1.

    flow: the movement that is held to be true, at the size of the frames; of an edited video it is that of its source.
    Counted are the points of a frame that the next one shows; 0 where it shows none. The mean is that of the video.
    """
    check_shape(frames, "F 3 H W", name="the frames")
    moved = backward_warp(frames[1:], flow.fw)
    squared = ((frames[:-1] - moved) / 2).square().mean(dim=1, keepdim=True)  # [F-1,1,H,W]
    return (flow.visible_fw * squared).sum(dim=(1, 2, 3)) / flow.visible_fw.sum(dim=(1, 2, 3)).clamp(min=1e-6)
