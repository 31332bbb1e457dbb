"""The UNet: no class is the zero vector; diffusers folders load; bad ones are refused."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

import tolerances as tol
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
    assert torch.allclose(ours(x, 5).sample, theirs(x, 5).sample, atol=tol.FLOAT32) and not ours.learned_variance
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


@pytest.fixture
def folder(diffusers, tmp_path):
    """A UNet2DModel alone, saved in safetensors, and the network."""
    theirs = diffusers.UNet2DModel(**SMALL).eval()
    theirs.save_pretrained(tmp_path)
    return tmp_path, theirs


def check_same(folder, theirs, atol=tol.FLOAT32):
    from soundguide_core.diffusion.unet import load_unet

    with torch.no_grad():
        x = torch.randn(1, 3, 16, 16)
        assert torch.allclose(load_unet(folder)(x, 5).sample, theirs(x, 5).sample, atol=atol)


WEIGHTS = "diffusion_pytorch_model"


def test_bin_weights(folder):
    folder, theirs = folder
    (folder / f"{WEIGHTS}.safetensors").unlink()
    torch.save(theirs.state_dict(), folder / f"{WEIGHTS}.bin")
    check_same(folder, theirs)


@pytest.mark.parametrize("safe", [True, False])
def test_a_variant(folder, safe):
    folder, theirs = folder
    (folder / f"{WEIGHTS}.safetensors").unlink()
    theirs.half().save_pretrained(folder, variant="fp16", safe_serialization=safe)
    assert not (folder / f"{WEIGHTS}.safetensors").exists()
    check_same(folder, theirs.float(), atol=tol.FLOAT32_SUM)


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_shards(folder, variant):
    folder, theirs = folder
    (folder / f"{WEIGHTS}.safetensors").unlink()
    theirs.save_pretrained(folder, max_shard_size="200KB", variant=variant)
    assert len(list(folder.glob("*-of-*"))) > 1
    check_same(folder, theirs)


@pytest.mark.parametrize("listed", [[], {"a": 3}, {"a": "../a.safetensors"}, {"a": "none.safetensors"}, {}])
def test_bad_shards(folder, listed):
    from soundguide_core.diffusion.unet import load_unet

    folder, _ = folder
    (folder / f"{WEIGHTS}.safetensors").unlink()
    (folder / f"{WEIGHTS}.safetensors.index.json").write_text(json.dumps({"weight_map": listed}))
    with pytest.raises(InputError, match="not beside it"):
        load_unet(folder)


def test_averaged_weights_come_first(folder):
    folder, theirs = folder
    theirs.save_pretrained(folder / "unet_ema")
    config = json.loads((folder / "unet_ema" / "config.json").read_text())
    (folder / "unet_ema" / "config.json").write_text(json.dumps({**config, "decay": 0.99, "optimization_step": 3}))
    (folder / f"{WEIGHTS}.safetensors").write_bytes(b"")
    check_same(folder, theirs)


def test_old_names_of_attention(folder):
    folder, theirs = folder
    names = (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn"))
    state = theirs.state_dict()
    for new, old in names:
        state = {key.replace(f".{new}.", f".{old}."): x.contiguous() for key, x in state.items()}
    save_file(state, folder / f"{WEIGHTS}.safetensors")
    check_same(folder, theirs)


SHARING = ("DDIMScheduler", "PNDMScheduler", "DPMSolverMultistepScheduler", "EulerDiscreteScheduler")
OTHERS = ("ScoreSdeVe", "ScoreSdeVp", "KarrasVe", "EDMEuler", "CMStochasticIterative", "FlowMatchEuler", "Nobodys")
SCHEDULERS = [
    *(({"_class_name": name}, True) for name in SHARING),
    *(({"_class_name": f"{name}Scheduler"}, False) for name in OTHERS),
    ({"_class_name": "DPMSolverMultistepScheduler", "use_flow_sigmas": True}, False),
    *(({key: odd}, False) for key in ("_class_name", "prediction_type", "variance_type", "beta_schedule", "beta_start",
                                      "trained_betas", "num_train_timesteps") for odd in ([], {}, "x", -1)
      if (key, odd) != ("variance_type", "x")),
    ({"num_train_timesteps": 10**12}, False),
]  # fmt: skip


@pytest.mark.parametrize("scheduler, known", SCHEDULERS, ids=str)
def test_schedulers_of_another_kind_are_refused_by_name(folder, scheduler, known):
    from soundguide_core.diffusion.denoiser import load_denoiser

    folder, _ = folder
    (folder / "scheduler_config.json").write_text(json.dumps(scheduler))
    if known:
        load_denoiser(folder)
        return
    with pytest.raises(InputError):
        load_denoiser(folder)


def test_zero_terminal_snr(folder):
    from soundguide_core.diffusion.denoiser import load_denoiser

    folder, _ = folder
    config = {"rescale_betas_zero_snr": True, "_class_name": "DDIMScheduler", "prediction_type": "v_prediction"}
    (folder / "scheduler_config.json").write_text(json.dumps(config))
    denoiser = load_denoiser(folder)
    assert torch.isfinite(denoiser(torch.randn(1, 3, 16, 16), 999).x0_hat).all()


@pytest.mark.parametrize(
    "channels, said", [(4, "latent diffusion UNet.*decoder.*its own loaders"), (1, "1 channel"), (6, "6 channels")]
)
def test_other_channels_are_refused_by_name(diffusers, tmp_path, channels, said):
    from soundguide_core.diffusion.unet import load_unet

    diffusers.UNet2DModel(**SMALL, in_channels=channels, out_channels=channels).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=said):
        load_unet(tmp_path)


def test_weights_that_are_not_finite_are_refused_by_name(folder):
    from soundguide_core.diffusion.unet import load_unet

    folder, theirs = folder
    theirs.conv_in.bias.data[0] = float("nan")
    theirs.save_pretrained(folder)
    with pytest.raises(InputError, match="NaN or infinite numbers in conv_in.bias"):
        load_unet(folder)
