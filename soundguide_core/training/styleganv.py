"""StyleGAN-V: A Continuous Video Generator with the Price, Image Quality and Perks of StyleGAN2 (Skorokhodov et al.
2022): training on a few frames of a video, section 3.3. The losses are StyleGAN2's; no path lengths, no style mixing.

Axes: B batch of videos, F frames of each (config.num_frames), D dims, S numbers of a sound, H W.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from ..common.errors import InputError
from ..common.memory import to_device
from ..generators.latents import truncate
from ..generators.motion import MotionEncoder
from ..generators.stylegan_v import Generator, StyleGANVConfig
from ..generators.video_discriminator import HolisticDiscriminator
from ..losses.adversarial import discriminator_loss, generator_loss, r1_penalty
from ..losses.perceptual import pyramid_distance
from ..media.images import grid
from .data.sources import open_data
from .data.videos import CodedVideos, VideoBatch, Videos, open_videos
from .engine import distributed, loop
from .engine.adversarial import GANSettings, run_gan_training
from .engine.ema import ema_beta, ema_update
from .stylegan2 import StyleGAN2Training
from .warm_start import WarmStart, warm_start_of


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
        videos = draw_videos(self.coded, self.generator, batch // 2, 2, rng)
        real = F.interpolate(to_device(videos.frames, self.device).flatten(0, 1), size, mode="area")
        motion_v = self.generator.motion_codes(videos.t, videos.motion_z, sound=videos.sound).flatten(0, 1)
        ws = self.ws(videos.z, rng).repeat_interleave(2, dim=0)
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

    def __init__(self, config: StyleGANVConfig, settings: VideoSettings, videos: Videos, device, seed: int):
        super().__init__(config, settings, cast(Any, videos), device, seed)  # drawn from by this class alone
        self.length = min(config.max_frames, getattr(videos, "longest", config.max_frames))  # of a video, in frames
        if not settings.learn_mapping:  # what a warm start has written
            freeze_all_but_sound(self.generator.synthesis.motion_encoder)

    def update(self, i: int) -> dict[str, Tensor]:
        """Generator, discriminator, R1, EMA; the losses are left where they are."""
        s, rng = self.settings, loop.step_rng(self.seed, i)
        self.set_rates(i)

        # generator
        self.discriminator.requires_grad_(False)
        given = self._videos(rng)
        if s.recon_weight:
            z, motion_z, t, sound = given.z, given.motion_z, given.t, given.sound
        else:
            z, (motion_z, t, sound) = torch.randn(given.z.shape, generator=rng), self._motion(rng)
        w = self.generator.mapping(to_device(z, self.device))
        self.generator.mapping.track(distributed.all_reduce_mean(w.detach().mean(dim=0)))
        motion_v = self.generator.motion_codes(t, motion_z, sound=sound)
        fake = self.generator.render(self.generator.broadcast(w), motion_v, self.dtype)
        loss = generator_loss(self.discriminator(fake, t, self.dtype))
        losses = {"generator": loss}
        if s.recon_weight:
            img, target = (F.avg_pool2d(x.flatten(0, 1), 2) for x in (fake, to_device(given.frames, self.device)))
            losses["recon"] = pyramid_distance(img, target, levels=3, square=2.0).mean()
            loss = loss + s.recon_weight * losses["recon"]
        self._update("generator", loss)

        # discriminator
        self.discriminator.requires_grad_(True)
        real = self._videos(rng)
        frames, times = to_device(real.frames, self.device), real.t
        if s.mirror:
            flip = torch.rand(len(frames), 1, 1, 1, 1, generator=rng) < 0.5
            frames = torch.where(to_device(flip, self.device), frames.flip(4), frames)
        scores = self.discriminator(frames, times, self.dtype)
        fake_scores = self.discriminator(fake.detach(), t, self.dtype)
        loss = discriminator_loss(scores, fake_scores)
        self._update("discriminator", loss)
        losses |= {"discriminator": loss, "real": scores.mean(), "fake": fake_scores.mean()}
        if s.r1_gamma and i % s.r1_every == 0:
            frames = frames.detach().requires_grad_(True)
            penalty = r1_penalty(self.discriminator(frames, times), frames) / frames.shape[1]  # mean over frames
            self._update("discriminator", s.r1_gamma / 2 * s.r1_every * penalty)
            losses["r1"] = penalty

        # EMA
        beta = ema_beta(s.batch, (i + 1) * s.batch, s.ema_kimg * 1000)
        ema_update(self.g_ema, self.generator, beta)
        return losses

    def _videos(self, rng: torch.Generator) -> VideoBatch:
        c = self.generator.config
        times = sample_times(self.batch, c.num_frames, self.length, self.settings.max_distance, rng, whole=True)
        return draw_videos_at(times, self.pictures, self.generator, rng)

    def _motion(self, rng: torch.Generator) -> tuple[Tensor, Tensor, None]:
        """Fresh motion noise, published times, no sound."""
        c = self.generator.config
        motion_z = self.generator.synthesis.motion_encoder.random_noise(self.batch, c.max_frames, rng)
        return motion_z, sample_times(self.batch, c.num_frames, self.length, self.settings.max_distance, rng), None

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

    Writes state.safetensors, generator.safetensors and sample sheets into out; returns the generator's path.
    """
    distributed.setup_process(device)
    network, settings = StyleGANVConfig.from_dict(config["generator"]), VideoSettings.from_dict(config["training"])
    if videos is None:
        known = {"size": network.resolution, "fps": network.fps, "device": device}
        found: Videos = open_data("styleganv", config, open_videos, out=out, on_step=on_step, **known)
        videos = found
    training = StyleGANVTraining(network, settings, videos, device, seed)
    warm = config.get("warm_start")
    warm_start = warm_start_of(training, VideoWarmStart, warm, out, resume=resume, on_step=on_step)
    return run_gan_training(training, out, resume=resume, on_step=on_step, warm_start=warm_start)
