"""Sound-Guided Semantic Video Generation (Lee et al., ECCV 2022): training, section 3.

    min_{E_a, R} max_{D_v, D_I}  L_D(v) + L_D(I) + lambda_enc L_enc
    L_enc = (1 - cos(F_v(G(w)), F_a(x_a))) + (1 - cos(F_v(G(w)), F_t(t))) + lambda_b ||w_hat - w_bar||^2

with inversion terms before and beside it: likeness to the clip's own frames in pixels and in features, as in the
paper's ablation, and in w where the generator's latents of them are known. Generator and joint space stay as they are.

The terms of L_enc look at the frames of the path; what they ask reaches E_a through the recurrent modules. w_bar is the
running mean of the codes that E_a produces. What a text says counts for as much as the sound is loud at that moment.
Axes: B batch, F frames, L layers, D dims, Z noise.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..audio.augment import response
from ..audio.mel import MelSpec
from ..embedding.joint import load_joint
from ..errors import InputError
from ..generators.latents import truncate
from ..generators.loading import load_generator
from ..generators.temporal_discriminator import TemporalDiscriminator, TemporalDiscriminatorConfig
from ..images import grid, save_image
from ..losses.adversarial import discriminator_loss, generator_loss, r1_penalty
from ..losses.perceptual import pyramid_distance
from ..losses.semantic import cosine_distance
from ..losses.temporal import change_distance, code_distance
from ..trajectory import Trajectory, TrajectoryConfig, save_trajectory
from . import loop
from .clips import Batch, ClipSet, Skipped, from_folder, from_shards
from .scene_clips import name_z, scene_clips

TERMS = ("latents", "pixels", "features", "changes", "sound", "text", "codes", "layers", "image", "video")
LATENT_TERMS = {"latents", "codes", "layers"}  # which need no pictures


@dataclass(frozen=True)
class Stage:
    """A part of the run.

    frames, before: of each window, those that are judged and the steps of the path before them. path: off, E_a learns
    alone and its codes are judged as they are. weights: by TERMS; 0 or absent leaves a term out.
    """

    steps: int
    batch: int
    frames: int
    weights: dict[str, float]
    before: int = 0
    path: bool = True

    def __post_init__(self) -> None:
        odd = sorted(self.weights.keys() - set(TERMS))
        if odd:
            raise InputError(f"There is no term {odd[0]!r} to weigh.", f"Use {', '.join(TERMS)}.")

    @property
    def terms(self) -> dict[str, float]:
        return {name: weight for name, weight in self.weights.items() if weight}


@dataclass(frozen=True)
class Settings:
    """How long and how.

    trunk_lr: factor on lr for the trunk of E_a, which has learned to hear before. psi: the smallest truncation of
    source pictures. calm: share of sources in which nothing goes on. jitter: of sources, in standard deviations of w,
    layer by layer. eq_db: how much other microphones differ (audio/augment.response). discriminators: of single frames
    and of videos.
    """

    stages: tuple[Stage, ...]
    image_discriminator: TemporalDiscriminatorConfig
    video_discriminator: TemporalDiscriminatorConfig
    lr: float = 1e-3
    trunk_lr: float = 0.2
    discriminator_lr: float = 1e-3
    anneal: float = 0.4  # last share of the run over which the rates fall to a twentieth
    r1_gamma: float = 1.0
    r1_every: int = 8
    psi: float = 0.5
    calm: float = 0.4
    jitter: float = 0.15
    eq_db: float = 0.0
    ema: float = 0.995
    dtype: str = "float32"
    save_every: int = 200

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stages)

    def stage_at(self, i: int) -> Stage:
        for stage in self.stages:
            i -= stage.steps
            if i < 0:
                break
        return stage

    def rate(self, i: int) -> float:
        """Factor on the learning rates at step i."""
        left = 1 - i / self.steps
        return 0.05 + 0.95 * min(left / self.anneal, 1) if self.anneal else 1.0

    @classmethod
    def from_dict(cls, table: dict) -> Settings:
        table = dict(table)
        try:
            for name in ("image_discriminator", "video_discriminator"):
                sizes = dict(table[name])
                table[name] = TemporalDiscriminatorConfig(**{**sizes, "channels": tuple(sizes["channels"])})
            table["stages"] = tuple(Stage(**stage) for stage in table["stages"])
            return cls(**table)
        except TypeError as error:
            raise InputError(
                f"The recipe's [training] does not fit ({error}).", "Start from the shipped one."
            ) from error


class RunningMean(nn.Module):
    """w_bar [L,D]: the mean of the codes produced so far, forgetting slowly."""

    def __init__(self, start: Tensor):
        super().__init__()
        self.register_buffer("value", start.clone())

    @torch.no_grad()
    def update(self, codes: Tensor, beta: float = 0.99) -> None:
        """codes [B,L,D]"""
        self.value.copy_(torch.lerp(loop.mean(codes.mean(dim=0)), self.value, beta))


@dataclass(frozen=True)
class Drawn:
    """Windows of clips, their source latents ws [B,L,D] and noise [B,F,Z]. Where codes are known: the same sources with
    nothing going on in them, and how far each frame departs from there [B,F,1,D]."""

    batch: Batch
    ws: Tensor
    noise: Tensor
    calm_ws: Tensor | None
    departure: Tensor | None


class SoundVideoTraining:
    """E_a and the recurrent modules against two discriminators, with the average of the former.

    Every process draws the same whole batch and takes its rows of it, so that two processes do what one does.
    """

    def __init__(self, settings: Settings, trajectory: Trajectory, generator, joint, clips: ClipSet, device, seed: int):
        self.settings, self.clips, self.seed, self.device = settings, clips, seed, torch.device(device)
        self.generator, self.joint, self.dtype = generator, joint, getattr(torch, settings.dtype)
        for stage in settings.stages:
            if stage.batch % loop.num_processes():
                raise InputError(
                    f"A batch of {stage.batch} does not split into {loop.num_processes()}.", "Use a multiple of it."
                )
        self.trajectory = trajectory.to(self.device).requires_grad_(True).train()
        self.trajectory.encoder.trunk.eval()  # its normalisation stays as it was learned on many more sounds
        self.average = copy.deepcopy(self.trajectory).eval().requires_grad_(False)
        self.image_discriminator, self.video_discriminator = (
            loop.seeded(seed + 1, lambda config=config: TemporalDiscriminator(config)).to(self.device)
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
        trunk = list(trajectory.encoder.trunk.parameters())
        rest = [p for name, p in trajectory.named_parameters() if not name.startswith("encoder.trunk.")]
        self.adam = torch.optim.Adam([{"params": rest}, {"params": trunk}], lr=settings.lr, betas=(0.9, 0.99))
        judges = [*self.image_discriminator.parameters(), *self.video_discriminator.parameters()]
        self.judges_adam = torch.optim.Adam(judges, lr=settings.discriminator_lr, betas=(0.0, 0.99))
        self.optimisers = {"adam": self.adam, "judges_adam": self.judges_adam}

    def step(self, i: int) -> dict[str, float]:
        s = self.settings
        for group, factor in zip(self.adam.param_groups, (1.0, s.trunk_lr)):
            group["lr"] = s.lr * s.rate(i) * factor
        self.judges_adam.param_groups[0]["lr"] = s.discriminator_lr * s.rate(i)
        stage = s.stage_at(i)
        drawn = self.draw(i)
        self._learn_from_judges(False)
        shown, w_hats, own = self.walk(drawn, stage)
        frames = self.render(shown) if stage.terms.keys() - LATENT_TERMS else None
        losses = self.terms(stage, drawn, frames, shown, w_hats, own)
        self._update(self.adam, sum(stage.terms[name] * value for name, value in losses.items()))
        self.w_bar.update(w_hats.detach().flatten(0, 1))
        loop.ema_update(self.average, self.trajectory, min(s.ema, (1 + i) / (10 + i)))
        judges = stage.terms.keys() & {"image", "video"}
        if judges:
            self._learn_from_judges(True)
            losses |= self.judge(judges, drawn.batch.real[:, -stage.frames :], frames.detach(), i)
        return {name: float(loop.mean(value.detach())) for name, value in losses.items()}

    def draw(self, i: int) -> Drawn:
        """This process's rows of step i's batch."""
        s, rng = self.settings, torch.Generator().manual_seed(_step_seed(self.seed, i))
        stage = s.stage_at(i)
        size, length = stage.batch, stage.before + stage.frames
        clips, starts = self.clips.draw(size, length, rng)
        codes = [self.clips.codes[k] for k in clips]
        calm = torch.rand(size, generator=rng) < s.calm
        psi = s.psi + (1 - s.psi) * torch.rand(size, 1, generator=rng)
        z = torch.randn(size, self.generator.z_dim, generator=rng)
        coded = None not in codes
        if coded:
            layouts = [code.layout for code in codes]
            z, quiet = (name_z(layouts, rows, z) for rows in (calm, torch.ones_like(calm)))
        noise = torch.randn(size, length, self.trajectory.config.noise_dim, generator=rng)
        jitter = torch.randn(size, self.generator.num_ws, self.generator.w_dim, generator=rng)
        curve = response(size, self.trajectory.spec.n_mels, rng, spread_db=s.eq_db) / self.trajectory.spec.top_db
        mine = slice(loop.rank(), None, loop.num_processes())
        jitter = s.jitter * jitter[mine].to(self.device) * self.generator.w_std

        def source(z: Tensor) -> Tensor:
            w = self.generator.mapping(z[mine].to(self.device))
            return self.generator.broadcast(torch.lerp(self.generator.w_avg, w, psi[mine].to(self.device))) + jitter

        batch = self.clips.batch(clips[mine], starts[mine], length)
        if s.eq_db:
            heard = (batch.mels + curve[mine, None, None]).clamp(0, 1) * (batch.mels > 0)
            batch = replace(batch, mels=heard)
        with torch.no_grad():
            calm_ws = departure = None
            if coded:
                calm_ws = source(quiet)
                departure = calm_ws.new_zeros(len(calm_ws), length, 1, self.generator.w_dim)
                for row, code, start in zip(departure, codes[mine], starts[mine]):
                    row[:, 0, code.dim] = torch.from_numpy(code.amount[start : start + length]).to(row)
            batch = Batch(**{name: value.to(self.device) for name, value in vars(batch).items()})
            return Drawn(batch, source(z), noise[mine].to(self.device), calm_ws, departure)

    def walk(self, drawn: Drawn, stage: Stage) -> tuple[Tensor, Tensor, Tensor]:
        """Latents of the frames to judge [B,F,L,D]; the codes w_hat [B,F',L,D], and the layers' own part in them."""
        mels = drawn.batch.mels if stage.path else drawn.batch.mels[:, -stage.frames :]
        offsets, own = self.trajectory.encoder.shared_and_own(mels.flatten(0, 1))
        w_hats = drawn.ws[:, None] + self.trajectory.w_scale * offsets.unflatten(0, mels.shape[:2])
        if not stage.path:
            return w_hats, w_hats, own
        path, _ = self.trajectory.follow(w_hats, self.trajectory.begin(w_hats[:, 0]), drawn.noise)
        return path[:, -stage.frames :], w_hats, own

    def render(self, shown: Tensor) -> Tensor:
        """[B,F,L,D] => frames [B,F,3,H,W]"""
        frames = self.generator.synthesis(shown.flatten(0, 1), "const", None, self.dtype)
        return frames.unflatten(0, shown.shape[:2])

    def terms(
        self, stage: Stage, drawn: Drawn, frames: Tensor | None, shown: Tensor, w_hats: Tensor, own: Tensor
    ) -> dict[str, Tensor]:
        """The unweighted terms of the stage."""
        names, count, terms = stage.terms.keys(), stage.frames, {}
        batch = drawn.batch
        if "latents" in names:
            if drawn.calm_ws is None:
                raise InputError("The latents of these clips are not known.", "Set the weight of latents to 0.")
            # a code of E_a cannot see what its source shows, so it is held to the departure alone
            origin = drawn.calm_ws if stage.path else drawn.ws
            wanted = origin[:, None] + drawn.departure[:, -count:]
            terms["latents"] = ((shown - wanted) / self.trajectory.w_scale).square().mean()
        if "codes" in names:
            terms["codes"] = code_distance(w_hats.flatten(0, 1), self.w_bar.value).mean()
        if "layers" in names:
            terms["layers"] = own.square().mean()
        if frames is None:
            return terms
        real, heard, loudness = (x[:, -count:] for x in (batch.real, batch.heard, batch.loudness))
        flat, target = frames.flatten(0, 1), real.flatten(0, 1)
        if names & {"features", "sound", "text"}:
            seen = self.joint.encode_image(flat)  # [BF,D]
        if "pixels" in names:
            terms["pixels"] = pyramid_distance(flat, target).mean() + (flat - target).square().mean()
        if "features" in names:
            with torch.no_grad():
                meant = self.joint.encode_image(target)
            terms["features"] = cosine_distance(seen, meant).mean()
        if "changes" in names:
            terms["changes"] = change_distance(frames, real).mean()
        if "sound" in names:
            terms["sound"] = cosine_distance(seen, heard.flatten(0, 1)).mean()
        if "text" in names:
            said = batch.said[:, None].expand(-1, count, -1).flatten(0, 1)
            terms["text"] = (loudness.flatten() * cosine_distance(seen, said)).mean()
        if "image" in names:
            terms["image"] = generator_loss(self.image_discriminator(flat[:, None]))
        if "video" in names:
            terms["video"] = generator_loss(self.video_discriminator(frames))
        return terms

    def judge(self, names: Collection[str], real: Tensor, fake: Tensor, i: int) -> dict[str, Tensor]:
        """One update of these discriminators, with R1 in every r1_every-th."""
        s, losses, total = self.settings, {}, 0.0
        kinds = {
            "image": (self.image_discriminator, lambda x: x.flatten(0, 1)[:, None]),
            "video": (self.video_discriminator, lambda x: x),
        }
        for name, (judge, seen_as) in kinds.items():
            if name not in names:
                continue
            regular = s.r1_gamma and i % s.r1_every == 0
            x = seen_as(real).requires_grad_(bool(regular))
            scores, fake_scores = judge(x), judge(seen_as(fake))
            loss = discriminator_loss(scores, fake_scores)
            losses |= {f"{name}_judge": loss, f"{name}_real": scores.mean(), f"{name}_fake": fake_scores.mean()}
            total = total + loss
            if regular:
                losses[f"{name}_r1"] = r1_penalty(scores, x)
                total = total + s.r1_gamma / 2 * s.r1_every * losses[f"{name}_r1"]
        self._update(self.judges_adam, total)
        return losses

    def _learn_from_judges(self, learn: bool) -> None:
        for judge in (self.image_discriminator, self.video_discriminator):
            judge.requires_grad_(learn)

    def _update(self, adam: torch.optim.Adam, loss: Tensor) -> None:
        adam.zero_grad()
        loss.backward()
        parameters = [p for group in adam.param_groups for p in group["params"]]
        loop.mean_gradients(parameters)
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.nan_to_num_(nan=0.0, posinf=1e5, neginf=-1e5)
        adam.step()

    # ---- what comes out

    @torch.no_grad()
    def sheet(self, rows: int = 6, columns: int = 8) -> Tensor:
        """For some clips: frames of the clip, and under them what the average makes of its sound [3,H',W']."""
        s, length = self.settings, self.clips.frames
        pictures = []
        for k in np.linspace(0, len(self.clips) - 1, rows).round().astype(int).tolist():
            batch = self.clips.batch([k], [0], length)
            code = self.clips.codes[k]
            z = torch.randn(1, self.generator.z_dim, generator=torch.Generator().manual_seed(k))
            if code is not None:
                z = name_z([code.layout], torch.tensor([True]), z)
            ws = self.generator.broadcast(self.generator.mapping(z.to(self.device)))
            ws = truncate(ws, self.generator.w_avg, 0.7)
            mels = batch.mels[0].to(self.device)
            w_hats = self.average.invert(mels, ws)[None]
            whole, _ = self.average.follow(w_hats, self.average.begin(w_hats[:, 0]))
            path = whole[0] if s.stages[-1].path else w_hats[0]
            at = np.linspace(0, length - 1, columns).round().astype(int)
            pictures += [batch.real[0, at].cpu(), self.generator.synthesis(path[at]).cpu()]
        return grid(torch.cat(pictures), columns)

    def export(self, path: Path, **notes) -> None:
        save_trajectory(path, self.average, settings=asdict(self.settings), **notes)


def _step_seed(seed: int, i: int) -> int:
    return int(np.random.SeedSequence([seed, i]).generate_state(1, np.uint64)[0]) & (2**63 - 1)


def new_trajectory(table: dict, generator, joint, seed: int) -> Trajectory:
    """By the recipe's [trajectory]. Without a trunk of its own, E_a begins with the ears of the joint encoder."""
    sizes = dict(table)
    spec, trunk = MelSpec.from_dict(sizes.pop("mel")) if "mel" in sizes else joint.spec, sizes.pop("trunk", None)
    if trunk is None and not isinstance(joint.spec, MelSpec):
        raise InputError("This joint encoder hears samples, not mels.", "Give [trajectory.trunk] and [trajectory.mel].")
    if not isinstance(spec, MelSpec):
        raise InputError("This joint encoder hears samples, not mels.", "Give [trajectory.mel].")
    config = TrajectoryConfig(
        num_ws=generator.num_ws, w_dim=generator.w_dim, trunk=trunk or joint.sound.to_config(), **sizes
    )
    trajectory = loop.seeded(seed, lambda: Trajectory(config, spec))
    trajectory.measure(generator)
    if trunk is None:
        trajectory.encoder.trunk.load_state_dict(joint.sound.state_dict())
    return trajectory


def gather(table: dict, joint, spec: MelSpec, generator, cache: Path, on_step: loop.OnStep | None) -> ClipSet:
    """The clips of a recipe's [data]: kind = "scenes", "folder" or "shards"."""
    sizes = {"fps": table["fps"], "frames": table["frames"], "size": generator.resolution}
    skipped, count = Skipped(), 0
    kinds = {
        "scenes": lambda: scene_clips(table, **sizes),
        "folder": lambda: from_folder(Path(table["path"]), skipped=skipped, **sizes),
        "shards": lambda: from_shards(table["path"], skipped=skipped, **sizes),
    }
    if table["kind"] not in kinds:
        raise InputError(f"There are no clips of the kind {table['kind']!r}.", f"Use one of: {', '.join(kinds)}.")

    def counted():
        nonlocal count
        for clip in kinds[table["kind"]]():
            if on_step is not None:
                on_step(count, count + 1, {})
            count += 1
            yield clip

    if loop.rank() > 0:
        loop.wait()
    clips = ClipSet(counted(), joint=joint, spec=spec, cache=cache, **sizes)
    if loop.rank() == 0:
        loop.wait()
    if skipped.reasons:
        print(skipped)
    return clips


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
    from ..memory import keep_freed_memory

    loop.join(device)
    if torch.device(device).type == "cpu":
        keep_freed_memory()
    settings = Settings.from_dict(config["training"])
    joint, generator = (
        load_joint(config["models"]["joint"], device),
        load_generator(config["models"]["generator"], device),
    )
    trajectory = new_trajectory(config["trajectory"], generator, joint, seed)
    cache = Path(config["data"].get("cache", out / "clips"))
    clips = gather(config["data"], joint, trajectory.spec, generator, cache, on_step)
    training = SoundVideoTraining(settings, trajectory, generator, joint, clips, device, seed)
    weights = Path(out) / "trajectory.safetensors"

    def write(done: int) -> None:
        training.export(weights, steps_done=done)
        save_image(training.sheet(), Path(out) / f"frames-{done:05d}.png")

    loop.run(
        training, settings.steps, out, resume=resume, save_every=settings.save_every, on_step=on_step, on_save=write
    )
    return weights
