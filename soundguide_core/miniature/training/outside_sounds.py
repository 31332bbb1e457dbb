"""Teach what hears in a trajectory which sounds are none of its kinds: the last row of its last layer alone.

By logistic regression on what that layer sees, h, of sounds of the phenomena and of others: the miniature's, or
somebody's own, of which those labelled UNKNOWN are the others. With the scores z_k of the kinds, which stay,

    log p(none) / p(some kind) = w h + b - log sum_k exp z_k

so a sound that is clearly of a kind stays one. Of the miniature's world it learns from stretches of up to three sounds
(data/scene_sounds.py), each moment counting for as much as is to be heard then.
Axes: N moments, B stretches, S steps of a stretch, F frames, C channels, M mels, T mel time.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...audio.mel import MelSpec
from ...audio.track import against_loudest
from ...common.errors import InputError
from ...training.engine import distributed, loop
from ...training.engine.run_settings import RunSettings
from ...training.recipe import check_entries
from ...trajectory.sound_events import SoundEvents
from ...trajectory.trajectory import Trajectory, load_trajectory, save_trajectory
from ..data.scene_sounds import SceneSounds
from ..world.scenes import PHENOMENA
from .familiarity import Levels, own_levels

AUDIBLE_DB = -40.0  # of a moment, under the loudest of its sound
OF_THE_WORLD = ("recordings", "folds", "ambience", "fps", "stretches", "sounds", "cache")
STRETCHES = 16  # heard at once
EVERY_STEP = 2  # of those of a stretch that are learned from
BARELY = 0.05  # loudness, 0..1, below which a moment says nothing

Moments = tuple[Tensor, bool, Tensor]  # h [N,C], whether they are none of the kinds, how much each counts [N]


class OutsideTraining:
    """The row (w, b), learned on all moments in every step. groups: those of a side count alike; known: how much more
    the kinds' side counts. Processes share the moments; accumulate: parts that each has of them in memory one after
    the other."""

    def __init__(
        self, events: SoundEvents, groups: list[Moments], *, known: float, decay: float, lr: float,
        accumulate: int = 1,
    ) -> None:  # fmt: skip
        self.parts = distributed.rows_apart(accumulate)
        out, self.decay = events.out_proj, decay
        weight, bias = out.weight.detach()[..., 0].cpu(), cast(Tensor, out.bias).detach().cpu()  # [K+1,C], [K+1]
        self.first = weight[-1:].clone()
        self.layer = nn.Linear(weight.shape[1], 1)
        with torch.no_grad():
            self.layer.weight.copy_(weight[-1:])
            self.layer.bias.copy_(bias[-1:])
        self.h = torch.cat([h for h, _, _ in groups])
        self.kinds = (self.h @ weight[:-1].T + bias[:-1]).logsumexp(dim=1)
        self.y = torch.cat([torch.full((len(h),), float(none)) for h, none, _ in groups])
        sides = [sum(none is side for _, none, _ in groups) for side in (False, True)]
        self.share = torch.cat(
            [(1.0 if none else known) / sides[none] * counts / counts.sum() for _, none, counts in groups]
        )
        self.adam = torch.optim.Adam(self.layer.parameters(), lr=lr)
        self.modules: dict[str, nn.Module] = {"layer": self.layer}
        self.optimisers: dict[str, torch.optim.Optimizer] = {"adam": self.adam}

    def step(self, i: int) -> loop.StepLosses:
        """One update; the cross entropy without the pull to the row that it began with."""
        self.adam.zero_grad()
        (self.decay * (self.layer.weight - self.first).square().sum()).backward()
        loss = distributed.backward_sum(self.parts, self.loss)
        distributed.mean_gradients(self.layer.parameters())
        self.adam.step()
        return loop.StepLosses({"cross_entropy": loss})

    def loss(self, rows: slice) -> Tensor:
        logits = self.layer(self.h[rows])[:, 0] - self.kinds[rows]
        return (self.share[rows] * F.binary_cross_entropy_with_logits(logits, self.y[rows], reduction="none")).sum()


def run(
    *, config: dict, out: Path, device: str | torch.device = "cpu", seed: int = 0, resume: bool = False,
    on_step: loop.OnStep | None = None,
) -> Path:  # fmt: skip
    """By a recipe with [models], [data] and [training]; returns the trajectory's path.

    [data] has `folder`, one's own sounds as training/sound_data.py reads them, or what says which of the world's.
    """
    data, s = config["data"], config["training"]
    entries = {
        "models": ("trajectory",), "training": ("steps", "lr", "decay", "known"), "data": ("folder", *OF_THE_WORLD),
        "run": None,
    }  # fmt: skip
    check_entries(config, entries)
    distributed.setup_process(device)
    running = RunSettings.of(config)
    trajectory = load_trajectory(config["models"].get("trajectory"), device)
    events = events_of(trajectory)
    if "folder" in data:
        learned, held_out = own_levels(data["folder"], trajectory.spec, on_step)
        sides = [features(events, levels, trajectory.spec) for levels in learned]
        groups: list[Moments] = [(h, none, torch.ones(len(h))) for none, h in zip((False, True), sides)]
    else:
        cache = Path(data.get("cache", Path(out) / "sounds"))
        made = {"spec": trajectory.spec, "fps": data["fps"], "cache": cache, "on_step": on_step}
        sounds = distributed.rank0_first(lambda: SceneSounds(data["sounds"], data, **made))
        groups, held_out = moments(events, sounds, data["stretches"], loop.step_rng(seed, 0)), None
    training = OutsideTraining(
        events, groups, known=s["known"], decay=s["decay"], lr=s["lr"], accumulate=running.accumulate
    )
    loop.run(
        training, s["steps"], out, resume=resume, on_step=on_step, settings=running,
        validate=None if held_out is None else lambda: told_rightly(events, training, held_out, trajectory.spec),
    )  # fmt: skip
    take(events, training.layer)
    path = Path(out) / "trajectory.safetensors"
    if not distributed.rank():
        save_trajectory(path, trajectory)
    return path


def events_of(trajectory: Trajectory) -> SoundEvents:
    """What hears in a trajectory that can tell what is none of its kinds.

    Raises:
        InputError: it is another one.
    """
    network = getattr(trajectory.encoder, "network", None)
    if not (trajectory.events is not None and getattr(getattr(network, "config", None), "none", 0)):
        raise InputError("This trajectory has no entry for what is none of its kinds.", "Name the miniature's.")
    return trajectory.events


@torch.no_grad()
def take(events: SoundEvents, layer: nn.Linear) -> None:
    events.out_proj.weight[-1, :, 0] = layer.weight[0].to(events.out_proj.weight)
    cast(Tensor, events.out_proj.bias)[-1] = layer.bias[0]


def told_rightly(events: SoundEvents, training: OutsideTraining, sides: Levels, spec: MelSpec) -> dict[str, float]:
    """The share of moments of known and of unknown sounds that are taken for what they are."""
    take(events, training.layer)
    told = {}
    for name, levels in zip(("known", "unknown"), sides):
        h = features(events, levels, spec)
        scores = events.out_proj(h.T[None].to(events.out_proj.weight))[0].T
        none = scores.argmax(dim=1) == scores.shape[1] - 1
        told[name] = float((none == (name == "unknown")).float().mean())
    return told


@torch.no_grad()
def features(events: SoundEvents, levels: list[Tensor], spec: MelSpec) -> Tensor:
    """h [N,C] of the audible moments of sounds [M,T] in dB."""
    found = []
    for level in levels:
        mel = against_loudest(level.float()[None], level.float().amax(), spec)
        h = events.features(mel[:, None].to(events.out_proj.weight))[0].T.cpu()  # [S,C]
        loud = level.float().amax(dim=0)[:: events.steps[0]][: len(h)]
        found.append(h[: len(loud)][loud > loud.max() + AUDIBLE_DB])
    return torch.cat(found)


@torch.no_grad()
def moments(events: SoundEvents, sounds: SceneSounds, count: int, rng: torch.Generator) -> list[Moments]:
    """Of about `count` stretches: those in which a phenomenon is heard, and those of what is from outside."""
    spec, found = sounds.spec, []
    for _ in range(-(-count // STRETCHES)):
        batch = sounds.draw(STRETCHES, 0, rng)
        assert batch.amounts is not None
        h = events.features(batch.stretch.to(events.out_proj.weight))[..., ::EVERY_STEP].transpose(1, 2)  # [B,S,C]
        at_sec = torch.arange(h.shape[1]) * EVERY_STEP * events.steps[0] * spec.hop_length / spec.sample_rate
        frames = (at_sec * sounds.fps).long().clamp(max=batch.amounts.shape[1] - 1)
        amounts = batch.amounts[:, frames]  # [B,S,K]
        phenomena, outside = amounts[..., : len(PHENOMENA)].sum(dim=-1), amounts[..., len(PHENOMENA) :].sum(dim=-1)
        heard = torch.maximum(phenomena, outside) > BARELY
        found.append((h.cpu()[heard], (outside > phenomena)[heard], torch.maximum(phenomena, outside)[heard]))
    h, none, counts = (torch.cat(part) for part in zip(*found))
    return [(h[none == side], side, counts[none == side]) for side in (False, True)]
