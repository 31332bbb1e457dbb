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


class SameVision:
    """The pictures' side of a sound encoder as CLIP_VISION, whose embeddings are `length` long."""

    def __init__(self, encoder, length: float = 20.0):
        self.encoder, self.length = encoder, length

    def encode_image(self, image, crop=True):
        img = image.movedim(-1, 1) * 2 - 1
        return {"image_embeds": self.length * self.encoder.on_device().encode_image(img)}


class TinyVision:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"encoder": ("SOUNDGUIDE_JOINT",)}}

    RETURN_TYPES = ("CLIP_VISION",)
    FUNCTION = "load"
    CATEGORY = "tests"

    def load(self, encoder):
        return (SameVision(encoder),)


NODE_CLASS_MAPPINGS = {"TestsTinyModel": TinyModel, "TestsTinyVision": TinyVision}
