"""The package is imported from the checkout; small untrained models stand in where only plumbing counts."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[1]
for folder in (ROOT, ROOT / "tests"):  # the package, and tolerances.py
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def parity():
    """The module tests/fixtures/make_network_parity.py, which reads what it made."""
    import importlib.util

    path = Path(__file__).parent / "fixtures" / "make_network_parity.py"
    spec = importlib.util.spec_from_file_location("make_network_parity", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _optional(name: str):
    """A package that does not start beside a torchaudio made for another PyTorch, or the test is skipped."""
    try:
        import torchaudio  # noqa: F401
    except ImportError:
        pass
    except (OSError, RuntimeError):
        sys.modules["torchaudio"] = None
    return pytest.importorskip(name)


@pytest.fixture(scope="session")
def diffusers():
    return _optional("diffusers")


@pytest.fixture(scope="session")
def transformers():
    return _optional("transformers")


@pytest.fixture
def make_clap(transformers, tmp_path):
    """make_clap(fused) => the folder of an untrained CLAP of transformers, whose tokenizer knows letters."""
    import json

    import torch

    def make(fused: bool) -> Path:
        folder = tmp_path / "a_clap"
        tower = {
            "spec_size": 64, "num_mel_bins": 16, "patch_embeds_hidden_size": 8, "hidden_size": 32, "depths": [1, 1, 1],
            "num_attention_heads": [1, 1, 1], "window_size": 4, "aff_block_r": 2,
        }  # fmt: skip
        text = {
            "vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 16, "max_position_embeddings": 66,
        }  # fmt: skip
        fusion = {"enable_fusion": True, "fusion_type": "aff_2d"} if fused else {}
        with torch.random.fork_rng():
            torch.manual_seed(0)
            sides = {"text_config": {**text, "projection_dim": 8}, "audio_config": {**tower, **fusion}}
            sides["audio_config"]["projection_dim"] = 8
            config = transformers.ClapConfig(**sides, projection_dim=8)
            transformers.ClapModel(config).eval().save_pretrained(folder)
        letters = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *(chr(i) for i in range(33, 127)), "Ġ"]
        (folder / "vocab.json").write_text(json.dumps({x: i for i, x in enumerate(letters)}), encoding="utf-8")
        (folder / "merges.txt").write_text("#version: 0.2\n")
        transformers.RobertaTokenizer.from_pretrained(folder).save_pretrained(folder)
        features = {"sampling_rate": 4000, "hop_length": 160, "fft_window_size": 256, "feature_size": 16}
        features |= {"frequency_min": 50, "frequency_max": 1500, "max_length_s": 10}
        (folder / "preprocessor_config.json").write_text(json.dumps(features))
        return folder

    return make


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of real recordings beside the checkout; a test that needs it is skipped where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not (folder / "esc10" / "meta" / "esc50.csv").is_file():
        pytest.skip("the recordings of ../shared/data are not here")
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> SimpleNamespace:
    """Paths of untrained models, small enough to run in milliseconds, and of a second of noise."""
    return make_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_unet(diffusers, tmp_path_factory) -> Path:
    """A pixel diffusion model for 16 x 16 that nobody has trained."""
    return make_tiny_unet(tmp_path_factory.mktemp("unet") / "tiny.safetensors")


@pytest.fixture(scope="session")
def tiny_trajectory(tiny, tmp_path_factory) -> Path:
    """An untrained sound inversion and recurrent modules for the tiny generator."""
    return make_tiny_trajectory(tmp_path_factory.mktemp("trajectory") / "t.safetensors", tiny)


@pytest.fixture(scope="session")
def tiny_video_generator(tmp_path_factory) -> Path:
    """A StyleGAN-V for 16 x 16 that nobody has trained."""
    return make_tiny_video_generator(tmp_path_factory.mktemp("video") / "tiny.safetensors")


# ---- the same without pytest


def make_tiny(folder: Path) -> SimpleNamespace:
    """A joint encoder, a generator, a scene classifier and a second of noise in `folder`."""
    import torch

    from soundguide_core.audio.mel import MelSpec
    from soundguide_core.checkpoints import safetensors_io
    from soundguide_core.embedding.clip import ClipTowers
    from soundguide_core.embedding.sound import SoundEncoder, SoundEncoderConfig, save_sound
    from soundguide_core.generators.stylegan2 import Generator, StyleGAN2Config
    from soundguide_core.miniature.evaluation.scene_classifier import SceneClassifier
    from soundguide_core.miniature.world.scenes import PHENOMENA

    joint = folder / "joint"
    joint.mkdir()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        towers = ClipTowers.from_config(
            {
                "embed_dim": 16,
                "vision_cfg": {"image_size": 32, "patch_size": 8, "layers": 1, "width": 32, "head_width": 16},
                "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
                "preprocess": {"size": 32},
                "prompts": ["{}"],
            }
        )
        towers.save(joint / "clip.safetensors")
        spec = MelSpec(
            sample_rate=8000, n_fft=256, hop_length=128, n_mels=32, fmin=0, fmax=4000, top_db=80,
            columns=64, stride=32, layout="plain", fill="mirror", focus=0,
        )  # fmt: skip
        save_sound(joint / "sound.safetensors", SoundEncoder(SoundEncoderConfig(16, "test_resnet")).eval(), spec)
        config = StyleGAN2Config(resolution=32, z_dim=8, w_dim=8, mapping_layers=2, channel_base=256, channel_max=8)
        generator = Generator(config)
        generator.measure_w(100, keep_avg=False)
        safetensors_io.save(folder / "generator.safetensors", generator.state_dict(), config.to_dict())
        classifier = SceneClassifier({"classes": list(PHENOMENA), "size": 32, "channels": [8, 8]})
        safetensors_io.save(folder / "scene_classifier.safetensors", classifier.state_dict(), classifier.config)
    return SimpleNamespace(
        folder=folder,
        joint=joint,
        generator=folder / "generator.safetensors",
        classifier=folder / "scene_classifier.safetensors",
        sound=write_noise(folder / "noise.wav"),
    )


def make_tiny_unet(path: Path) -> Path:
    import torch

    from soundguide_core.checkpoints import safetensors_io
    from soundguide_core.diffusion.unet import UNet

    sizes = {"sample_size": 16, "block_out_channels": [8, 8], "layers_per_block": 1, "norm_num_groups": 4}
    blocks = {"down_block_types": ["DownBlock2D"] * 2, "up_block_types": ["UpBlock2D"] * 2}
    schedule = {"num_train_timesteps": 100, "beta_schedule": "squaredcos_cap_v2"}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet(**sizes, **blocks, schedule=schedule)
    safetensors_io.save(path, unet.state_dict(), {"unet": {**sizes, **blocks}, "schedule": schedule})
    return path


def make_tiny_trajectory(path: Path, tiny: SimpleNamespace) -> Path:
    from soundguide_core.embedding.joint import load_joint
    from soundguide_core.generators.loading import load_generator
    from soundguide_core.training.sound_video import new_trajectory
    from soundguide_core.trajectory.trajectory import save_trajectory

    sizes = {"encoder": {"width": 8, "level_columns": 9}, "groups": "three", "hidden": 6, "noise_dim": 2}
    save_trajectory(path, new_trajectory(sizes, load_generator(tiny.generator), load_joint(tiny.joint), seed=0))
    return path


def make_tiny_video_generator(path: Path) -> Path:
    import torch

    from soundguide_core.checkpoints import safetensors_io
    from soundguide_core.generators.stylegan_v import Generator, StyleGANVConfig

    config = StyleGANVConfig(
        16, 8, 8, channel_base=128, channel_max=8, motion_z_dim=8, motion_u_dim=8, waves=6, fps=12.0, sound_dim=2,
        concat_resolution=8,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Generator(config)
    network.measure_w(keep_avg=False)
    safetensors_io.save(path, network.state_dict(), config.to_dict())
    return path


def write_noise(path: Path, seconds: float = 1.0, sample_rate: int = 8000, channels: int = 1, seed: int = 0) -> Path:
    """A WAV file of seeded noise."""
    import numpy as np
    import soundfile

    n = round(seconds * sample_rate)
    soundfile.write(path, np.random.default_rng(seed).uniform(-0.5, 0.5, (n, channels)), sample_rate)
    return path
