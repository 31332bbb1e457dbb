"""Models of ComfyUI's own classes, one of each family, tiny and with random weights: fixtures that sample as real ones.

Made under inference mode, as the host's loaders make theirs, so that their weights are inference tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Family:
    """One family of models. config: class of comfy.supported_models. latent: of four frames, or one video of them.

    text: dims of its text tokens. pooled: dims of the pooled text, 0 for none. frames: pictures that the latent holds.
    extra: of the conditioning. audio: shape of the sound that is packed beside the video.
    """

    config: str
    unet: dict
    latent: tuple[int, ...]
    text: int
    pooled: int = 0
    frames: int = 2
    extra: dict = field(default_factory=dict)
    audio: tuple[int, ...] | None = None

    @property
    def video(self) -> bool:
        return len(self.latent) == 5


FLUX = {
    "in_channels": 16, "out_channels": 16, "vec_in_dim": 16, "context_in_dim": 24, "hidden_size": 32, "mlp_ratio": 2.0,
    "num_heads": 2, "depth": 1, "depth_single_blocks": 1, "axes_dim": [4, 6, 6], "theta": 10_000, "patch_size": 2,
    "qkv_bias": True,
}  # fmt: skip
CHROMA = {
    **FLUX, "in_channels": 64, "out_channels": 64, "image_model": "chroma", "in_dim": 64, "out_dim": 32,
    "hidden_dim": 16, "n_layers": 1, "txt_ids_dims": [],
}  # fmt: skip
UNET = {
    "image_size": 32, "use_spatial_transformer": True, "legacy": False, "in_channels": 4, "out_channels": 4,
    "model_channels": 32, "num_res_blocks": [1, 1], "channel_mult": [1, 2], "num_heads": 2, "num_head_channels": -1,
    "context_dim": 24,
}  # fmt: skip
WAN = {
    "image_model": "wan2.1", "model_type": "t2v", "dim": 48, "ffn_dim": 64, "freq_dim": 16, "text_dim": 24,
    "text_len": 8, "num_heads": 2, "num_layers": 1, "patch_size": (1, 2, 2),
}  # fmt: skip
LTX = {"image_model": "ltxv", "in_channels": 128, "caption_channels": 24, "num_layers": 1, "num_attention_heads": 2}

FAMILIES = {
    "SD1.5": Family(
        "SD15",
        {**UNET, "transformer_depth": [1, 1], "transformer_depth_output": [1] * 4, "transformer_depth_middle": 1},
        (2, 4, 8, 8), 24,
    ),
    "SDXL": Family(
        "SDXL",
        {**UNET, "transformer_depth": [0, 1], "transformer_depth_output": [0, 0, 1, 1], "transformer_depth_middle": 1,
         "num_classes": "sequential", "adm_in_channels": 16 + 6 * 256, "use_linear_in_transformer": True},
        (2, 4, 8, 8), 24, pooled=16,
    ),
    "SD3": Family(
        "SD3",
        {"in_channels": 16, "input_size": 16, "depth": 1, "num_blocks": 1, "patch_size": 2, "adm_in_channels": 16,
         "pos_embed_max_size": 16, "num_patches": 256, "out_channels": 16,
         "context_embedder_config": {"target": "torch.nn.Linear", "params": {"in_features": 24, "out_features": 64}}},
        (2, 16, 8, 8), 24, pooled=16,
    ),
    "Flux": Family(
        "Flux", {**FLUX, "image_model": "flux", "guidance_embed": True, "txt_ids_dims": []}, (2, 16, 8, 8), 24,
        pooled=16,
    ),
    "Chroma": Family("Chroma", CHROMA, (2, 16, 8, 8), 24),
    "ChromaRadiance": Family(
        "ChromaRadiance",
        {**CHROMA, "image_model": "chroma_radiance", "in_channels": 3, "out_channels": 3, "patch_size": 8,
         "nerf_hidden_size": 8, "nerf_mlp_ratio": 2, "nerf_depth": 1, "nerf_max_freqs": 4, "nerf_tile_size": 512,
         "nerf_final_head_type": "conv", "nerf_embedder_dtype": torch.float32, "use_x0": False,
         "use_sequential_txt_ids": False},
        (2, 3, 32, 32), 24,
    ),
    "Qwen-Image": Family(
        "QwenImage",
        {"image_model": "qwen_image", "patch_size": 2, "in_channels": 64, "out_channels": 16, "num_layers": 1,
         "attention_head_dim": 16, "num_attention_heads": 2, "joint_attention_dim": 24, "axes_dims_rope": (4, 6, 6)},
        (2, 16, 1, 8, 8), 24,
    ),
    "Z-Image": Family(
        "ZImage",
        {"image_model": "lumina2", "patch_size": 2, "in_channels": 16, "dim": 256, "cap_feat_dim": 24, "n_layers": 1,
         "n_refiner_layers": 1, "qk_norm": True, "n_heads": 4, "n_kv_heads": 4, "axes_dims": [16, 24, 24],
         "axes_lens": [64, 32, 32], "rope_theta": 256.0, "ffn_dim_multiplier": 8 / 3, "multiple_of": 16,
         "z_image_modulation": True, "time_scale": 1000.0, "pad_tokens_multiple": 32},
        (2, 16, 8, 8), 24,
    ),
    "HunyuanVideo": Family(
        "HunyuanVideo",
        {**FLUX, "image_model": "hunyuan_video", "patch_size": [1, 2, 2], "guidance_embed": True, "byt5": False,
         "meanflow": False, "use_cond_type_embedding": False, "vision_in_dim": None, "meanflow_sum": False,
         "hidden_size": 128, "num_heads": 1, "axes_dim": [16, 56, 56], "theta": 256},
        (1, 16, 4, 8, 8), 24, pooled=16, frames=13, extra={"guidance": 6.0},
    ),
    "Wan 2.1": Family("WAN21_T2V", WAN, (1, 16, 4, 8, 8), 24, frames=13),
    "Wan 2.2": Family("WAN22_T2V", {**WAN, "in_dim": 48, "out_dim": 48}, (1, 48, 4, 8, 8), 24, frames=13),
    "LTXV": Family(
        "LTXV", {**LTX, "cross_attention_dim": 64, "attention_head_dim": 32}, (1, 128, 3, 4, 4), 24, frames=17,
        extra={"frame_rate": 25},
    ),
    "LTX-2": Family(
        "LTXAV",
        {**LTX, "image_model": "ltxav", "cross_attention_dim": 64, "attention_head_dim": 32, "audio_in_channels": 128,
         "audio_cross_attention_dim": 64, "audio_attention_head_dim": 32, "audio_num_attention_heads": 2,
         "connector_attention_head_dim": 8, "connector_num_attention_heads": 2, "connector_num_layers": 1},
        (1, 128, 3, 4, 4), 48, frames=17, extra={"frame_rate": 25}, audio=(1, 8, 10, 16),
    ),
}  # fmt: skip


def load(name: str, seed: int = 0, dtype: torch.dtype = torch.float32):
    """A ModelPatcher around the host's own model of that family, its weights random and of use."""
    import comfy.model_management as mm
    import comfy.supported_models
    from comfy.model_patcher import ModelPatcher

    family = FAMILIES[name]
    with torch.inference_mode():
        config = getattr(comfy.supported_models, family.config)({**family.unet})
        config.set_inference_dtype(dtype, None)
        model = config.get_model({}, device=torch.device("cpu"))
        _draw_weights(model.diffusion_model, seed)
        return ModelPatcher(model, mm.get_torch_device(), mm.unet_offload_device())


def _draw_weights(network: torch.nn.Module, seed: int) -> None:
    """Weights of unit gain, so that the output depends on the input and on the text."""
    rng = torch.Generator().manual_seed(seed)
    for name, buffer in network.named_buffers():
        if name == "pos_embed":  # of SD3, which a checkpoint brings
            buffer.copy_(0.5 * torch.randn(buffer.shape, generator=rng).to(buffer))
    for name, weight in network.named_parameters():
        if weight.ndim < 2:
            weight.fill_(1.0 if name.endswith(("scale", "weight")) else 0.0)
            weight.add_(0.02 * torch.randn(weight.shape, generator=rng).to(weight))
        else:
            gain = 1 / math.sqrt(weight[0].numel())
            weight.copy_(gain * torch.randn(weight.shape, generator=rng).to(weight))


def conditioning(name: str, seed: int = 1, tokens: int = 6, rows: int = 1) -> list:
    """CONDITIONING [rows,tokens,dims] of random text, with what else the family asks for."""
    family = FAMILIES[name]
    rng = torch.Generator().manual_seed(seed)
    with torch.inference_mode():
        text = torch.randn(rows, tokens, family.text, generator=rng)
        more = dict(family.extra)
        if family.pooled:
            more["pooled_output"] = torch.randn(rows, family.pooled, generator=rng)
        if family.config.startswith("LTX"):
            more["attention_mask"] = torch.ones(rows, tokens, dtype=torch.long)
        return [[text, more]]


def latent(name: str, shape: tuple[int, ...] | None = None) -> dict:
    """An empty LATENT of the family; of audio and video a nested one."""
    family = FAMILIES[name]
    with torch.inference_mode():
        samples: Tensor = torch.zeros(shape or family.latent)
        if family.audio is not None:
            from comfy.nested_tensor import NestedTensor

            return {"samples": NestedTensor([samples, torch.zeros(family.audio)])}
        return {"samples": samples}


def run(patcher, name: str, *, sampler: str = "euler", scheduler: str = "simple", steps: int = 4, cfg: float = 2.0,
        seed: int = 0, denoise: float = 1.0, start: dict | None = None, positive: list | None = None,
        negative: list | None = None, callback: Callable | None = None) -> Tensor | list[Tensor]:  # fmt: skip
    """KSampler's way through the host, under inference mode => samples, or [video, audio]."""
    import comfy.sample

    start = latent(name) if start is None else start
    with torch.inference_mode():
        samples = comfy.sample.fix_empty_latent_channels(patcher, start["samples"])
        noise = comfy.sample.prepare_noise(samples, seed, start.get("batch_index"))
        made = comfy.sample.sample(
            patcher, noise, steps, cfg, sampler, scheduler,
            conditioning(name, 1) if positive is None else positive,
            conditioning(name, 2) if negative is None else negative,
            samples, denoise=denoise, noise_mask=start.get("noise_mask"), seed=seed, disable_pbar=True,
            callback=callback,
        )  # fmt: skip
        return list(made.unbind()) if getattr(made, "is_nested", False) else made
