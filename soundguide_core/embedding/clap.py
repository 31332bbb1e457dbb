"""CLAP in CLIP's space: Z. Wang et al., "Extending Multi-modal Contrastive Representations" (Ex-MCR), NeurIPS 2024.

Y. Wu et al., "Large-scale Contrastive Language-Audio Pretraining" (LAION-CLAP), ICASSP 2023, section 3, is the sound
tower, as transformers has it; a linear layer and two perceptrons carry its embeddings over. The file of Ex-MCR holds
those only; CLAP's own lies beside it. Axes: B batch, N samples, M mels, T mel time, D dims.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checkpoints import safe_pickle, safetensors_io, weights
from ..checkpoints.formats.keys import flat_tensors
from ..common.errors import InputError, check_number
from ..common.files import read_json
from ..common.typed import check_types
from .bridge import Head

FOLDER = "clap"  # beside the head's file, with
FILES = ("config.json", "preprocessor_config.json", "model.safetensors")
INDEX = "relative_position_index"
FEATURES = {
    "sampling_rate": 48000,
    "max_length_s": 10,
    "fft_window_size": 1024,
    "hop_length": 480,
    "feature_size": 64,
    "frequency_min": 50,
    "frequency_max": 14000,
}
LARGEST = {  # what a file may ask for
    "sampling_rate": 192_000,
    "max_length_s": 60,
    "fft_window_size": 2**14,
    "hop_length": 2**14,
    "feature_size": 1024,
    "frequency_min": 96_000,
    "frequency_max": 96_000,
}


class LogMel(nn.Module):
    """wave [B,N] of at most the window's length => dB [B,1,T,M] against full scale.

    features: as in FEATURES. fused: whether the CLAP was trained to fuse views of longer sounds; those have HTK mels.
    A shorter sound is repeated while it fits whole, then followed by silence.
    """

    bank: Tensor

    def __init__(self, features: dict, fused: bool) -> None:
        super().__init__()
        from transformers.audio_utils import mel_filter_bank  # pyright: ignore[reportMissingImports]  # not all have it

        self.features = {**FEATURES, **features}
        for name, value in self.features.items():
            check_number(value, f"A CLAP's {name}", low=0, high=LARGEST[name])
        bank = mel_filter_bank(
            num_frequency_bins=self.features["fft_window_size"] // 2 + 1,
            num_mel_filters=self.features["feature_size"],
            min_frequency=self.features["frequency_min"],
            max_frequency=self.features["frequency_max"],
            sampling_rate=self.features["sampling_rate"],
            norm=None if fused else "slaney",
            mel_scale="htk" if fused else "slaney",
        )
        self.register_buffer("bank", torch.from_numpy(bank).float().T.contiguous(), persistent=False)  # [M,bins]

    def forward(self, wave: Tensor) -> Tensor:
        length = self.features["sampling_rate"] * self.features["max_length_s"]
        wave = wave[:, :length]
        wave = wave.repeat(1, length // wave.shape[-1])
        wave = F.pad(wave, (0, length - wave.shape[-1]))
        size = self.features["fft_window_size"]
        window = torch.hann_window(size, device=wave.device, dtype=wave.dtype)
        fourier = torch.stft(wave, size, self.features["hop_length"], window=window, return_complex=True)
        power = self.bank.to(wave) @ fourier.abs().square()  # [B,M,T]
        return 10 * torch.log10(power.clamp(min=1e-10)).transpose(1, 2)[:, None]


def audio_inputs(mel: Tensor, fused: bool) -> dict[str, Tensor]:
    """dB [B,1,T,M] => what transformers' CLAP takes.

    All are heard as "not longer than the window", also by CLAPs that fuse views of longer ones: transformers draws one
    of a batch at random to be longer.
    """
    longer = torch.zeros(len(mel), 1, dtype=torch.bool, device=mel.device)
    return {"input_features": mel.expand(-1, 4, -1, -1) if fused else mel, "is_longer": longer}


def needs_transformers(what: str, error: Exception) -> InputError:
    """What to say where the package is missing, or does not fit its torchaudio."""
    return InputError(
        f"{what} needs the package transformers ({str(error).splitlines()[0]}).",
        "Install it with `pip install transformers`, and a torchaudio that belongs to your PyTorch.",
    )


class Encoder(nn.Module):
    """wave [B,N] of at most ten seconds => [B,D], unit norm.

    Args:
        clap: the config of transformers' ClapAudioModelWithProjection. features: of its log-mel, as in FEATURES.

    See LogMel and audio_inputs.
    """

    def __init__(self, clap: dict, features: dict, dim: int = 512) -> None:
        super().__init__()
        try:
            from transformers import (  # pyright: ignore[reportMissingImports]  # not all have it
                ClapAudioConfig,
                ClapAudioModelWithProjection,
            )
        except (ImportError, RuntimeError) as error:
            raise needs_transformers("The CLAP sound encoder", error) from error
        config = ClapAudioConfig(**clap)
        self.log_mel, self.dim = LogMel(features, bool(config.enable_fusion)), dim
        self.clap = ClapAudioModelWithProjection(config)
        for module in self.clap.modules():  # computed, and in some of the files only
            if INDEX in dict(module.named_buffers(recurse=False)):
                module.register_buffer(INDEX, module.get_buffer(INDEX), persistent=False)
        self.head = Head(dim, int(config.projection_dim))
        self.config = clap

    @property
    def fused(self) -> bool:
        """Whether this CLAP was trained to fuse views of longer sounds."""
        return bool(self.clap.config.enable_fusion)

    @classmethod
    def from_config(cls, values: dict) -> Encoder:
        return cls(**check_types(cls, values, "The encoder's config"))

    def to_config(self) -> dict:
        return {"architecture": "clap", "clap": self.config, "features": self.log_mel.features, "dim": self.dim}

    @classmethod
    def complete(cls, path: str | os.PathLike, tensors: dict, values: dict) -> tuple[dict, dict]:
        """(tensors, config) with CLAP's own, from the folder `clap` beside the file where it holds the head alone."""
        if values.get("clap") is not None:
            return tensors, values
        folder = Path(path).resolve().parent / FOLDER
        name = next((f for f in ("model.safetensors", "pytorch_model.bin") if (folder / f).is_file()), None)
        if name is None or not (folder / "config.json").is_file():
            raise InputError(
                f"{path} holds the head of Ex-MCR only.",
                f"Put {', '.join(FILES)} of laion/clap-htsat-fused in {folder}.",
            )
        file = folder / name
        state = flat_tensors(
            safetensors_io.tensors_of(file) if file.suffix == ".safetensors" else safe_pickle.read(file)
        )
        config = read_json(folder / "config.json")
        audio = config.get("audio_config", config)
        if state is None or not isinstance(audio, dict):
            raise InputError(f"{folder} holds no CLAP.", f"Put {', '.join(FILES)} of laion/clap-htsat-fused there.")
        sound = {k: x for k, x in state.items() if k.startswith(("audio_model.", "audio_projection."))}
        sound = {k: x for k, x in sound.items() if not k.endswith(INDEX)}
        stated = folder / "preprocessor_config.json"
        features = read_json(stated) if stated.is_file() else {}
        features = {k: features.get(k, default) for k, default in FEATURES.items()}
        clap = weights.own_storage({f"clap.{key}": x for key, x in sound.items()})  # out of the mapped file
        return {**tensors, **clap}, {**values, "clap": audio, "features": features}

    def forward(self, wave: Tensor) -> Tensor:
        embeds = self.clap(**audio_inputs(self.log_mel(wave), self.fused)).audio_embeds
        return self.head(F.normalize(embeds, dim=-1))
