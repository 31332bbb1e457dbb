from __future__ import annotations

import pytest
import torch

from soundguide_core.checkpoints.formats import open_foreign
from soundguide_core.common.errors import InputError

CASES = {
    "model.diffusion_model.input_blocks.0.0.weight": "Stable Diffusion's kind: it paints latents",
    "double_blocks.0.img_attn.qkv.weight": "FLUX transformer .flow matching",
    "joint_blocks.0.x_block.attn.qkv.weight": "flow matching",
    "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight": "latent UNet with cross-attention",
    "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": "latent UNet with cross-attention",
    "module.all_modules.0.weight": "variance exploding",
    "map_layer0.weight": "an EDM network",
}


@pytest.mark.parametrize("key, said", CASES.items())
def test_models_of_latents_and_of_other_noise_are_refused_by_name(key, said, tmp_path):
    others = {"time_embed.0.weight": torch.zeros(2, 2), "out.2.weight": torch.zeros(4, 2, 3, 3)}
    torch.save({key: torch.zeros(2, 2), **others}, tmp_path / "a.pt")
    with pytest.raises(InputError, match=said):
        open_foreign(tmp_path / "a.pt")


def test_a_small_latent_unet_without_attention_is_refused_by_its_channels(tmp_path, parity):
    from soundguide_core.checkpoints.formats import guided_diffusion

    stored = parity.read("guided_diffusion")[1]
    state = {**stored["unconditional"], "input_blocks.0.0.weight": torch.zeros(32, 4, 3, 3)}
    with pytest.raises(InputError, match="4 channels, those of latents"):
        guided_diffusion.convert(state)
