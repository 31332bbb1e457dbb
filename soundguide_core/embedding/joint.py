"""One space for sound, text and picture.

S. H. Lee et al., "Sound-Guided Semantic Image Manipulation", CVPR 2022, section 3.1: a sound encoder in the frozen
space of a picture and text model. Axes: B batch, F frames, N samples, W windows, D dims, K labels, P prompts.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..audio.mel import MelSpec
from ..audio.smoothing import hann
from ..audio.wave_windows import WaveSpec
from ..checkpoints import registry
from ..common.errors import InputError
from ..common.memory import usable_device
from ..common.shapes import check_shape
from ..common.stop import check_stop
from .clip import ClipTowers, as_texts, load_clip
from .sound import load_sound

WINDOWS_AT_ONCE = 64  # so that an hour of sound costs the memory of a minute


class JointEncoder(nn.Module):
    """Three encoders into one space; every embedding has unit norm, and the same input always gives the same one.

    clip: the picture and text towers. sound: windows of a recording => [W,D]. spec: how those windows are made.
    """

    def __init__(self, clip: ClipTowers, sound: nn.Module, spec: MelSpec | WaveSpec) -> None:
        super().__init__()
        if sound.dim != clip.dim:
            raise InputError(
                f"The sound encoder has {sound.dim} dims and the picture and text model {clip.dim}.",
                "Use two files that were trained together.",
            )
        heard_in = getattr(sound, "space", "")
        if heard_in and heard_in != clip.size:
            raise InputError(
                f"The sound encoder hears in the space of {heard_in}, and the picture and text model is {clip.size}.",
                "Put them together as they were trained; `models` lists the encoders that belong together.",
            )
        self.clip = clip
        self.sound = sound
        self.spec = spec

    @property
    def dim(self) -> int:
        """D."""
        return self.clip.dim

    @property
    def device(self) -> torch.device:
        return self.clip.device

    @property
    def space(self) -> str:
        """Which space it is; embeds of two encoders can meet where this is the same."""
        return self.clip.space

    def halve(self) -> JointEncoder:
        """The picture and text towers in half precision; what hears stays as it is."""
        self.clip.half()
        return self

    def encode_audio(self, wave: Tensor, sample_rate: float) -> Tensor:
        """Recordings as wholes: wave [B,N] or [N], one channel each, any rate => embeds [B,D].

        One that is longer than the encoder's window is heard in windows that cover it, and their embeddings averaged.

        Raises:
            InputError: no samples, values that are not finite, or an impossible rate.
        """
        if isinstance(wave, Tensor) and wave.ndim == 1:
            wave = wave[None]
        if not isinstance(wave, Tensor) or wave.ndim != 2 or not len(wave):
            shape = list(wave.shape) if isinstance(wave, Tensor) else type(wave).__name__
            raise InputError(
                f"The sound has shape {shape}.", "Pass one channel of samples, [N], or several sounds, [B,N]."
            )
        embeds = []
        for line in wave:
            windows, weights = self.spec.windows(line, sample_rate)
            heard = self.hear(windows)  # [W,D]
            embeds.append(weights.to(heard) @ heard)
        return F.normalize(torch.stack(embeds), dim=-1)

    def encode_audio_frames(self, wave: Tensor, sample_rate: float, *, fps: float, num_frames: int) -> Tensor:
        """What is heard around each video frame: wave [N] => embeds [F,D].

        All frames share one reference level, so what is louder within the recording stays louder.
        """
        if isinstance(wave, Tensor) and wave.ndim == 2 and len(wave) == 1:
            wave = wave[0]
        if not isinstance(wave, Tensor) or wave.ndim != 1:
            shape = list(wave.shape) if isinstance(wave, Tensor) else type(wave).__name__
            raise InputError(f"The sound has shape {shape}.", "Pass one channel of samples, [N].")
        return self.hear(self.spec.frame_windows(wave, sample_rate, fps=fps, num_frames=num_frames))

    def hear(self, windows: Tensor) -> Tensor:
        """Windows as the spec makes them [W,...] => embeds [W,D]."""
        parts = []
        for part in windows.split(WINDOWS_AT_ONCE):
            check_stop()
            parts.append(self.sound(part.to(self.device)))
        return F.normalize(torch.cat(parts).float(), dim=-1)

    @torch.no_grad()
    def familiarity(self, wave: Tensor, sample_rate: float) -> float | None:
        """How likely a recording [N] is of a sound that these ears have learned, 0..1; None where they cannot say."""
        known = getattr(self.sound, "familiarity", None)
        if known is None:
            return None
        windows, weights = self.spec.windows(wave, sample_rate)
        parts = []
        for part in windows.split(WINDOWS_AT_ONCE):
            check_stop()
            parts.append(known(part.to(self.device)))
        return None if parts[0] is None else float(weights.to(parts[0]) @ torch.cat(parts))

    def encode_text(self, text: str | Sequence[str]) -> Tensor:
        """Texts as they are => embeds [B,D]."""
        return self.clip.encode_text(text)

    def encode_image(self, img: Tensor, *, crops: int = 0, generator: torch.Generator | None = None) -> Tensor:
        """img [B,3,H,W] in -1..1 => embeds [B,D], differentiable; see ClipTowers.encode_image for crops."""
        return self.clip.encode_image(img, crops=crops, generator=generator)

    def encode_labels(self, labels: str | Sequence[str]) -> Tensor:
        """Labels ("sea_waves" is read as "sea waves") => embeds [K,D], each the mean over the model's prompts."""
        labels = as_texts(labels)
        if not all(label.strip() for label in labels):
            raise InputError("A label is empty.", "Give one or more labels such as rain,wind.")
        if len(set(labels)) < len(labels):
            raise InputError("A label is given twice.", "Give every label once.")
        words = [" ".join(label.replace("_", " ").split()) for label in labels]
        prompts = [prompt.replace("{}", word) for word in words for prompt in self.clip.prompts]
        embeds = self.encode_text(prompts).unflatten(0, (len(words), -1))  # [K,P,D]
        return F.normalize(embeds.mean(1), dim=-1)

    def classify(self, embeds: Tensor, labels: str | Sequence[str]) -> Tensor:
        """embeds [B,D] of sounds or pictures => probabilities [B,K] over the labels, by cosine."""
        check_shape(embeds, f"B {self.dim}", name="the embeddings")
        return (self.clip.logit_scale * embeds @ self.encode_labels(labels).T).softmax(-1)


def smooth_embeds(embeds: Tensor, reach: int) -> Tensor:
    """The moving average of embeds along time, [F,D] unit norm => [F,D] unit norm.

    Over `reach` frames before and after each, weighted by a Hann window.
    """
    window = hann(torch.arange(-reach, reach + 1), reach).to(embeds)
    mean = F.conv1d(embeds.T[:, None], window[None, None], padding=reach)[:, 0].T  # its length is divided out
    return F.normalize(mean, dim=-1)


def load_joint(name_or_path: str | os.PathLike | None = None, device: str | torch.device = "cpu") -> JointEncoder:
    """A joint encoder by registry name (None: its default), or by the path of a folder with clip.safetensors and
    sound.safetensors.

    Args:
        name_or_path: of `soundguide models`, or a folder.
        device: where it computes, such as "cuda".

    Raises:
        InputError: no such name or file, it is not on this disk (how to get it is said), or of another kind or size.

    Example:
        joint = sg.load_joint()
        wave, sample_rate = sg.load_audio("rain.wav")
        embeds = joint.encode_audio(wave.mean(0), sample_rate)  # [1,D], unit norm
        print(joint.classify(embeds, ["rain", "fire"]))
    """
    device = usable_device(device)
    files = registry.find("joint", name_or_path).files
    return JointEncoder(load_clip(files["clip"]), *load_sound(files["sound"])).to(device)
