"""Arithmetic on StyleGAN latents: truncation, groups of layers, mixing; and samples by what they mean.

Axes: B batch, L layers (num_ws), D dims.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor, nn

from ..common.batches import Batches
from ..common.errors import InputError
from ..common.types import ImageGenerator, JointSpace, OnStep, VideoGenerator, no_preview

SAMPLE_SEED = 1_000_000  # of the first sample; far from seeds that people choose
CHUNK = 16  # samples rendered at once
_kept: WeakKeyDictionary[Any, tuple] = WeakKeyDictionary()  # generator => (what it was then, its SampledMeanings)


def truncate(ws: Tensor, w_avg: Tensor, psi: float, cutoff: int | None = None) -> Tensor:
    """w_avg + psi (w - w_avg) for w [B,D], or for the first cutoff layers of ws [B,L,D] (all where cutoff is None)."""
    if psi == 1:
        return ws
    near = w_avg.lerp(ws, psi)
    if cutoff is None or ws.ndim == 2:
        return near
    return torch.cat([near[:, :cutoff], ws[:, cutoff:]], dim=1)


def layer_groups(num_ws: int) -> dict[str, slice]:
    """What the layers rule: coarse the layout (4 to 8 pixels), mid the parts (16 to 32), fine colour and texture."""
    coarse, mid = min(4, num_ws), min(8, num_ws)
    return {"coarse": slice(0, coarse), "mid": slice(coarse, mid), "fine": slice(mid, num_ws)}


def layer_indices(layers: str | slice | Iterable[int], num_ws: int) -> list[int]:
    """Layers given as a group's name, several joined by +, a slice or numbers => sorted indices in 0..num_ws-1."""
    if isinstance(layers, str):
        groups = {**layer_groups(num_ws), "all": slice(0, num_ws)}
        unknown = [name for name in layers.split("+") if name not in groups]
        if unknown:
            raise InputError(f"There is no layer group '{unknown[0]}'.", f"Use {', '.join(groups)}, joined by +.")
        return sorted({i for name in layers.split("+") for i in range(num_ws)[groups[name]]})
    if isinstance(layers, slice):
        return sorted(range(num_ws)[layers])
    indices = sorted({int(i) for i in layers})
    if indices and not 0 <= indices[0] <= indices[-1] < num_ws:
        raise InputError(
            f"Layers {indices} do not all exist in a generator with {num_ws}.", f"Use layers 0 to {num_ws - 1}."
        )
    return indices


def mix_layers(ws_a: Tensor, ws_b: Tensor, layers: str | slice | Iterable[int]) -> Tensor:
    """ws_a [B,L,D] with the named layers taken from ws_b [B,L,D] or [1,L,D]."""
    if ws_a.shape[1:] != ws_b.shape[1:]:
        raise InputError(
            f"Latents of shapes {list(ws_a.shape)} and {list(ws_b.shape)} cannot be mixed.",
            "Take both from the same generator.",
        )
    indices = layer_indices(layers, ws_a.shape[1])
    size = max(len(ws_a), len(ws_b))
    mixed = ws_a.expand(size, -1, -1).clone()
    mixed[:, indices] = ws_b.expand(size, -1, -1)[:, indices]
    return mixed


@torch.no_grad()
def nearest_sample(
    wanted: Tensor, seeds: Sequence[int], psi: float, *, generator: ImageGenerator | VideoGenerator, joint: JointSpace,
    render: Callable[[Tensor], Tensor], class_index: int | None = None, most: int = CHUNK,
) -> Tensor:  # fmt: skip
    """The sample of these seeds whose picture, render(ws) [B,3,H,W], means most what wanted [E] means => ws [1,L,D].

    most: rendered at once, fewer where memory runs out.

    Raises:
        InputError: what the encoder says of the pictures is no number.
    """
    batches, found, nearness, done = Batches(most, generator.w_avg.device, first=most), [], [], 0

    def looked_at(count: int) -> tuple[Tensor, Tensor]:
        ws = generator.sample_ws(seeds[done : done + count], psi, class_index=class_index)
        embeds = joint.encode_image(render(ws))
        return ws, embeds @ wanted.to(embeds)

    while done < len(seeds):
        ws, near = batches.run(looked_at, len(seeds) - done)
        done += len(ws)
        found.append(ws)
        nearness.append(near)
    near = torch.cat(nearness)
    if not bool(near.isfinite().any()):
        raise InputError("What the encoder says of the pictures is no number.", "Use other weights.")
    return torch.cat(found)[near.nan_to_num(nan=-torch.inf).argmax()][None]


class SampledMeanings:
    """Random samples of a generator beside what their pictures mean: w [N,D], image_embeds [N,E] unit norm."""

    @torch.no_grad()
    def __init__(
        self, generator: ImageGenerator, joint: JointSpace, samples: int, on_step: OnStep | None = None
    ) -> None:
        ws, image_embeds, render = [], [], getattr(generator, "sketch", generator.synthesis)
        for first in range(0, samples, CHUNK):
            count = min(CHUNK, samples - first)
            ws.append(generator.sample_ws(range(SAMPLE_SEED + first, SAMPLE_SEED + first + count), psi=1.0))
            image_embeds.append(joint.encode_image(render(ws[-1])))
            if on_step is not None:
                on_step(first // CHUNK, -(-samples // CHUNK), {}, no_preview)
        self.w, self.image_embeds = torch.cat(ws).mean(dim=1), torch.cat(image_embeds)

    def mean_w(self, embeds: Tensor) -> Tensor:
        """The mean of w over the sixteenth of the samples that is nearest to embeds [B,E], by cosine. => [B,D]"""
        nearest = max(1, len(self.w) // 16)
        return self.w[(embeds @ self.image_embeds.T).topk(nearest, dim=1).indices].mean(dim=1)

    def direction(self, image_embeds: Tensor, embeds: Tensor) -> Tensor:
        """In W, from what pictures mean to what sounds or words mean; both are means, so layouts cancel. => [B,1,D]"""
        return (self.mean_w(embeds) - self.mean_w(image_embeds))[:, None]


def sampled_meanings(
    generator: ImageGenerator, joint: JointSpace, samples: int, on_step: OnStep | None = None
) -> SampledMeanings:
    """Those of this generator, rendered once as long as its weights stay and the encoder is the same, on one device."""
    if not isinstance(generator, nn.Module):
        return SampledMeanings(generator, joint, samples, on_step)
    kept = _kept.get(generator)
    weights = ((x.data_ptr(), 0 if x.is_inference() else x._version) for x in generator.state_dict().values())
    now = (samples, getattr(joint, "device", None), *weights)
    if kept is None or kept[0]() is not joint or kept[1] != now:
        with torch.inference_mode(False):  # it outlives the caller's mode
            kept = _kept[generator] = ref(joint), now, SampledMeanings(generator, joint, samples, on_step)
    return kept[2]


@torch.no_grad()
def mean_direction(
    img_src: Tensor,
    embeds: Tensor,
    *,
    generator: ImageGenerator,
    joint: JointSpace,
    samples: int,
    on_step: OnStep | None = None,
) -> Tensor:
    """A direction in W from the meaning of the source to that of the sound, by means of random samples. => [B,1,D]"""
    return sampled_meanings(generator, joint, samples, on_step).direction(joint.encode_image(img_src), embeds)
