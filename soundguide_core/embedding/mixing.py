"""Several sounds, texts and pictures as one point of their space. Axes: B batch, D dims."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch.nn.functional as F
from torch import Tensor

from ..common.arguments import checks_arguments
from ..common.errors import InputError, check_number
from ..common.shapes import check_shape


@checks_arguments
def mix_embeds(embeds: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor:
    """Several sounds and texts as one: normalised sum_i weights[i] embeds[i], each [B,D] or [1,D] => [B,D] unit norm.

    Raises:
        InputError: none given, counts differ, a weight is not a number, or the parts cancel.

    Example:
        joint = sg.load_joint()
        wave, sample_rate = sg.load_audio("rain.wav")
        parts = [joint.encode_audio(wave.mean(0), sample_rate), joint.encode_text(["at night"])]
        embeds = sg.mix_embeds(parts, [1.0, 0.5])
    """
    if not isinstance(embeds, Sequence):
        raise InputError("What is to be mixed is no list of embeddings.", "Give a list of tensors [B,D].")
    for part in embeds:
        check_shape(part, "B D", name="an embedding")
    weights = [1.0] * len(embeds) if weights is None else list(weights)
    if not embeds or len(embeds) != len(weights):
        raise InputError(
            f"{len(embeds)} embeddings meet {len(weights)} weights.", "Give one weight for each embedding."
        )
    if len({part.shape[-1] for part in embeds}) > 1:
        raise InputError("The embeddings differ in size.", "Take all of them from the same joint encoder.")
    for weight in weights:
        check_number(weight, "A mixing weight")
    total = cast(Tensor, sum(weight * part for weight, part in zip(weights, embeds)))
    if bool((total.norm(dim=-1) < 1e-4).any()):
        raise InputError("The weighted embeddings cancel to nothing.", "Change a weight, or leave one of them out.")
    return F.normalize(total, dim=-1)
