"""Soundini: Sound-Guided Diffusion for Natural Video Editing (S. H. Lee et al. 2023): a sound edits part of a video.

    L = lambda_SG L_SG + lambda_DSG L_DSG + (T - t)/T lambda_flow L_flow + lambda_back L_back     guides every step t,
    x_{t-1} <- m x_{t-1} + (1 - m) noised source                                                 and the rest stays.

Axes: F frames, D dims, H W picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from ..errors import InputError, check_number, check_whole

OnStep = Callable[[int, int, dict[str, float], Callable[[], Tensor | None]], None]
VARIANTS = ("clean", "paper", "score")
SURROUNDINGS = ("grey", "source")
TERMS = ("sound", "direction", "flow", "background", "perceptual", "range")


@dataclass(frozen=True)
class EditConfig:
    """How a video is edited.

    variant: of the guidance. "paper" shifts the mean of a step by the gradient through the UNet, "score" the score;
        "clean" takes the gradient at the clean estimate, which costs no way back through the UNet.
    sampler: one of diffusion.sampler's. steps: of the whole way from noise to picture, the first `skip` of which are
        left out: the more, the nearer to the source. interval: lowest and highest level t / T at which is guided.
    weights: lambdas, of TERMS; a term with weight 0 is not computed.
    step: "clean" only: how far the sound moves the clean estimate at most in one step, in pixels' values.
    crops: augmented views of a frame that the sound is compared with beside the whole.
    surroundings: what the encoder sees around the mask: "grey" as published, or the "source" frame.
    flow_on: "source" follows the movement of the source video, "estimate" that of the clean estimate, as published.
    shared_noise: one noise for all frames in every step, not only at the start.
    window: frames that are edited together. chunk: of these in the networks at once.
    feather: pixels over which an edit fades in from the mask's border inwards. invert: edit what is outside the mask.
    """

    variant: str = "clean"
    sampler: str = "ddim"
    steps: int = 25
    skip: int = 8
    interval: tuple[float, float] = (0.0, 1.0)
    weights: Mapping[str, float] = field(default_factory=lambda: {"sound": 1.0, "flow": 1.0})
    step: float = 0.1
    crops: int = 2
    surroundings: str = "source"
    flow_on: str = "source"
    shared_noise: bool = True
    window: int = 16
    chunk: int = 8
    feather: float = 0.0
    invert: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for value, choices, what in (
            (self.variant, VARIANTS, "variant"),
            (self.surroundings, SURROUNDINGS, "kind of surroundings"),
            (self.flow_on, ("source", "estimate"), "choice of flow"),
        ):
            if value not in choices:
                raise InputError(f"There is no {what} {value!r}.", f"Use one of: {', '.join(choices)}.")
        if unknown := sorted(set(self.weights) - set(TERMS)):
            raise InputError(f"There is no term {unknown[0]!r} to weigh.", f"Use some of: {', '.join(TERMS)}.")
        for name, weight in self.weights.items():
            check_number(weight, f"The weight of {name}", low=0)
        check_whole(self.steps, "The number of steps", low=1, high=10_000)
        check_whole(self.skip, "The number of steps to skip", low=0, high=self.steps - 1)
        for end in self.interval:
            check_number(end, "A level of the guidance interval", low=0, high=1)
        check_number(self.step, "The step", low=0, high=10)
        check_whole(self.crops, "The number of crops", low=0, high=64)
        check_whole(self.window, "The number of frames in a window", low=1, high=100_000)
        check_whole(self.chunk, "The number of frames in a chunk", low=1, high=100_000)
        check_number(self.feather, "The feather", low=0, high=10_000)
        check_whole(self.seed, "The seed", low=0, high=2**32 - 1)


@dataclass
class EditedVideo:
    """frames [F,3,H,W] in -1..1, and what was edited of each: mask [F,1,H,W] in 0..1, feathered.

    history: for each step the unweighted terms, means over the frames of a window.
    """

    frames: Tensor
    mask: Tensor
    history: list[dict[str, float]]


def edit_video(
    frames: Tensor,
    embeds: Tensor,
    *,
    denoiser,
    joint,
    mask: Tensor | None = None,
    flow=None,
    perceptual: Callable[[Tensor, Tensor], Tensor] | None = None,
    curves: Mapping[str, Tensor] | None = None,
    config: EditConfig | None = None,
    on_step: OnStep | None = None,
) -> EditedVideo:
    """Edit a video by the meaning of a sound, whole in memory; stream_edit gives the same a window at a time.

    Args:
        frames: [F,3,H,W] in -1..1, of any size; where the mask is 0 the result equals them to the bit.
        embeds: [F,D], what is heard at each frame, or [1,D] for all, unit norm; mix_embeds adds a text.
        denoiser: a Denoiser. joint: .encode_image(img) => [F,D] unit norm, differentiable.
        mask: [F,1,h,w] or [1,1,h,w] in 0..1, 1 where to edit, in the shape of the frames; None edits everything.
        flow: frames [F,3,h,w] in -1..1 => Flow, or the Flow of all frames; needed where config.weights has "flow".
        perceptual: LPIPS; needed where config.weights has "perceptual".
        curves: name of a term => [F], which multiplies its weight: {"sound": loudness} changes more where it is louder.
        on_step: on_step(i, n, terms, preview) after each step of each window; an exception from it ends the work.

    Raises:
        InputError: shapes disagree, or a weight is set without what it needs.
    """
    raise NotImplementedError


def stream_edit(
    frames: Iterable[Tensor],
    embeds: Tensor,
    *,
    denoiser,
    joint,
    masks: Iterable[Tensor] | Tensor | None = None,
    flow=None,
    perceptual: Callable[[Tensor, Tensor], Tensor] | None = None,
    curves: Mapping[str, Tensor] | None = None,
    num_frames: int = 0,
    config: EditConfig | None = None,
    on_step: OnStep | None = None,
) -> Iterator[EditedVideo]:
    """The edited video a window at a time, in order: a long one needs the memory of a window.

    Args as in edit_video, but frames come one or a few at a time, each [n,3,H,W]; masks is one mask [1,1,h,w] for all,
    or as many as frames, [1,1,h,w] each. num_frames: for the n of on_step, 0 if not known.
    """
    raise NotImplementedError
    yield
