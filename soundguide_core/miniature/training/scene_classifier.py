"""The judge of evaluation/scene_classifier.py, trained on rendered scenes with strong augmentation.

Faint phenomena are given a soft label between theirs and calm, so that its probabilities follow the strength.
Axes: B batch, K classes.
"""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...checkpoints import safetensors_io
from ...common.errors import InputError
from ...common.files import replacing
from ...common.memory import to_device
from ...common.rng import with_seed
from ...training.augment import augment
from ...training.engine import distributed, loop
from ...training.engine.ema import ema_update
from ...training.engine.optimisers import fused, take_step
from ...training.engine.run_settings import RunSettings
from ...training.engine.schedules import warmup_cosine
from ...training.engine.shared_losses import Means
from ...training.recipe import check_entries
from ..data.scenes import HELD_OUT, SceneLabel, SceneSet, render_scenes
from ..evaluation.scene_classifier import SceneClassifier
from ..world import captions, scenes

CLASSES = (*scenes.PHENOMENA, captions.CALM)


def soft_label(shown: SceneLabel) -> Tensor:
    """[K], sums to 1: calm grows as the phenomenon falls below half its strength."""
    present = min(1.0, shown.intensity / 0.5)
    label = torch.zeros(len(CLASSES))
    label[shown.label] += present
    label[-1] += 1 - present
    return label


class ClassifierTraining:
    """The classifier, its average, and one update per step. accumulate: parts of a batch that are in memory one after
    the other."""

    def __init__(
        self, config: dict, pictures: SceneSet, device: str | torch.device, seed: int, accumulate: int = 1
    ) -> None:
        self.settings = config["training"]
        self.shares = distributed.shares(self.settings["pictures"], accumulate)
        self.pictures = pictures
        self.labels = torch.stack([soft_label(shown) for shown in pictures.shown])
        self.device = torch.device(device)
        self.seed = seed
        network = {"classes": list(CLASSES), **config["classifier"]}
        self.classifier = with_seed(seed, lambda: SceneClassifier(network)).to(self.device)
        self.average = copy.deepcopy(self.classifier).eval().requires_grad_(False)
        self.optimiser = torch.optim.AdamW(
            self.classifier.parameters(), lr=self.settings["lr"], weight_decay=self.settings["weight_decay"],
            fused=fused(self.device),
        )  # fmt: skip
        self.modules: dict[str, nn.Module] = {"classifier": self.classifier, "average": self.average}
        self.optimisers: dict[str, torch.optim.Optimizer] = {"adamw": self.optimiser}

    def step(self, i: int) -> loop.StepLosses:
        """One update; its loss."""
        s = self.settings
        rng = np.random.default_rng([self.seed, i])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        indices = rng.integers(len(self.pictures), size=s["pictures"])
        img = F.interpolate(
            self.pictures.batch(indices), (self.classifier.config["size"],) * 2, mode="bilinear", antialias=True
        )
        img = augment(img, generator, strength=s["augment"], far=s["far"])
        labels, losses = self.labels[indices], Means(len(self.shares))
        for group in self.optimiser.param_groups:
            group["lr"] = s["lr"] * warmup_cosine(i, s["steps"], s["warmup"])
        self.optimiser.zero_grad()
        for rows in self.shares:
            told = self.classifier(to_device(img[rows], self.device))
            losses.add(cross_entropy=F.cross_entropy(told, to_device(labels[rows], self.device), label_smoothing=0.05))
            (losses.last["cross_entropy"] / len(self.shares)).backward()
        distributed.mean_gradients(self.classifier.parameters())
        take_step(self.optimiser)
        ema_update(self.average, self.classifier, min(s["ema"], (i + 1) / (i + 10)))
        return loop.StepLosses(losses.values)


def accuracy(classifier: SceneClassifier, pictures: SceneSet, *, above: float = 0.5) -> float:
    """Share of pictures named rightly, among calm ones and those whose phenomenon is stronger than `above`."""
    chosen = np.array([i for i, s in enumerate(pictures.shown) if s.phenomenon is None or s.intensity > above])
    if not len(chosen):
        raise InputError(f"No picture is calm or stronger than {above}.", "Render more: raise held_out in [scenes].")
    device = next(classifier.parameters()).device
    parts = np.array_split(chosen, math.ceil(len(chosen) / 64))
    named = torch.cat([classifier.predict(pictures.batch(part).to(device)).argmax(-1).cpu() for part in parts])
    return (named == torch.tensor([pictures.shown[i].label for i in chosen])).float().mean().item()


def run(
    *,
    config: dict,
    out: Path,
    resume: bool = False,
    device: str = "cpu",
    seed: int = 0,
    on_step: loop.OnStep | None = None,
) -> Path:
    """Train by a recipe; writes scene_classifier.safetensors (the average, fp16), its score and checkpoints.

    config: tables [scenes] (count, held_out; cache: a folder of rendered scenes), [training], [classifier].
    """
    training_entries = ("steps", "pictures", "lr", "weight_decay", "warmup", "ema", "augment", "far")
    entries = {"scenes": ("count", "held_out", "cache"), "training": training_entries}
    check_entries(config, {**entries, "classifier": ("channels", "size"), "run": None})
    distributed.setup_process(device)
    running = RunSettings.of(config)
    folder = Path(config["scenes"].get("cache", out / "scenes"))
    rendering = None if on_step is None else lambda i, n: on_step(i, n, {})
    known = {"folder": folder, "on_step": rendering}
    pictures = distributed.rank0_first(lambda: render_scenes(config["scenes"]["count"], **known))
    held_out = distributed.rank0_first(lambda: render_scenes(config["scenes"]["held_out"], first=HELD_OUT, **known))
    training = ClassifierTraining(config, pictures, device, seed, running.accumulate)
    loop.run(training, config["training"]["steps"], out, resume=resume, on_step=on_step, settings=running)
    path = out / "scene_classifier.safetensors"
    if distributed.rank():
        return path
    safetensors_io.save(path, training.average.state_dict(), training.average.config, half=True)
    with replacing(out / "scores.json") as temporary:
        temporary.write_text(json.dumps({"accuracy": accuracy(training.average, held_out)}, indent=2), encoding="utf-8")
    return path
