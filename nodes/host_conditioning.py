"""CONDITIONING of the host: texts encoded, blended into one row a frame, and held against what is sampled.

A CONDITIONING is a list of [embeddings [B,L,D], dict]. The host pairs row i with picture i of a batch; too few rows it
repeats from the first, too many it cuts, both without a word: Rows refuses that where the sampling begins.

Axes: F frames, L tokens of a text, D dims, K prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import comfy.conds  # pyright: ignore[reportMissingImports] the host
import comfy.model_management as mm  # pyright: ignore[reportMissingImports] the host
import comfy.utils  # pyright: ignore[reportMissingImports] the host
import torch
from comfy_execution.graph_utils import ExecutionBlocker  # pyright: ignore[reportMissingImports] the host
from torch import Tensor

from ..soundguide_core.common.errors import InputError
from ..soundguide_core.diffusion.prompt_mix import blend_rows, equal_length
from ..soundguide_core.embedding.prompt_weights import PromptSchedule
from .host import latent_samples

ROWS = "soundguide_rows"  # the name under which Rows travels to the model, which passes over it
MASK = "attention_mask"


class Rows(comfy.conds.CONDRegular):
    """Counts the rows of a conditioning, [F,1], and refuses pictures that are not as many.

    It travels among the conditions of the model, where context windows cut it as they cut the rows themselves.
    """

    def process_cond(self, batch_size: int, **kwargs: Any):
        rows = len(self.cond)
        if batch_size != rows:
            raise InputError(*(_one_for_all(rows) if batch_size == 1 else _unequal(rows, batch_size)))
        return super().process_cond(batch_size=batch_size, **kwargs)


def _one_for_all(rows: int) -> tuple[str, str]:
    return (
        f"A prompt of {rows} frames meets one latent, which would take its first frame alone.",
        "Use Prompt over Time for a video model, or sample as many latents as there are frames.",
    )


def _unequal(rows: int, batch_size: int) -> tuple[str, str]:
    happens = "begin again at the first" if batch_size > rows else "leave the last ones out"
    return (
        f"A prompt of {rows} frames meets {batch_size} latents: the host would {happens}.",
        "Make both as long: num_frames of the prompt, batch size of the latent.",
    )


def check_rows(rows: int, latent: Any) -> None:
    """The same two refusals before anything is encoded, for a LATENT that is already known."""
    samples = latent_samples(latent)
    if samples.ndim == 5 and len(samples) == 1 and rows > 1:
        raise InputError(*_one_for_all(rows))
    if len(samples) != rows:
        raise InputError(*_unequal(rows, len(samples)))


def encoded(clip: Any, texts: Sequence[str]) -> list[list]:
    """Each text as CONDITIONING, the same text once. Shows progress, and stops between two.

    Raises:
        InputError: no text encoder has arrived.
    """
    if clip is None:
        raise InputError("No text encoder has arrived.", "Connect CLIP of a loader; some checkpoints have none.")
    bar, known = comfy.utils.ProgressBar(len(texts)), {}
    for text in texts:
        mm.throw_exception_if_processing_interrupted()
        if text not in known:
            known[text] = clip.encode_from_tokens_scheduled(clip.tokenize(text))
        bar.update(1)
    return [known[text] for text in texts]


def told(clip: Any, schedule: PromptSchedule) -> Any:
    """A schedule as CONDITIONING [F,L,D]; without a text encoder what tells so, where anything is connected to it."""
    if clip is None:
        return ExecutionBlocker("Sound Prompt has no text encoder. Connect its 'clip'.")
    return in_places(encoded(clip, schedule.texts), schedule)


def in_places(prompts: Sequence[list], schedule: PromptSchedule) -> list:
    """K + 1 CONDITIONINGs and their weights => rows over the whole picture or, where phrases have areas of it, rows for
    each area behind its mask, and the base prompt for what is left. All areas take one run of the sampler."""
    if schedule.areas is None:
        return rows_of(prompts, schedule)
    made = []
    for area, columns in schedule.by_area():
        part = replace(schedule, weights=schedule.weights[:, columns], areas=None)
        mask = {"mask": area[None], "mask_strength": 1.0, "set_area_to_bounds": False}
        rows = rows_of([prompts[0], *(prompts[1 + i] for i in columns)], part)
        made += [[text, {**more, **mask}] for text, more in rows]
    base = rows_of(prompts[:1], replace(schedule, weights=schedule.weights[:, :0], areas=None))
    return made + [[text, {**more, "default": True}] for text, more in base]


def rows_of(prompts: Sequence[list], schedule: PromptSchedule) -> list:
    """K + 1 CONDITIONINGs, the base first, and their weights => one CONDITIONING [F,L,D] with everything of it blended.

    Raises:
        InputError: the text encoder gives something that cannot be blended.
    """
    weights, made = schedule.weights, []
    for parts in zip(*prompts):  # one part, or several where hooks on the text encoder change over the steps
        texts = [text for text, _ in parts]
        same = equal_length(texts)
        more = {key: _blended(key, [each.get(key) for _, each in parts], same, texts, weights) for key in parts[0][1]}
        more["model_conds"] = {**more.get("model_conds", {}), ROWS: Rows(torch.zeros(len(weights), 1))}
        made.append([blend_rows(same, weights), more])
    return made


def _blended(key: str, values: list, same: list[Tensor], texts: list[Tensor], weights: Tensor) -> Any:
    """What stands beside the embeddings under this key, for all frames."""
    first = values[0]
    if not isinstance(first, Tensor):
        return first
    if key == MASK:
        masks = [_as_long(mask, text, full) for mask, text, full in zip(values, texts, same)]
        return torch.stack(masks).amax(0)
    shapes = {tuple(value.shape) if isinstance(value, Tensor) else None for value in values}
    if len(shapes) > 1 or not first.is_floating_point() or len(first) != 1:
        raise InputError(
            f"This text encoder gives a {key!r} that cannot be blended from frame to frame.",
            "Use the text schedule with this model's own scheduling, or another model.",
        )
    return blend_rows(values, weights)


def _as_long(mask: Tensor, text: Tensor, full: Tensor) -> Tensor:
    """A mask [B,L] of a text as long as the text has become."""
    longer = full.shape[1]
    if torch.equal(full[:, text.shape[1] :], torch.zeros_like(full[:, text.shape[1] :])):
        return torch.nn.functional.pad(mask, (0, longer - mask.shape[-1]))
    return mask.repeat(1, longer // mask.shape[-1])
