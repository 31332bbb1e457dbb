"""Nodes for the tests' ComfyUI: a tiny random model of a family and a text encoder, where no checkpoint is at hand."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).resolve().parent))  # families.py

TEXT = 24  # dims of the families' texts


class TinyClip:
    """Gives each text an embedding of its own, of the same six tokens' length."""

    def tokenize(self, text: str) -> str:
        return text

    def encode_from_tokens_scheduled(self, text: str) -> list:
        rng = torch.Generator().manual_seed(sum(map(ord, text)))
        return [[torch.randn(1, 6, TEXT, generator=rng), {"pooled_output": torch.randn(1, 16, generator=rng)}]]


class TinyModel:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"family": ("STRING", {"default": "SD1.5"})}}

    RETURN_TYPES = ("MODEL", "CLIP")
    FUNCTION = "load"
    CATEGORY = "tests"

    def load(self, family):
        from families import load

        return load(family), TinyClip()


NODE_CLASS_MAPPINGS = {"TestsTinyModel": TinyModel}
