"""Sound-Guided Semantic Video Generation (Lee et al., ECCV 2022), section 3: a sound becomes a video.

    w_hat^t = E_a(x_a^t) + w                                   the segment of sound around frame t, and a source picture
    w^t     = (R_coarse, R_mid, R_fine)(w^{t-1}, w_hat^t)      trajectory.py
    v^t     = G(w^t)

Every frame has its own segment, so the video follows the sound as it changes, for as long as it lasts; the released
code heard the sound once and drifted. Axes: F frames, L layers, D dims, H W.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..audio.track import MelTrack
from ..common.arguments import checks_arguments
from ..common.batches import Batches
from ..common.errors import InputError, check_number
from ..common.shapes import check_shape
from ..common.types import ImageGenerator, JointSpace, OnStep, TrajectoryModel
from ..generators.latents import nearest_sample
from ..trajectory.trajectory import smooth
from .configs.sound_to_video import VideoConfig

AHEAD = 4  # times the frames of a batch: those whose latents are found at once


@dataclass
class GeneratedVideo:
    """frames [F,3,H,W] about -1..1, their latents ws [F,L,D], and the frame rate."""

    frames: Tensor
    ws: Tensor
    fps: float


@checks_arguments
def generate_video(
    wave: Tensor,
    sample_rate: float,
    ws_src: Tensor,
    *,
    generator: ImageGenerator,
    trajectory: TrajectoryModel,
    num_frames: int | None = None,
    config: VideoConfig | None = None,
    on_step: OnStep | None = None,
) -> GeneratedVideo:
    """A video of a sound, whole in memory; stream_video gives the same in chunks.

    Args:
        wave: [N] or [C,N], at sample_rate.
        ws_src: [1,L,D], the picture that the sound changes: from sample_ws, project, or start_from_text.
        generator: .synthesis(ws) => [F,3,H,W]. trajectory: trained for it.
        num_frames: None for as long as the sound lasts; what is longer goes on in silence.
        config: frame rate, strength, smoothing, noise; see VideoConfig.
        on_step: on_step(frame, num_frames, {}, preview) after each chunk; an exception from it ends the work.

    Raises:
        InputError: nothing to hear, or networks that do not fit one another.

    Example:
        generator, trajectory = sg.load_generator(), sg.load_trajectory()
        wave, sample_rate = sg.load_audio("rain.wav")
        video = sg.generate_video(
            wave, sample_rate, generator.sample_ws([3]), generator=generator, trajectory=trajectory, num_frames=4
        )
        print(video.frames.shape, video.fps)
    """
    config = config or VideoConfig()
    track = MelTrack.of_wave(wave, sample_rate, trajectory.spec)
    chunks = list(
        stream_video(
            track, ws_src, generator=generator, trajectory=trajectory, num_frames=num_frames, config=config,
            on_step=on_step,
        )
    )  # fmt: skip
    return GeneratedVideo(torch.cat([c.frames for c in chunks]), torch.cat([c.ws for c in chunks]), config.fps)


@checks_arguments
def stream_video(
    track: MelTrack,
    ws_src: Tensor,
    *,
    generator: ImageGenerator,
    trajectory: TrajectoryModel,
    num_frames: int | None = None,
    config: VideoConfig | None = None,
    batches: Batches | None = None,
    on_step: OnStep | None = None,
) -> Iterator[GeneratedVideo]:
    """The video a batch of frames at a time: a long one needs the memory of a short one.

    Args:
        track: the sound, made by trajectory.spec. The others as in generate_video.
        batches: how many frames the generator renders at once, where that is not config.chunk. Latents are then found
            for AHEAD times config.chunk frames at once, which hears what lies between them fewer times.

    Raises:
        InputError: as generate_video.

    Example:
        generator, trajectory = sg.load_generator(), sg.load_trajectory()
        track = sg.MelTrack.of_file("rain.wav", trajectory.spec)
        how = {"generator": generator, "trajectory": trajectory, "num_frames": 4}
        for part in sg.stream_video(track, generator.sample_ws([3]), **how):
            print(part.frames.shape)
    """
    config = config or VideoConfig()
    num_frames = track.frames(config.fps) if num_frames is None else num_frames
    check_number(num_frames, "The number of frames", low=1)
    trajectory.check(generator)
    ahead = config if batches is None else replace(config, chunk=AHEAD * config.chunk)
    batches, done = batches or Batches(config.chunk), 0
    for ws in stream_path(invert_sound(track, ws_src, trajectory, num_frames, ahead), ws_src, trajectory, ahead):
        while len(ws):
            with torch.no_grad():
                frames = batches.run(lambda n, ws=ws: generator.synthesis(ws[:n]), len(ws))
            shown, ws = ws[: len(frames)], ws[len(frames) :]
            done += len(frames)
            if on_step is not None:
                on_step(done - 1, num_frames, {}, lambda frames=frames: frames[-1:])
            yield GeneratedVideo(frames, shown, config.fps)


def invert_sound(
    track: MelTrack, ws_src: Tensor, trajectory: TrajectoryModel, num_frames: int, config: VideoConfig
) -> Iterator[Tensor]:
    """w_hat = E_a(x_a) + w, of every frame's segment: chunks [F,L,D]."""
    check_shape(ws_src, "1 L D", name="the source latents")
    return trajectory.segments(track, ws_src, num_frames, config)


def stream_path(
    w_hats: Iterator[Tensor], ws_src: Tensor, trajectory: TrajectoryModel, config: VideoConfig
) -> Iterator[Tensor]:
    """The path that the recurrent modules take through chunks of w_hat [F,L,D]: chunks of the same size."""
    state = last = None
    for w_hat in w_hats:
        with torch.no_grad():
            if state is None:
                state = trajectory.init_state(ws_src, w_hat[:1], seed=config.seed if config.noise else None)
            ws, state = trajectory.rollout(w_hat[None], state)
            ws = smooth(ws_src + config.strength * (ws[0] - ws_src), last, config.smoothing)
            last = ws[-1]
        yield ws


@checks_arguments
@torch.no_grad()
def start_from_text(
    text: Sequence[str],
    *,
    generator: ImageGenerator,
    joint: JointSpace,
    candidates: int = 128,
    psi: float = 0.7,
    seed: int = 0,
    class_index: int | None = None,
    chunk: int = 16,
) -> Tensor:
    """The source picture that means most what the text says, among random pictures of the generator => ws [1,L,D].

    class_index: whose pictures, of a class-conditional generator; None for those of all classes.

    Args:
        text: a few words, of which the mean meaning counts. candidates: random pictures that are looked at, `chunk` at
            a time; psi: how far they are from the average; seed: of them.

    Raises:
        InputError: no text, or a class that the generator does not have.

    Example:
        ws = sg.start_from_text(["a lake"], generator=sg.load_generator(), joint=sg.load_joint(), candidates=16)
    """
    if not isinstance(text, Sequence) or not text:
        raise InputError("There is no text to start from.", "Give a few words.")
    check_number(candidates, "The number of candidates", low=1, high=100_000)
    wanted = joint.encode_text([text] if isinstance(text, str) else list(text)).mean(dim=0)
    return nearest_sample(
        wanted, [(seed + i) % 2**32 for i in range(candidates)], psi, generator=generator, joint=joint,
        render=generator.synthesis, class_index=class_index, most=chunk,
    )  # fmt: skip
