"""StyleGAN-V: A Continuous Video Generator with the Price, Image Quality and Perks of StyleGAN2 (Skorokhodov et al.
2022): training on a few frames of a video, section 3.3. The losses are StyleGAN2's; no path lengths, no style mixing.

Axes: B batch of videos, F frames of each (config.num_frames), D dims, S numbers of a sound, H W.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from ..common.errors import InputError
from ..common.files import replacing
from ..common.memory import to_device
from ..generators.latents import truncate
from ..generators.motion import MotionEncoder
from ..generators.stylegan_v import Generator, StyleGANVConfig
from ..generators.video_discriminator import HolisticDiscriminator
from ..losses.adversarial import discriminator_loss, generator_loss, r1_penalty
from ..losses.perceptual import pyramid_distance
from ..media.images import grid
from .data.pictures import split_off
from .data.sources import open_data
from .data.videos import CodedVideos, VideoBatch, Videos, VideoSet, open_videos
from .engine import distributed, loop
from .engine.adversarial import GANSettings, overfitting, run_gan_training
from .engine.ema import ema_beta, ema_update
from .engine.run_settings import RunSettings
from .engine.shared_losses import Means
from .recipe import check_entries
from .stylegan2 import GROUP, VALIDATED, StyleGAN2Training
from .warm_start import WarmStart, gan_entries, warm_start_of


@dataclass(frozen=True)
class VideoSettings(GANSettings):
    """As StyleGAN2's, but kimg are thousands of videos, and what the paper leaves out is off.

    max_distance: the most frames between the first and the last of those that are shown of a video.
    """

    r1_gamma: float = 0.2
    path_weight: float = 0.0
    style_mixing: float = 0.0
    noise: bool = False
    max_distance: int = 32


def sample_times(
    batch: int, num_frames: int, length: int, max_distance: int, rng: torch.Generator, *, whole: bool = False
) -> Tensor:
    """The published times [B,F] within videos of `length` frames, rising.

    The first and the last are 2^n frames apart, all such distances up to max_distance equally likely; the others are
    whole frames between. whole: the first is a whole frame too, as in real videos.
    """
    distances = [2**n for n in range(12) if num_frames - 1 <= 2**n <= min(length - 1, max_distance)]
    if not distances:
        raise InputError(
            f"{num_frames} frames of a video of {length} cannot be chosen {max_distance} frames apart.",
            "Use longer videos, fewer frames or a larger max_distance.",
        )
    distance = torch.tensor(distances)[torch.randint(len(distances), (batch, 1), generator=rng)]  # [B,1]
    start = torch.rand(batch, 1, generator=rng, dtype=torch.float64) * (length - distance - 1)
    order = torch.rand(batch, distances[-1] - 1, generator=rng)
    outside = torch.arange(1, distances[-1]) >= distance
    between = order.masked_fill(outside, 2.0).argsort(dim=1)[:, : max(num_frames - 2, 0)] + 1
    steps = torch.cat([*(torch.zeros_like(distance), distance)[:num_frames], between], dim=1).sort(dim=1).values
    return (start.round() if whole else start) + steps


class VideoWarmStart(WarmStart):
    """The synthesis and the motion's waves learn to render the frames that latents, motion noise and sound name."""

    generator: Generator
    coded: CodedVideos

    def write_codes(self) -> None:
        motion = self.generator.synthesis.motion_encoder
        self.coded.write(self.generator.mapping, motion)
        freeze_all_but_sound(motion)

    def pair(self, batch: int, size: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Two moments of each video, one after the other."""
        (rows,) = distributed.shares(batch // 2)
        whole = draw_videos(self.coded, self.generator, batch // 2, 2, rng)
        videos = whole.of(rows)
        real = F.interpolate(to_device(videos.frames, self.device).flatten(0, 1), size, mode="area")
        motion_v = self.generator.motion_codes(videos.t, videos.motion_z, sound=videos.sound).flatten(0, 1)
        ws = self.ws(whole.z, rng, rows).repeat_interleave(2, dim=0)
        return self.generator.synthesis(ws, "none", None, self.dtype, size, motion_v=motion_v), real

    def loss(self, img: Tensor, real: Tensor) -> Tensor:
        change = super().loss(img[::2] - img[1::2], real[::2] - real[1::2])
        return super().loss(img, real) + self.settings.change * change

    @torch.no_grad()
    def sheet(self, count: int = 8) -> Tensor:
        """Three frames each of coded videos over their renderings [3,H',W']."""
        videos = draw_videos(self.coded, self.generator, count, 3, loop.step_rng(self.seed, 2**31))
        ws = self.generator.broadcast(self.generator.mapping(videos.z.to(self.device)))
        made = self.generator.video(ws, videos.t, videos.motion_z, sound=videos.sound)
        both = torch.cat([videos.frames.to(made), made], dim=1)  # [B,6,3,H,W]
        return grid(both.transpose(0, 1).flatten(0, 1), count)


def freeze_all_but_sound(motion: MotionEncoder) -> None:
    """Freezes the codes that were written. One step of a period is whole turns later in a video: they would be lost."""
    motion.requires_grad_(False)
    if motion.config.sound_dim:
        motion.sound.requires_grad_(True)


def draw_videos(videos: Videos, generator: Generator, batch: int, num_frames: int, rng: torch.Generator) -> VideoBatch:
    """Random videos at times spread over all that the generator's discriminator knows."""
    times = generator.config.max_frames * torch.rand(batch, num_frames, generator=rng, dtype=torch.float64)
    return draw_videos_at(times.sort(dim=1).values, videos, generator, rng)


def draw_videos_at(times: Tensor, videos: Videos, generator: Generator, rng: torch.Generator) -> VideoBatch:
    """Random videos at about times [B,F] in frames, with fresh latents and motion noise."""
    z = torch.randn(len(times), generator.z_dim, generator=rng)
    reach = generator.config.max_frames + 1.0  # a time may move to a moment nearby
    return videos.draw(times, z, generator.synthesis.motion_encoder.random_noise(len(times), reach, rng), rng)


class StyleGANVTraining(StyleGAN2Training):
    """The generator, its holistic discriminator, the generator's EMA, and one alternating update per step."""

    generator: Generator
    g_ema: Generator
    settings: VideoSettings
    pictures: Videos
    networks = (Generator, HolisticDiscriminator)
    sheets = "videos"
    full_precision = "synthesis.motion_encoder."  # half a thousandth of a period is whole turns after an hour

    def __init__(self, config: StyleGANVConfig, settings: VideoSettings, videos: Videos, device, seed: int, **how):
        super().__init__(config, settings, cast(Any, videos), device, seed, **how)  # drawn from by this class alone
        self.length = min(config.max_frames, getattr(videos, "longest", config.max_frames))  # of a video, in frames
        if config.judge_sound and config.sound_dim != 2:
            raise InputError(
                f"The sound is judged, and the motion takes {config.sound_dim} numbers of it.", "Set sound_dim = 2."
            )
        if not settings.learn_mapping:  # what a warm start has written
            freeze_all_but_sound(self.generator.synthesis.motion_encoder)

    def update(self, i: int) -> dict[str, Tensor]:
        """Generator, discriminator, R1, EMA; the losses are left where they are."""
        s, rng = self.settings, loop.step_rng(self.seed, i)
        self.set_rates(i)

        # generator
        self.discriminator.requires_grad_(False)
        given = self._videos(rng)
        made = given if s.recon_weight else self._made(given, rng)
        fakes, losses = [], Means(len(self.shares))

        def generator_terms(rows: slice) -> Tensor:
            part = made.of(rows)
            w = self.generator.mapping(to_device(part.z, self.device), self._sent(part.c))
            losses.add(w_mean=w.detach().mean(dim=0))
            motion_v = self.generator.motion_codes(part.t, part.motion_z, sound=part.sound)
            fake = self.generator.render(self.generator.broadcast(w), motion_v, self.dtype)
            fakes.append(fake.detach())
            loss = generator_loss(self._judged(fake, part))
            losses.add(generator=loss)
            if s.recon_weight:
                target = to_device(part.frames, self.device)
                img, target = (F.avg_pool2d(x.flatten(0, 1), 2) for x in (fake, target))
                losses.add(recon=pyramid_distance(img, target, levels=3, square=2.0).mean())
                loss = loss + s.recon_weight * losses.last["recon"]
            return loss

        self._update("generator", map(generator_terms, self.shares))
        self.generator.mapping.track(distributed.all_reduce_mean(losses.take("w_mean")))

        # discriminator
        self.discriminator.requires_grad_(True)
        real = self._videos(rng)
        flip = torch.rand(self.batch, 1, 1, 1, 1, generator=rng) < 0.5 if s.mirror else torch.tensor(False)
        flip = flip.expand(self.batch, 1, 1, 1, 1)

        def frames_of(rows: slice) -> Tensor:
            frames = to_device(real.frames[rows], self.device)
            return torch.where(to_device(flip[rows], self.device), frames.flip(4), frames) if s.mirror else frames

        def discriminator_terms(part: tuple[slice, Tensor]) -> Tensor:
            rows, fake = part
            scores, fake_scores = self._judged(frames_of(rows), real.of(rows)), self._judged(fake, made.of(rows))
            loss = discriminator_loss(scores, fake_scores)
            losses.add(discriminator=loss, real=scores.mean(), fake=fake_scores.mean())
            return loss

        self._update("discriminator", map(discriminator_terms, zip(self.shares, fakes)))
        if s.r1_gamma and i % s.r1_every == 0:

            def penalty_of(rows: slice) -> Tensor:
                frames = frames_of(rows).detach().requires_grad_(True)
                scores = self._judged(frames, real.of(rows), torch.float32)
                penalty = r1_penalty(scores, frames) / frames.shape[1]  # mean over frames
                losses.add(r1=penalty)
                return s.r1_gamma / 2 * s.r1_every * penalty

            self._update("discriminator", map(penalty_of, self.shares))

        # EMA
        beta = ema_beta(s.batch, (i + 1) * s.batch, s.ema_kimg * 1000)
        ema_update(self.g_ema, self.generator, beta)
        return losses.values

    def _videos(self, rng: torch.Generator) -> VideoBatch:
        c = self.generator.config
        times = sample_times(self.batch, c.num_frames, self.length, self.settings.max_distance, rng, whole=True)
        return draw_videos_at(times, self.pictures, self.generator, rng)

    def _sent(self, c: Tensor | None) -> Tensor | None:
        return None if c is None else to_device(c, self.device)

    def _judged(self, frames: Tensor, about: VideoBatch, dtype: torch.dtype | None = None) -> Tensor:
        """Scores [B,1] of frames that stand where `about` says."""
        return self.discriminator(frames, about.t, dtype or self.dtype, c=self._sent(about.c), sound=about.sound)

    def _made(self, given: VideoBatch, rng: torch.Generator) -> VideoBatch:
        """What fakes are made of beside real videos: fresh z, motion noise and published times, and no sound; where the
        sound is judged, that of the real ones at their times. Classes are theirs."""
        c = self.generator.config
        z = torch.randn(given.z.shape, generator=rng)
        motion_z = self.generator.synthesis.motion_encoder.random_noise(self.batch, c.max_frames, rng)
        t = sample_times(self.batch, c.num_frames, self.length, self.settings.max_distance, rng)
        where = {} if c.judge_sound else {"t": t, "sound": None}
        return replace(given, z=z, motion_z=motion_z, **where)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """As StyleGAN2's, of clips that were held out."""
        if self.held_out is None or cast(VideoSet, self.held_out).longest < self.generator.config.num_frames:
            return {}
        rng, c = torch.Generator().manual_seed(self.seed), self.generator.config
        parts: dict[str, list[Tensor]] = {"seen": [], "held_out": [], "fake": []}
        length = min(self.length, cast(VideoSet, self.held_out).longest)
        for _ in range(VALIDATED // 4 // GROUP):
            times = sample_times(GROUP, c.num_frames, length, self.settings.max_distance, rng, whole=True)
            for name, videos in (("seen", self.pictures), ("held_out", cast(Videos, self.held_out))):
                drawn = draw_videos_at(times, videos, self.generator, rng)
                parts[name].append(self._judged(to_device(drawn.frames, self.device), drawn, torch.float32))
            ws = self.g_ema.broadcast(self.g_ema.mapping(to_device(drawn.z, self.device), self._sent(drawn.c)))
            sound = drawn.sound if c.judge_sound else None
            fake = self.g_ema.video(ws, drawn.t, drawn.motion_z, sound=sound)
            parts["fake"].append(self._judged(fake, drawn, torch.float32))
        return overfitting({name: float(torch.cat(scores).mean()) for name, scores in parts.items()})

    # ---- what comes out

    @torch.no_grad()
    def sheet(self, psi: float, seed: int = 1000) -> Tensor:
        """The EMA's videos of fixed seeds, one a row, their frames 8 apart [3,H',W']."""
        rows, count = max(self.settings.samples // 8, 1), 8
        ws = truncate(self.g_ema.sample_ws(range(seed, seed + rows), psi=1.0), self.g_ema.w_avg, psi)
        t = torch.arange(0.0, 8 * count, 8)[None].expand(rows, -1)
        return grid(self.g_ema.video(ws, t, self.g_ema.motion_noise(range(rows))).flatten(0, 1), count)


def run(
    *,
    config: dict,
    out: Path,
    device: str | torch.device = "cpu",
    seed: int = 0,
    resume: bool = False,
    on_step: loop.OnStep | None = None,
    videos: Videos | None = None,
) -> Path:
    """Train by a recipe with tables [generator] and [training], and unless videos are given [data] (training/data).
    With [warm_start] the videos must be coded: such that latents stand for them.

    Writes state.safetensors, generator.safetensors and sample sheets into out, of labelled clips classes.json too;
    returns the generator's path.
    """
    check_entries(config, gan_entries(StyleGANVConfig))
    distributed.setup_process(device)
    running, held_out = RunSettings.of(config), None
    network, settings = StyleGANVConfig.from_dict(config["generator"]), VideoSettings.from_dict(config["training"])
    if videos is None:
        known: dict[str, Any] = {"size": network.resolution, "fps": network.fps, "device": device}
        if network.judge_sound:
            known["sound"] = True
        videos, held_out = split_off(open_data("styleganv", config, open_videos, out=out, on_step=on_step, **known))
    classes = list(getattr(videos, "classes", ()))
    if classes:
        network = replace(network, c_dim=len(classes))
        if distributed.rank() == 0:
            with replacing(out / "classes.json") as temporary:
                temporary.write_text(json.dumps(classes), encoding="utf-8")
    assert videos is not None  # given, or opened
    training = StyleGANVTraining(network, settings, videos, device, seed, run=running, held_out=held_out)
    warm = config.get("warm_start")
    warm_start = warm_start_of(training, VideoWarmStart, warm, out, resume=resume, on_step=on_step)
    return run_gan_training(training, out, resume=resume, on_step=on_step, warm_start=warm_start, settings=running)
