"""Several sounds in the window of a video, each in a place of its own. Axes: F frames, h w picture of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..common.types import JointSpace
from ..losses.views import PlacedSounds, SoundTerms, Views
from .windows import Place, Window, rows_for


def placed_sounds(
    window: Window,
    joint: JointSpace,
    weights: Mapping[str, float],
    views: Views,
    masks: Sequence[Tensor],
    places: Sequence[Place],
) -> tuple[SoundTerms | PlacedSounds, Window]:
    """The terms of what is heard in the window, and the window with the curve that leads all of them.

    masks: [F,1,h,w], of the first sound and of each place. With c_k the leads of the sounds, the curve is max_k c_k,
    and the share of sound k is c_k / max_k c_k.
    """
    before = None if window.previous is None else window.previous.image_embeds
    known = [None] * len(masks) if before is None else before.split(1)
    frames = range(window.first, window.first + len(window.x_src))
    looking = range(frames.start - (window.previous is not None), frames.stop)  # where frames are coupled
    audio = [window.audio, *(rows_for(place.embeds, looking, "embeddings").to(window.x_src) for place in places)]
    parts = [
        SoundTerms(weights, joint, heard, views, window.x_src, mask, seen)
        for heard, mask, seen in zip(audio, masks, known)
    ]
    if not places:
        return parts[0], window
    first = torch.as_tensor(window.curves.get("sound", torch.ones(len(frames))))
    leads = torch.stack([first, *(place.lead_of(frames).to(first) for place in places)])
    most = leads.amax(0)
    curves = {**window.curves, "sound": most} if "sound" in weights else window.curves
    return PlacedSounds(parts, (leads / most.clamp(min=1e-6)).unbind()), replace(window, curves=curves)
