"""What is passed around, as protocols: the networks that arrive as arguments, and the callback that reports progress.

A class fits a protocol by having its members; it need not inherit from it. Importing this file imports no torch.
Axes: B batch, F frames, C channels, L layers (num_ws), D dims, A anchors, V motion code, M mels, T mel time, N samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class OnStep(Protocol):
    """A report after each step of a long computation, called as on_step(i, n, terms, preview).

    i: number of the step that is done, from 0. n: how many there are, 0 where that is not known.
    terms: the unweighted losses of the step by name, {} where it has none.
    preview: () => what there is to look at, a picture [B,3,H,W] in about -1..1, or None; computed only if called.
    An exception that the callback raises ends the computation and reaches its caller.
    """

    def __call__(self, i: int, n: int, terms: dict[str, float], preview: Callable[[], Tensor | None], /) -> None: ...


def no_preview() -> None:
    """The preview of a step that has nothing to look at."""


class ImageGenerator(Protocol):
    """A style-based generator of pictures: z -> w -> ws [B,L,D] -> img [B,3,H,W] in about -1..1."""

    @property
    def num_ws(self) -> int: ...

    @property
    def w_dim(self) -> int: ...

    @property
    def resolution(self) -> int: ...

    @property
    def w_avg(self) -> Tensor:
        """[D] mean of w, on the generator's device and in its dtype."""
        ...

    @property
    def w_std(self) -> Tensor:
        """[D] standard deviation of each dim of w."""
        ...

    @property
    def synthesis(self) -> Callable[..., Tensor]:
        """ws [B,L,D] => img [B,3,H,W], differentiable."""
        ...

    def sample_ws(self, seeds: Iterable[int], psi: float = ..., *, class_index: int | None = ...) -> Tensor:
        """ws [B,L,D], one per seed, truncated towards w_avg by psi; class_index: of a class-conditional generator."""
        ...


class VideoGenerator(ImageGenerator, Protocol):
    """A generator of videos as functions of time: content ws [B,L,D] and motion codes motion_v [B,F,V] => frames."""

    @property
    def fps(self) -> float:
        """Frames a second of the videos that it was trained on; its times t are in these frames."""
        ...

    @property
    def sound_dim(self) -> int:
        """How many numbers of a sound its motion codes take, 0 for none."""
        ...

    def motion_anchors(self, last: float) -> int:
        """How many anchors A of motion noise times up to `last`, in frames, need."""
        ...

    def motion_noise(self, seeds: Iterable[int]) -> Any:
        """Motion noise without an end, one trajectory per seed."""
        ...

    def motion_codes(self, t: Tensor, motion_z: Any, **how: Any) -> Tensor:
        """t [B,F] in frames, motion noise [B,A,D] or without an end => motion_v [B,F,V]."""
        ...

    def render(self, ws: Tensor, motion_v: Tensor) -> Tensor:
        """ws [B,L,D], motion_v [B,F,V] => frames [B,F,3,H,W]."""
        ...


class JointSpace(Protocol):
    """Encoders of sound, text and pictures into one space; embeds have unit norm."""

    @property
    def dim(self) -> int: ...

    @property
    def device(self) -> torch.device: ...

    def encode_audio(self, wave: Tensor, sample_rate: float) -> Tensor:
        """wave [N] or [B,N] => [B,D]."""
        ...

    def encode_audio_frames(self, wave: Tensor, sample_rate: float, *, fps: float, num_frames: int) -> Tensor:
        """wave [N] => [F,D], what is heard around each video frame."""
        ...

    def encode_text(self, text: list[str]) -> Tensor:
        """[B,D]."""
        ...

    def encode_image(self, img: Tensor) -> Tensor:
        """img [B,3,H,W] in -1..1 => [B,D], differentiable."""
        ...

    def encode_labels(self, labels: Sequence[str]) -> Tensor:
        """[K,D], each label's mean over prompts."""
        ...

    def classify(self, embeds: Tensor, labels: Sequence[str]) -> Tensor:
        """embeds [B,D] => probabilities [B,K] over the labels."""
        ...


class Estimate(NamedTuple):
    """What a diffusion model says of the picture below the noise.

    x0_hat: [B,3,H,W], not clamped.
    variance_mix: how wide a random step is: -1 is the variance beta_tilde of the step that is taken, 1 its beta, and
        between them the logarithm is interpolated. [B,3,H,W] where the model has learned it (A. Nichol and
        P. Dhariwal, "Improved Denoising Diffusion Probabilistic Models", ICML 2021, equation 15).
    """

    x0_hat: Tensor
    variance_mix: Tensor | float = -1.0


class Denoiser(Protocol):
    """A pixel diffusion model: (x_t [B,3,H,W], level t) => Estimate, differentiable in x_t."""

    def __call__(self, x_t: Tensor, t: int, /) -> Estimate: ...

    @property
    def schedule(self) -> dict[str, Any]:
        """Keyword arguments of diffusers.DDPMScheduler."""
        ...

    @property
    def device(self) -> torch.device: ...

    @property
    def num_train_timesteps(self) -> int: ...

    @property
    def resolution(self) -> int | None:
        """Pixels along the sides of the pictures that it was trained on, None where that is not known."""
        ...

    @property
    def multiple(self) -> int:
        """Height and width must be multiples of this."""
        ...

    def add_noise(self, x0: Tensor, t: int, noise: Tensor) -> Tensor:
        """x0 [B,3,H,W] brought to level t."""
        ...


State = TypeVar("State")


class TrajectoryModel(Protocol[State]):
    """Sound inversion and recurrent modules: a recording => codes w_hat, one a frame => a path of latents ws [F,L,D].

    How much of a recording each code hears is the model's own affair.
    """

    @property
    def spec(self) -> Any:
        """The MelSpec of the recordings (audio/track.MelTrack) that it hears."""
        ...

    @property
    def num_ws(self) -> int:
        """L"""
        ...

    @property
    def w_dim(self) -> int:
        """D"""
        ...

    def check(self, generator: ImageGenerator) -> None:
        """InputError where the generator's latents are of another size."""
        ...

    def segments(self, track: Any, ws: Tensor, num_frames: int, config: Any) -> Iterator[Tensor]:
        """Sound inversion along a MelTrack: the codes w_hat of the frames, chunks [F,L,D] of config.chunk frames.

        ws [1,L,D]: the source. config: a VideoConfig, of which a model takes what concerns it.
        """
        ...

    def init_state(self, ws: Tensor, w_hat: Tensor, *, seed: int | None = None) -> State:
        """The state before the first frame, from the source and the first frame's w_hat, [B,L,D] each."""
        ...

    def rollout(self, w_hats: Tensor, state: State) -> tuple[Tensor, State]:
        """w_hats [B,F,L,D] => ws [B,F,L,D], and the state to go on from."""
        ...


class FlowEstimator(Protocol):
    """Where each point of img is in target: two pictures [B,3,H,W] in -1..1 => pixels (x, y) to go, [B,2,H,W]."""

    def __call__(self, img: Tensor, target: Tensor, /) -> Tensor: ...


class PerceptualDistance(Protocol):
    """How different two pictures look, such as LPIPS: [B,3,H,W] in -1..1 twice => [B]."""

    def __call__(self, img: Tensor, target: Tensor, /) -> Tensor: ...


class FaceRecognition(Protocol):
    """Who a face is: img [B,3,H,W] in -1..1 => [B,D]."""

    def __call__(self, img: Tensor, /) -> Tensor: ...
