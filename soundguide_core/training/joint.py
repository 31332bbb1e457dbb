"""The picture and text towers of a joint space, trained on captioned pictures.

CLIP's symmetric InfoNCE (A. Radford et al. 2021, figure 3), with soft targets where several captions of a batch fit one
picture. The same loss between two paraphrases of each caption teaches words that no picture shows.
Axes: B batch, D dims, T tokens.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..common.errors import InputError
from ..common.files import replacing
from ..common.memory import to_device
from ..common.rng import with_seed
from ..embedding.clip import ClipTowers, Preprocess, load_clip
from ..losses.contrastive import info_nce
from .data.captions import CaptionBatch, CaptionedPictures, open_captioned
from .data.sources import open_data
from .engine import distributed, loop
from .engine.ema import ema_update
from .engine.gradients import in_parts
from .engine.optimisers import fused, take_step
from .engine.run_settings import RunSettings
from .engine.schedules import warmup_cosine
from .engine.settings import from_table
from .recipe import check_entries, names_of

OLD_NAMES = {"strange_words": "oov_share", "adversary": "fgm_radius", "graded": "margin_weight", "sounds": "texts"}
CLIP_ENTRIES = ("embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "open_clip", "preprocess", "prompts")
OLD_DATA = ("even_strengths", "softened", "softened_strength")  # stood in [training] in recipes of earlier versions


@dataclass(frozen=True)
class JointSettings:
    """How the towers are trained: the recipe's [training].

    lr_steps: where the cosine of the learning rate reaches 0, not before `steps`; 0: at `steps`.
    pictures, texts: a step; texts are captions without a picture, of sources that have some.
    first_scale, largest_scale: 1 / temperature at the start, and at most.
    oov_share: of captions with out-of-vocabulary tokens between their words.
    fgm_radius: root mean square of the adversarial change of a pixel, pictures being in -1..1.
    learn: "both" towers, or "pictures" alone: the text tower stays, and with it whatever was trained into its space.
    margin_weight, margin: of intensity_margin_loss, for sources that know strengths.
    ema: decay per step.
    """

    steps: int
    lr_steps: int = 0
    pictures: int = 64
    texts: int = 0
    lr: float = 1e-3
    warmup: int = 50
    weight_decay: float = 0.05
    first_scale: float = 10.0
    largest_scale: float = 100.0
    oov_share: float = 0.0
    fgm_radius: float = 0.0
    learn: str = "both"
    margin_weight: float = 0.0
    margin: float = 0.45
    ema: float = 0.995
    save_every: int = 500

    def lr_at(self, i: int) -> float:
        return self.lr * warmup_cosine(i, self.lr_steps or self.steps, self.warmup)

    @classmethod
    def from_dict(cls, table: Mapping) -> JointSettings:
        table = {key: value for key, value in table.items() if key not in OLD_DATA}
        settings = from_table(cls, table, "training", old_names=OLD_NAMES)
        if settings.learn not in ("both", "pictures"):
            raise InputError(f"The recipe's learn is {settings.learn!r}.", 'Use "both" or "pictures".')
        return settings


class OOVTokenNoise:
    """Out-of-vocabulary tokens put between a caption's, so that the text tower learns to read past unknown words.

    vocabulary: texts with all words that captions have. The embeddings of all other tokens never get a gradient, and
    stay near 0 as they were initialised.
    """

    def __init__(self, towers: ClipTowers, vocabulary: Sequence[str]) -> None:
        ids = torch.cat([towers.tokenizer(list(vocabulary[i : i + 4096])) for i in range(0, len(vocabulary), 4096)])
        self.end = int(ids.max())
        self.known = torch.zeros(towers.model.token_embedding.num_embeddings, dtype=torch.bool)
        self.known[ids.unique()] = True
        self.oov = torch.nonzero(~self.known).flatten()

    def insert(self, ids: Tensor, share: float, rng: np.random.Generator) -> Tensor:
        """ids [B,T] with one to three unknown tokens in a `share` of the rows, where there is room."""
        ids = ids.clone()
        for i in np.flatnonzero(rng.random(len(ids)) < share):
            length = int((ids[i] == self.end).nonzero()[0]) + 1
            count = min(int(rng.integers(1, 4)), ids.shape[1] - length)
            at = int(rng.integers(1, length))
            ids[i, at + count : length + count] = ids[i, at:length].clone()
            ids[i, at : at + count] = self.oov[torch.from_numpy(rng.integers(len(self.oov), size=count))]
        return ids

    def zero_grad(self, token_embedding: torch.nn.Embedding) -> None:
        """Drops the gradient of every token that no caption has."""
        if token_embedding.weight.grad is not None:
            unknown = to_device(~self.known, token_embedding.weight.device)
            token_embedding.weight.grad.masked_fill_(unknown[:, None], 0)


def fgm_perturb(img: Tensor, loss_of: Callable[[Tensor], Tensor], radius: float) -> Tensor:
    """img + radius g / rms(g) for g the gradient of loss_of: the fast gradient method (I. Goodfellow et al., ICLR 2015,
    with T. Miyato et al.'s L2 norm, ICLR 2017).

    Towers trained on these do not follow invisible patterns: going up their gradient changes what a person sees.
    img [B,3,H,W]; loss_of: img => scalar; radius: root mean square change of a pixel, pictures being in -1..1.
    """
    img = img.detach().requires_grad_(True)
    (grad,) = torch.autograd.grad(loss_of(img), img)
    rms = grad.flatten(1).square().mean(1).sqrt().clamp_min(1e-12).view(-1, 1, 1, 1)
    return (img + radius * grad / rms).detach()


def intensity_margin_loss(embeds: Tensor, names: Tensor, none: Tensor, strengths: Tensor, margin: float) -> Tensor:
    """Mean of (<v, t> - <v, t_0> - m (2 sqrt(s) - 1))^2: ties nearness to a concept to how strong it is.

    embeds v, names t [B,D] unit norm, none t_0 [D]; strengths s [B] in 0..1; m: the margin at full strength. Without it
    a picture goes all the way over to its word at a fraction of the strength, and more of it gains nothing.
    """
    return ((embeds * (names - none)).sum(1) - margin * (2 * strengths.sqrt() - 1)).square().mean()


class JointTraining:
    """Towers, their EMA, and one update per step. start: towers to go on from instead of new ones."""

    def __init__(
        self,
        config: dict,
        data: CaptionedPictures,
        device: str | torch.device,
        seed: int,
        start: ClipTowers | None = None,
        *,
        run: RunSettings | None = None,
    ) -> None:
        self.run = run or RunSettings()
        self.settings = s = JointSettings.from_dict(config["training"])
        self.data, self.device, self.seed = data, torch.device(device), seed
        if s.margin_weight and not data.concepts:
            raise InputError("margin_weight needs pictures of known strengths.", "Set margin_weight = 0 in [training].")
        self.towers = with_seed(seed, lambda: fresh_towers(config, seed)) if start is None else start
        layout: dict[str, Any] = {"device": self.device, "memory_format": torch.channels_last}
        self.towers.to(**layout).train().requires_grad_(s.learn == "both")
        self.towers.model.visual.requires_grad_(True)
        self.ema = copy.deepcopy(self.towers).freeze()
        self.dtype = getattr(torch, self.run.dtype_for("float32", device))
        distributed.shares(s.pictures, self.run.accumulate)  # refuses a batch that does not split
        distributed.synchronise_batch_norms(self.towers)
        self.oov = OOVTokenNoise(self.towers, data.vocabulary)
        learned = [(n, p) for n, p in self.towers.named_parameters() if p.requires_grad]
        matrices = [p for n, p in learned if p.ndim > 1 and "embedding" not in n]
        rest = [p for n, p in learned if p.ndim <= 1 or "embedding" in n]
        groups = [{"params": matrices, "weight_decay": s.weight_decay}, {"params": rest, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=s.lr, betas=(0.9, 0.98), fused=fused(self.device))
        self.modules = {"towers": self.towers, "ema": self.ema}
        self.optimisers = {"adamw": self.optimiser}

    def step(self, i: int) -> loop.StepLosses:
        """One update; its losses."""
        s, rng = self.settings, np.random.default_rng([self.seed, i])

        # pictures and captions
        batch = self.data.draw(s.pictures, s.texts, self.towers.preprocess.size, rng)
        (own,) = distributed.shares(s.pictures)
        img, fit = to_device(batch.img[own], self.device), to_device(batch.image_text, self.device)
        texts = self.encode_text([*batch.texts, *(batch.paraphrases or ())], rng)
        texts, paraphrases = texts[: len(batch.texts)], texts[len(batch.texts) :]

        # loss terms
        scale = self.towers.logit_scale
        if s.fgm_radius:
            fixed = texts.detach(), scale.detach()
            img = fgm_perturb(img, lambda x: info_nce(self.encode_pictures(x), *fixed, targets=fit), s.fgm_radius)
        embeds = self.encode_pictures(img)
        losses = {"picture_text": info_nce(embeds, texts, scale, targets=fit)}
        if s.learn == "both" and batch.text_text is not None:
            losses["text_text"] = info_nce(texts, paraphrases, scale, targets=to_device(batch.text_text, self.device))
        if s.margin_weight:
            losses["intensity_margin"] = s.margin_weight * self._intensity_margin(embeds, batch, rng)

        # update
        for group in self.optimiser.param_groups:
            group["lr"] = s.lr_at(i)
        self.optimiser.zero_grad()
        cast(Tensor, sum(losses.values())).backward()
        distributed.mean_gradients([p for group in self.optimiser.param_groups for p in group["params"]])
        self.oov.zero_grad(self.towers.model.token_embedding)
        torch.nn.utils.clip_grad_norm_(self.towers.parameters(), 1.0)
        take_step(self.optimiser)
        self.towers.model.logit_scale.data.clamp_(0, math.log(s.largest_scale))
        ema_update(self.ema, self.towers, min(s.ema, (i + 1) / (i + 10)))
        return loop.StepLosses(losses)

    def encode_pictures(self, img: Tensor) -> Tensor:
        """This process's share of a batch [B/n,3,H,W], in parts where memory is short => [B,D] of the whole batch."""
        return distributed.whole_batch(in_parts(self.encode_image, img, self.run.accumulate), self.settings.pictures)

    def encode_image(self, img: Tensor) -> Tensor:
        """[B,3,H,W] => [B,D], with gradients into the tower."""
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            embeds = self.towers.model.encode_image(self.towers.preprocess(img))
        return F.normalize(embeds.float(), dim=-1)

    def encode_text(self, texts: list[str], rng: np.random.Generator) -> Tensor:
        """Captions, some with out-of-vocabulary tokens => [K,D], with gradients into the tower."""
        ids = self.oov.insert(self.towers.tokenizer(texts), self.settings.oov_share, rng)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            embeds = self.towers.model.encode_text(to_device(ids, self.device))
        return F.normalize(embeds.float(), dim=-1)

    def _intensity_margin(self, embeds: Tensor, batch: CaptionBatch, rng: np.random.Generator) -> Tensor:
        with torch.no_grad():
            words = self.towers.encode_text(list(self.data.concepts))
        which, strengths = (to_device(torch.as_tensor(x), self.device) for x in self.data.strengths(batch, rng))
        return intensity_margin_loss(embeds, words[which], words[-1], strengths.to(embeds), self.settings.margin)


def fresh_towers(config: dict, seed: int) -> ClipTowers:
    """Untrained towers, to which every word says almost nothing."""
    towers = ClipTowers.from_config(config["clip"])
    generator = torch.Generator().manual_seed(seed)
    torch.nn.init.normal_(towers.model.token_embedding.weight, std=0.004, generator=generator)
    scale = JointSettings.from_dict(config["training"]).first_scale
    towers.model.logit_scale.data.fill_(math.log(scale))
    return towers


def run(
    *,
    config: dict,
    out: Path,
    resume: bool = False,
    device: str = "cpu",
    seed: int = 0,
    on_step: loop.OnStep | None = None,
) -> Path:
    """Train by a recipe; writes clip.safetensors (the EMA, in half precision), scores.json and checkpoints into out.

    config: tables [data] (training/data), [training] (JointSettings) and [clip]; or instead of [clip], start: the path
        of a clip.safetensors to go on from.
    """
    tables = dict.fromkeys(("data", "scenes", "training", "start", "run"))
    check_entries(config, {**tables, "clip": CLIP_ENTRIES, "clip.preprocess": names_of(Preprocess)})
    distributed.setup_process(device)
    running, settings = RunSettings.of(config), JointSettings.from_dict(config["training"])
    start = load_clip(config["start"]) if "start" in config else None
    size = start.preprocess.size if start is not None else config["clip"]["preprocess"]["size"]
    old = {key: config["training"][key] for key in OLD_DATA if key in config["training"]}
    config = copy.copy(config)
    config["data"] = {**(config.get("data") or config.get("scenes") or {}), **old}
    data, held_out = open_data("joint", config, open_captioned, out=out, on_step=on_step, size=size, device=device)
    training = JointTraining(config, data, device, seed, start, run=running)
    loop.run(
        training, settings.steps, out, resume=resume, save_every=settings.save_every, on_step=on_step,
        settings=running, validate=lambda: held_out.scores(training.ema),
    )  # fmt: skip
    if distributed.rank():
        return out / "clip.safetensors"
    training.ema.save(out / "clip.safetensors")
    with replacing(out / "scores.json") as temporary:
        temporary.write_text(json.dumps(held_out.scores(training.ema), indent=2), encoding="utf-8")
    return out / "clip.safetensors"
