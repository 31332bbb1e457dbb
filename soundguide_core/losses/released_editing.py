"""What the released code of Soundini computes where it departs from the article, its faults included.

Beside these, `diffusion.guided_denoiser` shows its losses s x0_hat + (1 - s) x_t, s = sqrt(1 - alpha_bar), in place of
x0_hat, and the estimate of the last step is not guided. Not reproduced: there the levels of a pair's two frames differ
by a step, a class-conditional UNet gets random classes, and grid_sample's two conventions are half a pixel apart.
Axes: F frames, H W picture.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..flow.optical_flow import Flow
from . import editing

RAMP_STEPS = 50


def ramp(t: int, num_levels: int, steps: int, skip: int) -> float:
    """min(1, k / 50) on the flow and the background, k = 1, 2, ... the step that is at level t of num_levels."""
    k = 1 + round((num_levels - 1 - t) / (num_levels - 1) * (steps - 1)) - skip
    return min(1.0, max(k, 1) / RAMP_STEPS)


def flow_distance(img: Tensor, flow: Flow, mask: Tensor) -> Tensor:
    """Each frame against its neighbour moved by the flow of the wrong direction, both masked => [F-1].

    MSE(x_{i+1}, warp(x_i, flow_{i -> i+1})) + MSE(x_i, warp(x_{i+1}, flow_{i+1 -> i})), hidden points included.
    """
    swapped = Flow(flow.bw, flow.fw, torch.ones_like(flow.visible_bw), torch.ones_like(flow.visible_fw))
    return editing.flow_distance(img * mask, swapped)


def without_first(term: Tensor) -> Tensor:
    """[F], 0 at the first frame of a video: of each pair only the second frame is shown the sound and the source."""
    return torch.cat([term[:1] * 0, term[1:]])
