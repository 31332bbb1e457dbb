"""Teach a joint encoder's ears to say whether they know a sound at all: one linear layer on what they see.

By logistic regression on sounds that they have words for and on others: of the miniature's world and from outside
(sounds/outside.py), or somebody's own, of which those labelled UNKNOWN are the others.

Axes: S sounds, M mels, T mel time, C channels.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...audio.augment import response
from ...audio.mel import MelSpec
from ...audio.track import against_loudest
from ...common.errors import InputError
from ...common.files import make_folder
from ...embedding.joint import JointEncoder, load_joint
from ...embedding.sound import SoundEncoder, save_sound
from ...training.engine import distributed, loop
from ...training.engine.run_settings import RunSettings
from ...training.recipe import check_entries
from ...training.sound_data import Clip, open_sounds
from ..data import outside_sounds, scene_sounds
from ..data.outside_sounds import SYNTHESISED
from ..data.sounds import recorded
from ..sounds import outside

UNKNOWN = "unknown"  # the label of one's own sounds that the encoder is to say it does not know
OF_THE_WORLD = ("recordings", "folds", "ambience", "fps", "per_phenomenon", "per_kind", "first_seed", "cache")
Levels = tuple[list[Tensor], list[Tensor]]  # [M,T] in dB, of sounds that are known and of others


class FamiliarityTraining:
    """w [2C + 1], the weights and the bias of log p(known) / p(unknown) on standardised x [S,2C], both sides counting
    the same, with a ridge; all sounds in every step, shared among processes, in `accumulate` parts."""

    def __init__(self, known: Tensor, unknown: Tensor, *, decay: float, lr: float = 0.02, accumulate: int = 1) -> None:
        self.parts = distributed.rows_apart(accumulate)
        x = torch.cat([known, unknown])
        self.y = torch.cat([torch.ones(len(known)), torch.zeros(len(unknown))])
        self.share = torch.where(self.y > 0, 0.5 / len(known), 0.5 / len(unknown))
        self.mean, self.spread = x.mean(dim=0), x.std(dim=0) + 1e-4
        self.z, self.decay = (x - self.mean) / self.spread, decay
        self.layer = nn.Linear(x.shape[1], 1)
        for p in self.layer.parameters():
            nn.init.zeros_(p)
        self.adam = torch.optim.Adam(self.layer.parameters(), lr=lr)
        self.modules: dict[str, nn.Module] = {"layer": self.layer}
        self.optimisers: dict[str, torch.optim.Optimizer] = {"adam": self.adam}

    def step(self, i: int) -> loop.StepLosses:
        """One update; the cross entropy without the ridge."""
        self.adam.zero_grad()
        (self.decay * self.layer.weight.square().sum()).backward()
        loss = distributed.backward_sum(self.parts, self.loss)
        distributed.mean_gradients(self.layer.parameters())
        self.adam.step()
        return loop.StepLosses({"cross_entropy": loss})

    def loss(self, rows: slice) -> Tensor:
        logits = self.layer(self.z[rows])[:, 0]
        return (self.share[rows] * F.binary_cross_entropy_with_logits(logits, self.y[rows], reduction="none")).sum()

    @torch.no_grad()
    def weights(self) -> tuple[Tensor, Tensor]:
        """(weight [2C], bias []) of x that is not standardised."""
        weight = self.layer.weight[0] / self.spread
        return weight, self.layer.bias[0] - weight @ self.mean


def run(
    *, config: dict, out: Path, device: str | torch.device = "cpu", seed: int = 0, resume: bool = False,
    on_step: loop.OnStep | None = None,
) -> Path:  # fmt: skip
    """By a recipe with [models], [data] and [training]; returns the path of the sound encoder with the layer.

    [data] has `folder`, one's own sounds as training/sound_data.py reads them, or what says which of the world's.
    """
    data = config["data"]
    own = "folder" in data
    entries = {
        "models": ("joint",),
        "training": ("crops", "eq_db", "decay", "steps"),
        "data": ("folder", *OF_THE_WORLD),
        "run": None,
    }
    check_entries(config, entries)
    distributed.setup_process(device)
    running = RunSettings.of(config)
    joint = load_joint(config["models"].get("joint"), device)
    if not isinstance(joint.sound, SoundEncoder) or not isinstance(joint.spec, MelSpec):
        raise InputError("This joint encoder does not see sounds as pictures.", "Name the miniature's.")
    if own:
        learned, held_out = own_levels(data["folder"], joint.spec, on_step)
    else:
        cache = Path(data.get("cache", Path(out) / "sounds"))
        spec = joint.spec
        learned, held_out = distributed.rank0_first(lambda: levels(data, spec, cache, on_step)), None
    settings = config["training"]
    draw = torch.Generator().manual_seed(seed)

    def seen(sides: Levels) -> list[Tensor]:
        return [features(joint, part, settings["crops"], settings["eq_db"], draw) for part in sides]

    training = FamiliarityTraining(*seen(learned), decay=settings["decay"], accumulate=running.accumulate)
    apart = None if held_out is None else seen(held_out)

    def told_rightly() -> dict[str, float]:
        assert apart is not None
        weight, bias = training.weights()
        known, unknown = (x @ weight + bias > 0 for x in apart)
        return {"known": float(known.float().mean()), "unknown": float((~unknown).float().mean())}

    loop.run(
        training, settings["steps"], out, resume=resume, on_step=on_step, settings=running,
        validate=None if apart is None else told_rightly,
    )  # fmt: skip
    joint.sound.learn_familiarity(*(x.to(device) for x in training.weights()))
    path = Path(out) / "sound.safetensors"
    if not distributed.rank():
        save_sound(path, joint.sound, joint.spec)
    return path


def own_levels(path: str, spec: MelSpec, on_step: loop.OnStep | None) -> tuple[Levels, Levels | None]:
    """(sounds to learn from, those of each side that are held out, or None where a side is too small for that).

    Raises:
        InputError: not both sides are there.
    """
    told = None if on_step is None else lambda i, n: on_step(i, n, {})
    learned, held = open_sounds(path, spec, on_step=told).split()
    sides = _sides(learned.clips), _sides(held)
    if not all(sides[0]):
        raise InputError(
            f"{path} has no sounds labelled {UNKNOWN!r}, or no others.",
            f"Put sounds that it should not claim to know into a folder {UNKNOWN}, and those that it knows beside.",
        )
    return sides[0], sides[1] if all(sides[1]) else None


def _sides(clips: list[Clip]) -> Levels:
    known, unknown = (
        [torch.as_tensor(c.level) for c in clips if (c.label == UNKNOWN) is side] for side in (False, True)
    )
    return known, unknown


def levels(table: dict, spec: MelSpec, cache: Path, on_step: loop.OnStep | None) -> Levels:
    """Of sounds of the world, that have words, and of others."""
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
