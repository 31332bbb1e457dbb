"""OpenAI's guided-diffusion UNets (256x256_diffusion_uncond.pt, 512x512_diffusion.pt and their siblings).

A plain state dict of https://github.com/openai/guided-diffusion/blob/22e0df8183507e13a7813f8d38d51b072ca1e67c/guided_diffusion/unet.py
=> the keys of diffusers.UNet2DModel. The file does not say how attention is cut; all published ones have heads of 64
channels in the "legacy" order: rows of qkv go head by head, and q, k, v within a head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...common.errors import InputError
from .keys import Keys, flat_tensors, recognised

if TYPE_CHECKING:
    from torch import Tensor

NAME = "guided-diffusion UNet"
KIND = "unet"

HEAD = 64
# scripts/../README.md of the repository: --noise_schedule linear --diffusion_steps 1000 --learn_sigma True
SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_schedule": "linear",
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "prediction_type": "epsilon",
    "variance_type": "learned_range",
}
RES_BLOCK = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
}


def recognises(content) -> bool:
    state = flat_tensors(content)
    return state is not None and {"time_embed.0.weight", "input_blocks.1.0.in_layers.2.weight", "out.2.weight"} <= set(
        state
    )


def convert(content) -> tuple[dict[str, Tensor], dict]:
    """(tensors of UNet2DModel, {"unet": its keyword arguments, "schedule": its diffusion})."""
    keys = Keys(recognised(flat_tensors(content)), NAME)
    layers, levels = _shape(keys)
    for leaf in ("weight", "bias"):
        keys.move(f"input_blocks.0.0.{leaf}", f"conv_in.{leaf}")
        keys.move(f"time_embed.0.{leaf}", f"time_embedding.linear_1.{leaf}")
        keys.move(f"time_embed.2.{leaf}", f"time_embedding.linear_2.{leaf}")
        keys.move(f"out.0.{leaf}", f"conv_norm_out.{leaf}")
        keys.move(f"out.2.{leaf}", f"conv_out.{leaf}")
    if "label_emb.weight" in keys:
        keys.move("label_emb.weight", "class_embedding.weight")

    # down: conv_in, then per level its blocks and one that halves the size, except at the last
    attends = []
    for level in range(levels):
        first = 1 + level * (layers + 1)
        for i in range(layers):
            _res_block(keys, f"input_blocks.{first + i}.0", f"down_blocks.{level}.resnets.{i}")
            attended = _attention(keys, f"input_blocks.{first + i}.1", f"down_blocks.{level}.attentions.{i}")
        attends.append(attended)
        if level < levels - 1:
            _res_block(keys, f"input_blocks.{first + layers}.0", f"down_blocks.{level}.downsamplers.0")
    _res_block(keys, "middle_block.0", "mid_block.resnets.0")
    _attention(keys, "middle_block.1", "mid_block.attentions.0")
    _res_block(keys, "middle_block.2", "mid_block.resnets.1")
    # up: per level one block more than down, the last of them with one that doubles the size
    for level in range(levels):
        for i in range(layers + 1):
            theirs = f"output_blocks.{level * (layers + 1) + i}"
            _res_block(keys, f"{theirs}.0", f"up_blocks.{level}.resnets.{i}")
            attended = _attention(keys, f"{theirs}.1", f"up_blocks.{level}.attentions.{i}")
        if level < levels - 1:
            _res_block(keys, f"{theirs}.{2 if attended else 1}", f"up_blocks.{level}.upsamplers.0")
    out = keys.finish()

    widths = [out[f"down_blocks.{level}.resnets.0.conv1.weight"].shape[0] for level in range(levels)]
    scaled = out["mid_block.resnets.0.time_emb_proj.weight"].shape[0] == 2 * widths[-1]
    down = ["AttnDownBlock2D" if attended else "ResnetDownsampleBlock2D" for attended in attends]
    up = ["AttnUpBlock2D" if attended else "ResnetUpsampleBlock2D" for attended in attends[::-1]]
    unet = {
        "sample_size": 8 * 2 ** (levels - 1),  # every published one ends at 8 x 8
        "in_channels": out["conv_in.weight"].shape[1],
        "out_channels": out["conv_out.weight"].shape[0],
        "block_out_channels": widths,
        "layers_per_block": layers,
        "down_block_types": down,
        "up_block_types": up,
        "downsample_type": "resnet",
        "upsample_type": "resnet",
        "attention_head_dim": HEAD,
        "norm_num_groups": 32,
        "attn_norm_num_groups": 32,
        "resnet_time_scale_shift": "scale_shift" if scaled else "default",
        "time_embedding_dim": out["time_embedding.linear_1.weight"].shape[0],
        "time_channels": out["time_embedding.linear_1.weight"].shape[1],
    }
    if "class_embedding.weight" in out:
        unet["num_class_embeds"] = out["class_embedding.weight"].shape[0]
    if unet["in_channels"] == 4:
        raise InputError(f"This {NAME} takes 4 channels, those of latents.", "Choose one of pixels.")
    if unet["in_channels"] != 3:
        raise InputError(f"This {NAME} takes {unet['in_channels']} channels.", "Choose one that is not an upsampler.")
    return out, {"unet": unet, "schedule": SCHEDULE}


def _shape(keys: Keys) -> tuple[int, int]:
    """(residual blocks per level, levels), from where the output blocks double the size."""
    blocks = 0
    ends = []
    while f"output_blocks.{blocks}.0.in_layers.0.weight" in keys:
        if any(f"output_blocks.{blocks}.{j}.in_layers.0.weight" in keys for j in (1, 2)):
            ends.append(blocks)
        blocks += 1
    per_level = ends[0] + 1 if ends else blocks
    if per_level < 2:
        raise InputError(f"This {NAME} has a level without residual blocks.", "Download the file again.")
    return per_level - 1, len(ends) + 1


def _res_block(keys: Keys, theirs: str, ours: str) -> None:
    for leaf in ("weight", "bias"):
        for name, mine in RES_BLOCK.items():
            keys.move(f"{theirs}.{name}.{leaf}", f"{ours}.{mine}.{leaf}")
        if f"{theirs}.skip_connection.{leaf}" in keys:
            keys.move(f"{theirs}.skip_connection.{leaf}", f"{ours}.conv_shortcut.{leaf}")


def _attention(keys: Keys, theirs: str, ours: str) -> bool:
    """Moves an attention block, if there is one."""
    if f"{theirs}.qkv.weight" not in keys:
        return False
    for leaf in ("weight", "bias"):
        keys.move(f"{theirs}.norm.{leaf}", f"{ours}.group_norm.{leaf}")
        qkv, out = keys.take(f"{theirs}.qkv.{leaf}"), keys.take(f"{theirs}.proj_out.{leaf}")
        if out.shape[0] % HEAD:
            raise InputError(f"This {NAME} has attention of {out.shape[0]} channels.", f"Heads have {HEAD} channels.")
        parts = qkv.flatten(1) if leaf == "weight" else qkv  # a 1x1 convolution [3C,C,1] is a matrix
        parts = parts.unflatten(0, (-1, 3, HEAD)).movedim(1, 0).flatten(1, 2)  # [heads,3,64,...] => [3,C,...]
        for name, part in zip(("to_q", "to_k", "to_v"), parts):
            keys.put(f"{ours}.{name}.{leaf}", part)
        keys.put(f"{ours}.to_out.0.{leaf}", out.flatten(1) if leaf == "weight" else out)
    return True
