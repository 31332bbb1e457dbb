"""An encoder of pictures into W+ of any generator, trained on pairs that the generator renders itself.

O. Tov et al., "Designing an Encoder for StyleGAN Image Manipulation" (encoder4editing), SIGGRAPH 2021, sections 5 and
6, without the discriminator of latents, which pairs of known latents replace:

    L = a mean ((E(G(ws)) - ws) / s)^2  +  b || G(E(x)) - x ||^2  +  c d(G(E(x)), x)  +  d sum_i || delta_i ||

s: the spread of w, dim by dim, in which the network answers until its weights are written. x: the renderings and,
where the recipe has [data], real pictures too, compared at the size that the encoder sees. Deltas join one layer at a
time, coarse to fine (progressive training).
Axes: B batch, L layers, D dims, H W picture, N pairs.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checkpoints import safetensors_io
from ..common.errors import InputError
from ..common.files import make_folder, replacing
from ..common.memory import to_device
from ..common.rng import with_seed
from ..common.types import PerceptualDistance
from ..embedding.ir_se import IRSEConfig
from ..embedding.joint import load_joint
from ..embedding.style_pyramid import SLOPE, InversionConfig, SharedHeads, StyleHead, joined
from ..generators.generator import StyleGenerator
from ..generators.loading import load_generator
from ..latents.encoder import InversionEncoder, save_inversion_encoder
from ..losses.features import TowerDistance
from ..losses.perceptual import load_perceptual
from ..media.images import from_uint8, grid, resize, save_image, to_uint8
from .data.pictures import Pictures, open_split
from .data.sources import open_data
from .engine import distributed, loop
from .engine.ema import ema_beta, ema_update
from .engine.optimisers import fused, take_step
from .engine.run_settings import RunSettings
from .engine.schedules import warmup_cosine
from .engine.settings import from_table
from .engine.shared_losses import Means
from .recipe import check_entries, names_of

FIRST_PAIR, FIRST_HELD_OUT = 2_000_000, 3_000_000  # seeds of the generator
HELD_OUT = 64  # pairs
RENDERED_AT_ONCE = 16
TERMS = ("w", "l2", "perceptual", "delta")


@dataclass(frozen=True)
class EncoderSettings:
    """The recipe's [training].

    pairs: rendered before training begins and drawn from. mixed: the share of them whose layers come from two samples.
    psi: of the samples. real: the share of a batch that is pictures of [data]. w, l2, perceptual, delta: weights of the
    terms; the article's are 1, 0.8 and 2e-4 for the last three. pictures_from: the step from which pictures are
    compared, each of which costs a rendering. progressive_start, progressive_every: the step at which the first delta
    joins, and the steps between two of them; 0 and 0: all from the start. ema: half-life in pictures.
    """

    steps: int
    batch: int = 16
    lr: float = 1e-3
    warmup: int = 100
    pairs: int = 8192
    psi: float = 1.0
    mixed: float = 0.25
    real: float = 0.5
    w: float = 1.0
    l2: float = 1.0
    perceptual: float = 0.8
    delta: float = 2e-4
    pictures_from: int = 0
    progressive_start: int = 0
    progressive_every: int = 0
    ema: float = 4000.0
    clip: float = 1.0
    dtype: str = "float32"
    save_every: int = 500

    def __post_init__(self) -> None:
        if self.batch < 2:
            raise InputError(f"The recipe's batch is {self.batch}.", "An encoder normalises over at least 2 pictures.")

    def deltas_at(self, i: int, most: int) -> int:
        """How many deltas are in use at step i."""
        if not self.progressive_every:
            return most if i >= self.progressive_start else 0
        return min(max((i - self.progressive_start) // self.progressive_every + 1, 0), most)


@dataclass(frozen=True)
class Pairs:
    """ws [N,L,D] and their renderings in the encoder's size, uint8 [N,h,w,3]."""

    ws: Tensor
    pixels: Tensor

    def batch(self, rows: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
        return to_device(self.ws[rows], device), from_uint8(to_device(self.pixels[rows], device))


@torch.no_grad()
def render_pairs(
    generator: StyleGenerator, size: tuple[int, int], count: int, first: int, settings: EncoderSettings,
    on_step: Callable[[int, int], None] | None = None,
) -> Pairs:  # fmt: skip
    """The generator's samples of seeds first .. first + count; `mixed` of them are the coarse layers of one and the
    fine ones of the next, cut anywhere."""
    ws, pixels, rng = [], [], torch.Generator().manual_seed(first)
    for start in range(0, count, RENDERED_AT_ONCE):
        seeds = range(first + start, first + min(start + RENDERED_AT_ONCE, count))
        one = generator.sample_ws(seeds, psi=settings.psi)
        cut = torch.randint(1, generator.num_ws, (len(one), 1, 1), generator=rng)
        cut[torch.rand(len(one), generator=rng) >= settings.mixed] = generator.num_ws
        layer = torch.arange(generator.num_ws).view(1, -1, 1)
        one = torch.where((layer < cut).to(one.device), one, one.roll(1, 0))
        pixels.append(to_uint8(resize(generator.synthesis(one), size).cpu()))
        ws.append(one.cpu())
        if on_step is not None:
            on_step(start, count)
    return Pairs(torch.cat(ws), torch.cat(pixels))


def start_heads(encoder: InversionEncoder) -> None:
    """Convolutions that keep the size of what they see (K. He et al., ICCV 2015), and a first answer of w_avg."""
    for head in encoder.modules():
        if isinstance(head, (StyleHead, SharedHeads)):
            for conv in head.convs:
                if isinstance(conv, nn.Conv2d) and conv.bias is not None:
                    nn.init.kaiming_normal_(conv.weight, a=SLOPE)
                    nn.init.zeros_(conv.bias)
            nn.init.zeros_(head.linear.weight)
            nn.init.zeros_(head.linear.bias)


def delta_penalty(heads: Tensor, deltas: int) -> Tensor:
    """sum_i mean_B || delta_i ||, over the deltas in use; heads [B,L,D] as StylePyramid.heads gives them."""
    return heads[:, 1 : 1 + deltas].norm(dim=-1).mean(dim=0).sum()


class EncoderTraining:
    """The encoder, its EMA, and one update per step."""

    def __init__(
        self, encoder: InversionEncoder, generator: StyleGenerator, pairs: Pairs, settings: EncoderSettings, *,
        perceptual: PerceptualDistance | None, pictures: Pictures | None, device: str | torch.device, seed: int,
        run: RunSettings | None = None,
    ) -> None:  # fmt: skip
        run = run or RunSettings()
        self.settings, self.seed, self.device = settings, seed, torch.device(device)
        self.shares = distributed.shares(settings.batch, run.accumulate)
        self.generator, self.pairs, self.perceptual, self.pictures = generator, pairs, perceptual, pictures
        self.spread = generator.w_std.clamp(min=0.05 * float(generator.w_std.max()))
        with_seed(seed, lambda: start_heads(encoder))
        self.encoder = encoder.to(self.device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.encoder.train()
        if encoder.config.centred:
            self.encoder.w_avg.copy_(generator.w_avg.expand_as(self.encoder.w_avg))
        self.ema = copy.deepcopy(self.encoder).eval().requires_grad_(False)
        distributed.synchronise_batch_norms(self.encoder)
        self.dtype = getattr(torch, run.dtype_for(settings.dtype, device))
        self.adam = torch.optim.Adam(self.encoder.parameters(), lr=settings.lr, fused=fused(self.device))
        self.done = 0
        self.modules = {"encoder": self.encoder, "ema": self.ema}
        self.optimisers = {"adam": self.adam}

    def step(self, i: int) -> loop.StepLosses:
        s, rng = self.settings, loop.step_rng(self.seed, i)
        compared = i >= s.pictures_from and bool(s.l2 or s.perceptual)
        real = round(s.real * s.batch) if self.pictures is not None and compared else 0
        rows = torch.randint(len(self.pairs.ws), (s.batch - real,), generator=rng)
        chosen = torch.randint(len(self.pictures), (real,), generator=rng) if self.pictures is not None else rows[:0]
        weights, losses = {name: getattr(s, name) for name in TERMS}, Means(len(self.shares))
        for group in self.adam.param_groups:
            group["lr"] = s.lr * warmup_cosine(i, s.steps, s.warmup)
        self.adam.zero_grad()
        for share in self.shares:
            terms = self.terms(*self._drawn(rows, chosen, share), i, compared)
            losses.add(**terms)
            total = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
            (total / len(self.shares)).backward()
        distributed.mean_gradients(self.encoder.parameters())
        torch.nn.utils.clip_grad_norm_(self.encoder.parameters(), s.clip)
        take_step(self.adam)
        ema_update(self.ema, self.encoder, ema_beta(s.batch, (i + 1) * s.batch, s.ema))
        self.done = i + 1
        return loop.StepLosses(losses.values)

    def _drawn(self, rows: Tensor, chosen: Tensor, share: slice) -> tuple[Tensor, Tensor]:
        """A share of a batch of `rows` of the pairs and `chosen` pictures: (pictures, ws of the first of them)."""
        mine = torch.arange(len(rows) + len(chosen))[share]
        ws, img = self.pairs.batch(rows[mine[mine < len(rows)]], self.device)
        real = chosen[mine[mine >= len(rows)] - len(rows)]
        if len(real) and self.pictures is not None:
            img = torch.cat([img, self.encoder.view(self.pictures.batch(real.numpy(), self.device))])
        return img, ws

    def terms(self, img: Tensor, ws: Tensor, i: int, compared: bool) -> dict[str, Tensor]:
        """Of pictures [B,3,h,w], the first of which are the renderings of ws."""
        config = self.encoder.config
        deltas = self.settings.deltas_at(i, config.num_ws - 1) if config.deltas else config.num_ws - 1
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            heads = self.encoder.heads(img.contiguous(memory_format=torch.channels_last))
        heads = heads.float() * self.spread
        found = (joined(heads, deltas) if config.deltas else heads) + (self.encoder.w_avg if config.centred else 0)
        terms = {"w": ((found[: len(ws)] - ws) / self.spread).square().mean()}
        if config.deltas and self.settings.delta:
            terms["delta"] = delta_penalty(heads, deltas)
        if compared:
            made = resize(self.generator.synthesis(found), self.encoder.size)
            terms["l2"] = F.mse_loss(made, img)
            if self.perceptual is not None and self.settings.perceptual:
                terms["perceptual"] = self.perceptual(made, img).mean()
        return terms

    @torch.no_grad()
    def finished(self) -> InversionEncoder:
        """The EMA, whose heads answer in w itself."""
        made = copy.deepcopy(self.ema)
        for head in made.modules():
            if isinstance(head, (StyleHead, SharedHeads)):
                spread = self.spread.repeat(len(head.linear.bias) // len(self.spread))
                head.linear.weight.mul_(spread[:, None])
                head.linear.bias.mul_(spread)
        return made

    @torch.no_grad()
    def evaluate(self, encoder: InversionEncoder, pairs: Pairs, pictures: Pictures | None, i: int) -> dict[str, float]:
        """What was held out, with the deltas in use at step i: the error of w in standard deviations, the root mean
        square one of pixels."""
        deltas = self.settings.deltas_at(i, encoder.config.num_ws - 1) if encoder.config.deltas else None
        ws, img = pairs.batch(torch.arange(len(pairs.ws)), self.device)
        found = encoder(img, deltas)
        scores = {"w": float(((found - ws) / self.spread).square().mean().sqrt()), "rendered": self._rms(found, img)}
        if pictures is not None:
            real = self.ema.view(pictures.batch(torch.arange(min(len(pictures), HELD_OUT)).numpy(), self.device))
            scores["pictures"] = self._rms(encoder(real, deltas), real)
        return scores

    def _rms(self, ws: Tensor, img: Tensor) -> float:
        made = torch.cat([self.generator.synthesis(part) for part in ws.split(RENDERED_AT_ONCE)])
        return float((resize(made, self.ema.size) - img).square().mean().sqrt())

    @torch.no_grad()
    def sheet(self, encoder: InversionEncoder, img: Tensor) -> Tensor:
        """Pictures above what the encoder finds for them."""
        made = resize(self.generator.synthesis(encoder(img)), encoder.size)
        return grid(torch.cat([img, made.clamp(-1, 1)]), len(img))


def run(
    *, config: dict, out: Path, device: str | torch.device = "cpu", seed: int = 0, resume: bool = False,
    on_step: loop.OnStep | None = None,
) -> Path:  # fmt: skip
    """Train by a recipe with tables [models] (generator; joint or perceptual, whose distance is a term), [encoder]
    (size, and InversionConfig's fields but w_dim), [training], and [data] where real pictures take part.

    Writes encoder.safetensors, state.safetensors, scores.json and sheets into out; returns the encoder's path.
    """
    check_entries(config, {
        **dict.fromkeys(("training", "data", "run")),
        "models": ("generator", "joint", "perceptual"),
        "encoder": names_of(InversionConfig) - {"w_dim"} | {"size"},
        "encoder.network": names_of(IRSEConfig),
    })  # fmt: skip
    distributed.setup_process(device)
    running, settings = RunSettings.of(config), from_table(EncoderSettings, config["training"], "training")
    models, table = config["models"], dict(config["encoder"])
    generator = load_generator(models["generator"], device)
    size = tuple(table.pop("size"))
    network = InversionConfig.from_dict({"activated": False, "centred": True, **table, "w_dim": generator.w_dim})
    encoder = with_seed(seed, lambda: InversionEncoder(network, size))
    encoder.check(generator)
    out = make_folder(out)
    pictures, held_out = None, None
    if "data" in config and settings.real:
        known = {"size": max(size), "device": device}
        pictures, held_out = open_data("inversion_encoder", config, open_split, out=out, on_step=on_step, **known)
    pairs = distributed.rank0_first(lambda: _pairs(out, generator, size, settings, on_step))
    kept = render_pairs(generator, size, HELD_OUT, FIRST_HELD_OUT, settings)
    training = EncoderTraining(
        encoder, generator, pairs, settings, perceptual=_perceptual(models, device), pictures=pictures, device=device,
        seed=seed, run=running,
    )  # fmt: skip
    exported = out / "encoder.safetensors"

    def write(done: int) -> None:
        finished = training.finished()
        save_inversion_encoder(exported, finished)
        scores = {"steps": done, **training.evaluate(finished, kept, held_out, done)}
        with replacing(out / "scores.json") as temporary:
            temporary.write_text(json.dumps(scores, indent=2), encoding="utf-8")
        shown = kept.batch(torch.arange(8), training.device)[1]
        if held_out is not None:
            first = torch.arange(min(len(held_out), 8)).numpy()
            shown = torch.cat([shown, training.ema.view(held_out.batch(first, training.device))])
        save_image(training.sheet(finished, shown)[None], out / f"samples-{done:06d}.png")

    loop.run(
        training, settings.steps, out, resume=resume, save_every=settings.save_every, on_step=on_step, on_save=write,
        settings=running, validate=lambda: training.evaluate(training.finished(), kept, held_out, training.done),
    )  # fmt: skip
    return exported


def _pairs(
    out: Path, generator: StyleGenerator, size: tuple[int, int], settings: EncoderSettings, on_step: loop.OnStep | None
) -> Pairs:
    """Rendered once, and kept for --resume."""
    path = out / "pairs.safetensors"
    wanted = {"count": settings.pairs, "size": list(size), "psi": settings.psi, "mixed": settings.mixed}
    if path.is_file():
        tensors, about = safetensors_io.load(path)
        if about == wanted:
            return Pairs(tensors["ws"], tensors["pixels"])
    progress = None if on_step is None else lambda i, n: on_step(i, n, {})
    pairs = render_pairs(generator, size, settings.pairs, FIRST_PAIR, settings, progress)
    safetensors_io.save(path, {"ws": pairs.ws, "pixels": pairs.pixels}, wanted)
    return pairs


def _perceptual(models: dict, device: str | torch.device) -> PerceptualDistance | None:
    """LPIPS on a trunk, the distance of a joint encoder's picture tower, or none."""
    if "perceptual" in models:
        return load_perceptual(models["perceptual"], device)
    return TowerDistance(load_joint(models["joint"], device).clip) if "joint" in models else None
