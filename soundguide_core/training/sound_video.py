"""Sound-Guided Semantic Video Generation (Lee et al., ECCV 2022): training, section 3.

    min_{E_a, R} max_{D_v, D_I}  L_D(v) + L_D(I) + lambda_enc L_enc

with inversion terms before and beside it (sound_video_terms). Generator and joint space stay as they are. The terms of
L_enc look at the frames of the path; what they ask reaches E_a through the recurrent modules. w_bar is the running mean
of the codes that E_a produces. Axes: B batch, F frames, L layers, D dims, Z noise.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from ..audio.augment import response
from ..common.errors import InputError
from ..common.memory import to_device
from ..common.rng import torch_generator, with_seed
from ..embedding.joint import load_joint
from ..generators.latents import truncate
from ..generators.loading import load_generator
from ..generators.temporal_discriminator import TemporalDiscriminator
from ..losses.adversarial import discriminator_loss, r1_penalty
from ..losses.perceptual import load_perceptual
from ..media.images import grid, save_image
from ..trajectory.trajectory import Trajectory, TrajectoryConfig, save_trajectory
from .clips import ClipSet
from .engine import distributed, loop
from .engine.ema import RunningMean, ema_update
from .engine.optimisers import fused, take_step
from .engine.run_settings import RunSettings
from .engine.shared_losses import Means
from .recipe import check_entries, names_of
from .sound_video_recipe import Settings, Stage, new_trajectory, softened
from .sound_video_sources import SoundVideoData, Sources, Stretches, TrainBatch, open_data
from .sound_video_terms import Rollout, adversarial_terms, kinds_term, latent_terms, picture_terms

VALIDATED = 16  # windows, at most


class SoundVideoTraining:
    """E_a and the recurrent modules against two discriminators, with the average of the former.

    Stages that need no pictures learn from `sounds`, where there are any. Every process draws the same whole batch and
    takes its rows of it, so that two processes do what one does.
    """

    def __init__(
        self, settings: Settings, trajectory: Trajectory, generator, joint, data: SoundVideoData, device,
        seed: int, perceptual: nn.Module | None = None, *, run: RunSettings | None = None,
    ):  # fmt: skip
        self.run = run or RunSettings()
        self.settings, self.clips, self.seed, self.device = settings, data.clips, seed, torch.device(device)
        self.generator, self.joint = generator, joint
        self.dtype = getattr(torch, self.run.dtype_for(settings.dtype, device))
        self.sounds, self.codes, self.perceptual = data.sounds or data.clips, data.codes, perceptual
        self.sources = Sources(generator, data.codes, psi=settings.psi, calm=settings.calm, jitter=settings.jitter)
        for stage in settings.stages:
            if "perceptual" in stage.terms and perceptual is None:
                raise InputError(
                    "There is no perceptual network.", 'Name one in the recipe: [models] perceptual = "vgg16".'
                )
            distributed.shares(stage.batch, self.run.accumulate)  # refuses a batch that does not split
        self.trajectory = trajectory.to(self.device).requires_grad_(True).train()
        self.events = self.trajectory.encoder.events
        trunk = None if self.events is None else self.events.trunk
        batch_norms = [m for m in self.trajectory.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        for module in batch_norms if trunk is None else [*batch_norms, trunk]:
            module.eval()  # as it was learned on many more sounds, and the same in every process
        self.average = copy.deepcopy(self.trajectory).eval().requires_grad_(False)
        self.began = {key: x.clone() for key, x in self.average.state_dict().items()}
        self.image_discriminator, self.video_discriminator = (
            with_seed(seed + 1, lambda config=config: TemporalDiscriminator(config)).to(self.device)
            for config in (settings.image_discriminator, settings.video_discriminator)
        )
        self.w_bar = RunningMean(generator.broadcast(generator.w_avg[None])[0]).to(self.device)
        self.modules = {
            "trajectory": self.trajectory,
            "average": self.average,
            "image_discriminator": self.image_discriminator,
            "video_discriminator": self.video_discriminator,
            "w_bar": self.w_bar,
        }
        self.trunk = [] if trunk is None else list(trunk.parameters())
        held = {id(parameter) for parameter in self.trunk}
        rest = [p for p in self.trajectory.parameters() if id(p) not in held]
        self.adam = torch.optim.Adam(
            [{"params": rest}, {"params": self.trunk}], lr=settings.lr, betas=(0.9, 0.99), fused=fused(self.device)
        )
        judges = [*self.image_discriminator.parameters(), *self.video_discriminator.parameters()]
        self.d_adam = torch.optim.Adam(
            judges, lr=settings.discriminator_lr, betas=(0.0, 0.99), fused=fused(self.device)
        )
        self.optimisers = {"adam": self.adam, "judges_adam": self.d_adam}

    def step(self, i: int) -> loop.StepLosses:
        s = self.settings
        stage = s.stage_at(i)
        for group, factor in zip(self.adam.param_groups, (1.0, stage.trunk_lr)):
            group["lr"] = s.lr * s.rate(i) * factor
        self.d_adam.param_groups[0]["lr"] = s.discriminator_lr * s.rate(i)
        if self.events is not None:
            self.events.requires_grad_(stage.hearing)
            self.events.trunk.requires_grad_(stage.hearing and bool(stage.trunk_lr))
        self._train_discriminators(False)
        shares = distributed.shares(stage.batch, self.run.accumulate)
        losses, judged, w_hats = Means(len(shares)), [], []

        def total_of(rows: slice) -> Tensor:
            drawn = self.draw(i, rows)
            rollout = self.rollout(drawn, stage)
            frames = self.render(rollout.shown) if stage.pictures else None
            terms = self.terms(stage, drawn, rollout, frames)
            losses.add(**{name: value.float() for name, value in terms.items()})
            w_hats.append(rollout.w_hats.detach().flatten(0, 1))
            if frames is not None and drawn.batch.real is not None:
                judged.append((drawn.batch.real[:, -stage.frames :], frames.detach()))
            return cast(Tensor, sum(stage.terms[name] * value for name, value in terms.items()))

        self._update(self.adam, map(total_of, shares), len(shares))
        self.w_bar.update(torch.cat(w_hats))
        ema_update(self.average, self.trajectory, min(s.ema, (1 + i) / (10 + i)))
        judges = stage.terms.keys() & {"image", "video"}
        if judges:
            self._train_discriminators(True)
            self.discriminator_step(judges, judged, i, losses)
        return loop.StepLosses(losses.values)

    @torch.no_grad()
    def validate(self, clips: ClipSet) -> dict[str, float]:
        """The terms of the last stage, but for the discriminators', of windows of clips that were held out."""
        stage = self.settings.stages[-1]
        size = min(len(clips), VALIDATED)
        length = stage.before + stage.frames if stage.frames else 0
        held = replace(stage, batch=size, weights={k: w for k, w in stage.terms.items() if k not in ("image", "video")})
        drawn = self.drawn_from(clips, held, length, slice(None), torch_generator(self.seed, 2**31))
        rollout = self.rollout(drawn, held)
        frames = self.render(rollout.shown) if held.pictures else None
        return {name: float(value) for name, value in self.terms(held, drawn, rollout, frames).items()}

    def draw(self, i: int, rows: slice | None = None) -> TrainBatch:
        """Rows of step i's batch; None for this process's."""
        stage = self.settings.stage_at(i)
        (own,) = distributed.shares(stage.batch) if rows is None else (rows,)
        length = stage.before + stage.frames if stage.frames else 0
        source = self.clips if stage.pictures else self.sounds
        return self.drawn_from(source, stage, length, own, torch_generator(self.seed, i))

    def drawn_from(self, source: Stretches, stage: Stage, length: int, rows: slice, rng: torch.Generator) -> TrainBatch:
        """The rows of stage.batch windows, of `length` frames each."""
        s, size = self.settings, stage.batch
        batch = source.draw(size, length, rng, rows)
        if s.eq_db and source is self.clips:
            spec = self.trajectory.spec
            curve = response(size, spec.n_mels, rng, spread_db=s.eq_db)[rows] / spec.top_db  # [B,M,1]
            mels, stretch = (
                (x + y).clamp(0, 1) * (x > 0)
                for x, y in ((batch.mels, curve[:, None, None]), (batch.stretch, curve[:, None]))
            )
            batch = replace(batch, mels=mels, stretch=stretch)
        noise = torch.randn(size, batch.mels.shape[1], self.trajectory.config.noise_dim, generator=rng)[rows]
        ws, calm_ws = self.sources.draw(batch.layouts, size, rows, self.device, rng)
        batch = batch.to(self.device)
        departure = None
        if batch.amounts is not None and self.codes is not None:
            departure = self.codes.departures(batch.amounts, self.generator.w_dim)
        return TrainBatch(batch, ws, to_device(noise, self.device), calm_ws, departure)

    def rollout(self, drawn: TrainBatch, stage: Stage) -> Rollout:
        batch, encoder = drawn.batch, self.trajectory.encoder
        asked = slice(None) if stage.path else slice(-stage.frames, None)
        mels = batch.mels[:, asked]
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            heard = None if encoder.events is None else encoder.events(batch.stretch, batch.columns[:, asked])
            segments = None if heard is None else heard.flatten(0, 1)
            offsets, own = encoder.shared_and_own(mels.flatten(0, 1), segments)
        w_hats = drawn.ws[:, None] + self.trajectory.w_scale * offsets.float().unflatten(0, mels.shape[:2])
        if not stage.path:
            return Rollout(w_hats, w_hats, own.float(), heard)
        path, _ = self.trajectory.rollout(w_hats, self.trajectory.init_state(drawn.ws, w_hats[:, 0]), drawn.noise)
        return Rollout(path[:, -stage.frames :], w_hats, own.float(), heard)

    def render(self, shown: Tensor) -> Tensor:
        """[B,F,L,D] => frames [B,F,3,H,W]"""
        frames = self.generator.synthesis(shown.flatten(0, 1), "const", None, self.dtype)
        return frames.unflatten(0, shown.shape[:2])

    def terms(self, stage: Stage, drawn: TrainBatch, rollout: Rollout, frames: Tensor | None) -> dict[str, Tensor]:
        """The unweighted terms of the stage."""
        names = stage.terms.keys()
        # a code of E_a cannot see what its source shows, so it is held to the departure alone
        origin = drawn.calm_ws if stage.path else drawn.ws
        w_scale = self.trajectory.w_scale
        terms = latent_terms(names, rollout, origin, drawn.departure, self.w_bar.value, w_scale)
        if "kinds" in names:
            terms["kinds"] = kinds_term(rollout.heard, drawn.batch.amounts)
        if frames is not None:
            terms |= picture_terms(names, frames, drawn.batch, self.joint, self.perceptual)
            terms |= adversarial_terms(names, frames, self.image_discriminator, self.video_discriminator)
        return terms

    def discriminator_step(
        self, names: Collection[str], parts: Sequence[tuple[Tensor, Tensor]], i: int, losses: Means
    ) -> None:
        """One update of these discriminators, with R1 in every r1_every-th. parts: (real, fake) [B,F,3,H,W]."""
        s = self.settings
        kinds = {
            "image": (self.image_discriminator, lambda x: x.flatten(0, 1)[:, None]),
            "video": (self.video_discriminator, lambda x: x),
        }
        regular = bool(s.r1_gamma) and i % s.r1_every == 0

        def total_of(part: tuple[Tensor, Tensor]) -> Tensor:
            real, fake = part
            total = real.new_zeros(())
            for name in sorted(names):
                discriminator, view = kinds[name]
                x = view(real).requires_grad_(regular)
                scores, fake_scores = discriminator(x), discriminator(view(fake))
                loss = discriminator_loss(scores, fake_scores)
                seen = {f"{name}_judge": loss, f"{name}_real": scores.mean(), f"{name}_fake": fake_scores.mean()}
                total = total + loss
                if regular:
                    seen[f"{name}_r1"] = r1_penalty(scores, x)
                    total = total + s.r1_gamma / 2 * s.r1_every * seen[f"{name}_r1"]
                losses.add(**{key: value.float() for key, value in seen.items()})
            return total

        self._update(self.d_adam, map(total_of, parts), len(parts))

    def _train_discriminators(self, learn: bool) -> None:
        for discriminator in (self.image_discriminator, self.video_discriminator):
            discriminator.requires_grad_(learn)

    def _update(self, adam: torch.optim.Adam, losses: Iterable[Tensor], count: int) -> None:
        """One step down the mean of `count` losses, each let go before the next is computed."""
        adam.zero_grad()
        for loss in losses:
            (loss / count).backward()
        parameters = [p for group in adam.param_groups for p in group["params"]]
        distributed.mean_gradients(parameters)
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.nan_to_num_(nan=0.0, posinf=1e5, neginf=-1e5)
        take_step(adam)

    # ---- what comes out

    @torch.no_grad()
    def sheet(self, rows: int = 6, columns: int = 8) -> Tensor:
        """For some clips: frames of the clip, and under them what the average makes of its sound [3,H',W']."""
        s, length = self.settings, self.clips.frames
        pictures = []
        for k in np.linspace(0, len(self.clips) - 1, rows).round().astype(int).tolist():
            batch = self.clips.batch([k], [0], length)
            z = torch.randn(1, self.generator.z_dim, generator=torch.Generator().manual_seed(k))
            if batch.layouts is not None and self.codes is not None:
                z = self.codes.name_z(batch.layouts, torch.tensor([True]), z)
            ws = self.generator.broadcast(self.generator.mapping(z.to(self.device)))
            ws = truncate(ws, self.generator.w_avg, 0.7)
            batch = batch.to(self.device)
            events = self.average.encoder.events
            heard = None if events is None else events(batch.stretch, batch.columns)[0]
            w_hats = self.average.invert(batch.mels[0], ws, heard)[None]
            whole, _ = self.average.rollout(w_hats, self.average.init_state(ws, w_hats[:, 0]))
            path = whole[0] if s.stages[-1].path else w_hats[0]
            assert batch.real is not None  # of clips
            at = np.linspace(0, length - 1, columns).round().astype(int)
            pictures += [batch.real[0, at].cpu(), self.generator.synthesis(path[at]).cpu()]
        return grid(torch.cat(pictures), columns)

    def export(self, path: Path, **notes) -> None:
        softer = self.settings.kept or self.settings.none_bias
        written = softened(self.average, self.began, self.settings) if softer else self.average
        save_trajectory(path, written, settings=asdict(self.settings), **notes)


def run(
    *,
    config: dict,
    out: Path,
    device: str | torch.device = "cpu",
    seed: int = 0,
    resume: bool = False,
    on_step: loop.OnStep | None = None,
) -> Path:
    """Train by a recipe with tables [models], [data], [trajectory] and [training].

    Writes state.safetensors, trajectory.safetensors and sheets of frames into out; returns the trajectory's path.
    """
    models = ("joint", "generator", "inversion", "begin", "perceptual")
    trajectory_entries = names_of(TrajectoryConfig) - {"num_ws", "w_dim"} | {"mel", "frame_columns"}
    tables = {"models": models, "trajectory": trajectory_entries}
    check_entries(config, {**dict.fromkeys(("data", "training", "run")), **tables})
    distributed.setup_process(device)
    running, settings = RunSettings.of(config), Settings.from_dict(config["training"])
    joint, generator = (
        load_joint(config["models"].get("joint"), device),
        load_generator(config["models"].get("generator"), device),
    )
    begin = {key: config["models"].get(key) for key in ("inversion", "begin")}
    trajectory = new_trajectory(config["trajectory"], generator, joint, seed, **begin)
    cache = Path(config["data"].get("cache", out / "clips"))
    data = open_data(
        config["data"], joint=joint, spec=trajectory.spec, generator=generator, cache=cache, device=device,
        on_step=on_step,
    )  # fmt: skip
    perceptual = config["models"].get("perceptual")
    perceptual = None if perceptual is None else load_perceptual(perceptual, device)
    training = SoundVideoTraining(settings, trajectory, generator, joint, data, device, seed, perceptual, run=running)
    weights = Path(out) / "trajectory.safetensors"

    def write(done: int) -> None:
        training.export(weights, steps_done=done)
        save_image(training.sheet(), Path(out) / f"frames-{done:05d}.png")

    held_out = data.held_out
    loop.run(
        training, settings.steps, out, resume=resume, save_every=settings.save_every, on_step=on_step, on_save=write,
        settings=running, validate=None if held_out is None else lambda: training.validate(held_out),
    )  # fmt: skip
    return weights
