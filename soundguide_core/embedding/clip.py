"""The picture and text towers: any CLIP or open_clip model, frozen, with differentiable preprocessing.

A. Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021, section 2.
Axes: B batch, N crops, H W picture, D dims.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checkpoints import safetensors_io, weights
from ..checkpoints.bounded_build import bounded_build
from ..checkpoints.formats.open_clip import state_dict
from ..common.errors import InputError, check_number, check_whole, value_shown
from ..common.files import read_json
from ..common.memory import to_device
from ..common.shapes import check_shape
from ..common.typed import AGAIN, check_types, fits
from . import clip_networks, open_clip_files
from .clip_networks import CLIP, TextConfig, VisionConfig
from .clip_tokens import Tokenizer

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)
VIT_WIDTHS = {768: "B", 1024: "L", 1280: "H"}
HALF_SCALE = 2.0**10  # of gradients inside a tower in half precision


@dataclass(frozen=True)
class Preprocess:
    """How a picture in -1..1 becomes a tower's input of size x size pixels.

    view: "bicubic" scales the shorter side (antialiased) and crops the centre, then (x + 1) / 2 and mean, std.
        "released" is what the code of Lee et al. 2022 feeds to CLIP: each pixel repeated size/32 times, averaged over
        side/32, still in -1..1, with no mean and std.
    """

    size: int
    mean: tuple[float, float, float] = OPENAI_MEAN
    std: tuple[float, float, float] = OPENAI_STD
    view: str = "bicubic"

    def __post_init__(self) -> None:
        check_whole(self.size, "The side of what a picture tower sees", low=1, high=4096)
        if self.view not in ("bicubic", "released"):
            raise InputError(f"There is no picture view called {self.view!r}.", 'Use "bicubic" or "released".')
        for value in self.mean:
            check_number(value, "A mean of a picture tower", low=-1000, high=1000)
        for value in self.std:
            check_number(value, "A standard deviation of a picture tower", low=1e-4, high=1000)

    def __call__(self, img: Tensor) -> Tensor:
        """img [B,3,H,W] in -1..1 => [B,3,size,size], differentiable."""
        sizes = check_shape(img, "B 3 H W", name="the picture")
        h, w = sizes["H"], sizes["W"]
        if self.view == "released":
            if h != w or h % 32:
                raise InputError(
                    f"The released view takes square pictures whose side is a multiple of 32, not {h} x {w}.",
                    'Resize the picture, or use the "bicubic" view.',
                )
            return F.avg_pool2d(F.interpolate(img, scale_factor=self.size // 32, mode="nearest"), h // 32)
        if min(h, w) != self.size:
            scale = self.size / min(h, w)
            scaled = (max(self.size, int(h * scale)), max(self.size, int(w * scale)))
            img = F.interpolate(img, scaled, mode="bicubic", antialias=True, align_corners=False)
        top, left = (round((side - self.size) / 2) for side in img.shape[2:])
        img = img[:, :, top : top + self.size, left : left + self.size]
        mean, std = (img.new_tensor(v).view(1, 3, 1, 1) for v in (self.mean, self.std))
        return ((img + 1) / 2 - mean) / std  # -1..1 => 0..1 => normalised


class _GradientTimes(torch.autograd.Function):
    """x => x, whose gradient is multiplied: in half precision, that of a pixel is smaller than the smallest number."""

    @staticmethod
    def forward(ctx, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx, *gradients: Tensor):
        return gradients[0] * ctx.factor, None


class ClipTowers(nn.Module):
    """An open_clip model as two functions into one space.

    model: anything with open_clip's encode_image, encode_text and logit_scale.
    config: {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu"} as open_clip has them, or {"open_clip": architecture
        name}; and "preprocess" (the fields of Preprocess), "prompts" (templates with one {} each).
    """

    model: Any  # open_clip's classes of models share no type

    def __init__(self, model: nn.Module, config: dict) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.preprocess = Preprocess(**check_types(Preprocess, config["preprocess"], "The preprocessing of the file"))
        self._dim: int = config["embed_dim"] if "vision_cfg" in config else cast(Any, model.visual).output_dim
        prompts = config.get("prompts", ("{}",))
        if not prompts or not fits(prompts, tuple[str, ...]):
            raise InputError("The prompts of the file are no list of texts.", AGAIN)
        self.prompts: tuple[str, ...] = tuple(prompts)

    @classmethod
    def from_config(cls, config: dict) -> ClipTowers:
        """Untrained towers; no file is read and nothing is downloaded."""
        if "open_clip" not in config and clip_networks.covers(config):
            vision = VisionConfig(**check_types(VisionConfig, config["vision_cfg"], "The vision_cfg of the file"))
            text = TextConfig(**check_types(TextConfig, config["text_cfg"], "The text_cfg of the file"))
            quick, size = config.get("quick_gelu", False), config["preprocess"]["size"]
            if size != vision.image_size:
                raise InputError(
                    f"The picture tower sees {vision.image_size} pixels a side, and the preprocessing makes them "
                    f"{value_shown(size)}.",
                    "Set both to one size, or get the file again.",
                )
            return cls(CLIP(config["embed_dim"], vision, text, quick_gelu=bool(quick)), config)
        return cls(open_clip_files.untrained(config), config)

    @classmethod
    def from_open_clip(cls, name: str, pretrained: str | os.PathLike, *, view: str = "bicubic") -> ClipTowers:
        """Published weights: an open_clip architecture; a local file, or a pretrained tag whose file is on this disk.

        The name says which GELU a local file's network has: ViT-B-32-quickgelu for OpenAI's ViT-B/32.
        """
        import open_clip
        from open_clip.transformer import QuickGELU

        if name not in open_clip.list_models():
            raise InputError(f"open_clip has no model called {name!r}.", "See open_clip.list_models() for the names.")
        file, about = os.fspath(pretrained), {}
        if not os.path.exists(file):
            file, about = open_clip_files.pretrained_file(name, file)
        model = open_clip_files.named(name, load_weights=False, force_quick_gelu=bool(about.get("quick_gelu")))
        safetensors_io.fill(model, weights.own_storage(state_dict(file)), file)
        shown = model.visual.preprocess_cfg | {key: about[key] for key in ("mean", "std") if key in about}
        size = shown["size"] if isinstance(shown["size"], int) else shown["size"][0]
        preprocess = Preprocess(size, tuple(shown["mean"]), tuple(shown["std"]), view)
        prompts = ["{}", "a photo of {}", "the sound of {}"]
        quick = any(isinstance(module, QuickGELU) for module in model.modules())
        config = {"open_clip": name, "quick_gelu": quick, "preprocess": asdict(preprocess), "prompts": prompts}
        return cls(model, config).freeze()

    def to_config(self) -> dict:
        """What from_config needs to build the same towers."""
        return self.config

    def save(self, path: str | os.PathLike, *, half: bool = True) -> None:
        """Write weights and config to one safetensors file, which load_clip reads."""
        safetensors_io.save(path, self.model.state_dict(), self.config, half=half)

    def freeze(self) -> ClipTowers:
        """Weights fixed, in evaluation mode; gradients still reach the picture."""
        return self.eval().requires_grad_(False)

    @cached_property
    def tokenizer(self):
        """list[str] => token ids [B, context_length]."""
        if "open_clip" in self.config:
            import open_clip

            return open_clip.get_tokenizer(self.config["open_clip"])
        return Tokenizer(self.model.context_length)

    @property
    def dim(self) -> int:
        """D of the joint space."""
        return self._dim

    @property
    def device(self) -> torch.device:
        return self.model.logit_scale.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the picture tower's weights."""
        return next(self.model.visual.parameters()).dtype

    @cached_property
    def size(self) -> str:
        """Which CLIP this is, as far as its layers say: one with the quick GELU is "OpenAI CLIP ViT-L/14"."""
        visual, quick = self.model.visual, any(type(part).__name__ == "QuickGELU" for part in self.model.modules())
        width, _, patch, _ = visual.conv1.weight.shape if hasattr(visual, "conv1") else (0, 0, 0, 0)
        name = f"ViT-{VIT_WIDTHS.get(width, width)}/{patch}" if hasattr(visual, "class_embedding") else "tower"
        return f"{'OpenAI ' if quick else ''}CLIP {name}"

    @cached_property
    def space(self) -> str:
        """Names the joint space: `size`, and a fingerprint of the weights into it. A copy in half precision has the
        same, whatever its file is called; a tower that was trained further has not."""
        names = [name for name, _ in self.model.named_parameters() if "text_projection" in name]
        weight = self.model.get_parameter(names[0] if names else "logit_scale").detach()
        numbers = weight.reshape(-1)[: 2**16].cpu().half().numpy().tobytes()
        return f"{self.size} {hashlib.sha256(numbers).hexdigest()[:6]}"

    @property
    def logit_scale(self) -> Tensor:
        """1 / temperature of the softmax over cosines, a scalar."""
        return self.model.logit_scale.exp()

    def encode_image(self, img: Tensor, *, crops: int = 0, generator: torch.Generator | None = None) -> Tensor:
        """img [B,3,H,W] in -1..1 => embeds [B,D], unit norm, differentiable.

        crops: 0 looks at the whole picture; N looks at N `augmented_crops` and averages what it sees.
        """
        if crops:
            views = self.encode_image(augmented_crops(img, crops, generator))
            return F.normalize(views.unflatten(0, (crops, -1)).mean(0), dim=-1)  # [N*B,D] => [B,D]
        x = self.preprocess(img)
        if self.dtype != torch.float16:
            return F.normalize(self.model.encode_image(x.to(self.dtype)).to(x.dtype), dim=-1)
        made = self.model.encode_image(_GradientTimes.apply(x, 1 / HALF_SCALE).half())
        return F.normalize(_GradientTimes.apply(made.float(), HALF_SCALE), dim=-1)

    def encode_text(self, text: str | Sequence[str]) -> Tensor:
        """Texts as they are => embeds [B,D], unit norm."""
        texts = as_texts(text)
        if not all(line.strip() for line in texts):
            raise InputError("A text to embed is empty.", "Give a list of one or more non-empty texts.")
        return self.encode_tokens(to_device(self.tokenizer(texts), self.device))

    def encode_tokens(self, tokens: Tensor) -> Tensor:
        """tokens [B, context_length], as the tokenizer makes them => embeds [B,D], unit norm."""
        return F.normalize(self.model.encode_text(tokens).float(), dim=-1)


def as_texts(text: str | Sequence[str]) -> list[str]:
    """Texts as a list; one that stands alone is a list of it.

    Raises:
        InputError: none, or something else.
    """
    if isinstance(text, str):
        return [text]
    texts: list[Any] = list(text) if isinstance(text, Iterable) else [text]
    if not texts:
        raise InputError("There is no text to embed.", "Give a list of one or more non-empty texts.")
    if wrong := [line for line in texts if not isinstance(line, str)]:
        raise InputError(f"A text to embed is {value_shown(wrong[0])}.", "Give a text, or a list of texts.")
    return texts


def load_clip(path: str | os.PathLike, device: str | torch.device = "cpu") -> ClipTowers:
    """Frozen towers from a file of any known format; open_clip_config.json beside a foreign one says what it lacks."""
    tensors, config = weights.load(path, "clip")
    with bounded_build(path, "a picture and text model", tensors):
        config = _stated(path, config) if config.get("quick_gelu", False) is None else config
        towers = ClipTowers.from_config(config)
    safetensors_io.fill(towers.model, tensors, path)
    return towers.to(device).freeze()


def _stated(path: str | os.PathLike, config: dict) -> dict:
    """config with what open_clip_config.json beside the file says; InputError where it is absent."""
    beside = Path(path).resolve().parent / "open_clip_config.json"
    if not beside.is_file():
        raise InputError(
            f"{path} does not say which activation its network has.",
            "Put the open_clip_config.json beside it that was published with it.",
        )
    stated = read_json(beside)
    model, shown = stated["model_cfg"], stated.get("preprocess_cfg", {})
    sizes = {key: model[key] for key in ("embed_dim", "vision_cfg", "text_cfg")}
    colours = {key: tuple(shown[key]) for key in ("mean", "std") if key in shown}
    preprocess = config["preprocess"] | colours
    return config | sizes | {"quick_gelu": bool(model.get("quick_gelu", False)), "preprocess": preprocess}


def augmented_crops(
    img: Tensor,
    n: int,
    generator: torch.Generator | None = None,
    *,
    scale: tuple[float, float] = (0.6, 1.0),
    skew: float = 0.08,
    alike: bool = False,
) -> Tensor:
    """n random views of each picture: a part of it, mirrored or not, seen slightly from the side.

    img [B,3,H,W] => [n*B,3,H,W], all pictures in their first view, then all in their second; differentiable.
    scale: side of the part against the picture's. skew: how far each corner moves, against the part's side.
    generator: a CPU generator, so that a seed gives the same views on every device.
    alike: all pictures are seen in the same n views, as the frames of a video should be.
    """
    from kornia.geometry.transform import get_perspective_transform, warp_perspective

    sizes = check_shape(img, "B 3 H W", name="the picture")
    count = n if alike else n * sizes["B"]
    extent = torch.tensor([sizes["W"] - 1.0, sizes["H"] - 1.0])
    side = scale[0] + (scale[1] - scale[0]) * torch.rand(count, 1, 1, generator=generator)
    corner = (1 - side) * torch.rand(count, 1, 2, generator=generator)
    square = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    moved = square + skew * (2 * torch.rand(count, 4, 2, generator=generator) - 1)
    mirrored = torch.rand(count, 1, generator=generator) < 0.5
    moved[..., 0] = torch.where(mirrored, 1 - moved[..., 0], moved[..., 0])
    source = (corner + side * moved) * extent  # [n*B,4,2] in pixels
    target = (square * extent).expand(count, 4, 2)
    matrix = get_perspective_transform(source, target).to(img)
    if alike:
        matrix = matrix.repeat_interleave(sizes["B"], dim=0)
    return warp_perspective(img.repeat(n, 1, 1, 1), matrix, (sizes["H"], sizes["W"]), padding_mode="reflection")
