"""CLIP's two towers, as open_clip and OpenAI publish them: a ViT or a modified ResNet, and a text transformer.

A. Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021, section 2.4 and
appendix A. Keys, starting values and embeddings are open_clip's, to the rounding; it is not imported, for that brings
timm, torchvision and torch's compiler along, seconds of every start. Models with parts beyond these are left to it.
Axes: B batch, H W picture, L tokens, C width, D dims.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..common.errors import check_number, check_whole

EXPANSION = 4  # channels after a bottleneck against those within


@dataclass(frozen=True)
class VisionConfig:
    """The picture tower, in open_clip's names. layers: blocks of a ViT, or of each of a ResNet's four stages."""

    layers: int | tuple[int, int, int, int] = 12
    width: int = 768
    head_width: int = 64
    mlp_ratio: float = 4.0
    patch_size: int = 16
    image_size: int = 224

    def __post_init__(self) -> None:
        stages = self.layers if isinstance(self.layers, (tuple, list)) else (self.layers,)
        for value in (*stages, self.width, self.head_width, self.patch_size, self.image_size):
            check_whole(value, "A size of the picture tower", low=1, high=2**14)
        check_number(self.mlp_ratio, "The mlp_ratio of the picture tower", low=0.01, high=64)


@dataclass(frozen=True)
class TextConfig:
    """The text tower, in open_clip's names."""

    context_length: int = 77
    vocab_size: int = 49408
    width: int = 512
    heads: int = 8
    layers: int = 12
    mlp_ratio: float = 4.0

    def __post_init__(self) -> None:
        for value in (self.context_length, self.width, self.heads, self.layers):
            check_whole(value, "A size of the text tower", low=1, high=2**14)
        check_whole(self.vocab_size, "The vocabulary of the text tower", low=1, high=2**22)
        check_number(self.mlp_ratio, "The mlp_ratio of the text tower", low=0.01, high=64)


def covers(config: dict) -> bool:
    """Whether both towers of a config in open_clip's names are made of these parts alone."""
    towers = ((config.get("vision_cfg"), VisionConfig), (config.get("text_cfg"), TextConfig))
    if not all(isinstance(stated, dict) and set(stated) <= {f.name for f in fields(of)} for stated, of in towers):
        return False
    return all(isinstance(config["vision_cfg"].get(name, 0), int) for name in ("image_size", "patch_size"))


class QuickGELU(nn.Module):
    """x sigmoid(1.702 x), OpenAI's approximation."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


# ---- transformers


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)): [B,L,C] => [B,L,C]."""

    def __init__(self, width: int, heads: int, mlp_ratio: float, gelu: type[nn.Module]):
        super().__init__()
        inner = int(width * mlp_ratio)
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(width)
        parts = {"c_fc": nn.Linear(width, inner), "gelu": gelu(), "c_proj": nn.Linear(inner, width)}
        self.mlp = nn.Sequential(OrderedDict(parts))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        y = self.ln_1(x)
        mask = None if mask is None else mask.to(y.dtype)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    def __init__(self, width: int, layers: int, heads: int, mlp_ratio: float, gelu: type[nn.Module]):
        super().__init__()
        self.width, self.layers = width, layers
        self.resblocks = nn.ModuleList([Block(width, heads, mlp_ratio, gelu) for _ in range(layers)])

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        for block in self.resblocks:
            x = block(x, mask)
        return x


class VisionTransformer(nn.Module):
    """img [B,3,H,W] => [B,D], from the class token."""

    def __init__(self, config: VisionConfig, dim: int, gelu: type[nn.Module]):
        super().__init__()
        assert isinstance(config.layers, int)
        width, patch = config.width, config.patch_size
        scale, tokens = width**-0.5, (config.image_size // patch) ** 2 + 1
        self.conv1 = nn.Conv2d(3, width, patch, stride=patch, bias=False)
        self.class_embedding = nn.Parameter(scale * torch.randn(width))
        self.positional_embedding = nn.Parameter(scale * torch.randn(tokens, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = Transformer(width, config.layers, width // config.head_width, config.mlp_ratio, gelu)
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(scale * torch.randn(width, dim))

    def forward(self, img: Tensor) -> Tensor:
        x = self.conv1(img).flatten(2).transpose(1, 2)  # [B,L,C]
        x = torch.cat([self.class_embedding.to(x.dtype).expand(len(x), 1, -1), x], dim=1)
        x = self.transformer(self.ln_pre(x + self.positional_embedding.to(x.dtype)))
        return self.ln_post(x[:, 0]) @ self.proj


# ---- the modified ResNet


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions beside a shortcut; where it halves the picture, both ways average it."""

    def __init__(self, size_in: int, size: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(size_in, size, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(size)
        self.conv2 = nn.Conv2d(size, size, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(size)
        self.pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.conv3 = nn.Conv2d(size, size * EXPANSION, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(size * EXPANSION)
        self.downsample = None
        if stride > 1 or size_in != size * EXPANSION:
            conv = nn.Conv2d(size_in, size * EXPANSION, 1, bias=False)
            parts = {"-1": nn.AvgPool2d(stride), "0": conv, "1": nn.BatchNorm2d(size * EXPANSION)}
            self.downsample = nn.Sequential(OrderedDict(parts))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.pool(F.relu(self.bn2(self.conv2(y))))
        return F.relu(self.bn3(self.conv3(y)) + (x if self.downsample is None else self.downsample(x)))


class AttentionPool(nn.Module):
    """[B,C,H,W] => [B,D]: the mean of all places asks all places."""

    def __init__(self, grid: int, width: int, heads: int, dim: int):
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.randn(grid**2 + 1, width) / width**0.5)
        self.k_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.c_proj = nn.Linear(width, dim)
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(2).transpose(1, 2)  # [B,L,C]
        x = torch.cat([x.mean(1, keepdim=True), x], dim=1) + self.positional_embedding.to(x.dtype)
        parts = (self.q_proj(x[:, :1]), self.k_proj(x), self.v_proj(x))
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in parts)  # [B,heads,L,C/heads]
        return self.c_proj(F.scaled_dot_product_attention(q, k, v)[:, :, 0].flatten(1))


class ModifiedResNet(nn.Module):
    """img [B,3,H,W] => [B,D]: a stem of three convolutions, four stages, and attention in place of an average."""

    def __init__(self, config: VisionConfig, dim: int):
        super().__init__()
        assert not isinstance(config.layers, int)
        width = config.width
        self.conv1 = nn.Conv2d(3, width // 2, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width // 2)
        self.conv2 = nn.Conv2d(width // 2, width // 2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width // 2)
        self.conv3 = nn.Conv2d(width // 2, width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        size_in = width
        for i, count in enumerate(config.layers):
            size, stride = width * 2**i, 1 if i == 0 else 2
            blocks = [Bottleneck(size_in if j == 0 else size * EXPANSION, size, stride if j == 0 else 1)
                      for j in range(count)]  # fmt: skip
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
            size_in = size * EXPANSION
        heads = width * 32 // config.head_width
        self.attnpool = AttentionPool(config.image_size // 32, width * 32, heads, dim)
        pool: Any = self.attnpool
        for part in (pool.q_proj, pool.k_proj, pool.v_proj, pool.c_proj):
            nn.init.normal_(part.weight, std=(width * 32) ** -0.5)
        for name, weight in self.named_parameters():
            if name.startswith("layer") and name.endswith("bn3.weight"):
                nn.init.zeros_(weight)

    def forward(self, img: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(img)))
        x = F.relu(self.bn2(self.conv2(x)))
        x = F.avg_pool2d(F.relu(self.bn3(self.conv3(x))), 2)
        for i in range(4):
            x = getattr(self, f"layer{i + 1}")(x)
        return self.attnpool(x)


# ---- both


class CLIP(nn.Module):
    """encode_image and encode_text into one space of dim numbers, not normalised."""

    attn_mask: Tensor

    def __init__(self, dim: int, vision: VisionConfig, text: TextConfig, *, quick_gelu: bool = False):
        super().__init__()
        check_whole(dim, "The embed_dim of the file", low=1, high=2**14)
        gelu: type[nn.Module] = QuickGELU if quick_gelu else nn.GELU
        is_vit = isinstance(vision.layers, int)
        self.visual = VisionTransformer(vision, dim, gelu) if is_vit else ModifiedResNet(vision, dim)
        self.context_length = text.context_length
        self.token_embedding = nn.Embedding(text.vocab_size, text.width)
        self.positional_embedding = nn.Parameter(torch.empty(text.context_length, text.width))
        self.transformer = Transformer(text.width, text.layers, text.heads, text.mlp_ratio, gelu)
        self.ln_final = nn.LayerNorm(text.width)
        self.text_projection = nn.Parameter(torch.empty(text.width, dim))
        mask = torch.full((text.context_length, text.context_length), -torch.inf).triu(1)  # no token sees a later one
        self.register_buffer("attn_mask", mask, persistent=False)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self._start_text()

    def _start_text(self) -> None:
        width, layers = self.transformer.width, self.transformer.layers
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positional_embedding, std=0.01)
        for block in self.transformer.resblocks:
            part: Any = block
            nn.init.normal_(part.attn.in_proj_weight, std=width**-0.5)
            nn.init.normal_(part.attn.out_proj.weight, std=width**-0.5 * (2 * layers) ** -0.5)
            nn.init.normal_(part.mlp.c_fc.weight, std=(2 * width) ** -0.5)
            nn.init.normal_(part.mlp.c_proj.weight, std=width**-0.5 * (2 * layers) ** -0.5)
        nn.init.normal_(self.text_projection, std=width**-0.5)

    def encode_image(self, img: Tensor) -> Tensor:
        """img [B,3,H,W], preprocessed => [B,D]"""
        return self.visual(img)

    def encode_text(self, tokens: Tensor) -> Tensor:
        """tokens [B,L] => [B,D], from the token of the end, which has the highest number."""
        dtype = self.text_projection.dtype
        x = self.token_embedding(tokens).to(dtype) + self.positional_embedding.to(dtype)
        x = self.ln_final(self.transformer(x, self.attn_mask))
        return x[torch.arange(len(x), device=x.device), tokens.argmax(dim=-1)] @ self.text_projection
