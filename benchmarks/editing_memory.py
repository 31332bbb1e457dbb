"""Peak memory of editing a short and a long video, each in a process of its own, and their ratio.

python benchmarks/editing_memory.py [--frames 60 600] [--steps 2] [--size PX]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHILD = """
import resource, sys
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
from soundguide_core.diffusion.denoiser import load_denoiser
from soundguide_core.embedding.joint import load_joint
from soundguide_core.systems.video_editing import EditConfig, stream_edit

num_frames, steps, size = (int(text) for text in sys.argv[2:])
denoiser, joint = load_denoiser("miniature"), load_joint("miniature")
embeds = torch.nn.functional.normalize(torch.randn(num_frames, joint.dim), dim=1)

def frames():
    for i in range(num_frames):
        yield torch.rand(1, 3, 360, 640, generator=torch.Generator().manual_seed(i)) * 2 - 1

mask = torch.zeros(1, 1, 360, 640)
mask[..., :200, :] = 1
done = 0
for part in stream_edit(frames(), embeds, denoiser=denoiser, joint=joint, masks=mask,
                        config=EditConfig(steps=steps, skip=0, size=size)):
    done += len(part.frames)
assert done == num_frames
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_mb(num_frames: int, steps: int, size: int) -> tuple[float, float]:
    """(peak resident memory in MB, seconds it took) of one run."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(ROOT), str(num_frames), str(steps), str(size)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return int(done.stdout.split()[-1]) / 1024, time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, nargs=2, default=[60, 600])
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--size", type=int, default=0, help="shorter side in the model (default: as it was trained)")
    args = parser.parse_args()
    peaks = []
    for num_frames in args.frames:
        peak, took = peak_mb(num_frames, args.steps, args.size)
        peaks.append(peak)
        print(f"{num_frames:5d} frames of 640 x 360: peak {peak:6.0f} MB, {took:5.0f} s", flush=True)
    print(f"ratio {peaks[1] / peaks[0]:.3f}")


if __name__ == "__main__":
    main()
