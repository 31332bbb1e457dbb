"""What the miniature's videos are worth: Fréchet distances beside a frozen and a shuffled baseline, and reactivity.

python benchmarks/styleganv_quality.py [--generator miniature --joint miniature --videos 96 --clips FOLDER]

Features: the joint encoder's picture tower on each frame; for each video of 16 frames their mean, spread and mean step.
Real videos are the renderer's, moving as the clips of miniature/clip_codes.py do. A distance is comparable within one
table only. Rendering the clips takes some minutes the first time.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from soundguide_core.embedding.joint import load_joint
from soundguide_core.generators.loading import load_styleganv
from soundguide_core.generators.sound_motion import DRIVES, Sound
from soundguide_core.metrics.frechet import frechet_distance, window_features
from soundguide_core.metrics.reactivity import reactivity
from soundguide_core.metrics.video_meter import VideoMeter
from soundguide_core.miniature.clip_codes import NamedClips
from soundguide_core.miniature.scenes import PHENOMENA
from soundguide_core.miniature.sounds import synthesise
from soundguide_core.systems.continuous_video import ContinuousConfig, choose_content, generate_continuous, sound_of

WINDOW, RATE = 16, 22050


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generator", default="miniature")
    parser.add_argument("--joint", default="miniature")
    parser.add_argument("--videos", type=int, default=96)
    parser.add_argument("--sounds", type=int, default=2, help="of each phenomenon")
    parser.add_argument("--clips", default="runs/styleganv/clips")
    args = parser.parse_args()
    generator, joint = load_styleganv(args.generator), load_joint(args.joint)
    clips = NamedClips(args.clips, generator.resolution)

    def features(frames: torch.Tensor) -> np.ndarray:
        """frames [B,16,3,H,W] => [B,3D]"""
        embeds = torch.cat([joint.encode_image(video) for video in frames])
        return window_features(embeds, WINDOW)

    def real(seed: int) -> torch.Tensor:
        rng = torch.Generator().manual_seed(seed)
        start = 200 * torch.rand(args.videos, 1, generator=rng, dtype=torch.float64)
        times = start + torch.arange(WINDOW, dtype=torch.float64)
        # only what moves by itself: no sound
        named = clips.draw(4 * args.videos, times.repeat(4, 1), generator.z_dim, 8, rng)
        return named.frames[named.sound[:, 0, 0] == 0][: args.videos]

    def made(psi: float) -> torch.Tensor:
        ws = generator.sample_ws(range(args.videos), psi)
        t = torch.arange(WINDOW, dtype=torch.float64)[None]
        noise = [generator.motion_noise([i]) for i in range(args.videos)]
        return torch.cat([generator.video(ws[i : i + 1], t, noise[i]) for i in range(args.videos)])

    theirs, ours = real(1), made(1.0)
    order = torch.rand(ours.shape[:2], generator=torch.Generator().manual_seed(0)).argsort(dim=1)
    rows = torch.arange(len(ours))[:, None]
    target = features(theirs)
    print("Fréchet distance to rendered videos, space: miniature picture tower, windows of 16")
    for name, frames in {
        "rendered, others": real(2),
        "StyleGAN-V": ours,
        "StyleGAN-V, frozen": ours[:, :1].expand(-1, WINDOW, -1, -1, -1),
        "StyleGAN-V, frames shuffled": ours[rows, order],
        "rendered, frozen": theirs[:, :1].expand(-1, WINDOW, -1, -1, -1),
        "rendered, frames shuffled": theirs[rows, order],
    }.items():
        step = float((frames[:, 1:] - frames[:, :-1]).abs().mean() / 2)
        print(f"  {name:30s} {frechet_distance(features(frames), target):8.4f}   mean step of a pixel {step:.4f}")

    config = ContinuousConfig(seconds=8.0, fps=12.0)
    print("\nreactivity over sounds of seven phenomena: correlation, share of shuffled nulls below, videos above 95 %")
    for drive in DRIVES:
        if drive == "codes" and generator.config.sound_dim != 2:
            continue
        found = []
        for i, phenomenon in enumerate(PHENOMENA * args.sounds):
            curve = np.clip(
                0.5 + 0.5 * np.sin(np.arange(97) / 12 * 2.1 + i) + 0.2 * np.sin(np.arange(97) / 3 + i), 0, 1
            )
            wave = torch.from_numpy(
                synthesise(phenomenon, 8.0, intensity=curve, seed=7000 + i, sample_rate=RATE, fps=12)
            )
            heard = sound_of(wave, RATE, 8.0)
            ws = choose_content(joint.encode_audio(wave, RATE), generator=generator, joint=joint, psi=0.8, seed=100 * i)
            sound = Sound(heard.curve, heard.rate, drive)
            video = generate_continuous(ws, generator=generator, motion_z=i, sound=sound, config=config)
            meter = VideoMeter()
            meter.add(video.frames)
            found.append(reactivity(heard.curve[: len(video.frames)], meter.figures().seen, 12.0, seed=i))
        shares = np.array([f.share for f in found])
        print(
            f"  {drive:10s} r {np.mean([f.correlation for f in found]):.2f}   mean share {shares.mean():.3f}   "
            f"{int((shares > 0.95).sum())} of {len(shares)}"
        )


if __name__ == "__main__":
    main()
