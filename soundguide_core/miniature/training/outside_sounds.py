"""Teach what hears in a trajectory which sounds are none of its kinds: the last row of its last layer alone.

By logistic regression on what that layer sees, h, of sounds of the phenomena and of others: the miniature's, or
somebody's own, of which those labelled UNKNOWN are the others. With the scores z_k of the kinds, which stay,

    log p(none) / p(some kind) = w h + b - log sum_k exp z_k

so a sound that is clearly of a kind stays one. Axes: N moments, C channels, M mels, T mel time.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...audio.mel import MelSpec
from ...audio.track import MelTrack, against_loudest
from ...common.errors import InputError
from ...common.files import make_folder
from ...training.engine import distributed, loop
from ...training.engine.run_settings import RunSettings
from ...training.recipe import check_entries
from ...trajectory.sound_events import SoundEvents
from ...trajectory.trajectory import Trajectory, load_trajectory, save_trajectory
from ..data import outside_sounds, scene_sounds
from ..data.scene_clips import recordings
from .familiarity import Levels, own_levels

AUDIBLE_DB = -40.0  # of a moment, under the loudest of its sound
OF_THE_WORLD = (
    "recordings", "folds", "ambience", "outside_ambience", "fps", "per_phenomenon", "per_kind", "first_seed", "without",
    "cache",
)  # fmt: skip


class OutsideTraining:
    """The row (w, b), learned on all moments in every step. groups: of sounds that count alike on their side, (h [N,C],
    whether they are none of the kinds); known: how much more the kinds' side counts. Processes share the moments;
    accumulate: parts that each has of them in memory one after the other."""

    def __init__(
        self, events: SoundEvents, groups: list[tuple[Tensor, bool]], *, known: float, decay: float, lr: float,
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
        self.h = torch.cat([h for h, _ in groups])
        self.kinds = (self.h @ weight[:-1].T + bias[:-1]).logsumexp(dim=1)
        self.y = torch.cat([torch.full((len(h),), float(none)) for h, none in groups])
        sides = [sum(none is side for _, none in groups) for side in (False, True)]
        shares = [(1.0 if none else known) / sides[none] / len(h) for h, none in groups]
        self.share = torch.cat([torch.full((len(h),), share) for (h, _), share in zip(groups, shares)])
        self.adam = torch.optim.Adam(self.layer.parameters(), lr=lr)
        self.modules: dict[str, nn.Module] = {"layer": self.layer}
        self.optimisers: dict[str, torch.optim.Optimizer] = {"adam": self.adam}

    def step(self, i: int) -> dict[str, float]:
        """One update; the cross entropy without the pull to the row that it began with."""
        self.adam.zero_grad()
        (self.decay * (self.layer.weight - self.first).square().sum()).backward()
        loss = distributed.backward_sum(self.parts, self.loss)
        distributed.mean_gradients(self.layer.parameters())
        self.adam.step()
        return loop.to_floats({"cross_entropy": loss})

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
        (known, unknown), held_out = own_levels(data["folder"], trajectory.spec, on_step)
        groups = {"known": known, "unknown": unknown}
    else:
        cache = Path(data.get("cache", Path(out) / "sounds"))
        groups, held_out = {**known_levels(data, trajectory.spec, cache, on_step)}, None
        groups |= {f"unknown {k}": x for k, x in unknown_levels(data, trajectory.spec, cache, on_step).items()}
    seen = [(features(events, levels, trajectory.spec), name.startswith("unknown")) for name, levels in groups.items()]
    training = OutsideTraining(events, seen, known=s["known"], decay=s["decay"], lr=s["lr"])
    loop.run(
        training, s["steps"], out, resume=resume, on_step=on_step, settings=running,
        validate=None if held_out is None else lambda: told_rightly(events, training, held_out, trajectory.spec),
    )  # fmt: skip
    take(events, training.layer)
    path = Path(out) / "trajectory.safetensors"
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


def known_levels(table: dict, spec: MelSpec, cache: Path, on_step: loop.OnStep | None) -> dict[str, list[Tensor]]:
    """Of sounds of each phenomenon, synthesised and recorded."""
    count, cache = table["per_phenomenon"], make_folder(cache)
    made = scene_sounds.synthesised(count, table["first_seed"], spec, table["fps"], cache, on_step)
    found = {f"synthesised {k}": list(part) for k, part in enumerate(made.split(count))}
    for _, phenomenon, wave, sample_rate in recordings(table):
        found.setdefault(f"recorded {phenomenon}", []).append(MelTrack.of_wave(wave, sample_rate, spec).level_db)
    return found


def unknown_levels(table: dict, spec: MelSpec, cache: Path, on_step: loop.OnStep | None) -> dict[str, list[Tensor]]:
    """Of sounds of each kind from outside, synthesised and recorded."""
    count, kinds = table["per_kind"], [k for k in outside_sounds.EVERY if k not in table["without"]]
    made = outside_sounds.synthesised(
        count, table["first_seed"], spec, table["fps"], make_folder(cache), on_step, kinds=kinds
    )
    found = {kind: list(part) for kind, part in zip(kinds, made.split(count))}
    there = outside_sounds.recorded(Path(table["recordings"]), table["folds"], table["outside_ambience"], set())
    for kind, waves in there.items():
        found[f"recorded {kind}"] = [MelTrack.of_wave(wave, rate, spec).level_db for wave, rate in waves]
    return found
