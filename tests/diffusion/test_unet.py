"""The UNet: no class is the zero vector, and so is no context; details begin at zero; diffusers folders load; bad ones
are refused."""

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


PATCHED = {**SMALL, "sample_size": 8, "in_channels": 12, "out_channels": 12, "patch": 2, "norm_num_groups": 8,
           "resnet_time_scale_shift": "scale_shift"}  # fmt: skip


def told_unet():
    """A UNet with context and a path for details, none of whose weights are zero."""
    from soundguide_core.diffusion.unet import UNet

    unet = UNet(**PATCHED, context_dim=6, detail_channels=4).eval()
    rng = torch.Generator().manual_seed(0)
    for p in (unet.class_embedding.linear_2.weight, unet.detail.conv_out.weight):
        p.data = 0.2 * torch.randn(p.shape, generator=rng)
    return unet


@torch.no_grad()
def test_context_and_details_begin_at_zero(diffusers):
    from soundguide_core.diffusion.unet import UNet

    told, plain = UNet(**PATCHED, context_dim=6, detail_channels=4).eval(), UNet(**PATCHED).eval()
    state = {key: x for key, x in told.state_dict().items() if not key.startswith(("class_embedding", "detail"))}
    state |= {key: state[key][:12] for key in ("conv_out.weight", "conv_out.bias")}
    plain.load_state_dict(state)
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([3, 700])
    out = told(x, t, context=torch.randn(2, 5, 6)).sample
    assert out.shape == x.shape and torch.allclose(out, plain(x, t).sample, atol=tol.FLOAT32)


@torch.no_grad()
def test_a_context_is_a_set_of_points(diffusers):
    """Nothing said is the zero vector; the order and the repetition of points mean nothing; frames are told apart."""
    unet, x, t = told_unet(), torch.randn(2, 3, 16, 16), torch.tensor([3, 700])
    context = torch.nn.functional.normalize(torch.randn(2, 3, 6), dim=-1)
    out = unet(x, t, context=context).sample
    assert torch.equal(unet(x, t).sample, unet(x, t, context=torch.zeros(2, 1, 6)).sample)
    assert not torch.allclose(out, unet(x, t).sample, atol=1e-3)
    for same in (context.flip(1), context.repeat(1, 2, 1)):
        assert torch.allclose(unet(x, t, context=same).sample, out, atol=tol.FLOAT32_SUM)
    alone = unet(x[1:], t[1:], context=context[1:]).sample
    assert torch.allclose(alone, out[1:], atol=tol.FLOAT32_SUM)
    assert torch.equal(unet(x, t, context=context[:, 0]).sample, unet(x, t, context=context[:, :1]).sample)


@torch.no_grad()
def test_the_context_is_added_to_the_embedding_of_t(diffusers):
    embedding, context = told_unet().class_embedding, torch.randn(2, 3, 6)
    expected = torch.zeros(2, embedding.linear_2.out_features)
    for b in range(2):
        hidden = [torch.nn.functional.silu(embedding.linear_1.weight @ (p * 6**0.5)) for p in context[b]]
        expected[b] = embedding.linear_2.weight @ (sum(hidden) / 3)
    assert torch.allclose(embedding(context), expected, atol=tol.FLOAT32_SUM)


@torch.no_grad()
def test_details_are_seen_at_full_resolution(diffusers):
    """Three convolutions reach three pixels; a wider network inside patches moves whole patches."""
    path, x = told_unet().detail, torch.randn(1, 3, 16, 16)
    out, features = torch.randn(1, 3, 16, 16), torch.randn(1, 4, 16, 16)
    moved = x.clone()
    moved[0, :, 8, 8] += 1
    change = (path(moved, out, features) - path(x, out, features)).abs().amax((0, 1))
    rows, columns = change.gt(1e-7).nonzero(as_tuple=True)
    assert change[8, 8] > 0 and (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 11, 5, 11)


def test_contexts_that_do_not_fit_are_refused(diffusers):
    from soundguide_core.diffusion.unet import UNet

    x = torch.randn(2, 3, 16, 16)
    with pytest.raises(InputError, match="not conditioned"):
        UNet(**SMALL)(x, 3, context=torch.zeros(2, 1, 6))
    with pytest.raises(InputError, match="context has shape"):
        told_unet()(x, 3, context=torch.zeros(2, 1, 7))
    with pytest.raises(InputError, match="classes and on a joint space"):
        UNet(**SMALL, num_class_embeds=3, context_dim=6)


def test_context_and_details_come_back_from_a_file(diffusers, tmp_path):
    from soundguide_core.checkpoints import safetensors_io
    from soundguide_core.diffusion.unet import load_unet

    unet, x = told_unet(), torch.randn(1, 3, 16, 16)
    config = {"unet": {**PATCHED, "context_dim": 6, "detail_channels": 4}, "schedule": {}}
    safetensors_io.save(tmp_path / "unet.safetensors", unet.state_dict(), config)
    with torch.no_grad():
        context = torch.randn(1, 1, 6)
        assert torch.equal(
            load_unet(tmp_path / "unet.safetensors")(x, 5, context=context).sample, unet(x, 5, context=context).sample
        )


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


@pytest.mark.parametrize(
    ("name", "said"),
    [("ScoreSdeVe", "variance exploding"), ("EDMEuler", "EDM"), ("FlowMatchEulerDiscrete", "flow matching")],
)
def test_the_noise_of_another_kind_has_its_name(folder, name, said):
    from soundguide_core.diffusion.denoiser import load_denoiser

    folder, _ = folder
    (folder / "scheduler_config.json").write_text(json.dumps({"_class_name": f"{name}Scheduler"}))
    with pytest.raises(InputError, match=rf"{name}Scheduler \({said}"):
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
