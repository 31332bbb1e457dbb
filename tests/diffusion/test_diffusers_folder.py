"""Folders as diffusers saves them: variants, shards, averages, schedulers and networks of other kinds."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from soundguide_core.common.errors import InputError
from soundguide_core.diffusion.denoiser import alpha_bars, load_denoiser

TINY = {
    "sample_size": 8,
    "block_out_channels": [4, 4],
    "attention_head_dim": 2,
    "layers_per_block": 1,
    "norm_num_groups": 2,
    "down_block_types": ["DownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "UpBlock2D"],
}
STEM = "diffusion_pytorch_model"


@pytest.fixture
def folder(tmp_path, diffusers):
    """(channels, part) => a pipeline's folder with a tiny UNet in `part`, its weights returned to be saved."""

    def make(channels: int = 3, part: str = "unet", scheduler: dict | None = None):
        network = diffusers.UNet2DModel(in_channels=channels, out_channels=channels, **TINY)
        (tmp_path / part).mkdir(parents=True, exist_ok=True)
        network.save_config(tmp_path / part)
        if scheduler is not None:
            (tmp_path / "scheduler").mkdir()
            (tmp_path / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
        return tmp_path, network.state_dict()

    return make


@pytest.mark.parametrize("part", ["unet", "unet_ema", "."])
@pytest.mark.parametrize("how", ["safetensors", "bin", "fp16", "shards", "sharded bin"])
def test_ways_to_keep_the_weights(folder, part, how):
    path, state = folder(part=part)
    inside = path / part
    if how == "safetensors":
        save_file(state, inside / f"{STEM}.safetensors")
    elif how == "bin":
        torch.save(state, inside / f"{STEM}.bin")
    elif how == "fp16":
        save_file({key: x.half() for key, x in state.items()}, inside / f"{STEM}.fp16.safetensors")
    else:
        suffix = "safetensors" if how == "shards" else "bin"
        names = list(state)
        files = {f"{STEM}-0000{i + 1}-of-00002.{suffix}": names[i::2] for i in range(2)}
        for file, keys in files.items():
            part_of = {key: state[key] for key in keys}
            save_file(part_of, inside / file) if suffix == "safetensors" else torch.save(part_of, inside / file)
        places = {key: file for file, keys in files.items() for key in keys}
        (inside / f"{STEM}.{suffix}.index.json").write_text(json.dumps({"weight_map": places}))
    loaded = load_denoiser(path)
    key = "conv_in.weight"
    tolerance = 1e-3 if how == "fp16" else 0
    assert torch.allclose(loaded.unet.state_dict()[key], state[key], atol=tolerance)


def test_a_missing_shard_is_named(folder):
    path, state = folder()
    (path / "unet" / f"{STEM}.safetensors.index.json").write_text(json.dumps({"weight_map": dict.fromkeys(state, "b")}))
    with pytest.raises(InputError, match="lacks its part b"):
        load_denoiser(path)


@pytest.mark.parametrize(
    "name",
    ["ScoreSdeVeScheduler", "EDMEulerScheduler", "FlowMatchEulerDiscreteScheduler", "KarrasVeScheduler", "Mine", 3],
)
def test_schedulers_of_another_kind_are_refused_by_name(folder, name):
    path, state = folder(scheduler={"_class_name": name})
    save_file(state, path / "unet" / f"{STEM}.safetensors")
    with pytest.raises(InputError, match=str(name)):
        load_denoiser(path)


@pytest.mark.parametrize("name", ["DDPMScheduler", "DDIMScheduler", "PNDMScheduler", "DPMSolverMultistepScheduler"])
def test_schedulers_on_the_betas_of_ddpm_are_taken(folder, name):
    path, state = folder(scheduler={"_class_name": name, "num_train_timesteps": 100})
    save_file(state, path / "unet" / f"{STEM}.safetensors")
    assert load_denoiser(path).num_train_timesteps == 100


@pytest.mark.parametrize(("channels", "said"), [(4, "latents"), (16, "latents"), (1, "1 channels"), (6, "6 channels")])
def test_unets_of_other_channels_are_refused_by_name(folder, channels, said):
    path, state = folder(channels)
    save_file(state, path / "unet" / f"{STEM}.safetensors")
    with pytest.raises(InputError, match=said):
        load_denoiser(path)


def test_zero_terminal_snr(folder):
    schedule = {"_class_name": "DDPMScheduler", "rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}
    path, state = folder(scheduler=schedule)
    save_file(state, path / "unet" / f"{STEM}.safetensors")
    denoiser = load_denoiser(path)
    with torch.no_grad():
        estimate = denoiser(torch.randn(1, 3, 8, 8), denoiser.num_train_timesteps - 1)
    assert torch.isfinite(estimate.x0_hat).all()


@pytest.mark.parametrize(
    "schedule",
    [
        {"num_train_timesteps": "many"},
        {"num_train_timesteps": 2**40},
        {"beta_schedule": "mine"},
        {"beta_start": [1]},
        {"trained_betas": "x"},
        {"trained_betas": [float("nan")]},
    ],
)
def test_noise_schedules_that_cannot_be(schedule):
    with pytest.raises(InputError):
        alpha_bars(schedule)
