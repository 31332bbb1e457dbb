"""What is heard told to the miniature (Sound Prompt), guiding it (Guide Model by Sound), and both, through KSampler.

Fourteen sounds that swell, two of each phenomenon; frames of one noise. A judge, part of no loss, says in how many of
the loud frames it sees the phenomenon; the rank correlation is that of loudness and change from the same picture
without a sound. Then crossfades of two sounds: how long after both are equally strong is the second one seen?

COMFYUI_PYTHON benchmarks/told_and_guided.py [--host ~/comfy/ComfyUI] [--ways told guided both] [--seeds 2]
    [--first-seed 0] [--steps 10] [--cfg 3] [--response steep even] [--tasks swell crossfade] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from miniature_listens import Bench, load_pack

FRAMES, FPS, RATE = 5, 1.25, 22050  # of a swelling sound: 4 s
FADE_SEC, FADE_FPS = 6.0, 4.0
PAIRS = (("birds", "rain"), ("fire", "waves"), ("waves", "crickets"), ("wind", "fire"))
FIRST_SOUND = 7_500_000  # of which no training and no tuning takes any
WAYS = ("nothing", "told", "guided", "both")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", type=Path, default=Path("~/comfy/ComfyUI").expanduser())
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--tasks", nargs="+", choices=("swell", "crossfade"), default=["swell", "crossfade"])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--first-seed", type=int, default=0, help="to share the seeds among processes")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--cfg", type=float, default=3.0, help="prompt guidance where something is told")
    parser.add_argument("--response", nargs="+", choices=("steep", "even"), default=["steep"], help="of what is told")
    parser.add_argument("--sounds", type=int, default=14)
    parser.add_argument("--out", type=Path, help="where sheets go")
    args = parser.parse_args()
    responses, args.unet, args.sampler, args.response, args.warm_up = args.response, "miniature", "euler", "steep", 18
    load_pack(args.host)
    import torch

    bench = Heard(args)
    with torch.inference_mode():
        for task in args.tasks:
            for way in args.ways:
                for bench.told_response in responses if way in ("told", "both") else ["steep"]:
                    getattr(bench, task)(way)


class Heard(Bench):
    """The models, and sounds that change."""

    def __init__(self, args) -> None:
        super().__init__(args)
        self.told_response = "steep"

        def part(name):
            return importlib.import_module(f"pack.{name}")

        self.synthesis = part("soundguide_core.miniature.sounds.synthesis")
        self.phenomena = part("soundguide_core.miniature.world.scenes").PHENOMENA
        self.prompt, self.words = part("nodes.sound_prompt").SoundPrompt, part("soundguide_core.pipelines.words")
        self.vocabulary = part("soundguide_core.embedding.hearing.vocabulary").read_vocabulary()
        self.ears = part("soundguide_core.embedding.hearing.loading").load_ears("miniature", "cpu")
        self.listed = [word.strip() for word in part("nodes.embedding").WORDS.split(",")]
        self.recording = part("soundguide_core.pipelines.recording")
        self.prompt_config = part("soundguide_core.embedding.prompt_config").PromptConfig

    def told_of(self, wave, fps, frames, law="sones"):
        """(positive, negative) of a wave, one row a frame, by a law of loudness."""
        import dataclasses

        recording = self.recording.Recording.of_wave(wave, RATE)
        heard = self.words.hear_words(self.ears, recording, self.listed, self.vocabulary)
        settings = dataclasses.asdict(self.prompt_config())
        return self.prompt.execute(
            heard, "", "", fps, frames, 1.0, law, "the same in every frame", '"0": "prompt"', clip=self.clip,
            audio={"waveform": wave[None, None], "sample_rate": RATE}, response=self.told_response, **settings,
        ).args[:2]  # fmt: skip

    def pictures(self, way, wave, fps, frames, seed, loud):
        """([frames,3,H,W] in -1..1, CPU seconds): frames of one noise, told or guided by the wave."""
        import torch

        positive = negative = self.nothing
        if way in ("told", "both"):
            positive, negative = self.told_of(wave, fps, frames)
        embeds = self.encoder.network().encode_audio_frames(wave, RATE, fps=fps, num_frames=frames)
        latent = {"samples": torch.zeros(frames, 3, 64, 64), "batch_index": [seed] * frames}
        guided = way in ("guided", "both")
        return self.sampled(
            "estimate" if guided else None, 1.0, embeds, latent, 13, list(loud) if guided else None,
            positive=positive, negative=negative, cfg=self.args.cfg if way in ("told", "both") else 1.0,
        )  # fmt: skip

    def loudness(self, wave, fps, frames):
        """[frames] in 0..1, the loudest 1: as Audio Curve gives it, in sones."""
        recording = self.recording.Recording.of_wave(wave, RATE)
        values = self.recording.feature_curve(recording, "loudness", fps, num_frames=frames, law="sones")
        return values / values.max()

    def swell(self, way) -> None:
        import numpy as np
        import torch

        swell = np.array([0.12, 0.5, 1.0, 0.8, 0.25])
        named, quiet, ranks, shown, seconds, per = [], [], [], [], 0.0, {}
        for k in range(self.args.sounds):
            name = self.phenomena[k % len(self.phenomena)]
            wave = torch.from_numpy(self.synthesis.synthesise(
                name, FRAMES / FPS, intensity=swell, seed=FIRST_SOUND + k, sample_rate=RATE, fps=FPS
            ))  # fmt: skip
            loud = self.loudness(wave, FPS, FRAMES)
            for seed in range(self.args.first_seed, self.args.first_seed + self.args.seeds):
                img, took = self.pictures(way, wave, FPS, FRAMES, seed, loud)
                bare = self.bare(seed)
                right = np.array([found == name for found in self.judge.name(img)])
                named += list(right[loud > 0.5])
                quiet += list(right[loud < 0.2])
                per.setdefault(name, []).extend(right[loud > 0.5])
                change = (img - bare).abs().mean((1, 2, 3)).numpy()
                ranks.append(self.rank(loud, change) if change.any() else 0.0)
                seconds += took
                if seed == self.args.first_seed:
                    shown.append(img)
        print(
            f"swell     {way:<8}{self.told_response:<6} named where loud {np.mean(named):.2f} of {len(named)}, "
            f"where quiet {np.mean(quiet or [0]):.2f}  rank {np.mean(ranks):.2f} (least {np.min(ranks):.2f})  "
            f"strangeness {self.strange(torch.cat(shown)):.4f}  {seconds / self.args.seeds:.1f} s a seed  "
            + ", ".join(f"{each} {np.mean(found):.2f}" for each, found in per.items()),
            flush=True,
        )
        self._save(f"swell {way}", torch.cat(shown), [f"{i}" for i in range(FRAMES)])

    def bare(self, seed):
        """The picture of this noise without a sound, [1,3,H,W]."""
        import torch

        known = self.__dict__.setdefault("_bare", {})
        if seed not in known:
            latent = {"samples": torch.zeros(1, 3, 64, 64), "batch_index": [seed]}
            known[seed] = self.sampled(None, 0.0, None, latent, 13)[0]
        return known[seed]

    def crossfade(self, way) -> None:
        """One sound gives way to another within a quarter of a second, in the middle."""
        import numpy as np
        import torch

        frames, lags, shown = round(FADE_SEC * FADE_FPS), [], []
        for k, pair in enumerate(PAIRS):
            one, other = (
                torch.from_numpy(
                    self.synthesis.synthesise(name, FADE_SEC, seed=FIRST_SOUND + 100 + k, sample_rate=RATE)
                )
                for name in pair
            )
            one, other = (wave / wave.square().mean().sqrt() * 0.1 for wave in (one, other))  # alike in loudness
            t = torch.arange(len(one)) / RATE
            share = ((t - FADE_SEC / 2) / 0.25 + 0.5).clamp(0, 1)
            wave = one * (1 - share).sqrt() + other * share.sqrt()
            near = slice(frames // 2 - 5, frames // 2 + 5)  # 1.25 s on each side
            img = self.cut(way, wave, frames, near, k)
            sure = self.judge.predict(img)
            first, second = (sure[:, self.judge.classes.index(name)] for name in pair)
            ahead = (second > first).tolist()
            start = next((i for i in range(len(ahead)) if all(ahead[i:])), None)
            times = (np.arange(frames)[near] + 0.5) / FADE_FPS - FADE_SEC / 2
            lags.append(float("inf") if start is None else float(times[start]) - 0.5 / FADE_FPS)
            shown.append(img)
        print(f"crossfade {way:<8}{self.told_response:<6} the second sound is seen after " + ", ".join(
            f"{lag:+.2f} s ({' to '.join(pair)})" for lag, pair in zip(lags, PAIRS)), flush=True)  # fmt: skip
        self._save(f"crossfade {way}", torch.cat(shown), [f"{x:+.2f}" for x in times])

    def cut(self, way, wave, frames, near, seed):
        """The pictures of some frames, told and guided by all of the wave."""
        import torch

        positive = negative = self.nothing
        count = near.stop - near.start
        if way in ("told", "both"):
            positive, negative = (
                [[text[near] if len(text) > 1 else text,
                  {key: value[near] if isinstance(value, torch.Tensor) and len(value) == frames else value
                   for key, value in more.items() if key != "model_conds"}] for text, more in side]
                for side in self.told_of(wave, FADE_FPS, frames, "constant")
            )  # fmt: skip
        embeds = self.encoder.network().encode_audio_frames(wave, RATE, fps=FADE_FPS, num_frames=frames)[near]
        latent = {"samples": torch.zeros(count, 3, 64, 64), "batch_index": [seed] * count}
        guided = way in ("guided", "both")
        return self.sampled(
            "estimate" if guided else None, 1.0, embeds, latent, 13, None,
            positive=positive, negative=negative, cfg=self.args.cfg if way in ("told", "both") else 1.0,
        )[0]  # fmt: skip


if __name__ == "__main__":
    main()
