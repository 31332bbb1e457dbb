"""A config may say anything: no network is built that is larger than its file, and nonsense is refused in one way."""

from __future__ import annotations

import time
from dataclasses import asdict

import pytest
import torch

from soundguide_core.audio.mel import RELEASED
from soundguide_core.audio.wave_windows import SPECS
from soundguide_core.checkpoints import safetensors_io
from soundguide_core.checkpoints.bounded_build import bounded_build
from soundguide_core.common.errors import InputError
from soundguide_core.embedding.clip import load_clip
from soundguide_core.embedding.ir_se import IRSEConfig
from soundguide_core.embedding.sound import load_sound
from soundguide_core.generators.loading import load_generator
from soundguide_core.losses.identity import load_identity
from soundguide_core.miniature.evaluation.scene_classifier import load_scene_classifier
from soundguide_core.trajectory.released import InversionConfig, LatentRNNConfig, load_sound_video
from soundguide_core.trajectory.trajectory import load_trajectory

MANY = 10**9
SMALL = {"x": torch.zeros(1)}
CLIP = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 8, "patch_size": 4, "width": 64, "layers": 1},
    "text_cfg": {"context_length": 8, "vocab_size": 100, "width": 64, "heads": 1, "layers": 1},
    "preprocess": {"size": 8},
}
SWIN = {"embed_dim": 8, "depths": [1], "num_heads": [1], "in_chans": 1}
RNN = asdict(LatentRNNConfig(2, 4, 4, 1))
FACE = IRSEConfig((8, 8), (1,), 2, 4, 16).to_dict()


def clip(**text) -> dict:
    return CLIP | {"text_cfg": CLIP["text_cfg"] | text}


def sound(backbone: str, mel="square", **kwargs) -> dict:
    return {"encoder": {"dim": 8, "backbone": backbone, "kwargs": kwargs, "convolution": False}, "mel": mel}


def swin(**kwargs) -> dict:
    return sound("swin_tiny_patch4_window7_224", **(SWIN | kwargs))


GENERATORS = [
    {"resolution": resolution, "architecture": name}
    for resolution in (2**30, 2**3000, 48, 0, -8, 64.0, "64", True, None, [64])
    for name in ("stylegan2", "stylegan3", "stylegan-v")
] + [
    {"resolution": 16, "architecture": name} | odd
    for name, odds in {
        "stylegan2": [{"mapping_layers": MANY}, {"z_dim": MANY}, {"w_dim": 2.5}, {"channel_max": MANY},
                      {"channel_base": 2**40, "channel_max": 2**40}, {"channel_base": 8}, {"conv_clamp": "no"}],
        "stylegan3": [{"layers": MANY}, {"layers": 14.5}, {"critical": 14}, {"margin": MANY}, {"filter_size": MANY},
                      {"conv_kernel": MANY}, {"lrelu_upsampling": MANY}, {"first_cutoff": 0.0}, {"first_stopband": -1},
                      {"last_stopband_rel": float("nan")}, {"mapping_layers": MANY}],
        "stylegan-v": [{"waves": MANY}, {"motion_z_dim": MANY}, {"motion_kernel": 0}, {"fps": 0.0},
                       {"motion_distance": 0}, {"sound_dim": -1}, {"min_period": "long"}, {"max_period": 1e99}],
    }.items()
    for odd in odds
]  # fmt: skip


@pytest.mark.parametrize("config", GENERATORS, ids=str)
def test_generators(tmp_path, config):
    safetensors_io.save(tmp_path / "a.safetensors", SMALL, config)
    started = time.process_time()
    with pytest.raises(InputError, match="^(A StyleGAN|The generator's config)"):  # before it is built
        load_generator(tmp_path / "a.safetensors")
    assert time.process_time() - started < 2


LARGER = "far larger network"


@pytest.mark.parametrize(
    "odd",
    [{"layers_per_block": MANY}, {"block_out_channels": [2**20, 2**20]}, {"num_class_embeds": MANY}, {"sample": 3}],
    ids=str,
)
def test_unet(diffusers, tmp_path, odd):
    from soundguide_core.diffusion import unet

    sizes = {"sample_size": 8, "block_out_channels": [32, 32], "layers_per_block": 1, "norm_num_groups": 8}
    blocks = {"down_block_types": ["ResnetDownsampleBlock2D"] * 2, "up_block_types": ["ResnetUpsampleBlock2D"] * 2}
    safetensors_io.save(tmp_path / "a.safetensors", SMALL, {"unet": sizes | blocks | odd, "schedule": {}})
    with pytest.raises(InputError, match="far larger|does not describe a diffusion UNet|The UNet's"):
        unet.load_unet(tmp_path / "a.safetensors")


def test_clap(transformers, tmp_path):
    encoder = {"architecture": "clap", "clap": {}, "features": {"feature_size": MANY}}
    safetensors_io.save(tmp_path / "a.safetensors", SMALL, {"encoder": encoder, "wave": "clap"})
    with pytest.raises(InputError, match="feature_size"):
        load_sound(tmp_path / "a.safetensors")


OTHERS = {
    "text layers": (load_clip, clip(layers=MANY), "size of the text tower"),
    "text width": (load_clip, clip(width=2**17), "size of the text tower"),
    "text width within its bounds": (load_clip, clip(width=2**14), LARGER),
    "vocabulary": (load_clip, clip(vocab_size=MANY), "vocabulary of the text tower"),
    "vocabulary within its bounds": (load_clip, clip(vocab_size=2**22), LARGER),
    "context": (load_clip, clip(context_length=MANY), "size of the text tower"),
    "picture": (load_clip, CLIP | {"preprocess": {"size": MANY}}, "picture tower sees"),
    "negative width": (load_clip, clip(width=-64), "size of the text tower"),
    "no sizes": (load_clip, {"preprocess": {"size": 8}}, "does not describe a picture and text model"),
    "depths": (load_sound, swin(depths=[MANY]), "A backbone's depths"),
    "many stages": (load_sound, swin(depths=[1] * 4000, num_heads=[1] * 4000), "A backbone's depths"),
    "embedding": (load_sound, swin(embed_dim=2**20), LARGER),
    "picture of a swin": (load_sound, swin(img_size=2**18, depths=[2]), LARGER),
    "no heads": (load_sound, swin(num_heads=[0]), "does not describe a sound encoder"),
    "resnet": (load_sound, sound("resnet18", layers=[MANY] * 4), "far larger|does not describe"),
    "download": (load_sound, swin(pretrained=True), "does not describe a sound encoder"),
    "checkpoint": (load_sound, swin(checkpoint_path="/etc/passwd"), "does not describe a sound encoder"),
    "wav2clip": (load_sound, {"encoder": {"architecture": "wav2clip", "hidden": MANY}, "wave": "wav2clip"}, LARGER),
    "mel": (load_sound, sound("resnet18", mel=RELEASED.to_dict() | {"n_fft": MANY}), "A mel's n_fft"),
    "wave": (load_sound, {"encoder": {}, "wave": SPECS["wav2clip"].to_dict() | {"samples": 0}}, "window's samples"),
    "unknown front end": (load_sound, sound("resnet18", mel="loud"), "no mel front end called 'loud'"),
    "faces: blocks": (load_identity, {"arcface": FACE | {"units": [MANY]}}, "number of blocks"),
    "faces: width": (load_identity, {"arcface": FACE | {"widths": [8, MANY]}}, "width of a face network"),
    "faces: reduction": (load_identity, {"arcface": FACE | {"reduction": 0}}, "reduction"),
    "faces: dim": (load_identity, {"arcface": FACE | {"side": 4096, "dim": 2**14}}, LARGER),
    "faces: nothing": (load_identity, {}, "does not describe a face network"),
    "classes": (load_scene_classifier, {"widths": [MANY], "classes": ["a"]}, "far larger|does not describe"),
    "trajectory": (load_trajectory, {"trajectory": {"num_ws": MANY, "w_dim": MANY}}, "has no "),
}  # fmt: skip


@pytest.mark.parametrize("what", OTHERS)
def test_other_networks(tmp_path, what):
    load, config, why = OTHERS[what]
    safetensors_io.save(tmp_path / "a.safetensors", SMALL, config)
    started = time.process_time()
    with pytest.raises(InputError, match=why):
        load(tmp_path / "a.safetensors")
    assert time.process_time() - started < 20  # the first one imports its library


@pytest.mark.parametrize(
    "config, why",
    [
        ({"latent_rnn": RNN | {"num_layers": MANY}}, "num_layers"),
        ({"latent_rnn": RNN | {"hidden": 2**14}}, LARGER),
        ({"inversion": InversionConfig(IRSEConfig()).to_dict() | {"sides": [2**40] * 3}}, "side of a map"),
        ({"inversion": InversionConfig(IRSEConfig()).to_dict() | {"groups": [MANY, 0, 0]}}, "number of styles"),
        ({"inversion": InversionConfig(IRSEConfig()).to_dict()}, LARGER),
    ],
    ids=str,
)
def test_released_trajectory(tmp_path, config, why):
    from soundguide_core.trajectory import released as released_trajectory

    safetensors_io.save(tmp_path / "a.safetensors", SMALL, config)
    load = released_trajectory._latent_rnn if "latent_rnn" in config else released_trajectory._inversion
    with pytest.raises(InputError, match=why):
        load(tmp_path / "a.safetensors")
    for part in ("inversion", "coarse", "mid", "fine"):
        safetensors_io.save(tmp_path / f"{part}.safetensors", SMALL, config)
    with pytest.raises(InputError):
        load_sound_video(tmp_path)


def test_what_is_counted(tmp_path):
    """Every way to make a tensor counts by its size, before there is memory for it."""
    size = 2**40  # more than any machine of ours has
    ways = [
        lambda: torch.empty(size), lambda: torch.zeros((size, 2)), lambda: torch.ones(2, size),
        lambda: torch.rand([size]), lambda: torch.randn(size=(size,)), lambda: torch.full((size,), 1.0),
        lambda: torch.arange(size), lambda: torch.arange(0, size, 2), lambda: torch.arange(start=0, end=size),
        lambda: torch.linspace(0, 1, size), lambda: torch.eye(2**20), lambda: torch.hann_window(size),
        lambda: torch.kaiser_window(size), lambda: torch.nn.Linear(2**20, 2**20), lambda: torch.nn.GRU(2**20, 2**20),
        lambda: [torch.nn.Identity() and torch.zeros(1) for _ in range(MANY)],
    ]  # fmt: skip
    for way in ways:
        with pytest.raises(InputError, match=LARGER), bounded_build("a.pt", "a network", SMALL):
            way()
    with bounded_build("a.pt", "a network", SMALL):
        made = [torch.nn.Linear(1000, 1000), torch.arange(0.5, 3.5), torch.arange(end=4), torch.zeros(2, 3)]
    assert [tuple(x.shape) for x in made[1:]] == [(3,), (4,), (2, 3)]
