"""The UNet: no class is the zero vector; diffusers folders load; bad ones are refused."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from soundguide_core.common.errors import InputError

SMALL = {
    "sample_size": 16,
    "block_out_channels": [32, 32],
    "layers_per_block": 1,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
}


@torch.no_grad()
def test_no_class_is_the_zero_vector(diffusers):
    from soundguide_core.diffusion.unet import UNet

    unet = UNet(**SMALL, num_class_embeds=3, time_channels=64).eval()
    plain = UNet(**SMALL, time_channels=64).eval()
    plain.load_state_dict({k: x for k, x in unet.state_dict().items() if not k.startswith("class_embedding")})
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([3, 700])
    assert unet.time_embedding.linear_1.in_features == 64
    assert torch.equal(unet(x, t).sample, plain(x, t).sample)
    assert not torch.allclose(unet(x, t, torch.tensor([0, 2])).sample, plain(x, t).sample)


@pytest.mark.parametrize("whole", [True, False])
@torch.no_grad()
def test_a_diffusers_folder_loads(diffusers, tmp_path, whole):
    from soundguide_core.diffusion.unet import load_unet

    theirs = diffusers.UNet2DModel(**SMALL).eval()
    scheduler = diffusers.DDPMScheduler(num_train_timesteps=300, beta_schedule="squaredcos_cap_v2")
    if whole:
        diffusers.DDPMPipeline(theirs, scheduler).save_pretrained(tmp_path)
    else:
        theirs.save_pretrained(tmp_path)
    ours = load_unet(tmp_path)
    x = torch.randn(1, 3, 16, 16)
    assert torch.allclose(ours(x, 5).sample, theirs(x, 5).sample, atol=1e-6) and not ours.learned_variance
    assert ours.schedule.get("num_train_timesteps") == (300 if whole else None)
    assert not any(p.requires_grad for p in ours.parameters())


def test_bad_folders_are_refused(diffusers, tmp_path):
    from soundguide_core.diffusion.unet import load_unet

    with pytest.raises(InputError, match="holds no config"):
        load_unet(tmp_path)
    (tmp_path / "diffusion_pytorch_model.safetensors").write_bytes(b"")
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "UNet2DConditionModel"}))
    with pytest.raises(InputError, match="UNet2DConditionModel"):
        load_unet(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "UNet2DModel", "block_out_channels": [32]}))
    with pytest.raises(InputError, match="not a whole"):
        load_unet(tmp_path)
    save_file({"a": torch.zeros(1)}, tmp_path / "diffusion_pytorch_model.safetensors")
    with pytest.raises(InputError, match="does not describe"):
        load_unet(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match="JSON"):
        load_unet(tmp_path)
    with pytest.raises(InputError, match="no unet called"):
        load_unet(tmp_path / "nowhere.pt")
