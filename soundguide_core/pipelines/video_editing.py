"""Soundini from frames and what is heard at them to the edited video, and the figures of a report.

Axes: F frames, D dims, H W picture.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from ..common.errors import InputError
from ..common.types import Denoiser, FlowEstimator, JointSpace, OnStep, PerceptualDistance
from ..diffusion.denoiser import load_denoiser
from ..diffusion.windows import Place, Reached, check_count
from ..embedding.joint import smooth_embeds
from ..flow.estimators import load_flow
from ..flow.optical_flow import Flow
from ..losses.perceptual import load_perceptual
from ..media.images import to_uint8
from ..media.masks import check_marked
from ..systems import video_editing as system
from ..systems.configs.video_editing import PER_PAIR, EditConfig, LeadConfig
from ..systems.video_editing import EditedVideo
from .hearing import Heard, lead_curve, presence


class EditNetworks(NamedTuple):
    """What paints, what compares with the sound, what estimates movement (or the flow itself), and LPIPS."""

    denoiser: Denoiser
    joint: JointSpace
    flow: Flow | FlowEstimator | None = None
    perceptual: PerceptualDistance | None = None


def load_networks(
    config: EditConfig, joint: JointSpace, device: torch.device, *, unet: str | None, flow: str
) -> EditNetworks:
    """Those that the config's weights need, by name."""
    weighed = {name for name, weight in config.weights.items() if weight}
    return EditNetworks(
        load_denoiser(unet, device),
        joint,
        load_flow(flow, device) if "flow" in weighed else None,
        load_perceptual(device=device) if "perceptual" in weighed else None,
    )


def edit_stream(
    frames: Iterable[Tensor],
    heard: Heard,
    networks: EditNetworks,
    config: EditConfig,
    *,
    num_frames: int,
    lead: LeadConfig | None = None,
    curve: Tensor | None = None,
    masks: Iterable[Tensor] | Tensor | None = None,
    elsewhere: Sequence[tuple[Heard, Tensor]] = (),
    on_step: OnStep | None = None,
    start: Reached | None = None,
) -> Iterator[EditedVideo]:
    """The edited video a window at a time.

    Where nothing is heard it is the source, to the bit. frames: one or a few at a time, [n,3,H,W] in -1..1. heard: of
    these frames. lead, curve: see lead_curve.
    masks: one for all [1,1,h,w], or as many as frames, 1 where to edit; None edits everything.
    elsewhere: other sounds, each with the mask [1,1,h,w] or [F,1,h,w] of its place; all are painted in one pass.
    start: where an earlier edit stopped; then frames and masks are those that are left.
    """
    flow = networks.flow
    if isinstance(flow, Flow) and len(flow) != num_frames - 1:
        raise InputError(
            f"The movement of {len(flow) + 1} frames meets {num_frames} frames.",
            "Take the movement from the same frames.",
        )
    perceptual = networks.perceptual
    if perceptual is None and config.weights.get("perceptual"):
        perceptual = load_perceptual(device=networks.joint.device)
    lead = lead or LeadConfig()
    led = lead_curve(lead, heard.loudness, num_frames, curve)
    places = [
        Place(
            other.embeds.to(networks.joint.device), mask, lead_curve(lead, other.loudness, num_frames),
            presence(lead, other.loudness),
        )
        for other, mask in elsewhere
    ]  # fmt: skip
    laid_out = (img.contiguous() for img in frames)  # sums in convolutions are rounded by layout
    return system.stream_edit(
        laid_out, heard.embeds, denoiser=networks.denoiser, joint=networks.joint, masks=masks, flow=flow,
        perceptual=perceptual, curves={"sound": led}, presence=presence(lead, heard.loudness), places=places,
        num_frames=num_frames,
        fps=heard.fps or system.FPS, config=config, on_step=on_step, start=start,
    )  # fmt: skip


def edit_whole(frames: Tensor, heard: Heard, networks: EditNetworks, config: EditConfig, **how) -> EditedVideo:
    """The same for a video in memory: frames [F,3,H,W]; masks [F,1,h,w] or [1,1,h,w]. how: as in edit_stream."""
    masks = how.pop("masks", None)
    if masks is not None and len(masks) not in (1, len(frames)):
        raise InputError(f"{len(masks)} masks meet {len(frames)} frames.", "Give one for each frame, or one for all.")
    if masks is not None:
        check_marked(masks, config.invert)
    if len(heard.embeds) not in (1, len(frames)):
        raise InputError(
            f"{len(heard.embeds)} embeddings meet {len(frames)} frames.", "Give one for each frame, or one for all."
        )
    for other, mask in how.get("elsewhere", ()):
        check_count(len(other.embeds), len(frames), "embeddings")
        check_count(len(mask), len(frames), "masks")
        check_marked(mask, False)
    parts = edit_stream(
        frames.split(1), heard, networks, config, num_frames=len(frames),
        masks=masks if masks is None or len(masks) == 1 else masks.split(1), **how,
    )  # fmt: skip
    return EditedVideo.joined(parts)


def edit_some(
    frames: Iterable[Tensor],
    masks: Iterable[Tensor] | Tensor | None,
    heard: Heard,
    networks: EditNetworks,
    config: EditConfig,
    *,
    chosen: Sequence[int],
    lead: LeadConfig,
    on_step: OnStep | None = None,
) -> tuple[Tensor, Tensor]:
    """(the frames of these numbers, rising, and their edits), each [n,3,H,W]: what edit_stream makes of them without
    what couples a frame to the next. frames, masks and heard: as in edit_stream, of all."""
    numbers = torch.tensor(chosen)
    embeds = smooth_embeds(heard.embeds, round(config.smooth_sec * (heard.fps or system.FPS)))
    some = Heard(
        embeds if len(embeds) == 1 else embeds[numbers.to(embeds.device)],
        None if heard.loudness is None else heard.loudness[numbers],
    )
    sources = torch.cat(_picked(frames, chosen))
    if masks is not None and not isinstance(masks, Tensor):
        masks = torch.cat(_picked(masks, chosen)).split(1)
    edited = EditedVideo.joined(
        edit_stream(
            sources.split(1), some, networks, replace(config, smooth_sec=0.0, weights=_uncoupled(config)),
            num_frames=len(chosen), lead=lead, masks=masks, on_step=on_step,
        )
    )  # fmt: skip
    return sources, edited.frames


def _uncoupled(config: EditConfig) -> dict[str, float]:
    """The weights, but for terms between one frame and the next."""
    return {name: 0.0 if name in PER_PAIR else weight for name, weight in config.weights.items()}


def _picked(items: Iterable[Tensor], numbers: Sequence[int]) -> list[Tensor]:
    """Those of these numbers, rising; what comes after the last is not read."""
    wanted = set(numbers)
    picked = [each for i, each in enumerate(islice(items, max(numbers) + 1)) if i in wanted]
    if len(picked) < len(wanted):
        raise InputError("The video is longer than its masks.", "Give one mask for each frame, or one for all.")
    return picked


class EditMeter:
    """Nearness of the frames to the sound before and after; how much changed inside the mask, and outside."""

    def __init__(self, joint: JointSpace, embeds: Tensor) -> None:
        self.joint, self.embeds = joint, embeds.cpu()
        self.rows: list[tuple[float, float, float]] = []
        self.outside = 0
        self.sources: deque[Tensor] = deque()

    def watch(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """The source frames as they are read, each [1,3,H,W]: kept until `add` has seen what became of them."""
        for img in frames:
            self.sources.append(img)
            yield img

    def add(self, part: EditedVideo) -> None:
        """The next window of the edited video."""
        for img, mask in zip(part.frames.split(1), part.mask.split(1)):
            img_src = self.sources.popleft()
            heard = self.embeds[len(self.rows) if len(self.embeds) > 1 else 0]
            before, after = self._nearness(img_src, heard), self._nearness(img, heard)
            changed = (to_uint8(img).int() - to_uint8(img_src).int()).abs().amax(dim=-1)[:, None]  # [1,1,H,W]
            self.outside = max(self.outside, int((changed * (mask == 0)).max()))
            difference = (img - img_src).abs().mean(dim=1, keepdim=True) / 2
            self.rows.append((before, after, float((mask * difference).sum() / mask.sum().clamp(min=1e-6))))

    def figures(self) -> dict:
        """What was measured so far, for go_on of another meter of the same edit."""
        return {"rows": self.rows, "outside": self.outside}

    def go_on(self, figures: dict) -> None:
        """From what another meter of the same edit has measured."""
        self.rows, self.outside = [tuple(row) for row in figures["rows"]], figures["outside"]

    @torch.no_grad()
    def _nearness(self, img: Tensor, heard: Tensor) -> float:
        return float(self.joint.encode_image(img.to(self.joint.device))[0].cpu() @ heard)

    def summary(self) -> dict:
        """change: mean difference of values in 0..1 where the mask is; outside: the largest, of 255 levels."""
        before, after, change = zip(*self.rows)
        return {
            "similarity": {
                "before": _mean(before), "after": _mean(after), "per_frame": [round(x, 4) for x in after],
            },
            "change": {"mean": _mean(change), "per_frame": [round(x, 5) for x in change]},
            "outside": self.outside,
        }  # fmt: skip


def _mean(values: tuple[float, ...]) -> float:
    return sum(values) / len(values)
