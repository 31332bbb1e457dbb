"""Teach the joint encoder's ears to say whether they know a sound at all: one linear layer on what they see.

By logistic regression on sounds that they have words for and on sounds from outside (sounds/outside.py).

Axes: S sounds, M mels, T mel time, C channels.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ...audio.augment import response
from ...audio.mel import MelSpec
from ...audio.track import against_loudest
from ...common.errors import InputError
from ...common.files import make_folder
from ...embedding.joint import JointEncoder, load_joint
from ...embedding.sound import SoundEncoder, save_sound
from ...training.engine import loop
from ...training.engine.run_settings import RunSettings
from ...training.recipe import check_entries, names_of
from ..data import outside_sounds, scene_sounds
from ..data.outside_sounds import SYNTHESISED
from ..data.sounds import recorded
from ..sounds import outside


def run(
    *, config: dict, out: Path, device: str | torch.device = "cpu", seed: int = 0, resume: bool = False,
    on_step: loop.OnStep | None = None,
) -> Path:  # fmt: skip
    """By a recipe with [models], [data] and [training]; returns the path of the sound encoder with the layer."""
    entries = {
        "models": ("joint",),
        "training": ("crops", "eq_db", "decay", "steps"),
        "data": None,
        "run": names_of(RunSettings),
    }
    check_entries(config, entries)
    joint = load_joint(config["models"].get("joint"), device)
    if not isinstance(joint.sound, SoundEncoder) or not isinstance(joint.spec, MelSpec):
        raise InputError("This joint encoder does not see sounds as pictures.", "Name the miniature's.")
    known, unknown = levels(config["data"], joint.spec, Path(config["data"].get("cache", out / "sounds")), on_step)
    settings = config["training"]
    draw = torch.Generator().manual_seed(seed)
    x = [features(joint, part, settings["crops"], settings["eq_db"], draw) for part in (known, unknown)]
    joint.sound.learn_familiarity(*logistic(*x, decay=settings["decay"], steps=settings["steps"]))
    path = Path(out) / "sound.safetensors"
    save_sound(path, joint.sound, joint.spec)
    return path


def levels(table: dict, spec: MelSpec, cache: Path, on_step: loop.OnStep | None) -> tuple[list[Tensor], list[Tensor]]:
    """Levels [M,T] in dB of sounds that have words, and of others."""
    cache = make_folder(cache)
    made = scene_sounds.synthesised(table["per_phenomenon"], table["first_seed"], spec, table["fps"], cache, on_step)
    known = list(made)
    others = outside_sounds.synthesised(table["per_kind"], table["first_seed"], spec, table["fps"], cache, on_step)
    unknown = []
    for kind, part in zip(SYNTHESISED, others.split(table["per_kind"])):
        (unknown if kind in outside.SOUNDS else known).extend(part)
    files = recorded(Path(table["recordings"]), spec, folds=table["folds"], ambience=table["ambience"])
    known += [torch.as_tensor(clip.level) for clip in files]
    return known, unknown


@torch.no_grad()
def features(joint: JointEncoder, sounds: list[Tensor], crops: int, eq_db: float, draw: torch.Generator) -> Tensor:
    """What the layer sees of `crops` windows of each sound, by other microphones: [S,2C]"""
    spec, found = joint.spec, []
    assert isinstance(spec, MelSpec) and isinstance(joint.sound, SoundEncoder)
    for level in sounds:
        level = level.float()
        again = -(-spec.columns // level.shape[1])
        level = torch.cat([level.flip(1) if i % 2 else level for i in range(again)], dim=1)
        starts = torch.randint(0, level.shape[1] - spec.columns + 1, (crops,), generator=draw)
        windows = torch.stack([level[:, i : i + spec.columns] for i in starts.tolist()])
        windows = windows + response(crops, spec.n_mels, draw, spread_db=eq_db)
        mel = against_loudest(windows, windows.amax(dim=(1, 2), keepdim=True), spec)
        found.append(joint.sound.seen(mel[:, None].to(joint.device)).cpu())
    return torch.cat(found)


def logistic(known: Tensor, unknown: Tensor, *, decay: float, steps: int) -> tuple[Tensor, Tensor]:
    """(weight [2C], bias []) of log p(known) / p(unknown), both counting the same, with a ridge on standardised x."""
    x = torch.cat([known, unknown])
    y = torch.cat([torch.ones(len(known)), torch.zeros(len(unknown))])
    share = torch.where(y > 0, 0.5 / len(known), 0.5 / len(unknown))
    mean, spread = x.mean(dim=0), x.std(dim=0) + 1e-4
    z = (x - mean) / spread
    w = torch.zeros(z.shape[1] + 1, requires_grad=True)
    adam = torch.optim.Adam([w], lr=0.02)
    for _ in range(steps):
        loss = (share * F.binary_cross_entropy_with_logits(z @ w[:-1] + w[-1], y, reduction="none")).sum()
        adam.zero_grad()
        (loss + decay * w[:-1].square().sum()).backward()
        adam.step()
    weight = w.detach()[:-1] / spread
    return weight, w.detach()[-1] - weight @ mean
