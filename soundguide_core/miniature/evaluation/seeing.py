"""Pictures edited by sounds, judged: does an independent classifier, part of no loss, name the sound's phenomenon?

Every source is changed by each of the phenomena, PHENOMENA in order. Axes: S sources, K phenomena, D dims, H W picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...audio.waveform import load_audio, to_mono
from ...common.errors import InputError
from ...metrics.layout import layout_report
from ...systems.image_manipulation import ManipulationConfig, manipulate
from ..sounds.synthesis import synthesise
from ..world.scenes import PHENOMENA
from .scene_classifier import SceneClassifier

SAMPLE_RATE = 44100
FIRST_SOUND = 1000  # of the numbers of synthesised sounds


@dataclass(frozen=True)
class Edits:
    """sources [S,3,H,W]; edits [S*K,3,H,W], each source's in turn; heard: the phenomenon that the joint encoder names
    for each edit's sound."""

    sources: Tensor
    edits: Tensor
    heard: list[str]


def edit_sources(
    joint,
    generator,
    config: ManipulationConfig,
    *,
    count: int,
    psi: float,
    seed: int,
    recordings: Path | None = None,
    on_step: Callable[..., None] | None = None,
) -> Edits:
    """`count` random pictures changed by all phenomena, by the sounds of `recordings` or by synthesised ones."""
    sources, edits, heard = [], [], []
    steps = config.schedule.steps
    for i in range(count):
        if recordings is None:
            embeds = synthesised_embeds(joint, seed + FIRST_SOUND + i)
        else:
            embeds = recorded_embeds(joint, recordings)
        heard += [PHENOMENA[k] for k in joint.classify(embeds, PHENOMENA).argmax(dim=1)]
        ws_src = generator.sample_ws([seed + i], psi=psi).expand(len(embeds), -1, -1)

        def count_steps(k: int, _: int, terms: dict, preview: object, done: int = i * steps) -> None:
            if on_step is not None:
                on_step(done + k, count * steps, terms)

        result = manipulate(
            ws_src, embeds, generator=generator, joint=joint, config=config, on_step=count_steps
        )  # fmt: skip
        sources.append(result.img_src[:1])
        edits.append(result.img)
    return Edits(torch.cat(sources), torch.cat(edits), heard)


def synthesised_embeds(joint, seed: int) -> Tensor:
    """[K,D], of five strong seconds of each phenomenon."""
    waves = [
        torch.from_numpy(synthesise(p, 5, intensity=np.full(2, 0.9), seed=seed, sample_rate=SAMPLE_RATE, fps=1))
        for p in PHENOMENA
    ]
    return torch.cat([joint.encode_audio(wave, SAMPLE_RATE) for wave in waves])


def recorded_embeds(joint, folder: Path) -> Tensor:
    """[K,D], of folder/rain.*, waves.* and so on."""
    embeds = []
    for phenomenon in PHENOMENA:
        paths = sorted(folder.glob(f"{phenomenon}.*"))
        if not paths:
            raise InputError(f"{folder} holds no {phenomenon}.*.", "Put one recording of each of the seven there.")
        wave, sample_rate = load_audio(paths[0])
        embeds.append(joint.encode_audio(to_mono(wave), sample_rate))
    return torch.cat(embeds)


def report(edited: Edits, judge: SceneClassifier) -> dict:
    """What the judge names, per phenomenon and of the sounds that the encoder hears rightly; how much layout stays."""
    count = len(edited.sources)
    named = judge.name(edited.edits)
    wanted = list(PHENOMENA) * count
    right = [name == phenomenon for name, phenomenon in zip(named, wanted)]
    of_heard = [ok for ok, name, phenomenon in zip(right, edited.heard, wanted) if name == phenomenon]
    source_of = torch.arange(count).repeat_interleave(len(PHENOMENA))
    return {
        "accuracy": sum(right) / len(right),
        "pictures": len(right),
        "heard": len(of_heard) / len(right),
        "accuracy_of_heard": sum(of_heard) / len(of_heard) if of_heard else None,
        "per_class": {p: sum(right[k :: len(PHENOMENA)]) / count for k, p in enumerate(PHENOMENA)},
        "seen": [named[i : i + len(PHENOMENA)] for i in range(0, len(named), len(PHENOMENA))],
        "layout": asdict(layout_report(edited.edits, edited.sources, source_of)),
    }
