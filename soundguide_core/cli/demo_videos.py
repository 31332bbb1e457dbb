"""The demo's three videos: edited, generated and moved by sounds. Each leaves a .mp4 with its sound and a .png."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..common.files import replacing
from .common import progress

if TYPE_CHECKING:
    from torch import Tensor

    from .demo_models import Demo

SEED, SOUND = 13, "fire"  # of the video that is edited
FADE = ("waves", "fire")
MOVING = "thunder"
FILM_FRAMES, FILM_FPS = 16, 8.0
SMOOTH_FPS, SHOWN = 12.0, 12  # of the videos that are made, and of these the frames in a picture


def edited(demo: Demo) -> None:
    """video.mp4, video.png: a calm video whose upper half a fire edits, beside its source."""
    import torch

    from ..diffusion.denoiser import load_denoiser
    from ..media.images import from_uint8
    from ..miniature.world.scenes import render
    from ..pipelines.hearing import Hearing
    from ..pipelines.recording import Recording
    from ..pipelines.video_editing import EditNetworks, edit_whole
    from ..systems.configs.video_editing import CONSTANT, EditConfig, LeadConfig

    denoiser = load_denoiser("miniature", demo.joint.device)
    size = denoiser.resolution
    assert size is not None  # the miniature's file says it
    count, fps = demo.size.frames, demo.size.edit_fps
    frames = from_uint8(torch.from_numpy(render(SEED + demo.seed, None, [0.0] * count, size=size, fps=fps)))
    mask = torch.zeros(1, 1, size, size)
    mask[..., : size // 2, :] = 1
    path = demo.folder / "sounds" / f"{SOUND}.wav"
    heard = Hearing(demo.joint, Recording.of_file(path)).heard(fps, count)
    with progress("editing") as on_step:
        result = edit_whole(
            frames, heard, EditNetworks(denoiser, demo.joint), EditConfig(seed=demo.seed),
            lead=LeadConfig(loudness=CONSTANT), masks=mask, on_step=on_step,
        ).frames  # fmt: skip
    _leave(demo.folder / "video", {"source": frames, "edited": result}, fps, path)


def generated(demo: Demo) -> None:
    """generated.mp4, generated.png: waves that fade into a fire, as a video."""
    import torch

    from ..pipelines.recording import Recording
    from ..pipelines.sound_to_video import generate
    from ..systems.configs.sound_to_video import VideoConfig
    from ..trajectory.loading import load_trajectory

    path = _crossfade(demo.folder)
    with progress("generating") as on_step:
        parts, _ = generate(
            Recording.of_file(path), demo.generator.sample_ws([SEED + demo.seed], psi=0.7), generator=demo.generator,
            trajectory=load_trajectory("miniature", demo.generator.w_avg.device),
            config=VideoConfig(fps=SMOOTH_FPS, seed=demo.seed), on_step=on_step,
        )  # fmt: skip
        frames = torch.cat([part.frames for part in parts])
    _leave(demo.folder / "generated", {" to ".join(FADE): frames}, SMOOTH_FPS, path)


def moved(demo: Demo) -> None:
    """moved.mp4, moved.png: a scene of thunder that moves with a recording of it."""
    import torch

    from ..generators.loading import load_video_generator
    from ..pipelines.continuous_video import listen, plan
    from ..pipelines.recording import Recording
    from ..systems.configs.continuous_video import ContentConfig, ContinuousConfig, MotionConfig

    path = demo.folder / "sounds" / f"{MOVING}.wav"
    heard, seconds = listen(Recording.of_file(path), None)
    video = plan(
        load_video_generator("miniature", demo.joint.device), demo.joint, heard, ContinuousConfig(seconds, SMOOTH_FPS),
        content=ContentConfig(demo.seed, psi=0.7), motion=MotionConfig(demo.seed),
    )  # fmt: skip
    with progress("rendering") as on_step:
        frames = torch.cat([part.frames for part in video.render(on_step)])
    _leave(demo.folder / "moved", {MOVING: frames}, SMOOTH_FPS, path)


def film(demo: Demo) -> None:
    """my-film.mp4, my-sky.mp4: a camera that moves over the photograph, and where its sky is; to edit by oneself."""
    from ..media.images import load_image
    from ..media.video_writing import writing
    from .demo_pictures import MASK, PICTURE

    if not demo.credit:  # there is no photograph
        return
    for source, name in ((PICTURE, "my-film.mp4"), (MASK, "my-sky.mp4")):
        img = load_image(demo.folder / source)
        height, width = (2 * (side * 7 // 16) for side in img.shape[2:])
        with writing(demo.folder / name, FILM_FPS) as write:
            for i in range(FILM_FRAMES):
                x = round(i * (img.shape[3] - width) / (FILM_FRAMES - 1))
                write(img[:, :, :height, x : x + width])


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
    from ..media.video_writing import writing
    from .pictures import labelled_sheet

    frames = [x.cpu().clamp(-1, 1) for x in rows.values()]
    large = max(256 // frames[0].shape[2], 1)
    with writing(path.with_suffix(".mp4"), fps, stream_audio(sound)) as write:
        write(torch.nn.functional.interpolate(torch.cat(frames, dim=3), scale_factor=large, mode="bicubic"))
    at = torch.linspace(0, len(frames[0]) - 1, SHOWN).round().long()
    columns = [f"{int(i) / fps:.1f} s" for i in at]
    labelled_sheet(torch.cat([x[at] for x in frames]), columns, list(rows), path.with_suffix(".png"))
