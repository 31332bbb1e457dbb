"""The picture and text towers of a joint space, trained on rendered scenes and their captions.

CLIP's symmetric InfoNCE (A. Radford et al. 2021, figure 3) with soft targets, because many captions of a batch fit one
picture: the target distribution over captions is the normalised affinity of meanings. The same loss between two
paraphrases of each text teaches the words that have no scene. Axes: B batch, D dims, T tokens.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..common.files import replacing
from ..common.rng import with_seed
from ..embedding.clip import ClipTowers, load_clip
from ..losses.contrastive import info_nce
from ..miniature.world import captions
from ..miniature.world.captions import Caption, Meaning
from ..miniature.world.scenes import PHENOMENA
from . import datasets
from .engine import loop
from .engine.ema import ema_update


def draw_captions(
    shown: Sequence[Meaning], extra: int, rng: np.random.Generator
) -> tuple[list[Caption], list[Caption]]:
    """A caption for each picture and `extra` captions of sounds and pairs; then one of like meaning for each."""
    first = [captions.caption_for_scene(meaning, rng) for meaning in shown]
    for _ in range(extra):
        one, other = (captions.CONCEPTS[i] for i in rng.choice(len(captions.CONCEPTS), 2, replace=False))
        if rng.random() < 0.15:
            first.append(captions.caption_for_pair(one, other, rng))
        else:
            strength = float(rng.random()) if one in captions.STRONG_PHRASES and rng.random() < 0.2 else None
            first.append(captions.caption_for_concept(one, rng, strength=strength))
    return first, [_paraphrase(caption.meaning, rng) for caption in first]


def _paraphrase(meaning: Meaning, rng: np.random.Generator) -> Caption:
    names = list(meaning.concepts)
    if len(names) == 2:
        return captions.caption_for_pair(*(names if rng.random() < 0.5 else names[::-1]), rng)
    return captions.caption_for_concept(names[0], rng, strength=meaning.strength)


class StrangeWords:
    """Words from outside the captions, put between theirs, so that the text tower learns to read past them.

    Their token embeddings never get a gradient: a word that was never learned stays next to nothing.
    """

    def __init__(self, towers: ClipTowers) -> None:
        phrases = [p for group in captions.PHRASES.values() for p in group]
        phrases += [p for bands in captions.STRONG_PHRASES.values() for group in bands.values() for p in group]
        phrases += [p for _, words in captions.STRENGTHS.values() for p in words] + [
            t.format("") or "a" for t in captions.TEMPLATES
        ]
        phrases += [p for group in captions.LAYOUT_PHRASES.values() for p in group]
        phrases += ["and then together with mixed with"]
        ids = towers.tokenizer(phrases)
        vocabulary = towers.model.token_embedding.num_embeddings
        self.end = int(ids.max())
        self.known = torch.zeros(vocabulary, dtype=torch.bool)
        self.known[ids.unique()] = True
        self.strange = torch.nonzero(~self.known).flatten()

    def insert(self, ids: Tensor, share: float, rng: np.random.Generator) -> Tensor:
        """ids [B,T] with one to three strange tokens in a `share` of the rows, where there is room."""
        ids = ids.clone()
        for i in np.flatnonzero(rng.random(len(ids)) < share):
            length = int((ids[i] == self.end).nonzero()[0]) + 1
            count = min(int(rng.integers(1, 4)), ids.shape[1] - length)
            at = int(rng.integers(1, length))
            ids[i, at + count : length + count] = ids[i, at:length].clone()
            ids[i, at : at + count] = self.strange[torch.from_numpy(rng.integers(len(self.strange), size=count))]
        return ids

    def silence(self, token_embedding: torch.nn.Embedding) -> None:
        """Drop the gradient of every token that no caption has."""
        if token_embedding.weight.grad is not None:
            token_embedding.weight.grad[~self.known] = 0


def shifted(img: Tensor, loss_of: Callable[[Tensor], Tensor], radius: float) -> Tensor:
    """The picture that one step of gradient ascent, `radius` long, makes hardest (the linearised adversary).

    Towers trained on these do not follow invisible patterns: going up their gradient changes what a person sees.
    img [B,3,H,W]; loss_of: img => scalar; radius: root mean square change of a pixel, pictures being in -1..1.
    """
    img = img.detach().requires_grad_(True)
    (grad,) = torch.autograd.grad(loss_of(img), img)
    rms = grad.flatten(1).square().mean(1).sqrt().clamp_min(1e-12).view(-1, 1, 1, 1)
    return (img + radius * grad / rms).detach()


def graded_distance(embeds: Tensor, names: Tensor, calm: Tensor, strengths: Tensor, margin: float) -> Tensor:
    """Holds pictures between what they show and calm: mean of (<v, t> - <v, calm> - m (2 sqrt(s) - 1))^2.

    embeds v, names t [B,D] unit norm, calm [D]; strengths s [B] in 0..1; m: the margin at full strength. Without it a
    picture goes all the way over to its word at a fraction of the strength, and more of the phenomenon gains nothing.
    """
    return ((embeds * (names - calm)).sum(1) - margin * (2 * strengths.sqrt() - 1)).square().mean()


class JointTraining:
    """Towers, their EMA, and one update per step.

    start: towers to go on from instead of new ones. Where the recipe's `learn` is "pictures" the text tower stays as it
    is, and with it whatever has been trained into its space.
    """

    def __init__(
        self,
        config: dict,
        scenes: datasets.SceneSet,
        device: str | torch.device,
        seed: int,
        start: ClipTowers | None = None,
    ) -> None:
        self.settings = s = config["training"]
        self.scenes = scenes
        # flat over strengths where even_strengths is 1; the scenes themselves are mostly strong, one in nine calm
        strengths = np.array([shown.intensity for shown in scenes.shown])
        self.chances = np.where(strengths > 0, np.sqrt(1 - strengths) + 0.05, 0.5) ** s["even_strengths"]
        self.chances /= self.chances.sum()
        self.device = torch.device(device)
        self.seed = seed
        self.towers = with_seed(seed, lambda: fresh_towers(config, seed)) if start is None else start
        self.towers.to(self.device, memory_format=torch.channels_last).train().requires_grad_(s["learn"] == "both")
        self.towers.model.visual.requires_grad_(True)
        self.ema = copy.deepcopy(self.towers).freeze()
        self.words = StrangeWords(self.towers)
        learned = [(n, p) for n, p in self.towers.named_parameters() if p.requires_grad]
        matrices = [p for n, p in learned if p.ndim > 1 and "embedding" not in n]
        rest = [p for n, p in learned if p.ndim <= 1 or "embedding" in n]
        groups = [{"params": matrices, "weight_decay": s["weight_decay"]}, {"params": rest, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=s["lr"], betas=(0.9, 0.98))
        self.modules = {"towers": self.towers, "ema": self.ema}
        self.optimisers = {"adamw": self.optimiser}

    def lr_at(self, i: int) -> float:
        """Linear warm-up, then a cosine that reaches zero after lr_steps."""
        warm = min(1.0, (i + 1) / self.settings["warmup"])
        return self.settings["lr"] * warm * 0.5 * (1 + math.cos(math.pi * i / self.settings["lr_steps"]))

    def step(self, i: int) -> dict[str, float]:
        """One update; its loss terms."""
        s = self.settings
        rng = np.random.default_rng([self.seed, i])

        # pictures and captions
        indices = rng.choice(len(self.scenes), s["pictures"], p=self.chances)
        shown, img = self._pictures(indices, rng)
        first, second = draw_captions([scene.meaning for scene in shown], s["sounds"], rng)
        texts, paraphrases = self._read(first + second, rng).chunk(2)

        # loss terms
        said = [caption.meaning for caption in first]
        fit = self._fit([scene.meaning for scene in shown], said)
        scale = self.towers.logit_scale
        if s["adversary"]:
            fixed = texts.detach(), scale.detach()
            img = shifted(img, lambda x: info_nce(self._see(x), *fixed, targets=fit), s["adversary"])
        embeds = self._see(img)
        losses = {"picture_text": info_nce(embeds, texts, scale, targets=fit)}
        if s["learn"] == "both":
            again = [caption.meaning for caption in second]
            losses["text_text"] = info_nce(texts, paraphrases, scale, targets=self._fit(said, again))
        if s["graded"]:
            losses["graded"] = s["graded"] * self._grade(embeds, shown, rng)

        # update
        for group in self.optimiser.param_groups:
            group["lr"] = self.lr_at(i)
        self.optimiser.zero_grad()
        sum(losses.values()).backward()
        self.words.silence(self.towers.model.token_embedding)
        torch.nn.utils.clip_grad_norm_(self.towers.parameters(), 1.0)
        self.optimiser.step()
        self.towers.model.logit_scale.data.clamp_(0, math.log(s["largest_scale"]))
        ema_update(self.ema, self.towers, min(s["ema"], (i + 1) / (i + 10)))
        return {name: value.item() for name, value in losses.items()}

    def _pictures(self, indices: np.ndarray, rng: np.random.Generator) -> tuple[list[datasets.Shown], Tensor]:
        """Augmented pictures [B,3,size,size] in -1..1, and what they show.

        A share of them is softened until drops, stars and birds are gone; what remains, the light, counts for less.
        """
        size = (self.towers.preprocess.size,) * 2
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        img = F.interpolate(self.scenes.batch(indices), size, mode="bicubic", antialias=True).clamp(-1, 1)
        shown = [self.scenes.shown[k] for k in indices]
        for k in np.flatnonzero(rng.random(len(shown)) < self.settings["softened"]):
            img[k : k + 1] = datasets.coarse(img[k : k + 1], 6)
            shown[k] = replace(shown[k], intensity=shown[k].intensity * self.settings["softened_strength"])
        return shown, datasets.augment(img, generator).to(self.device)

    def _see(self, img: Tensor) -> Tensor:
        return F.normalize(self.towers.model.encode_image(self.towers.preprocess(img)), dim=-1)

    def _read(self, said: list[Caption], rng: np.random.Generator) -> Tensor:
        """Captions, some with strange words among theirs => embeds."""
        ids = self.words.insert(self.towers.tokenizer([c.text for c in said]), self.settings["strange_words"], rng)
        return F.normalize(self.towers.model.encode_text(ids.to(self.device)), dim=-1)

    def _fit(self, rows: list[Meaning], columns: list[Meaning]) -> Tensor:
        return torch.from_numpy(captions.affinity(rows, columns)).to(self.device, torch.float32)

    def _grade(self, embeds: Tensor, shown: list[datasets.Shown], rng: np.random.Generator) -> Tensor:
        """Calm pictures are held away from any phenomenon, the others by their strength."""
        with torch.no_grad():
            words = self.towers.encode_text([*PHENOMENA, captions.CALM])
        labels = [scene.label if scene.phenomenon else int(rng.integers(len(PHENOMENA))) for scene in shown]
        strengths = torch.tensor([scene.intensity for scene in shown]).to(embeds)
        return graded_distance(embeds, words[labels], words[-1], strengths, self.settings["margin"])


def fresh_towers(config: dict, seed: int) -> ClipTowers:
    """Untrained towers, to which every word says almost nothing."""
    towers = ClipTowers.from_config(config["clip"])
    generator = torch.Generator().manual_seed(seed)
    torch.nn.init.normal_(towers.model.token_embedding.weight, std=0.004, generator=generator)
    towers.model.logit_scale.data.fill_(math.log(config["training"]["first_scale"]))
    return towers


@torch.no_grad()
def scores(towers: ClipTowers, scenes: datasets.SceneSet, *, above: float = 0.5) -> dict[str, float]:
    """How well towers name pictures and texts by their nearest bare word.

    pictures: share of right names among eight, for calm scenes and phenomena stronger than `above`. phrases: share of
    all captions' phrases that are nearest to their own concept, among all concepts.
    """
    words = (*PHENOMENA, captions.CALM)
    chosen = np.array([i for i, s in enumerate(scenes.shown) if s.phenomenon is None or s.intensity > above])
    names = towers.encode_text(list(words))
    parts = np.array_split(chosen, max(len(chosen) // 64, 1))
    named = torch.cat(
        [(towers.encode_image(scenes.batch(part).to(towers.device)) @ names.T).argmax(1) for part in parts]
    )
    right = named.cpu() == torch.tensor([scenes.shown[i].label for i in chosen])
    plain = towers.encode_text([phrases[0] for phrases in captions.PHRASES.values()])
    known = [
        (towers.encode_text(list(phrases)) @ plain.T).argmax(1) == k
        for k, phrases in enumerate(captions.PHRASES.values())
    ]
    return {"pictures": right.float().mean().item(), "phrases": torch.cat(known).float().mean().item()}


def run(
    *,
    config: dict,
    out: Path,
    resume: bool = False,
    device: str = "cpu",
    seed: int = 0,
    on_step: loop.OnStep | None = None,
) -> Path:
    """Train by a recipe; writes clip.safetensors (the EMA, in half precision), its scores and checkpoints into out.

    config: tables [scenes] (count, held_out; cache: a folder of rendered scenes), [training], and [clip]; or instead of
        [clip], start: the path of a clip.safetensors to go on from.
    """
    folder = Path(config["scenes"].get("cache", out / "scenes"))
    rendering = None if on_step is None else lambda i, n: on_step(i, n, {})
    scenes = datasets.render_scenes(config["scenes"]["count"], folder, on_step=rendering)
    held_out = datasets.render_scenes(config["scenes"]["held_out"], folder, first=datasets.HELD_OUT, on_step=rendering)
    start = load_clip(config["start"]) if "start" in config else None
    training = JointTraining(config, scenes, device, seed, start)
    loop.run(training, config["training"]["steps"], out, resume=resume, on_step=on_step)
    training.ema.save(out / "clip.safetensors")
    with replacing(out / "scores.json") as temporary:
        temporary.write_text(json.dumps(scores(training.ema, held_out), indent=2), encoding="utf-8")
    return out / "clip.safetensors"
