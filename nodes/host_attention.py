"""Several prompts in one pass of a host's video model: each has its own cross-attention, mixed by weights over time.

The texts travel among the conditions of the model, so that only the pass of that conditioning has them and context
windows cut the weights with the latent. A wrapper around the model puts them one after the other into the text, and an
attention override asks each by itself: no mask, so no kernel can drop it.

Axes: B batch, T latent frames, K phrases, N tokens of the picture, L tokens of a text, D dims.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import comfy.conds  # pyright: ignore[reportMissingImports] the host
import torch
from comfy.patcher_extension import WrappersMP  # pyright: ignore[reportMissingImports] the host
from torch import Tensor

from ..soundguide_core.common.errors import InputError
from ..soundguide_core.diffusion.prompt_mix import asked_tokens, mixed_attention, over_time, token_weights

KEY = "soundguide_prompts"
TEXTS, MASKS, LENGTHS, WEIGHTS, AREAS, SHAPE, RAW = (
    f"soundguide_{name}" for name in ("texts", "masks", "lengths", "weights", "areas", "areas_shape", "raw")
)
OVERRIDE = "optimized_attention_override"


def carried(prompts: Sequence[list], weights: Tensor, areas: Tensor | None) -> list:
    """K + 1 CONDITIONINGs, the base first, and weights [T,K] => the base's CONDITIONING, which carries the others.

    areas: [K,H,W] in 0..1, where each phrase acts. A model that is not `mixing` takes the base prompt alone.
    """
    made = []
    for parts in zip(*prompts):
        text, more = parts[0]
        conds = {
            TEXTS: comfy.conds.CONDRegular(torch.cat([each for each, _ in parts], 1)),
            LENGTHS: comfy.conds.CONDConstant(tuple(each.shape[1] for each, _ in parts)),
            WEIGHTS: comfy.conds.CONDRegular(weights[None, None]),  # its third axis is time, as the latent's
            RAW: comfy.conds.CONDConstant(bool(more.get("unprocessed_ltxav_embeds", False))),
        }
        masks = [each.get("attention_mask") for _, each in parts]
        if any(mask is not None for mask in masks):
            full = [torch.ones(each.shape[:2]) if mask is None else mask for mask, (each, _) in zip(masks, parts)]
            conds[MASKS] = comfy.conds.CONDRegular(torch.cat(full, 1))
        if areas is not None:
            conds[AREAS] = comfy.conds.CONDRegular(areas.flatten()[None])
            conds[SHAPE] = comfy.conds.CONDConstant(tuple(areas.shape))
        made.append([text, {**more, "model_conds": {**more.get("model_conds", {}), **conds}}])
    return made


def mixing(model: Any) -> Any:
    """A clone of a MODEL that mixes the prompts a conditioning carries; others pass as they are."""
    clone = model.clone()
    if not clone.get_wrappers(WrappersMP.APPLY_MODEL, KEY):
        clone.add_wrapper_with_key(WrappersMP.APPLY_MODEL, KEY, _apply)
    return clone


def _apply(executor, x, t, c_concat=None, c_crossattn=None, control=None, transformer_options=None, **kwargs):
    """The model's pass; where its conditions carry prompts, with all of them as its text."""
    options = dict(transformer_options or {})
    own = {name: kwargs.pop(name, None) for name in (TEXTS, MASKS, LENGTHS, WEIGHTS, AREAS, SHAPE, RAW)}
    if own[TEXTS] is None:
        return executor(x, t, c_concat, c_crossattn, control, options, **kwargs)
    network, device = executor.class_obj.diffusion_model, x.device
    parts = list(own[TEXTS].to(device).split(own[LENGTHS], dim=1))
    if hasattr(network, "preprocess_text_embeds"):  # LTX-2 reads each text as a whole before the blocks do
        kind = executor.class_obj.get_dtype_inference()
        parts = [network.preprocess_text_embeds(part.to(kind), unprocessed=own[RAW]) for part in parts]
    layout = _Layout.of(network, x, own[WEIGHTS], kwargs)
    lengths, weights = tuple(part.shape[1] for part in parts), own[WEIGHTS][:, 0].to(device).float()
    mix = _Mix(lengths, weights, _areas(own, device), layout)
    if mix.total in layout.tokens:  # one more token that nobody asks for, so that no other attention looks like these
        parts.append(parts[0][:, :1])
        mix = _Mix((*mix.lengths, 1), mix.weights, mix.areas, layout)
    if own[MASKS] is not None:
        extra = mix.total - own[MASKS].shape[1]
        kwargs["attention_mask"] = torch.nn.functional.pad(own[MASKS].to(device), (0, extra))
    options[OVERRIDE] = mix.override(options.get(OVERRIDE))
    return executor(x, t, c_concat, torch.cat(parts, 1), control, options, **kwargs)


def _areas(own: dict, device: torch.device) -> Tensor | None:
    return None if own[AREAS] is None else own[AREAS][0].to(device).float().view(own[SHAPE])


@dataclass(frozen=True)
class _Layout:
    """How a pass lays out its tokens. grid: of a frame, (h, w). before, after: frames around the video. sound:
    tokens of
    a sound beside it, or 0. tokens: the numbers that a query may have."""

    grid: tuple[int, int]
    frames: int
    before: int
    after: int
    sound: int

    @property
    def tokens(self) -> set[int]:
        per_frame = self.grid[0] * self.grid[1]
        return {per_frame * (self.before + self.frames + self.after), self.sound}

    @classmethod
    def of(cls, network: Any, x: Tensor, weights: Tensor, kwargs: dict) -> _Layout:
        """Raises InputError where the latent has another number of frames than there are weights."""
        shapes = kwargs.get("latent_shapes")
        shape = x.shape if shapes is None else shapes[0]
        patch = tuple(getattr(network, "patch_size", (1, 1)))[-2:]
        grid = (-(-shape[-2] // patch[0]), -(-shape[-1] // patch[1]))
        count, there = weights.shape[2], shape[2]
        guides = there - count if kwargs.get("keyframe_idxs") is not None else 0
        if there != count + max(guides, 0):
            raise InputError(
                f"Prompts over {count} latent frames meet a latent of {there}.",
                "Make both as long: connect 'latent' to Prompt over Time, or the same num_frames to both.",
            )
        before = int(getattr(network, "ref_conv", None) is not None and kwargs.get("reference_latent") is not None)
        more = kwargs.get("time_dim_concat")
        sound = shapes[1][2] if shapes is not None and len(shapes) > 1 else 0
        return cls(grid, count, before, guides + (0 if more is None else more.shape[2]), sound)


@dataclass(frozen=True)
class _Mix:
    """lengths: of the texts, the base first. weights: [B,T,K]. areas: [K,H,W] or None."""

    lengths: tuple[int, ...]
    weights: Tensor
    areas: Tensor | None
    layout: _Layout

    @property
    def total(self) -> int:
        return sum(self.lengths)

    def at_tokens(self, count: int) -> Tensor | None:
        """[B,N,1+K] for a query of `count` tokens; None where it is neither the picture's nor the sound's."""
        layout = self.layout
        if count == layout.sound:
            made = over_time(self.weights, count)
        elif count in layout.tokens:
            made = token_weights(self.weights, layout.grid, before=layout.before, after=layout.after, areas=self.areas)
        else:
            return None
        return torch.nn.functional.pad(made, (0, len(self.lengths) - made.shape[-1]))

    def override(self, previous: Any) -> Any:
        """The attention of one pass: that to the texts is mixed, any other is left alone. previous: another pack's."""
        known: dict[int, tuple[Tensor, list[Tensor]] | None] = {}

        def attention(func, q, k, v, heads, mask=None, **more):
            call = func if previous is None else lambda *a, **kw: previous(func, *a, **kw)
            plain = not (more.get("skip_reshape") or more.get("skip_output_reshape"))
            if not plain or k.shape[1] != self.total:
                return call(q, k, v, heads, mask=mask, **more)
            if q.shape[1] not in known:
                made = self.at_tokens(q.shape[1])
                known[q.shape[1]] = None if made is None else (made, asked_tokens(made))
            weights = known[q.shape[1]]
            if weights is None:
                raise InputError(
                    f"This model asks its text for {q.shape[1]} tokens, which are no frames of {self.layout.grid}.",
                    "Choose 'masks' as the method, or leave out what adds tokens to the video.",
                )
            each = lambda q, k, v, m: call(q, k, v, heads, mask=m, **more)  # noqa: E731
            return mixed_attention(each, q, k, v, mask, self.lengths, *weights)

        return attention
