"""Every published network but the generators: a file as its authors save it, converted, loads to the same weights."""

from __future__ import annotations

import pytest
import torch

import tolerances as tol
from soundguide_core.checkpoints import weights
from soundguide_core.common.errors import InputError
from soundguide_core.embedding.clip import load_clip
from soundguide_core.embedding.joint import JointEncoder, load_joint
from soundguide_core.embedding.sound import load_sound
from soundguide_core.losses.identity import load_identity


def load_unet(path):
    from soundguide_core.diffusion.unet import load_unet

    return load_unet(path)


CASES = {
    "guided_diffusion": ("conditional", "unet", load_unet),
    "swin": ("narrow", "sound", lambda path: load_sound(path)[0]),
    "sound_resnet": ("resnet18", "sound", lambda path: load_sound(path)[0]),
    "wav2clip": ("released", "sound", lambda path: load_sound(path)[0]),
    "ir_se50": ("quarter", "identity", load_identity),
}


@pytest.mark.parametrize("name", CASES)
def test_converted_is_the_same(parity, diffusers, tmp_path, name):
    case, kind, load = CASES[name]
    torch.save(parity.read(name)[1][case], tmp_path / "theirs.pth")
    config = weights.convert(tmp_path / "theirs.pth", tmp_path / "ours.safetensors")
    assert config["source"]["kind"] == kind and config["source"]["file"] == "theirs.pth"
    theirs, ours = load(tmp_path / "theirs.pth").state_dict(), load(tmp_path / "ours.safetensors").state_dict()
    assert theirs.keys() == ours.keys() and all(torch.equal(x, ours[key]) for key, x in theirs.items())
    with pytest.raises(InputError, match=f"of the kind {kind}"):
        weights.load(tmp_path / "theirs.pth", "generator")


def test_clip_in_half_precision(tmp_path):
    from open_clip.model import CLIP

    text = {"context_length": 12, "vocab_size": 100, "width": 64, "heads": 1, "layers": 1}
    model = CLIP(32, {"image_size": 32, "patch_size": 8, "width": 64, "layers": 1}, text, quick_gelu=True)
    sizes = {name: torch.tensor(7) for name in ("input_resolution", "context_length", "vocab_size")}
    torch.save({**model.half().state_dict(), **sizes}, tmp_path / "ViT.pt")
    weights.convert(tmp_path / "ViT.pt", tmp_path / "clip.safetensors", half=True)
    theirs, ours = load_clip(tmp_path / "ViT.pt"), load_clip(tmp_path / "clip.safetensors")
    assert all(torch.equal(x, ours.state_dict()[key]) for key, x in theirs.state_dict().items())
    assert ours.config["quick_gelu"] and next(ours.parameters()).dtype == torch.float32


@torch.no_grad()
def test_a_joint_encoder_of_published_files(parity, tiny, tmp_path):
    state = parity.read("swin")[1]["narrow"]
    state |= {key: state[key][:16] for key in ("feature_extractor.head.weight", "feature_extractor.head.bias")}
    torch.save(state, tmp_path / "sound.pth")
    (tmp_path / "clip.safetensors").write_bytes((tiny.joint / "clip.safetensors").read_bytes())
    with pytest.raises(InputError, match="hears in the space of OpenAI CLIP"):
        load_joint(tmp_path)
    sound, spec = load_sound(tmp_path / "sound.pth")
    sound.space = ""  # of the published size none is at hand
    joint = JointEncoder(load_clip(tmp_path / "clip.safetensors"), sound, spec)
    wave = 0.1 * torch.randn(30_000, generator=torch.Generator().manual_seed(0))
    embeds, frames = joint.encode_audio(wave, 16000), joint.encode_audio_frames(wave, 16000, fps=2, num_frames=3)
    assert (
        embeds.shape == (1, 16)
        and frames.shape == (3, 16)
        and not torch.allclose(frames[0], frames[2], atol=tol.PARITY)
    )
