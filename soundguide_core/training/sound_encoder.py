"""The sound encoder, trained into the frozen space of a picture and text model.

S. H. Lee et al., "Sound-Guided Semantic Image Manipulation", CVPR 2022, section 3.1:

    L = L_nce(a <-> v) + L_nce(a <-> t) + L_self(a <-> a_hat)

with a true temperature and without same-label negatives, and with a term that aligns the sounds and
what they are paired with, if it has a weight (ours). a and a_hat are two augmentations of one crop; classes that have
no scene sit out the picture term. Axes: B batch, M mels, T mel time, D dims.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..audio.augment import augment_level, augment_text, spec_augment
from ..audio.mel import MelSpec, arrange
from ..checkpoints import registry
from ..common.errors import InputError
from ..common.files import make_folder
from ..common.memory import to_device
from ..common.rng import with_seed
from ..embedding.clip import ClipTowers, load_clip
from ..embedding.sound import SoundEncoder, SoundEncoderConfig, load_sound, save_sound
from ..losses.contrastive import SOUND_TERMS, Temperature, sound_terms
from .engine import distributed, loop
from .engine.ema import ema_update
from .engine.gradients import in_parts
from .engine.optimisers import fused, take_step
from .engine.run_settings import RunSettings
from .recipe import check_entries, data_source, names_of
from .sound_data import Clip, ClipDraw, SoundData, open_sounds

CAPTIONS = 64  # of a label whose mean stands for what it means
ROOT = Path(__file__).resolve().parents[2]
OLD_TERMS = {"gap": "alignment"}  # in recipes of before 0.2
TRAINING = (  # entries of the recipe's [training]
    "steps", "batch", "columns", "candidates", "recorded_share", "optimiser", "lr", "lr_last", "cycles", "warmup",
    "weight_decay", "clip_norm", "tau", "ema", "bfloat16", "save_every", "sharpness", "weights",
)  # fmt: skip
OPTIMISERS = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


class SoundTraining:
    """One training step after another; what step i sees depends on the seed and i alone.

    towers: frozen. start: an encoder to go on from instead of a new one.
    """

    def __init__(
        self,
        config: dict,
        spec: MelSpec,
        data: SoundData,
        towers: ClipTowers,
        device: str | torch.device,
        seed: int,
        start: SoundEncoder | None = None,
        *,
        run: RunSettings | None = None,
    ) -> None:
        self.run = run or RunSettings()
        self.settings, self.augment = {**config["training"]}, config["augment"]
        self.spec, self.towers, self.data, self.pictures = spec, towers, data, data.pictures
        self.device, self.seed = torch.device(device), seed
        weights: dict[str, float] = self.settings["weights"]
        self.settings["weights"] = {OLD_TERMS.get(name) or name: weight for name, weight in weights.items()}
        if unknown := sorted(self.settings["weights"].keys() - set(SOUND_TERMS)):
            raise InputError(
                f"The recipe weighs a term {unknown[0]!r}, which there is not.",
                f"Use some of: {', '.join(SOUND_TERMS)}.",
            )
        self.draw = ClipDraw(
            data.clips, recorded_share=self.settings["recorded_share"], weights=config["label_weights"]
        )
        encoder = with_seed(seed, lambda: SoundEncoder.from_config({**config["encoder"], "dim": towers.dim}))
        if start is not None:  # which may have learned without prototypes
            encoder.load_state_dict({**encoder.state_dict(), **start.state_dict()})
        if encoder.config.prototypes:
            encoder.prototypes.means = self.meanings(encoder.config.prototypes)
            encoder.prototypes.sharpness = self.settings["sharpness"]  # softer than in use: who doubts still learns
        average = SoundEncoder.from_config(encoder.to_config())
        average.load_state_dict(encoder.state_dict())
        layout: dict[str, Any] = {"device": self.device, "memory_format": torch.channels_last}
        self.encoder = encoder.to(**layout)
        self.average = average.to(self.device).eval().requires_grad_(False)
        distributed.shares(self.settings["batch"], self.run.accumulate)  # refuses a batch that does not split
        distributed.synchronise_batch_norms(self.encoder)
        own = "bfloat16" if self.settings["bfloat16"] else "float32"
        self.dtype = getattr(torch, self.run.dtype_for(own, device))
        self.temperature = Temperature(self.settings["tau"]).to(self.device)
        matrices = [p for p in self.encoder.parameters() if p.ndim > 1]
        rest = [p for p in self.encoder.parameters() if p.ndim <= 1] + list(self.temperature.parameters())
        groups = [
            {"params": matrices, "weight_decay": self.settings["weight_decay"]},
            {"params": rest, "weight_decay": 0.0},
        ]
        build = OPTIMISERS[self.settings["optimiser"]]
        self.optimiser = build(groups, lr=self.settings["lr"], **{"fused": fused(self.device), **config["optimiser"]})
        self.modules = {"encoder": self.encoder, "average": self.average, "temperature": self.temperature}
        self.optimisers = {"optimiser": self.optimiser}

    def meanings(self, count: int) -> Tensor:
        """For each label the mean of its pictures, or of its captions where there are none: [K,D], unit norm."""
        if count != len(self.draw.labels):
            raise InputError(
                f"The recipe has {count} prototypes for {len(self.draw.labels)} labels.",
                f"Set prototypes = {len(self.draw.labels)} in [encoder].",
            )
        rng = np.random.default_rng(self.seed)
        known = {label: pool.mean(dim=0) for label, pool in self.pictures.items()}
        means = [
            known[label] if label in known else self.say([label] * CAPTIONS, rng).mean(dim=0)
            for label in self.draw.labels
        ]
        return F.normalize(torch.stack(means), dim=-1).cpu()

    def lr_at(self, i: int) -> float:
        """Cosine cycles from lr down to lr_last, after a linear warm-up."""
        s = self.settings
        length = s["steps"] / s["cycles"]
        wave = 0.5 * (1 + math.cos(math.pi * (i % length) / length))
        return min(1.0, (i + 1) / max(s["warmup"], 1)) * (s["lr_last"] + (s["lr"] - s["lr_last"]) * wave)

    def hear(self, rng: np.random.Generator, generator: torch.Generator) -> tuple[Tensor, Tensor, list[str]]:
        """The two augmentations a and a_hat [B,1,M,T] of a batch, and its labels."""
        shortest, longest = self.settings["columns"]
        columns = int(rng.integers(shortest, longest + 1))
        levels, labels = self.draw.batch(self.settings["batch"], round(columns * 1.3), rng)
        levels = to_device(levels, self.device).float()
        views = []
        for turn in (1, 2):  # behind each sound lies another one of the batch, or none
            mel = augment_level(
                levels, columns, generator, other=levels.roll(turn, 0), top_db=self.spec.top_db, **self.augment["level"]
            )
            views.append(arrange(spec_augment(mel, generator=generator, **self.augment["mask"]), self.spec))
        return views[0], views[1], labels

    def say(self, labels: list[str], rng: np.random.Generator) -> Tensor:
        """A caption for each label, now and then reworded => [K,D]."""
        texts = [self.data.caption(label, rng) for label in labels]
        texts = [augment_text(text, rng) if rng.random() < self.augment["text"] else text for text in texts]
        with torch.no_grad():
            return self.towers.encode_text(texts)

    def show(self, labels: list[str], rng: np.random.Generator) -> Tensor:
        """A picture for each label => [P,D]."""
        if not labels:
            return torch.zeros(0, self.towers.dim, device=self.device)
        pools = [self.pictures[label] for label in labels]
        return torch.stack([pool[rng.integers(len(pool))] for pool in pools])

    def step(self, i: int) -> loop.StepLosses:
        """One update; its loss terms."""
        rng = np.random.default_rng([self.seed, i])
        first, second, labels = self.hear(rng, loop.step_rng(self.seed, i))
        audio, augmented = self.encode(first, second, i)  # [B,D] each

        # candidates: those of the batch, as in the paper, or one for every label there is
        said = labels if self.settings["candidates"] == "batch" else self.draw.labels
        shown = [label for label in said if label in self.pictures]
        text, image, scale = self.say(said, rng), self.show(shown, rng), self.temperature()
        targets = {
            "same": self._answers(labels, labels),
            "said": self._answers(labels, said),
            "shown": self._answers(labels, shown),
        }
        one = sound_terms(audio, augmented, text, image, scale, **targets)
        other = sound_terms(augmented, audio, text, image, scale, **targets)
        losses = {name: (one[name] + other[name]) / 2 for name in one}

        weights = self.settings["weights"]
        for group in self.optimiser.param_groups:
            group["lr"] = self.lr_at(i)
        self.optimiser.zero_grad()
        total = sum(weights[name] * loss for name, loss in losses.items() if name in weights)
        cast(Tensor, total).backward()
        distributed.mean_gradients([p for group in self.optimiser.param_groups for p in group["params"]])
        torch.nn.utils.clip_grad_norm_(self.encoder.parameters(), self.settings["clip_norm"])
        take_step(self.optimiser)
        ema_update(self.average, self.encoder, min(self.settings["ema"], (i + 1) / (i + 10)))
        return loop.StepLosses(losses)

    def encode(self, first: Tensor, second: Tensor, i: int) -> tuple[Tensor, Tensor]:
        """The augmentations of step i [B,1,M,T] => [B,D] each, not normalised; every process computes its share.

        Dropout draws from the global generator, by process.
        """
        (own,) = distributed.shares(len(first))
        mel = torch.stack([first[own], second[own]], dim=1)  # [B/n,2,1,M,T]

        def encoded(mel: Tensor) -> Tensor:
            both = mel.transpose(0, 1).flatten(0, 1).contiguous(memory_format=torch.channels_last)
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
                return self.encoder(both).float().unflatten(0, (2, -1)).transpose(0, 1)  # [B/n,2,D]

        keys = [self.seed, i, 1, *([distributed.rank()] if distributed.rank() else [])]
        seed = int(np.random.default_rng(keys).integers(2**62))
        embeds = with_seed(seed, lambda: in_parts(encoded, mel, self.run.accumulate))
        audio, augmented = distributed.whole_batch(embeds, len(first)).unbind(dim=1)
        return audio, augmented

    @torch.no_grad()
    def validate(self, held_out: list[Clip]) -> dict[str, float]:
        """The share of these clips whose label's caption is the nearest of all labels'."""
        rng = np.random.default_rng(self.seed)
        labels = sorted({clip.label for clip in held_out} | set(self.draw.labels))
        said, right = self.say(labels, rng), 0
        for clip in held_out:
            level = torch.from_numpy(clip.crop(self.settings["columns"][1], rng)).float().to(self.device)
            mel = arrange((level / self.spec.top_db + 1).clamp(0, 1)[None, None], self.spec)
            right += labels[int((self.average(mel) @ said.T).argmax())] == clip.label
        return {"named": right / len(held_out)}

    def _answers(self, rows: list[str], columns: list[str]) -> Tensor:
        same = np.array(rows)[:, None] == np.array(columns)
        return to_device(torch.from_numpy(same), self.device, torch.float32)


def _entries(data: Mapping) -> dict[str, Iterable[str] | None]:
    """What the recipe may hold, for check_entries. Other tables are read by the source that [data] names."""
    own = {"data", "label_weights", "mel", "encoder", "training", "optimiser", "augment", "start", "run"}
    return {
        **dict.fromkeys(own),
        **({"data": ("folder", "clip")} if "folder" in data else {"synthesised": None}),
        "mel": names_of(MelSpec),
        "training": TRAINING,
        "training.weights": (*SOUND_TERMS, *OLD_TERMS),
        "encoder": names_of(SoundEncoderConfig) - {"dim"},
        "optimiser": names_of(torch.optim.AdamW, torch.optim.SGD) - {"params", "lr"},
        "augment": ("text", "level", "mask"),
        "augment.level": names_of(augment_level) - {"level", "columns", "generator", "other", "top_db"},
        "augment.mask": names_of(spec_augment) - {"mel", "generator"},
    }


def run(
    *,
    config: dict,
    out: Path,
    resume: bool = False,
    device: str = "cpu",
    seed: int = 0,
    on_step: loop.OnStep | None = None,
) -> Path:
    """Trains by a recipe and writes out/sound.safetensors, whose path it returns.
    The recipe's `start` is the path of an encoder of the same sizes to go on from. Its [data] has clip, the file of the
    picture and text model (the default one where it names none), and folder, sounds in a layout of sound_data, or
    source, a function (config, spec, towers, out, on_step) => SoundData.

    Args:
        out: takes the checkpoints, and the sounds and pictures made for training.
        resume: go on from the last checkpoint.
        on_step: on_step(i, n, terms); what it raises stops the run.

    Raises:
        InputError: no picture and text model where the recipe says, or no checkpoint to resume from.
    """
    check_entries(config, _entries(config["data"]))
    distributed.setup_process(device)
    out, running = make_folder(out), RunSettings.of(config)
    clip = config["data"].get("clip")
    towers = load_clip(registry.find("joint").files["clip"] if clip is None else ROOT / clip).to(device)
    spec = MelSpec.from_dict(config["mel"])
    quiet = None if on_step is None else lambda i, n: on_step(i, n, {})
    table = config["data"]
    held_out: list[Clip] = []
    if "folder" in table:
        data, held_out = open_sounds(table["folder"], spec, on_step=quiet).split()
    else:
        data = data_source(table, "sound_encoder")(config=config, spec=spec, towers=towers, out=out, on_step=quiet)
    start = cast(SoundEncoder, load_sound(ROOT / config["start"])[0]) if "start" in config else None
    training = SoundTraining(config, spec, data, towers, device, seed, start, run=running)
    settings, target = config["training"], out / "sound.safetensors"
    loop.run(
        training, settings["steps"], out, resume=resume, save_every=settings["save_every"], on_step=on_step,
        settings=running, validate=(lambda: training.validate(held_out)) if held_out else None,
    )  # fmt: skip
    if distributed.rank():
        return target
    recordings = sum(clip.source != "synthesised" for clip in data.clips)
    save_sound(target, training.average, spec, recordings=recordings, clips=len(data.clips))
    return target
