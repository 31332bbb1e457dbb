"""How far films follow their sound before and after Change Video by Sound, on a fixed set: the score of Sound Report.

    python benchmarks/sync_score.py [--frames 24] [--fps 6]

One calm film and one swelling sound of each phenomenon, seeds 0 to 6, with default settings, where the strength follows
the loudness in sones. score: the share of 200 shuffled sounds that the film follows less than its own; .5 is chance.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from soundguide_core.diffusion.denoiser import load_denoiser
from soundguide_core.embedding.joint import load_joint
from soundguide_core.media.images import from_uint8
from soundguide_core.miniature.sounds.synthesis import synthesise
from soundguide_core.miniature.world.scenes import PHENOMENA, render
from soundguide_core.pipelines.hearing import Hearing
from soundguide_core.pipelines.recording import Recording
from soundguide_core.pipelines.report import ReportMeter
from soundguide_core.pipelines.video_editing import EditNetworks, edit_whole
from soundguide_core.systems.configs.video_editing import SONES, EditConfig, LeadConfig

RATE = 44100


def report(frames, joint, hearing, recording, fps):
    heard = hearing.heard(fps, len(frames)).embeds
    meter = ReportMeter(fps, joint, lambda first, count: heard[first : first + count])
    meter.add(frames)
    found = meter.finish(recording.loudness(fps, len(frames), joint.spec.drawn))
    return found.reactivity


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--fps", type=float, default=6.0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    joint, denoiser = load_joint("miniature"), load_denoiser("miniature")
    course = np.sin(np.pi * np.linspace(0, 1, args.frames)) ** 2
    print("| sound | score before | after | correlation before | after | CPU s |\n|---|---|---|---|---|---|")
    totals = []
    for seed, phenomenon in enumerate(PHENOMENA):
        seconds, how = args.frames / args.fps, {"seed": seed, "sample_rate": RATE, "fps": args.fps}
        wave = synthesise(phenomenon, seconds, intensity=course, **how)
        recording = Recording.of_wave(torch.from_numpy(wave)[None], RATE)
        hearing = Hearing(joint, recording)
        frames = from_uint8(torch.from_numpy(render(seed, None, [0.0] * args.frames, size=64, fps=args.fps)))
        began = time.process_time()
        edited = edit_whole(
            frames, hearing.heard(args.fps, args.frames), EditNetworks(denoiser, joint, None), EditConfig(seed=seed),
            lead=LeadConfig(loudness=SONES),
        )  # fmt: skip
        took = time.process_time() - began
        before, after = (report(x, joint, hearing, recording, args.fps) for x in (frames, edited.frames))
        totals.append((before.share, after.share))
        print(
            f"| {phenomenon} | {before.share:.2f} | {after.share:.2f} | {before.correlation:.2f} | "
            f"{after.correlation:.2f} | {took:.0f} |", flush=True,
        )  # fmt: skip
    before, after = np.mean(totals, axis=0)
    print(f"| mean | {before:.2f} | {after:.2f} | | | |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
