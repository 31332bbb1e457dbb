"""Soundini: Sound-Guided Diffusion for Natural Video Editing (S. H. Lee et al. 2023): a sound edits part of a video.

    x0_hat is drawn to lower   lambda_SG L_SG + lambda_DSG L_DSG + (T - t)/T lambda_flow L_flow + lambda_back L_back
    x_{t-1} <- m x_{t-1} + (1 - m) (x_src at level t-1)

in windows that follow one another: the last finished frame of one stands before the first frame of the next in every
loss that couples frames. Axes: F frames, D dims, H W picture; h w at the scale of the diffusion model.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..common.arguments import checks_arguments
from ..common.errors import InputError
from ..common.precision import multiplies_bfloat16
from ..common.types import Denoiser, FlowEstimator, JointSpace, OnStep, PerceptualDistance
from ..diffusion import guided_denoiser
from ..diffusion.denoiser import in_bfloat16
from ..diffusion.placed_sounds import placed_sounds
from ..diffusion.sampler import FrameNoise, SamplerConfig, Step, plan, sample
from ..diffusion.warm_up import WarmUp
from ..diffusion.windows import (
    EditedVideo,
    Place,
    PreviousFrame,
    Reached,
    Window,
    check_video,
    continued,
    laid_on,
    next_masks,
    windows,
    working_size,
)
from ..embedding.joint import smooth_embeds
from ..flow.estimators import load_flow
from ..flow.optical_flow import Flow
from ..losses import editing, released_editing
from ..losses.views import PlacedSounds, SoundTerms, Views, encode_views
from ..media.detail_transfer import mixed_pixels, transfer_detail
from ..media.images import resize
from ..media.masks import composite, feathered
from .configs.video_editing import AUTO, BFLOAT16, CLEAN, PER_PAIR, RELEASED, TERMS, EditConfig

FPS = 24.0  # of a film, where it is not said


@checks_arguments
def edit_video(
    frames: Tensor,
    embeds: Tensor,
    *,
    denoiser: Denoiser,
    joint: JointSpace,
    mask: Tensor | None = None,
    flow: Flow | FlowEstimator | None = None,
    perceptual: PerceptualDistance | None = None,
    curves: Mapping[str, Tensor] | None = None,
    presence: Tensor | None = None,
    places: Sequence[Place] = (),
    fps: float = FPS,
    config: EditConfig | None = None,
    on_step: OnStep | None = None,
) -> EditedVideo:
    """Edit a video by the meaning of a sound, whole in memory; stream_edit gives the same a window at a time.

    Args:
        frames: [F,3,H,W] in -1..1, of any size; where the mask is 0 the result equals them to the bit.
        embeds: [F,D], what is heard at each frame, or [1,D] for all, unit norm; mix_embeds adds a text.
        denoiser: a Denoiser. joint: .encode_image(img) => [F,D] unit norm, differentiable.
        mask: [F,1,h,w] or [1,1,h,w] in 0..1, 1 where to edit, in the shape of the frames; None edits everything.
        flow: what estimates it, or the Flow of all frames; None for load_flow().
        perceptual: LPIPS; needed where config.weights has "perceptual".
        curves: name of a term => [F], which multiplies its weight: {"sound": loudness} changes more where it is louder.
        presence: [F] in 0..1, how much of its edit is laid on each frame; None for all of it.
        places: other sounds, each where its own mask says, in the same pass; then mask and curves["sound"] are those of
            embeds alone, and what no mask marks stays the source.
        fps: frames a second, which say how many of them config.smooth_sec spans.
        on_step: on_step(i, n, terms, preview) after each step of each window; an exception from it ends the work.

    Raises:
        InputError: shapes disagree, or a weight is set without what it needs.

    Example:
        joint, denoiser = sg.load_joint(), sg.load_denoiser()
        wave, sample_rate = sg.load_audio("rain.wav")
        frames = torch.cat([sg.load_image(f"frames/{i}.png") for i in range(2)])  # [2,3,H,W]
        embeds = joint.encode_audio_frames(wave.mean(0), sample_rate, fps=12, num_frames=2)
        config = sg.EditConfig(steps=4)
        edited = sg.edit_video(frames, embeds, denoiser=denoiser, joint=joint, config=config)
        sg.save_image(edited.frames[0], "edited.png")
    """
    check_video(frames, embeds, mask, curves or {})
    for place in places:
        check_video(frames, place.embeds, place.mask, {} if place.lead is None else {"sound": place.lead})
    parts = stream_edit(
        frames.split(1), embeds, denoiser=denoiser, joint=joint,
        masks=mask if mask is None or len(mask) == 1 else mask.split(1), flow=flow, perceptual=perceptual,
        curves=curves, presence=presence, places=places, fps=fps, num_frames=len(frames), config=config,
        on_step=on_step,
    )  # fmt: skip
    return EditedVideo.joined(parts)


@checks_arguments
def stream_edit(
    frames: Iterable[Tensor],
    embeds: Tensor,
    *,
    denoiser: Denoiser,
    joint: JointSpace,
    masks: Iterable[Tensor] | Tensor | None = None,
    flow: Flow | FlowEstimator | None = None,
    perceptual: PerceptualDistance | None = None,
    curves: Mapping[str, Tensor] | None = None,
    presence: Tensor | None = None,
    places: Sequence[Place] = (),
    fps: float = FPS,
    num_frames: int = 0,
    config: EditConfig | None = None,
    on_step: OnStep | None = None,
    start: Reached | None = None,
) -> Iterator[EditedVideo]:
    """The edited video a window at a time, in order: a long one needs the memory of a window.

    Args as in edit_video, but frames come one or a few at a time, each [n,3,H,W]; masks is one mask [1,1,h,w] for all,
    or as many as frames, [1,1,h,w] each. presence: [F] in 0..1, how much of its edit is laid on each frame; a window of
    zeros is the source, and costs nothing. num_frames: for the n of on_step, 0 if not known. start: where an earlier
    edit stopped; then frames and masks are those that are left, embeds, curves and presence those of all frames.

    Raises:
        InputError: as edit_video.
    """
    config, curves = config or EditConfig(), dict(curves or {})
    scale = 1.0 if guided_denoiser.VARIANTS[config.variant].k is None else config.scale
    weights = {name: scale * weight for name, weight in config.weights.items() if weight}
    reach = round(config.smooth_sec * fps)
    embeds = smooth_embeds(embeds, reach)
    places = [replace(place, embeds=smooth_embeds(place.embeds, reach)) for place in places]
    if "perceptual" in weights and perceptual is None:
        raise InputError("The perceptual term has a weight, but no network.", "Load LPIPS, or set the weight to 0.")
    if unknown := sorted(set(curves) - set(TERMS)):
        raise InputError(f"There is no term {unknown[0]!r} for a curve.", f"Use some of: {', '.join(TERMS)}.")
    curves = {name: curve for name, curve in curves.items() if name in weights}
    sampler = SamplerConfig(
        config.sampler, config.steps, config.skip, finish=config.finish, finish_below=config.interval[0],
        walk=config.walk_sec * fps,
    )  # fmt: skip
    steps = plan(denoiser.schedule, sampler)
    flow = load_flow() if flow is None and "flow" in weights else flow
    singles: Iterator[Tensor | None] = (
        itertools.repeat(masks) if masks is None or isinstance(masks, Tensor) else iter(masks)
    )
    whole = replace(views_of(config), crops=0)
    total = -(-num_frames // config.window) * len(steps)
    first, previous = start or Reached()
    for img_src in windows(frames, config.window):
        mask = feathered(next_masks(singles, img_src, config.invert), config.feather)
        own = [mask, *(feathered(place.mask_of(img_src, first), config.feather) for place in places)]
        laid = torch.stack([
            laid_on(m, p, first) for m, p in zip(own, [presence, *(place.presence for place in places)])
        ]).amax(0)  # fmt: skip
        mask = torch.stack(own).amax(0)
        if not laid.any():
            first, previous = first + len(img_src), None
            yield EditedVideo(img_src, laid, [], Reached(first))
            continue
        size = working_size((img_src.shape[2], img_src.shape[3]), config.size or denoiser.resolution, denoiser.multiple)
        x_src = resize(img_src.to(denoiser.device), size, "stretch")
        m = F.interpolate(mask.to(x_src), size, mode="bilinear", antialias=True)
        window = Window.at(first, x_src, m, previous, embeds, flow, curves, PER_PAIR)
        if "flow" in weights:
            window = window.moving(config.chunk, config.flow_on == "source")
        done = first // config.window * len(steps)
        report = None if on_step is None else lambda i, _, *rest, done=done: on_step(done + i, total, *rest)
        small = [F.interpolate(each.to(x_src), size, mode="bilinear", antialias=True) for each in own]
        heard, window = placed_sounds(window, joint, weights, views_of(config), small, places)
        losses = window_losses(window, heard, perceptual, weights, config, denoiser.num_train_timesteps)
        x0, history = edit_window(window, losses, weights, steps, sampler, denoiser, config, report)
        with torch.no_grad():
            x0 = continued(x0, window, config.window // 2 if "flow" in weights else 0)
            seen = [encode_views(joint, x0[-1:], x_src[-1:], each[-1:], whole)[0] for each in small]
            previous = PreviousFrame(x_src[-1:], x0[-1:], torch.cat(seen))
        first += len(img_src)
        edited = transfer_detail(img_src, x_src, x0, m, mixed=mixed_pixels(mask, size), keep=config.keep_detail)
        yield EditedVideo(composite(img_src, edited, laid), laid, history, Reached(first, previous))


def views_of(config: EditConfig) -> Views:
    """How the encoder looks at what is edited."""
    return Views(config.crops, config.outside_mask, config.seed, config.chunk)


def edit_window(
    window: Window,
    losses: guided_denoiser.Losses,
    weights: Mapping[str, float],
    steps: Sequence[Step],
    sampler: SamplerConfig,
    denoiser: Denoiser,
    config: EditConfig,
    on_step: OnStep | None,
) -> tuple[Tensor, list[dict[str, float]]]:
    """The window edited, [F,3,h,w] at the model's scale, and the terms of each guided step."""
    x_src, m, history = window.x_src, window.mask, []
    half = config.precision == BFLOAT16 or (config.precision == AUTO and multiplies_bfloat16(x_src.device))
    denoise = guided_denoiser.guide(
        in_bfloat16(denoiser) if half else denoiser, losses, weights, steps, variant=config.variant,
        curves=window.curves, interval=config.interval, mask=m, chunk=config.chunk,
        step_size=config.step if config.variant == CLEAN else config.length, warm_up=WarmUp(looks=config.warm_up),
        on_terms=lambda t, terms: history.append(terms),
    )  # fmt: skip
    numbers = range(window.first, window.first + len(x_src))
    noise = FrameNoise(config.seed, numbers, config.shared_noise, sampler.walk)

    def keep_background(x_prev: Tensor, t_prev: int) -> Tensor:
        return m * x_prev + (1 - m) * denoiser.add_noise(x_src, t_prev, noise.source(x_src, t_prev))

    report = None if on_step is None else window.reported(on_step, history)
    x_t = denoiser.add_noise(x_src, steps[0].t, noise.start(x_src))
    x0 = sample(denoise, x_t, denoiser.schedule, sampler, noise=noise, after_step=keep_background, on_step=report)
    return x0, history


def window_losses(
    window: Window,
    heard: SoundTerms | PlacedSounds,
    perceptual: PerceptualDistance | None,
    weights: Mapping[str, float],
    config: EditConfig,
    num_levels: int,
) -> guided_denoiser.Losses:
    """(x0_hat [F,3,h,w], t) => the terms that have a weight, each [F], or one less than P. heard: those of sounds."""
    x_src, m, released = window.x_src, window.mask, config.variant == RELEASED

    def losses(x0_hat: Tensor, t: int) -> dict[str, Tensor]:
        terms = heard(x0_hat, t)
        if released and window.previous is None and "sound" in terms:
            terms["sound"] = released_editing.without_first(terms["sound"])
        if "flow" in weights:
            x = window.with_previous(x0_hat, "x0")
            moved = window.flow_of(x, config.chunk)
            if released:
                mask = m if window.previous is None else torch.cat([m[:1], m])
                terms["flow"] = released_editing.flow_distance(x, moved, mask)
            else:
                terms["flow"] = (num_levels - t) / num_levels * editing.flow_distance(x, moved)  # (T - t) / T
        if "background" in weights:
            terms["background"] = editing.background_distance(x0_hat, x_src, 0 * m if released else m)
        if "perceptual" in weights and perceptual is not None:
            terms["perceptual"] = editing.background_perceptual(perceptual, x0_hat, x_src, 0 * m if released else m)
        if "range" in weights:
            terms["range"] = editing.range_distance(x0_hat)
        if released:
            r = released_editing.ramp(t, num_levels, config.steps, config.skip)
            terms |= {name: r * terms[name] for name in ("flow", "background", "perceptual") if name in terms}
        return terms

    return losses
