"""From words over time to prompts over frames. Axes: F frames, K words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..audio.shaping import as_curve
from ..common.errors import InputError
from ..diffusion.guidance import steep
from ..embedding.hearing.words import HeardWords
from ..embedding.prompt_config import PromptConfig
from ..embedding.prompt_weights import PromptSchedule, prompt_weights
from ..systems.configs.model_guidance import STEEP
from ..systems.configs.video_editing import CONSTANT, SONES
from .recording import Recording, feature_curve, frame_count


def heard_prompts(
    words: HeardWords, base: str, fps: float, config: PromptConfig, *, num_frames: int = 0,
    recording: Recording | None = None, law: str = SONES, strength: float = 1.0,
    curve: Sequence[float] | float | None = None, response: str = STEEP,
) -> PromptSchedule:  # fmt: skip
    """What is told at each frame: the words' scores, led by strength * response(law(loudness of recording) * curve).

    The loudest frame counts as 1: frames are means, and the loudest moment that a law starts from is in none of them.
    response: steep, of diffusion.guidance, or even. num_frames: 0 for as many as the words last. Without a recording
    the loudness does not lead.

    Raises:
        InputError: the curve has another number of values than there are frames, or there is no frame.
    """
    count = frame_count(words.seconds, fps, num_frames=num_frames)
    lead = np.ones(count)
    if recording is not None and law != CONSTANT:
        loudness = feature_curve(recording, "loudness", fps, num_frames=count, law=law)
        lead = lead * loudness / max(float(loudness.max()), 1e-6)
    if curve is not None:
        values = as_curve(curve)
        if len(values) not in (1, count):
            raise InputError(f"{len(values)} values of the curve meet {count} frames.", "Give one for each frame.")
        lead = lead * values
    led = torch.from_numpy(lead).float()
    led = strength * (steep(led) if response == STEEP else led)
    told = words.only(sorted(words.strongest(config.most)))
    weights = prompt_weights(
        told.at_frames(fps, count), fps, config, lead=led, doubt=told.doubt,
        areas=told.areas,
    )  # fmt: skip
    return PromptSchedule(base, told.prompts, weights, fps, told.areas)


def unheard(schedule: PromptSchedule, negative: str, *, words: bool) -> PromptSchedule:
    """What is told not to be seen: `negative` in every frame and, where `words`, what is known but not told there.

    weights n_tk = (1 - w_tk) / K.
    """
    weights = (1 - schedule.weights) / len(schedule.phrases)
    if not words:
        return PromptSchedule(negative, (), weights[:, :0], schedule.fps)
    return PromptSchedule(negative, schedule.phrases, weights, schedule.fps, schedule.areas)


def words_on_a_curve(texts: Sequence[str], curve: Sequence[float] | float, fps: float) -> HeardWords:
    """K texts that a curve [F] in 0..1 moves through: at (k - 1) / (K - 1) text k alone, between two of them both.

    Raises:
        InputError: no text, or no curve.
    """
    texts = [text.strip() for text in texts if text.strip()]
    if not texts:
        raise InputError("There is no text.", "Write one prompt a line.")
    values = torch.from_numpy(as_curve(curve)).float().clamp(0, 1)
    places = torch.linspace(0, 1, len(texts)) if len(texts) > 1 else torch.ones(1)
    step = 1 / max(len(texts) - 1, 1)
    scores = (1 - (values[:, None] - places).abs() / step).clamp(0, 1)
    return HeardWords(
        tuple(texts), tuple(texts), scores, hop_sec=1 / fps, seconds=len(values) / fps, first_sec=0.5 / fps,
        encoder="a curve",
    )  # fmt: skip
