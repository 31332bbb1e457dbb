"""Teach a trajectory's recurrent modules to come to rest: where nothing is heard, whatever the source shows has to go.

    source w, amounts a_t of a phenomenon k   =>   w_hat^t = w + d_k a_t,   wanted  w^t = w_calm + d_k a_t

With cycle_sec, a phenomenon that stays moves: from layer moves_from on d_k goes round the weathers in which the world
paints it, sum_j c_j(t / cycle_sec) d_kj (trajectory/sound_inversion.variant_shares). E_a is given those directions.

The miniature's latents are named, so what a sound asks for, and what the source is without its phenomenon, are known
without a sound; a batch costs milliseconds. E_a stays as it is, and so do the gates, which set how fast a path follows.
Axes: B batch, F frames, K phenomena, L layers, D dims.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ...common.memory import to_device
from ...common.rng import torch_generator
from ...generators.loading import load_generator
from ...training.engine import distributed, loop
from ...training.engine.ema import ema_update
from ...training.engine.optimisers import fused, take_step
from ...training.engine.run_settings import RunSettings
from ...training.engine.schedules import linear_decay
from ...training.engine.shared_losses import Means
from ...training.recipe import check_entries
from ...training.sound_video_sources import Sources
from ...trajectory.sound_inversion import variant_shares
from ...trajectory.trajectory import Trajectory, load_trajectory, save_trajectory
from ..data.scene_clips import SceneCodes, departures, phenomenon_dim
from ..world import codes
from ..world.scenes import PHENOMENA

SETTINGS = (
    "steps", "batch", "frames", "lr", "anneal", "psi", "calm", "jitter", "ema", "fps", "cycle_sec", "moves_from",
)  # fmt: skip


class RestTraining:
    """A trajectory whose recurrent modules learn, its average, and one update per step. accumulate: parts of a batch
    that are in memory one after the other."""

    def __init__(
        self, settings: dict, trajectory: Trajectory, sources: Sources, device: str | torch.device, seed: int,
        accumulate: int = 1,
    ) -> None:  # fmt: skip
        self.shares = distributed.shares(settings["batch"], accumulate)
        self.settings, self.sources = settings, sources
        self.device, self.seed = torch.device(device), seed
        if "cycle_sec" in settings:
            trajectory = with_weathers(trajectory, settings["cycle_sec"], settings["moves_from"])
        self.trajectory, self.average = trajectory, copy.deepcopy(trajectory)
        learned = [p for name, p in trajectory.steps.named_parameters() if not name.endswith("gate")]
        for p in learned:
            p.requires_grad_(True)
        self.learned = learned
        self.adam = torch.optim.Adam(learned, lr=settings["lr"], betas=(0.9, 0.99), fused=fused(self.device))
        self.modules: dict[str, nn.Module] = {"trajectory": trajectory, "average": self.average}
        self.optimisers: dict[str, torch.optim.Optimizer] = {"adam": self.adam}

    def step(self, i: int) -> loop.StepLosses:
        """One update; the squared error of the path, in standard deviations."""
        s, losses = self.settings, Means(len(self.shares))
        for group in self.adam.param_groups:
            group["lr"] = s["lr"] * linear_decay(i, s["steps"], s["anneal"], last=0.05)
        self.adam.zero_grad()
        for rows in self.shares:
            losses.add(latents=self.error(rows, torch_generator(self.seed, i)))
            (losses.last["latents"] / len(self.shares)).backward()
        distributed.mean_gradients(self.learned)
        take_step(self.adam)
        ema_update(self.average, self.trajectory, min(s["ema"], (1 + i) / (10 + i)))
        return loop.StepLosses(losses.values)

    def error(self, rows: slice, draw: torch.Generator) -> Tensor:
        """Of these rows of the whole batch that is drawn."""
        s, trajectory = self.settings, self.trajectory
        layouts = torch.randint(codes.LAYOUTS, (s["batch"],), generator=draw)
        ws, calm_ws = self.sources.draw(layouts[rows], s["batch"], rows, self.device, draw)
        assert calm_ws is not None
        shown = amounts(s["batch"], s["frames"], draw)[rows]
        departure = self.departure(shown, ws, torch.rand(s["batch"], generator=draw)[rows])  # [B,F,L,D]
        w_hats = ws[:, None] + departure
        noise = torch.randn(s["batch"], s["frames"], trajectory.config.noise_dim, generator=draw)[rows]
        noise = to_device(noise, ws.device, ws.dtype)
        path, _ = trajectory.rollout(w_hats, trajectory.init_state(ws, w_hats[:, 0]), noise)
        return ((path - calm_ws[:, None] - departure) / trajectory.w_scale).square().mean()

    def departure(self, shown: Tensor, ws: Tensor, turns: Tensor) -> Tensor:
        """What so much of each phenomenon [B,F,K] adds to ws [B,L,D]: [B,F,L,D]. turns [B]: how far round the weathers
        each row begins."""
        s, (_, layers, w_dim) = self.settings, ws.shape
        departure = departures(shown, w_dim).expand(-1, -1, layers, -1).clone()
        if "cycle_sec" in s:
            turns = turns[:, None] + torch.arange(s["frames"]) / s["fps"] / s["cycle_sec"]
            shares = variant_shares(turns.flatten(), codes.WEATHERS).view(*turns.shape, codes.WEATHERS)
            fine = (shares[..., j, None, None] * departures(shown, w_dim, j) for j in range(codes.WEATHERS))
            departure[:, :, s["moves_from"] :] = sum(fine, torch.zeros(()))
        return to_device(departure, ws.device, ws.dtype)


@torch.no_grad()
def with_weathers(trajectory: Trajectory, cycle_sec: float, moves_from: int) -> Trajectory:
    """The same, whose E_a knows a direction for each weather of a phenomenon: as far along as that of the first."""
    moves = {"variants": codes.WEATHERS, "cycle_sec": cycle_sec, "moves_from": moves_from}
    encoder = {**trajectory.config.encoder, **moves}
    moving = Trajectory(replace(trajectory.config, encoder=encoder), trajectory.spec)
    moving.load_state_dict(trajectory.state_dict(), strict=False)
    network = moving.encoder.network
    scale, shared = trajectory.w_scale, network.shared
    for k in range(len(PHENOMENA)):
        first = phenomenon_dim(k)
        along = shared[k, first] * scale[first]
        for j, variant in enumerate(network.variants, 1):
            variant[k] = shared[k]
            variant[k, first] = 0
            variant[k, first + j] = along / scale[first + j]
    return moving.to(scale.device).requires_grad_(False)


def run(
    *, config: dict, out: Path, device: str | torch.device = "cpu", seed: int = 0, resume: bool = False,
    on_step: loop.OnStep | None = None,
) -> Path:  # fmt: skip
    """By a recipe with [models] and [training]; returns the trajectory's path."""
    check_entries(config, {"models": ("generator", "trajectory"), "training": SETTINGS, "run": None})
    distributed.setup_process(device)
    running, s = RunSettings.of(config), config["training"]
    generator = load_generator(config["models"].get("generator"), device)
    trajectory = load_trajectory(config["models"].get("trajectory"), device)
    sources = Sources(generator, SceneCodes(), psi=s["psi"], calm=s["calm"], jitter=s["jitter"])
    training = RestTraining(s, trajectory, sources, device, seed, running.accumulate)
    loop.run(training, s["steps"], out, resume=resume, on_step=on_step, settings=running)
    path = Path(out) / "trajectory.safetensors"
    if not distributed.rank():
        save_trajectory(path, training.average)
    return path


def amounts(batch: int, frames: int, draw: torch.Generator) -> Tensor:
    """How much of each phenomenon each frame shows, [B,F,K]: one that wanders, often from or to nothing."""
    kind = torch.randint(len(PHENOMENA), (batch,), generator=draw)
    first, last = torch.rand(2, batch, 1, generator=draw)
    quiet = torch.rand(2, batch, 1, generator=draw) < 0.5
    first, last = first * ~quiet[0], last * ~quiet[1]
    turn = torch.rand(batch, 1, generator=draw)
    rise = ((torch.linspace(0, 1, frames) - turn) * 4 + 0.5).clamp(0, 1)
    out = torch.zeros(batch, frames, len(PHENOMENA))
    course = first + (last - first) * rise
    return out.scatter_(2, kind[:, None, None].expand(-1, frames, 1), course[..., None])
