"""A bridge: a head from the space of one hearing model into that of a picture and text model, both frozen.

Z. Wang et al., "Extending Multi-modal Contrastive Representations" (Ex-MCR), NeurIPS 2024: the same captions in the
text towers of both spaces are pairs, without any sound or picture; or sounds and pictures that belong together are.
Noise on what comes in makes the head carry over sounds too, which lie beside the texts of their own space:

    L = L_nce(h(s + n), t) + w mean(1 - <h(s + n), t>)        s, t: the two embeddings of a pair, n: noise, h: the head

Features are encoded once and kept. Axes: N pairs, D dims.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checkpoints import registry
from ..common.errors import InputError
from ..common.files import make_folder, replacing
from ..common.memory import to_device
from ..common.rng import with_seed
from ..embedding.bridge import Head
from ..embedding.clip import ClipTowers, load_clip
from ..embedding.joint import load_joint
from ..losses.contrastive import Temperature, alignment, info_nce
from .bridge_pairs import Pairs, open_pairs
from .bridge_sources import open_source
from .engine import distributed, loop
from .engine.optimisers import fused, take_step
from .engine.run_settings import RunSettings
from .engine.schedules import warmup_cosine
from .engine.settings import from_table
from .recipe import check_entries


@dataclass(frozen=True)
class BridgeSettings:
    """The recipe's [training].

    batch: pairs a step. noise: the length of the noise beside an embedding's own length of 1. tau: the temperature at
    first. alignment: w. held_out: the share of pairs that retrieval is measured on.
    """

    steps: int = 2000
    batch: int = 256
    lr: float = 1e-3
    warmup: int = 50
    weight_decay: float = 0.01
    noise: float = 0.5
    tau: float = 0.07
    alignment: float = 1.0
    held_out: float = 0.1
    save_every: int = 1000

    def __post_init__(self) -> None:
        if self.batch < 2:
            raise InputError(f"The recipe's batch is {self.batch}.", "A head normalises over at least 2 pairs.")


class BridgeTraining:
    """A head, and one update per step. source [N,D1], target [N,D2]: unit norm."""

    def __init__(
        self, source: Tensor, target: Tensor, settings: BridgeSettings, device: str | torch.device, seed: int,
        *, run: RunSettings | None = None,
    ) -> None:  # fmt: skip
        self.settings, self.seed, self.device = settings, seed, torch.device(device)
        self.source, self.target = source.to(self.device), target.to(self.device)
        self.head = with_seed(seed, lambda: Head(target.shape[1], source.shape[1])).to(self.device).train()
        distributed.synchronise_batch_norms(self.head)
        if run is not None and run.accumulate > 1:
            raise InputError("A bridge is so small that its batch needs no parts.", "Leave accumulate out.")
        self.temperature = Temperature(settings.tau).to(self.device)
        learned = [*self.head.parameters(), *self.temperature.parameters()]
        self.optimiser = torch.optim.AdamW(
            learned, lr=settings.lr, weight_decay=settings.weight_decay, fused=fused(self.device)
        )
        self.modules = {"head": self.head, "temperature": self.temperature}
        self.optimisers = {"adamw": self.optimiser}

    def step(self, i: int) -> loop.StepLosses:
        s, rng = self.settings, loop.step_rng(self.seed, i)
        rows = to_device(torch.randperm(len(self.source), generator=rng)[: s.batch], self.device)
        processes = distributed.num_processes()
        rows = rows[: len(rows) // processes * processes]
        (own,) = distributed.shares(len(rows))
        source, target = self.source[rows], self.target[rows]
        noise = to_device(torch.randn(source.shape, generator=rng), self.device, source.dtype) / source.shape[1] ** 0.5
        made = self.head(F.normalize(source + s.noise * noise, dim=-1)[own])
        made = distributed.whole_batch(made, len(rows))
        same = target @ target.T > 1 - 1e-4  # two captions of one meaning are no negatives of each other
        losses = {
            "nce": info_nce(made, target, self.temperature(), mask=same),
            "alignment": s.alignment * alignment(made, target, targets=torch.eye(len(rows), device=self.device)),
        }
        for group in self.optimiser.param_groups:
            group["lr"] = s.lr * warmup_cosine(i, s.steps, s.warmup)
        self.optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        distributed.mean_gradients([p for group in self.optimiser.param_groups for p in group["params"]])
        take_step(self.optimiser)
        return loop.StepLosses(losses)


def retrieval(made: Tensor, target: Tensor) -> dict[str, float]:
    """How often the nearest of N targets is one's own, and the mean place of one's own (0 best, 0.5 by chance)."""
    nearness = made @ target.T
    own = nearness.diagonal()[:, None]
    ahead = (nearness > own + 1e-6).sum(dim=1).float()
    return {
        "first": float((ahead == 0).float().mean()),
        "place": float(ahead.mean() / max(len(target) - 1, 1)),
        "cosine": float(own.mean()),
    }


def split(pairs: Pairs, share: float, seed: int) -> tuple[Pairs, Pairs]:
    """(to learn from, held out)"""
    order = torch.randperm(len(pairs.source), generator=torch.Generator().manual_seed(seed))
    count = round(share * len(order))
    if len(order) - count < 2:
        raise InputError(f"There are {len(order)} pairs.", "Give more captions, or more sounds with pictures.")
    return pairs.of(order[count:]), pairs.of(order[:count])


def run(
    *, config: Mapping, out: Path, resume: bool = False, device: str = "cpu", seed: int = 0,
    on_step: loop.OnStep | None = None,
) -> Path:  # fmt: skip
    """Train by a recipe; writes into out: clip.safetensors and sound.safetensors, which are a joint encoder as they lie
    there, the features that were learned from, scores.json and a checkpoint.

    config: source (a joint encoder or the folder of a CLAP: whose ears), target (a joint encoder, or a file or name of
    a picture and text model: into whose space), [data] (bridge_pairs.open_pairs) and [training] (BridgeSettings).
    """
    check_entries(config, dict.fromkeys(("source", "target", "data", "training", "run")))
    distributed.setup_process(device)
    running, settings = RunSettings.of(config), from_table(BridgeSettings, config.get("training", {}), "training")
    source, target = open_source(config.get("source"), device), _towers(config["target"], device)
    out = make_folder(out)
    pairs = distributed.rank0_first(
        lambda: open_pairs(config.get("data", {}), source, target, out, seed=seed, on_step=on_step)
    )
    learned, held_out = split(pairs, settings.held_out, seed)
    training = BridgeTraining(learned.source, learned.target, settings, device, seed, run=running)
    scores: dict[str, Any] = {"pairs": len(learned.source), "held_out": len(held_out.source)}
    measured = held_out if len(held_out.source) else learned
    scores["before"] = _measured(training, measured)
    loop.run(
        training, settings.steps, out, resume=resume, save_every=settings.save_every, on_step=on_step,
        settings=running, validate=lambda: _measured(training, measured),
    )  # fmt: skip
    if distributed.rank():
        return out / "sound.safetensors"
    scores["after"] = _measured(training, measured)

    source.save(out / "sound.safetensors", training.head.eval().cpu(), target.dim)
    target.save(out / "clip.safetensors")
    with replacing(out / "scores.json") as temporary:
        temporary.write_text(json.dumps(scores, indent=2), encoding="utf-8")
    return out / "sound.safetensors"


@torch.no_grad()
def _measured(training: BridgeTraining, pairs: Pairs) -> dict[str, float]:
    training.head.eval()
    found = retrieval(training.head(pairs.source.to(training.device)), pairs.target.to(training.device))
    training.head.train()
    return found


def _towers(name: str, device: str | torch.device) -> ClipTowers:
    """A picture and text model: that of a joint encoder, or a file or row of its own."""
    here = any(row.name == name for row in registry.rows("joint")) or Path(name).is_dir()
    return load_joint(name, device).clip if here else load_clip(registry.find("clip", name).files["clip"], device)
