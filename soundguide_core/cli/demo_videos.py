"""The demo's three videos: edited, generated and moved by sounds. Each leaves a .mp4 with its sound and a .png."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..common.files import replacing
from .common import progress

if TYPE_CHECKING:
    from torch import Tensor

SEED, SOUND, FRAMES, FPS = 13, "fire", 12, 6.0  # of the video that is edited
FADE = ("waves", "fire")
MOVING = "thunder"
SMOOTH_FPS, SHOWN = 12.0, 12  # of the videos that are made, and of these the frames in a picture


def edited(folder: Path, joint, seed: int) -> None:
    """video.mp4, video.png: a calm video whose upper half a fire edits, beside its source."""
    import torch

    from ..audio.waveform import load_audio, to_mono
    from ..diffusion.denoiser import load_denoiser
    from ..media.images import from_uint8
    from ..miniature.world.scenes import render
    from ..systems.video_editing import EditConfig, edit_video

    denoiser = load_denoiser("miniature", joint.device)
    size = denoiser.resolution
    frames = from_uint8(torch.from_numpy(render(SEED + seed, None, [0.0] * FRAMES, size=size, fps=FPS)))
    mask = torch.zeros(1, 1, size, size)
    mask[..., : size // 2, :] = 1
    path = folder / "sounds" / f"{SOUND}.wav"
    wave, sample_rate = load_audio(path)
    embeds = joint.encode_audio_frames(to_mono(wave), sample_rate, fps=FPS, num_frames=FRAMES)
    with progress("editing") as on_step:
        result = edit_video(
            frames, embeds, denoiser=denoiser, joint=joint, mask=mask, config=EditConfig(seed=seed), on_step=on_step
        ).frames
    _leave(folder / "video", {"source": frames, "edited": result}, FPS, path)


def generated(folder: Path, generator, seed: int) -> None:
    """generated.mp4, generated.png: waves that fade into a fire, as a video."""
    from ..audio.waveform import load_audio, to_mono
    from ..systems.sound_to_video import VideoConfig, generate_video
    from ..trajectory.trajectory import load_trajectory

    path = _crossfade(folder)
    wave, sample_rate = load_audio(path)
    with progress("generating") as on_step:
        video = generate_video(
            to_mono(wave), sample_rate, generator.sample_ws([SEED + seed], psi=0.7), generator=generator,
            trajectory=load_trajectory("miniature", generator.w_avg.device),
            config=VideoConfig(fps=SMOOTH_FPS, seed=seed), on_step=on_step,
        )  # fmt: skip
    _leave(folder / "generated", {" to ".join(FADE): video.frames}, SMOOTH_FPS, path)


def moved(folder: Path, joint, seed: int) -> None:
    """moved.mp4, moved.png: a scene of thunder that moves with a recording of it."""
    from ..audio.waveform import load_audio, to_mono
    from ..generators.loading import load_styleganv
    from ..systems.continuous_content import choose_content
    from ..systems.continuous_video import ContinuousConfig, generate_continuous, sound_curve

    path = folder / "sounds" / f"{MOVING}.wav"
    wave, sample_rate = load_audio(path)
    wave = to_mono(wave)
    generator = load_styleganv("miniature", joint.device)
    config = ContinuousConfig(wave.shape[-1] / sample_rate, SMOOTH_FPS)
    ws = choose_content(
        joint.encode_audio(wave, sample_rate), generator=generator, joint=joint, psi=0.7, seed=seed, motion_z=seed
    )  # fmt: skip
    with progress("rendering") as on_step:
        video = generate_continuous(
            ws, generator=generator, motion_z=seed, sound=sound_curve(wave, sample_rate, config.seconds, joint=joint),
            config=config, on_step=on_step,
        )  # fmt: skip
    _leave(folder / "moved", {MOVING: video.frames}, SMOOTH_FPS, path)


def _crossfade(folder: Path) -> Path:
    """The second sound of FADE after the first, each as it lies in sounds/, over a second."""
    import numpy as np
    import soundfile

    (first, sample_rate), (second, _) = (soundfile.read(folder / "sounds" / f"{name}.wav") for name in FADE)
    over = np.linspace(0, np.pi / 2, sample_rate)
    middle = first[-sample_rate:] * np.cos(over) + second[:sample_rate] * np.sin(over)
    path = folder / "sounds" / f"{'-to-'.join(FADE)}.wav"
    with replacing(path) as temporary:
        soundfile.write(temporary, np.concatenate([first[:-sample_rate], middle, second[sample_rate:]]), sample_rate)
    return path


def _leave(path: Path, rows: dict[str, Tensor], fps: float, sound: Path) -> None:
    """rows: name => frames [F,3,H,W]; side by side in path.mp4, one above the other in path.png."""
    import torch

    from ..audio.waveform import stream_audio
    from ..media.video import writing
    from .pictures import labelled_sheet

    frames = [x.cpu().clamp(-1, 1) for x in rows.values()]
    large = max(256 // frames[0].shape[2], 1)
    with writing(path.with_suffix(".mp4"), fps, stream_audio(sound)) as write:
        write(torch.nn.functional.interpolate(torch.cat(frames, dim=3), scale_factor=large, mode="bicubic"))
    at = torch.linspace(0, len(frames[0]) - 1, SHOWN).round().long()
    columns = [f"{int(i) / fps:.1f} s" for i in at]
    labelled_sheet(torch.cat([x[at] for x in frames]), columns, list(rows), path.with_suffix(".png"))
