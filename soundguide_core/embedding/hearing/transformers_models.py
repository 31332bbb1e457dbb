"""CLAP and the Audio Spectrogram Transformer of the transformers library as ears, from a folder as the Hub has it.

Y. Wu et al., "Large-scale Contrastive Language-Audio Pretraining", ICASSP 2023 (any words, through its text tower).
Y. Gong et al., "AST: Audio Spectrogram Transformer", Interspeech 2021 (the classes that the folder's config names).
Axes: W windows, N samples, M mels, T mel time, K words, D dims.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...common.errors import InputError
from ...common.files import read_json
from ..clap import FEATURES, LogMel, audio_inputs, needs_transformers
from .listening import ClassifyingEars, ComparingEars, Ears
from .names import CONFIG

PREPROCESSOR = "preprocessor_config.json"
TEXT = "This is a sound of {}."
TEXTS_AT_ONCE = 64


class ClapEars(ComparingEars):
    """model: transformers' ClapModel. tokenizer: of its text tower. features: of its log-mel, as in clap.FEATURES.

    Windows of two seconds, repeated to the ten that it was trained on, as it was with short sounds.
    """

    bar = 0.2  # published CLAPs' cosines with what is heard are lower than those within one space

    def __init__(
        self, model: nn.Module, tokenizer: Callable[..., Any], features: dict, window_sec: float = 2.0,
        hop_sec: float = 0.5,
    ) -> None:  # fmt: skip
        super().__init__()
        self.model: Any = model
        self.tokenizer = tokenizer
        self.fused = bool(self.model.config.audio_config.enable_fusion)
        self.log_mel = LogMel(features, self.fused)
        self.sample_rate = int(self.log_mel.features["sampling_rate"])
        self.window, self.hop = (round(seconds * self.sample_rate) for seconds in (window_sec, hop_sec))

    def embed_windows(self, windows: Tensor) -> Tensor:
        found = self.model.get_audio_features(**audio_inputs(self.log_mel(windows), self.fused))
        return F.normalize(_pooled(found), dim=-1)

    def embed_words(self, words: Sequence[str]) -> Tensor:
        return self.embed_texts([TEXT.format(word) for word in words])

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Texts as they are => [K,D], unit norm."""
        rows = []
        for first in range(0, len(texts), TEXTS_AT_ONCE):
            part = list(texts[first : first + TEXTS_AT_ONCE])
            tokens = self.tokenizer(part, padding=True, truncation=True, return_tensors="pt").to(self.device)
            rows.append(F.normalize(_pooled(self.model.get_text_features(**tokens)), dim=-1))
        return torch.cat(rows)


class AstEars(ClassifyingEars):
    """model: transformers' ASTForAudioClassification. extractor: its ASTFeatureExtractor.

    Windows of five seconds, which the extractor fills up with its zeros.
    """

    def __init__(
        self, model: nn.Module, extractor: Callable[..., Any], window_sec: float = 5.0, hop_sec: float = 1.0
    ) -> None:
        super().__init__()
        self.model: Any = model
        self.extractor: Any = extractor
        names = self.model.config.id2label
        self.classes = tuple(str(names[i]) for i in range(len(names)))
        self.sample_rate = int(self.extractor.sampling_rate)
        self.window, self.hop = (round(seconds * self.sample_rate) for seconds in (window_sec, hop_sec))

    def forward(self, windows: Tensor) -> Tensor:
        lines = [line.numpy() for line in windows.float().cpu()]
        inputs = self.extractor(lines, sampling_rate=self.sample_rate, return_tensors="pt")["input_values"]
        return self.model(inputs.to(self.device)).logits.sigmoid()


def _pooled(found: Any) -> Tensor:
    """What get_audio_features and get_text_features give: embeds, or from transformers 5 on a bundle with them."""
    return found if isinstance(found, Tensor) else found.pooler_output


def clap_ears(folder: Path) -> Ears:
    try:
        from transformers import AutoTokenizer, ClapModel  # pyright: ignore[reportMissingImports]  # not all have it
    except (ImportError, RuntimeError) as error:
        raise needs_transformers("A CLAP", error) from error
    stated = read_json(folder / PREPROCESSOR) if (folder / PREPROCESSOR).is_file() else {}
    features = {key: stated.get(key, default) for key, default in FEATURES.items()}
    return ClapEars(_from(folder, ClapModel), AutoTokenizer.from_pretrained(folder, local_files_only=True), features)


def ast_ears(folder: Path) -> Ears:
    try:
        from transformers import (  # pyright: ignore[reportMissingImports]  # not all have it
            ASTFeatureExtractor,
            ASTForAudioClassification,
        )
    except (ImportError, RuntimeError) as error:
        raise needs_transformers("An Audio Spectrogram Transformer", error) from error
    extractor = ASTFeatureExtractor.from_pretrained(folder, local_files_only=True)
    return AstEars(_from(folder, ASTForAudioClassification), extractor)


def _from(folder: Path, network: Any) -> nn.Module:
    """Weights from this folder's safetensors alone: nothing is fetched, nothing in it is run."""
    return network.from_pretrained(folder, local_files_only=True, use_safetensors=True)


BUILDERS = {"clap": clap_ears, "audio-spectrogram-transformer": ast_ears}  # by the model_type of the config


def of_file(path: str | os.PathLike) -> Ears | None:
    """The ears that a folder of transformers holds, by its weights' path; None where the file stands alone.

    Raises:
        InputError: transformers is missing, the folder holds another kind of model, or it is not whole.
    """
    folder = Path(path).resolve().parent
    if not (folder / CONFIG).is_file():
        return None
    kind = read_json(folder / CONFIG).get("model_type")
    if kind not in BUILDERS:
        raise InputError(f"{folder} holds a model of the type {kind!r}.", f"Use one of: {', '.join(BUILDERS)}.")
    try:
        return BUILDERS[kind](folder)
    except InputError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError) as error:
        why = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{folder} is not a whole {kind} ({why}).", "Copy all files of the published folder."
        ) from error
