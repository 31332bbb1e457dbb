"""Sound-guided video generation (systems/sound_to_video.py) from a recording and a start picture to frames.

    start_latents   a seed, a picture or words  => ws_src [1,L,D]
    invert          recording, ws_src           => segments [F,L,D], one for each frame
    latent_path     segments, ws_src            => ws [F,L,D], the path that the recurrent modules take
    generate        all of it                   => frames [F,3,H,W]
    generate_some   all of it, to look at       => some of these frames

The command `generate` calls the last, the nodes Sound Inversion and Latent Path the ones before it; everything comes in
chunks of config.chunk frames. Axes: F frames, L layers, D dims, H W.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..common.batches import Batches
from ..common.errors import InputError, check_number
from ..common.types import TrajectoryModel
from ..systems.configs.sound_to_video import VideoConfig
from ..systems.sound_to_video import (
    GeneratedVideo,
    invert_sound,
    start_from_text,
    stream_path,
    stream_video,
)
from .inversion import check_no_class
from .recording import Recording, frame_count

if TYPE_CHECKING:
    from ..embedding.joint import JointEncoder
    from ..generators.generator import StyleGenerator


def start_latents(
    generator: StyleGenerator,
    joint: JointEncoder,
    *,
    seed: int = 0,
    psi: float = 0.7,
    class_index: int | None = None,
    img: Tensor | None = None,
    text: str | None = None,
    on_step=None,
) -> Tensor:
    """ws [1,L,D] of the picture that the sound changes: img [1,3,H,W] found in the generator, the one that means most
    what the text says, or the seed's; the latter two of one class where class_index names it."""
    check_number(psi, "The truncation psi", low=0, high=2)
    if img is not None:
        from ..latents.projection import project

        check_no_class(class_index)
        return project(img, generator, features=joint.encode_image, seed=seed, on_step=on_step).ws
    if text is not None:
        return start_from_text(
            [text], generator=generator, joint=joint, psi=psi, seed=seed, class_index=class_index
        )  # fmt: skip
    return generator.sample_ws([seed], psi=psi, class_index=class_index)


def invert(
    recording: Recording,
    ws_src: Tensor,
    trajectory: TrajectoryModel,
    *,
    num_frames: int | None = None,
    seconds: float | None = None,
    config: VideoConfig,
) -> tuple[Iterator[Tensor], int]:
    """(chunks of segments [F,L,D], the number of frames): num_frames, else seconds, else as many as the sound lasts."""
    check_start(ws_src, trajectory)
    recording = heard_part(recording, config.fps, num_frames=num_frames, seconds=seconds)
    track = recording.mel_track(trajectory.spec)
    count = frame_count(track.seconds, config.fps, num_frames=num_frames, video_seconds=seconds)
    return invert_sound(track, ws_src, trajectory, count, config), count


def latent_path(segments: Tensor, ws_src: Tensor, trajectory: TrajectoryModel, config: VideoConfig) -> Iterator[Tensor]:
    """The path along segments [F,L,D]: chunks [F,L,D]."""
    check_start(ws_src, trajectory)
    return stream_path((part.to(ws_src) for part in segments.split(config.chunk)), ws_src, trajectory, config)


def generate(
    recording: Recording,
    ws_src: Tensor,
    *,
    generator: StyleGenerator,
    trajectory: TrajectoryModel,
    num_frames: int | None = None,
    seconds: float | None = None,
    config: VideoConfig,
    batches: Batches | None = None,
    on_step=None,
) -> tuple[Iterator[GeneratedVideo], int]:
    """(the video in batches, the number of its frames): num_frames, else seconds, else as many as the sound lasts."""
    trajectory.check(generator)
    check_start(ws_src, trajectory)
    recording = heard_part(recording, config.fps, num_frames=num_frames, seconds=seconds)
    track = recording.mel_track(trajectory.spec)
    count = frame_count(track.seconds, config.fps, num_frames=num_frames, video_seconds=seconds)
    video = stream_video(
        track, ws_src, generator=generator, trajectory=trajectory, num_frames=count, config=config,
        batches=batches, on_step=on_step,
    )  # fmt: skip
    return video, count


def length_of(recording: Recording, trajectory: TrajectoryModel, fps: float, *, seconds: float | None) -> int:
    """The number of frames: for so many seconds, or as many as the sound lasts."""
    return frame_count(recording.mel_track(trajectory.spec).seconds, fps, video_seconds=seconds)


def generate_some(
    recording: Recording,
    ws_src: Tensor,
    frames: Sequence[int],
    *,
    generator: StyleGenerator,
    trajectory: TrajectoryModel,
    num_frames: int,
    config: VideoConfig,
    on_step=None,
) -> Tensor:
    """The frames of these numbers, rising, [n,3,H,W], as `generate` makes them; no others are rendered."""
    trajectory.check(generator)
    segments, _ = invert(recording, ws_src, trajectory, num_frames=num_frames, config=config)
    wanted, chosen, first = set(frames), [], 0
    for ws in stream_path(segments, ws_src, trajectory, config):
        with torch.no_grad():
            chosen += [generator.synthesis(ws[i : i + 1]) for i in range(len(ws)) if first + i in wanted]
        first += len(ws)
        if on_step is not None:
            on_step(first - 1, num_frames)
        if len(chosen) == len(wanted):
            break
    return torch.cat(chosen)


def heard_part(recording: Recording, fps: float, *, num_frames: int | None, seconds: float | None) -> Recording:
    """What a video of that length hears of a recording, all of it where no length is given."""
    length = num_frames / fps if num_frames else seconds
    return recording if length is None or recording.most_sec is not None else recording.first(length)


def check_start(ws_src: Tensor, trajectory: TrajectoryModel) -> None:
    """Refuse more than one start picture, or one of a generator that these networks were not trained for."""
    if len(ws_src) != 1:
        raise InputError(f"{len(ws_src)} start pictures have no one video.", "Send one picture.")
    wanted = (trajectory.num_ws, trajectory.w_dim)
    if tuple(ws_src.shape[1:]) != wanted:
        raise InputError(
            f"The start picture's latents are {list(ws_src.shape[1:])}, these networks move {list(wanted)}.",
            "Load the generator that they were trained with.",
        )
