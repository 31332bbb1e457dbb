"""The Swin audio encoder of S. H. Lee et al., "Soundini" (tpami_encoder40.pth), and of the same lab's
"Audio-guided implicit neural representation for local image stylization" (swin_audioencoder.pth).

A plain state dict of `SwinAudioEncoder` in
https://github.com/kuai-lab/soundini/blob/51917c8225ea880c02e597b8d345f4f7740f98a2/donghyeoncho/optimization/video_editor.py.
timm has had two schemes of keys. Until 0.8, `layers.i.downsample` ends stage i, the last layer is `head`, and the masks
and indices of windows are stored; since 0.9, it begins stage i + 1, the last layer is `head.fc`, and they are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .keys import OPENAI_B_32, Keys, flat_tensors, recognised

if TYPE_CHECKING:
    from torch import Tensor

NAME = "Soundini's Swin audio encoder"
KIND = "sound"

PREFIX = "feature_extractor."
LAYERS = (
    r"feature_extractor\.(patch_embed\.(proj|norm)|norm|head\.fc|layers\.\d\.downsample\.(norm|reduction)"
    r"|layers\.\d\.blocks\.\d+\.(norm[12]|attn\.(qkv|proj)|mlp\.fc[12]))\.(weight|bias)"
    r"|feature_extractor\.layers\.\d\.blocks\.\d+\.attn\.relative_position_bias_table"
)
TEMPERATURES = ("logit_scale_ai", "logit_scale_at")  # of its training; embeddings do not depend on them


def recognises(content) -> bool:
    state = flat_tensors(content)
    return state is not None and f"{PREFIX}patch_embed.proj.weight" in state


def convert(content) -> tuple[dict[str, Tensor], dict]:
    keys = Keys(recognised(flat_tensors(content)), NAME)
    keys.drop(*TEMPERATURES, *[key for key in keys.left if key.endswith((".relative_position_index", ".attn_mask"))])
    if f"{PREFIX}layers.0.downsample.reduction.weight" in keys:
        keys.rename(r"(feature_extractor\.layers\.)(\d)(\.downsample\..*)", lambda m: f"{m[1]}{int(m[2]) + 1}{m[3]}")
    keys.rename(r"(feature_extractor\.head\.)(weight|bias)", lambda m: f"{m[1]}fc.{m[2]}")
    keys.keep(LAYERS)
    state = keys.finish()

    depths = []
    while f"{PREFIX}layers.{len(depths)}.blocks.0.attn.qkv.weight" in state:
        stage = f"{PREFIX}layers.{len(depths)}.blocks."
        depths.append(1 + max(int(key.removeprefix(stage).split(".")[0]) for key in state if key.startswith(stage)))
    tables = [f"{PREFIX}layers.{i}.blocks.0.attn.relative_position_bias_table" for i in range(len(depths))]
    kwargs = {
        "in_chans": state[f"{PREFIX}patch_embed.proj.weight"].shape[1],
        "embed_dim": state[f"{PREFIX}patch_embed.proj.weight"].shape[0],
        "depths": depths,
        "num_heads": [state[table].shape[1] for table in tables],
    }
    encoder = {"backbone": "swin_tiny_patch4_window7_224", "kwargs": kwargs, "convolution": False}
    encoder["dim"] = state[f"{PREFIX}head.fc.weight"].shape[0]
    return state, {"encoder": encoder, "mel": "square", "space": OPENAI_B_32}
