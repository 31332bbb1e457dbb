"""StyleGAN-V: A Continuous Video Generator with the Price, Image Quality and Perks of StyleGAN2 (Skorokhodov et al.
2022): video as a function of time, and, which is ours, moved by sound.

    frame(t) = G(ws, v(t)),  t = fps_G * seconds         content shared over time, motion codes v at any real t

How a sound moves v is in generators/sound_motion.py; without one this is StyleGAN-V to the bit. Where ws come from:
continuous_content.py. Axes: B batch, F frames, L layers, D dims, H W.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..audio import features
from ..audio.waveform import check_wave
from ..common.arguments import checks_arguments
from ..common.batches import Batches
from ..common.errors import check_number
from ..common.shapes import check_shape
from ..common.types import JointSpace, OnStep, VideoGenerator
from ..generators.motion import Noise
from ..generators.sound_motion import SoundCurve, motion_at
from .configs.continuous_video import ContinuousConfig


@dataclass
class ContinuousVideo:
    """frames [F,3,H,W] about -1..1, the frame rate, and s(t) at each frame [F] or None."""

    frames: Tensor
    fps: float
    curve: np.ndarray | None


@checks_arguments
def generate_continuous(
    ws: Tensor,
    *,
    generator: VideoGenerator,
    motion_z: Noise | int = 0,
    sound: SoundCurve | None = None,
    config: ContinuousConfig | None = None,
    start_sec: float = 0.0,
    on_step: OnStep | None = None,
) -> ContinuousVideo:
    """A video whole in memory; stream_continuous gives the same in chunks.

    Args:
        ws: [1,L,D] content, from sample_ws, choose_content, edit_continuous or project_clip.
        generator: a StyleGAN-V. motion_z: a motion seed, or motion noise [1,A,D].
        sound: what it moves with; None for no sound. start_sec: where in its motion it begins.
        on_step: on_step(frame, num_frames, {}, preview) after each chunk; an exception from it ends the work.

    Raises:
        InputError: ws of another generator, or a modulation that this generator does not have.

    Example:
        generator = sg.load_video_generator()
        wave, sample_rate = sg.load_audio("rain.wav")
        sound = sg.sound_curve(wave.mean(0), sample_rate, seconds=1.0)
        video = sg.generate_continuous(
            generator.sample_ws([3]), generator=generator, sound=sound, config=sg.ContinuousConfig(seconds=1.0, fps=4.0)
        )
        print(video.frames.shape, video.curve)
    """
    config = config or ContinuousConfig()
    parts = list(
        stream_continuous(
            ws, generator=generator, motion_z=motion_z, sound=sound, config=config, start_sec=start_sec, on_step=on_step
        )
    )  # fmt: skip
    curve = None if sound is None else np.concatenate([part.curve for part in parts if part.curve is not None])
    return ContinuousVideo(torch.cat([part.frames for part in parts]), config.fps, curve)


@checks_arguments
def stream_continuous(
    ws: Tensor,
    *,
    generator: VideoGenerator,
    motion_z: Noise | int = 0,
    sound: SoundCurve | None = None,
    config: ContinuousConfig | None = None,
    start_sec: float = 0.0,
    batches: Batches | None = None,
    on_step: OnStep | None = None,
) -> Iterator[ContinuousVideo]:
    """The video a batch of frames at a time: an hour needs the memory of a second.

    Args:
        as generate_continuous. batches: how many frames at once; None for config.chunk.

    Raises:
        InputError: as generate_continuous.

    Example:
        generator = sg.load_video_generator()
        ws, config = generator.sample_ws([3]), sg.ContinuousConfig(seconds=1.0, fps=4.0)
        for part in sg.stream_continuous(ws, generator=generator, config=config):
            print(part.frames.shape)
    """
    config = config or ContinuousConfig()
    sound, batches = _closed(sound, config), batches or Batches(config.chunk)
    done = 0

    def rendered(count: int) -> Tensor:
        return _rendered(ws, _seconds(done, count, config), generator, motion_z, sound, config, start_sec)

    while done < config.num_frames:
        frames = batches.run(rendered, config.num_frames - done)
        seconds = _seconds(done, len(frames), config)
        done += len(frames)
        if on_step is not None:
            on_step(done - 1, config.num_frames, {}, lambda frames=frames: frames[-1:])
        yield ContinuousVideo(frames, config.fps, None if sound is None else sound.at(_within(seconds, config)))


def frames_at(
    ws: Tensor,
    seconds: np.ndarray,
    *,
    generator: VideoGenerator,
    motion_z: Noise | int = 0,
    sound: SoundCurve | None = None,
    config: ContinuousConfig | None = None,
    start_sec: float = 0.0,
) -> Tensor:
    """The frames [F,3,H,W] at any seconds [F] of the video that stream_continuous makes."""
    config = config or ContinuousConfig()
    return _rendered(ws, seconds, generator, motion_z, _closed(sound, config), config, start_sec)


@torch.no_grad()
def _rendered(
    ws: Tensor, seconds: np.ndarray, generator: VideoGenerator, motion_z, sound: SoundCurve | None,
    config: ContinuousConfig, start_sec: float,
) -> Tensor:  # fmt: skip
    check_shape(ws, f"1 {generator.num_ws} {generator.w_dim}", name="the content")
    motion_v = motion_at(generator, seconds, motion_z, sound, config.period_sec, start_sec)
    return generator.render(ws, motion_v)[0]


def _closed(sound: SoundCurve | None, config: ContinuousConfig) -> SoundCurve | None:
    """A loop's curve ends as it begins."""
    period = config.period_sec
    return sound if sound is None or period is None else sound.looped(period)


def _seconds(first: int, count: int, config: ContinuousConfig) -> np.ndarray:
    """Of so many frames from the first on."""
    return np.arange(first, first + count) / config.fps


def _within(seconds: np.ndarray, config: ContinuousConfig) -> np.ndarray:
    period = config.period_sec
    return seconds if period is None else np.remainder(seconds, period)


@checks_arguments
@torch.no_grad()
def sound_curve(
    wave: Tensor,
    sample_rate: float,
    seconds: float,
    *,
    rate: float = 12.0,
    feature: str = "loudness",
    joint: JointSpace | None = None,
    modulate: str | None = None,
    strength: float | None = None,
) -> SoundCurve:
    """wave [N] => its SoundCurve: one of audio.features.curves, smoothed, its 5th to 95th percentile stretched to 0..1.

    joint: with an encoder, moments that do not sound like the recording as a whole (a voice in the rain) count less.
    A recording that hardly changes moves little: the curve spans no less than a quarter of the feature's own range.

    Args:
        wave: at sample_rate in Hz. seconds: of the video; rate: values of the curve a second.
        feature: "loudness", "onset", "beat" or "centroid". modulate, strength: see SoundCurve.

    Raises:
        InputError: there is no such feature, or nothing to hear.
    """
    check_wave(wave, sample_rate)
    check_number(seconds, "The length of the video", low=0)
    check_number(rate, "The rate of the curve", low=1e-3, high=1e5)
    count = max(round(seconds * rate), 1)
    curve = features.curve(feature, wave, sample_rate, rate, count)
    curve = np.convolve(np.pad(curve, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")
    heard = curve[: max(min(round(wave.shape[-1] / sample_rate * rate), count), 1)]
    low, high = np.percentile(heard, (5, 95)) if heard.max() > 0 else (0.0, 1.0)
    curve = np.clip((curve - low) / max(high - low, 0.25), 0, 1)
    if joint is not None:
        whole = joint.encode_audio(wave, sample_rate)
        moments = joint.encode_audio_frames(wave, sample_rate, fps=rate, num_frames=count)
        nearness = (moments @ whole[0]).clamp(min=0).cpu().numpy()
        curve = curve * nearness / max(float(nearness.max()), 1e-6)
    return SoundCurve(curve, rate, modulate, strength)
