"""The host's CLIP_VISION beside a joint encoder: whether both see in one space, and a sound's meaning in its measure.

Axes: F frames, D dims, P test pictures.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..soundguide_core.audio.shaping import as_curve
from ..soundguide_core.common.errors import InputError
from ..soundguide_core.media import images
from .host import Model, img_of, in_chunks
from .sockets import Embeds

PICTURES, SIZE = 4, 224
SAME = 0.9  # mean cosine of both views of a picture; two different spaces give about 0


def as_image_embeds(encoder: Model, embeds: Embeds, clip_vision: Any, curve: Any) -> tuple[Tensor, Tensor, Any, str]:
    """=> (EMBEDS [F,D], as many zeros, CLIP_VISION_OUTPUT of the whole sound, how alike both see in words).

    Rows get the length that pictures have in the CLIP Vision model, whose users expect it.

    Raises:
        InputError: the encoder's space is not the CLIP Vision model's, or the curve has another number of values.
    """
    alike, length = compared(encoder, clip_vision)
    rows = F.normalize(embeds.at_frames.float(), dim=-1) * length
    if curve is not None:
        values = torch.from_numpy(as_curve(curve)).float()
        if len(values) not in (1, len(rows)) and len(rows) != 1:
            raise InputError(f"{len(values)} values of the curve meet {len(rows)} rows.", "Give one for each frame.")
        rows = rows * values[:, None]
    return (
        rows,
        torch.zeros_like(rows),
        _output(F.normalize(embeds.whole.float(), dim=-1) * length),
        (f"The same space: test pictures are {alike:.3f} alike, {rows.shape[1]} numbers, length {length:.2f}."),
    )


def compared(encoder: Model, clip_vision: Any) -> tuple[float, float]:
    """(mean cosine between both views of test pictures, mean length of the CLIP Vision model's)."""
    if clip_vision is None or not hasattr(clip_vision, "encode_image"):
        raise InputError("No CLIP Vision model has arrived.", "Connect Load CLIP Vision.")
    pictures = _test_pictures()
    theirs = clip_vision.encode_image(images.to_host(pictures))["image_embeds"].float().cpu()
    joint = encoder.on_device()
    ours = joint.encode_image(pictures.to(joint.device)).float().cpu()
    if theirs.shape[-1] != ours.shape[-1]:
        raise InputError(
            f"{encoder.name} hears in a space of {ours.shape[-1]} numbers, this CLIP Vision model sees in one of "
            f"{theirs.shape[-1]}.",
            "Use the encoder and the CLIP Vision model of one and the same CLIP.",
        )
    alike = float(F.cosine_similarity(ours, theirs).mean())
    if alike < SAME:
        raise InputError(
            f"{encoder.name} hears in another space than this CLIP Vision model sees in: test pictures are {alike:.2f} "
            "alike.",
            "Use the encoder and the CLIP Vision model of one and the same CLIP.",
        )
    return alike, float(theirs.norm(dim=-1).mean())


def _test_pictures() -> Tensor:
    """img [P,3,SIZE,SIZE] in -1..1: colour gradients with a few waves, the same every time."""
    rng = torch.Generator().manual_seed(0)
    small = torch.rand(PICTURES, 3, 7, 7, generator=rng)
    smooth = F.interpolate(small, (SIZE, SIZE), mode="bicubic", align_corners=True)
    return smooth.clamp(0, 1) * 2 - 1


class JointVision:
    """The picture tower of a joint encoder, called as the host calls a CLIP Vision model. It gives no hidden states of
    patches: unCLIP and image embeds want none."""

    def __init__(self, encoder: Model) -> None:
        self.encoder = encoder

    def encode_image(self, image: Tensor, crop: bool = True) -> Any:
        """IMAGE [B,H,W,3] => CLIP_VISION_OUTPUT; the encoder looks at the centre square, whatever crop says."""
        seen = in_chunks(self.encoder.on_device().encode_image, img_of(image), 32, self.encoder.device)
        return _output(seen.float().cpu())

    def get_ram_usage(self) -> int:
        return self.encoder.get_ram_usage()


def _output(image_embeds: Tensor) -> Any:
    """CLIP_VISION_OUTPUT with what unCLIP reads; a sound has no hidden states of patches."""
    from comfy.clip_vision import Output  # pyright: ignore[reportMissingImports] the host

    made = Output()
    made["image_embeds"] = image_embeds
    for name in ("last_hidden_state", "penultimate_hidden_states", "mm_projected"):
        made[name] = None
    made["image_sizes"] = [(3, SIZE, SIZE)] * len(image_embeds)
    return made
