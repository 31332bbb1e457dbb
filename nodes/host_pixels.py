"""A pixel diffusion of ours as MODEL, CLIP and VAE of the host, for its own samplers and prompts.

Axes: B batch (frames), D dims, H W picture, L points of the joint space, S sections of a prompt, T noise levels.
"""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import comfy.conds  # pyright: ignore[reportMissingImports] the host
import comfy.latent_formats  # pyright: ignore[reportMissingImports] the host
import comfy.model_base  # pyright: ignore[reportMissingImports] the host
import comfy.model_management as mm  # pyright: ignore[reportMissingImports] the host
import comfy.sd  # pyright: ignore[reportMissingImports] the host
import comfy.supported_models_base  # pyright: ignore[reportMissingImports] the host
import torch
import torch.nn.functional as F
from comfy.model_patcher import ModelPatcher  # pyright: ignore[reportMissingImports] the host
from comfy.sd1_clip import (  # pyright: ignore[reportMissingImports] the host
    escape_important,
    token_weights,
    unescape_important,
)
from torch import Tensor, nn

from ..soundguide_core.checkpoints import registry
from .host import with_grad

LARGEST_SIGMA = 80.0  # of what samplers start from: beyond it nothing of a picture is left, and karras would stay there
SD15_WIDTH = 320  # channels of the network for which the host's estimate of memory has the factor 1


# MODEL


class Pixels(comfy.latent_formats.LatentFormat):
    """Latents that are pixels in -1..1."""

    latent_channels = 3
    spacial_downscale_ratio = 1

    def __init__(self) -> None:
        self.latent_rgb_factors = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]


class Config(comfy.supported_models_base.BASE):
    """What the host wants to know of a model that it does not build."""

    unet_config: ClassVar[dict] = {"disable_unet_model_creation": True}
    unet_extra_config: ClassVar[dict] = {}
    latent_format = Pixels
    supported_inference_dtypes: ClassVar[list] = [torch.float32]


class PixelModel(comfy.model_base.BaseModel):
    """Tells the network what unCLIP Conditioning adds, pictures or sounds of the joint space, as further points."""

    def extra_conds(self, **kwargs: Any) -> dict:
        out, told = super().extra_conds(**kwargs), kwargs.get("cross_attn")
        shown = kwargs.get("unclip_conditioning") or []
        if told is not None and shown:
            points = [
                each["strength"] * F.normalize(each["clip_vision_output"].image_embeds.float(), dim=-1).mean(0)
                for each in shown
            ]
            added = torch.stack(points)[None].to(told).expand(len(told), -1, -1)
            out["c_crossattn"] = comfy.conds.CONDCrossAttn(torch.cat([told, added], dim=1))
        return out


class HostUNet(nn.Module):
    """A UNet of soundguide_core, called as the host calls a diffusion model.

    Pictures of any size: sides that are no multiples of what the network needs are filled up with their last pixels.
    """

    dtype = torch.float32

    def __init__(self, unet: Any, multiple: int, alpha_bar: Tensor) -> None:
        super().__init__()
        self.unet, self.multiple = unet, multiple
        self.takes_x0 = unet.schedule.get("prediction_type") == "sample"
        self.alpha_bar: Tensor
        self.register_buffer("alpha_bar", alpha_bar.float())  # [T]

    def forward(self, x: Tensor, timesteps: Tensor, context: Tensor | None = None, **_: Any) -> Tensor:
        """x_t [B,3,H,W], timesteps [B] and context [B,L,D] => eps or v, as the network predicts."""
        height, width = x.shape[-2:]
        x = F.pad(x, (0, -width % self.multiple, 0, -height % self.multiple), mode="replicate")
        told = {} if self.unet.context_dim is None else {"context": context}
        out = self.unet(x, timesteps, **told).sample[:, :3]
        if self.takes_x0:  # v = (alpha x_t - x0) / sigma
            alpha_bar = self.alpha_bar[timesteps.long()].view(-1, 1, 1, 1)
            out = (alpha_bar.sqrt() * x - out) / (1 - alpha_bar).sqrt()
        return out[..., :height, :width]


def pixel_model(name: str) -> Any:
    """A MODEL from a name in the registry, a pixel diffusion."""
    return with_grad(_pixel_model, name)


def _pixel_model(name: str) -> Any:
    from ..soundguide_core.diffusion.denoiser import load_denoiser

    denoiser = load_denoiser(name, mm.unet_offload_device())
    config = Config(Config.unet_config)
    config.memory_usage_factor = denoiser.unet.config["block_out_channels"][0] / denoiser.unet.patch**2 / SD15_WIDTH
    kind = comfy.model_base.ModelType
    model = PixelModel(
        config, kind.EPS if denoiser.prediction_type == "epsilon" else kind.V_PREDICTION, mm.unet_offload_device()
    )
    model.diffusion_model = HostUNet(denoiser.unet, denoiser.multiple, denoiser.alpha_bar)
    sigmas = ((1 - denoiser.alpha_bar) / denoiser.alpha_bar).sqrt()
    model.model_sampling.set_sigmas(sigmas[sigmas <= LARGEST_SIGMA])
    return ModelPatcher(model, mm.get_torch_device(), mm.unet_offload_device())


# CLIP


class Tokenizer:
    """A text tower's tokenizer, called as the host calls its own: (words:1.2) weigh more."""

    def __init__(self, clip: Any) -> None:
        from ..soundguide_core.embedding import prompts

        self.words = prompts.word_tokenizer(clip)
        self.longest = clip.model.context_length - 2  # beside start and end

    def tokenize_with_weights(self, text: str, return_word_ids: bool = False, **_: Any) -> dict[str, list]:
        """Sections of (token, weight), or (token, weight, number of the word), without start and end."""
        from ..soundguide_core.embedding import prompts

        tokens, number = [], 0
        for piece, weight in token_weights(escape_important(text), 1.0):
            for word in unescape_important(piece).split():
                number += 1
                tokens += [(token, weight, number) for token in self.words.encode(word)]
        parts = [list(part) for part in prompts.sections(tokens, self.longest)]
        return {"soundguide": parts if return_word_ids else [[each[:2] for each in part] for part in parts]}

    def untokenize(self, pairs: list) -> list:
        return [(pair, self.words.decode([pair[0]])) for pair in pairs]

    def decode(self, token_ids: list[int], **_: Any) -> str:
        return self.words.decode(token_ids)

    def state_dict(self) -> dict:
        return {}


class TextModel(nn.Module):
    """A text tower, called as the host calls its own. Clip skip changes nothing: the space is the last layer's."""

    dtypes: ClassVar[set] = {torch.float32}

    def __init__(self, clip: Any) -> None:
        super().__init__()
        self.clip = clip
        self.clip.model.visual = nn.Identity()  # the picture tower is not needed

    def set_clip_options(self, options: dict) -> None:
        pass

    def reset_clip_options(self) -> None:
        pass

    def encode_token_weights(self, tokens: dict[str, list]) -> tuple[Tensor, Tensor]:
        """(points of the joint space [1,S,D], one for each section of the prompt; their mean [1,D])."""
        from ..soundguide_core.embedding import prompts

        points = prompts.embed_sections(self.clip, [[pair[:2] for pair in part] for part in tokens["soundguide"]])
        points = points[None].to(mm.intermediate_device())
        return points, points.mean(1)

    def load_sd(self, sd: dict):
        return self.clip.model.load_state_dict(sd, strict=False)


def text_clip(joint: str | None) -> Any:
    """A CLIP from a joint encoder, by its name in the registry or its path."""
    return with_grad(_text_clip, joint)


def _text_clip(joint: str | None) -> Any:
    from ..soundguide_core.embedding.clip import load_clip

    towers = load_clip(registry.find("joint", joint).files["clip"], mm.text_encoder_offload_device())
    target = comfy.supported_models_base.ClipTarget(lambda **_: Tokenizer(towers), lambda **_: TextModel(towers))
    options = {"disable_dynamic": True} if "disable_dynamic" in inspect.signature(comfy.sd.CLIP).parameters else {}
    return comfy.sd.CLIP(target, model_options={"dtype": torch.float32}, **options)


# VAE


def pixel_vae() -> Any:
    """The host's own VAE that hands pixels through."""
    return comfy.sd.VAE(sd={"pixel_space_vae": torch.tensor(1.0)})
