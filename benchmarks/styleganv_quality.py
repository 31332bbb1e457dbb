"""What the miniature's videos are worth: Fréchet distances beside frozen and shuffled baselines, the motion that is
learned, reactivity; and pictures to look at.

python benchmarks/styleganv_quality.py [--generator miniature --videos 96 --clips FOLDER --out FOLDER --no-sound]

Space of the distances: what the scene classifier of the miniature sees in each frame before its head; for
each video of 16 frames its mean, spread and mean step, each divided by its spread over the rendered videos, without
which what is seen would drown how it moves. A distance is comparable within one table only. Real videos are the
renderer's, moving as the clips of miniature/clip_codes.py do; rendering them takes some minutes the first time.

--out: for each phenomenon a rendered video and below it the generator's of the same latents, noise and times: eight
frames (contact.png), and slices over 8 s: a row of pixels with time going down, a column with time going right
(slices.png).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from soundguide_core.common.memory import tune_malloc
from soundguide_core.embedding.joint import load_joint
from soundguide_core.generators.loading import load_video_generator
from soundguide_core.generators.sound_motion import MODULATIONS, SoundCurve
from soundguide_core.media.images import grid, save_image
from soundguide_core.metrics.frechet import frechet_distance, window_features
from soundguide_core.metrics.reactivity import reactivity
from soundguide_core.metrics.video_meter import VideoMeter
from soundguide_core.miniature.evaluation.scene_classifier import load_scene_classifier
from soundguide_core.miniature.sounds.synthesis import synthesise
from soundguide_core.miniature.world.clip_codes import CLIPS, CodedClips, nearest_moments, set_content_signs
from soundguide_core.miniature.world.codes import KINDS, POWERS
from soundguide_core.miniature.world.scenes import PHENOMENA
from soundguide_core.systems.continuous_content import choose_content
from soundguide_core.systems.continuous_video import ContinuousConfig, generate_continuous, sound_curve

WINDOW, RATE, SLICE = 16, 22050, 96


class Bench:
    """A generator and the rendered videos that it is held against. Frames are [B,F,3,H,W] in -1..1."""

    def __init__(self, generator, clips: CodedClips):
        self.generator, self.clips = generator, clips
        self.classifier = load_scene_classifier()

    def real(self, count: int, seed: int) -> Tensor:
        rng = torch.Generator().manual_seed(seed)
        start = (200 * torch.rand(4 * count, 1, generator=rng, dtype=torch.float64)).round()
        times = start + torch.arange(WINDOW)
        z = torch.randn(4 * count, self.generator.z_dim, generator=rng)
        noise = self.generator.motion_noise(torch.randint(2**31, (4 * count,), generator=rng).tolist())
        named = self.clips.draw(times, z, noise, rng)
        return named.frames[named.sound[:, 0, 0] == 0][:count]

    def made(self, count: int) -> Tensor:
        ws = self.generator.sample_ws(range(count), psi=1.0)
        t = torch.arange(WINDOW, dtype=torch.float64)[None]
        noise = [self.generator.motion_noise([i]) for i in range(count)]
        return torch.cat([self.generator.video(ws[i : i + 1], t, noise[i]) for i in range(count)]).clamp(-1, 1)

    def features(self, frames: Tensor) -> np.ndarray:
        """[B,WINDOW,3,H,W] => [B,3D]"""
        seen = []
        self.classifier.head.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
        for video in frames:
            self.classifier(video)
        self.classifier.head._forward_pre_hooks.clear()
        return window_features(torch.cat(seen), WINDOW)

    def same(self, kind: int, count: int, frames: int, spacing: float) -> tuple[Tensor, Tensor]:
        """Rendered videos of a phenomenon, and the generator's of the same latents, noise and times."""
        rng = torch.Generator().manual_seed(kind)
        index = [i for i, clip in enumerate(CLIPS) if clip.kind == kind][kind : kind + 2 * count : 2]
        z = set_content_signs(torch.randn(count, self.generator.z_dim, generator=rng), [CLIPS[i] for i in index])
        motion_z = self.generator.motion_noise(range(500, 500 + count))
        times = (48 + torch.arange(frames, dtype=torch.float64) * spacing).expand(count, -1)
        t, moment, swell = nearest_moments(times, motion_z)
        power = torch.tensor([POWERS[CLIPS[i].power] for i in index])[:, None] * swell.float()
        real = self.clips.frames(torch.tensor(index)[:, None].expand_as(moment), moment, power)
        ws = self.generator.broadcast(self.generator.mapping(z))
        return real, torch.cat(
            [self.generator.video(ws[i : i + 1], t[i : i + 1], one(motion_z, i)) for i in range(count)]
        )


def one(noise, i: int):
    return type(noise)((noise.seeds[i],), noise.dim)


def distances(bench: Bench, count: int) -> None:
    theirs, ours = bench.real(count, 1), bench.made(count)
    order = torch.rand(ours.shape[:2], generator=torch.Generator().manual_seed(0)).argsort(dim=1)
    rows = torch.arange(count)[:, None]
    target = bench.features(theirs)
    spread = target.std(axis=0) + 1e-3 * target.std()
    print(
        f"Fréchet distance to {count} rendered videos, space: miniature scene classifier, windows of {WINDOW}, scaled"
    )
    for name, frames in {
        "rendered, others": bench.real(count, 2),
        "StyleGAN-V": ours,
        "StyleGAN-V, frozen": ours[:, :1].expand(-1, WINDOW, -1, -1, -1),
        "StyleGAN-V, frames shuffled": ours[rows, order],
        "rendered, frozen": theirs[:, :1].expand(-1, WINDOW, -1, -1, -1),
        "rendered, frames shuffled": theirs[rows, order],
    }.items():
        step = float((frames[:, 1:] - frames[:, :-1]).abs().mean() / 2)
        distance = frechet_distance(bench.features(frames) / spread, target / spread)
        print(f"  {name:30s} {distance:8.1f}   mean step of a pixel {step:.4f}")


def learned_motion(bench: Bench) -> None:
    """How much of the change between moments half a second apart is made, where latents, noise and times say which."""
    print("\nchanges over half a second: correlation with the rendered ones, and their size beside these")
    for kind, name in enumerate(KINDS):
        real, made = (x.diff(dim=1).flatten() for x in bench.same(kind, 8, 6, 6.0))
        r = float((real @ made) / (real.norm() * made.norm()).clamp(min=1e-9))
        print(f"  {name or 'calm':10s} r {r:.2f}   size {float(made.norm() / real.norm()):.2f}")


def pictures(bench: Bench, out: Path) -> None:
    sheets, slices = [], []
    for kind in range(len(KINDS)):
        for frames in bench.same(kind, 1, SLICE, 1.0):
            video = frames[0].clamp(-1, 1)
            sheets.append(video[:: SLICE // 8][:8])
            row = video[:, :, round(0.72 * video.shape[2])].transpose(0, 1)  # [3,F,W], in the water
            high = video[:, :, round(0.3 * video.shape[2])].transpose(0, 1)  # in the sky
            column = video[:, :, :, video.shape[3] // 2].permute(1, 2, 0)  # [3,H,F]
            column = torch.nn.functional.pad(column, (0, 0, 0, SLICE - column.shape[1]), value=-1)
            slices.append(torch.cat([high, row, column], dim=2))
    save_image(grid(torch.cat(sheets), 8), out / "contact.png")
    save_image(grid(torch.stack(slices), 4), out / "slices.png")


def heard(bench: Bench, joint, sounds: int) -> None:
    config = ContinuousConfig(seconds=8.0, fps=12.0)
    print("\nreactivity over sounds of seven phenomena: correlation, share of shuffled nulls below, videos above 95 %")
    for drive in MODULATIONS:
        if drive == "codes" and bench.generator.config.sound_dim != 2:
            continue
        found = []
        for i, phenomenon in enumerate(PHENOMENA * sounds):
            beat = np.arange(97) / 12
            curve = np.clip(0.5 + 0.5 * np.sin(2.1 * beat + i) + 0.2 * np.sin(4 * beat + i), 0, 1)
            wave = synthesise(phenomenon, 8.0, intensity=curve, seed=7000 + i, sample_rate=RATE, fps=12)
            wave = torch.from_numpy(wave)
            sound = sound_curve(wave, RATE, 8.0)
            embeds = joint.encode_audio(wave, RATE)
            ws = choose_content(embeds, generator=bench.generator, joint=joint, psi=0.8, seed=100 * i)
            video = generate_continuous(
                ws,
                generator=bench.generator,
                motion_z=i,
                sound=SoundCurve(sound.curve, sound.rate, drive),
                config=config,
            )
            meter = VideoMeter()
            meter.add(video.frames)
            found.append(reactivity(sound.curve[: len(video.frames)], meter.figures().visual_intensity, 12.0, seed=i))
        shares = np.array([f.share for f in found])
        print(
            f"  {drive:10s} r {np.mean([f.correlation for f in found]):.2f}   mean share {shares.mean():.3f}   "
            f"{int((shares > 0.95).sum())} of {len(shares)}"
        )


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generator", default="miniature")
    parser.add_argument("--joint", default="miniature")
    parser.add_argument("--videos", type=int, default=96)
    parser.add_argument("--sounds", type=int, default=2, help="of each phenomenon")
    parser.add_argument("--no-sound", action="store_true", help="leave out reactivity")
    parser.add_argument("--clips", default="runs/styleganv/clips")
    parser.add_argument("--out", help="a folder for pictures")
    args = parser.parse_args()
    tune_malloc()
    generator = load_video_generator(args.generator)
    bench = Bench(generator, CodedClips(args.clips, generator.resolution))
    distances(bench, args.videos)
    learned_motion(bench)
    if args.out:
        Path(args.out).mkdir(parents=True, exist_ok=True)
        pictures(bench, Path(args.out))
    if not args.no_sound:
        heard(bench, load_joint(args.joint), args.sounds)


if __name__ == "__main__":
    main()
