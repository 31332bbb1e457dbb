"""The sound encoder as data: the released file's keys and shapes, a narrow one, and the round trip through a file."""

from __future__ import annotations

import dataclasses

import pytest
import torch

import tolerances as tol
from soundguide_core.audio import mel
from soundguide_core.checkpoints import safetensors_io
from soundguide_core.common.errors import InputError
from soundguide_core.embedding import sound

NARROW = sound.SoundEncoderConfig(16, "resnet18", {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]}, 1)


def test_released_keys_and_shapes():
    encoder = sound.SoundEncoder(sound.RELEASED).eval()
    state = encoder.state_dict()
    assert len(state) == 124
    assert sum(p.numel() for p in encoder.parameters()) == 11_439_198
    assert state["conv.weight"].shape == (3, 1, 3, 3) and state["conv.bias"].shape == (3,)
    assert state["feature_extractor.conv1.weight"].shape == (64, 3, 7, 7)
    assert state["feature_extractor.layer4.1.bn2.running_var"].shape == (512,)
    assert state["feature_extractor.fc.weight"].shape == (512, 512)
    seen = []
    encoder.feature_extractor.register_forward_pre_hook(lambda module, args: seen.append(args[0].shape))
    with torch.no_grad():
        out = encoder(mel.arrange(torch.rand(1, 1, 128, 864), mel.RELEASED))
    assert out.shape == (1, 512) and seen == [(1, 3, 126, 510)]


def test_first_convolution_then_backbone():
    encoder = sound.SoundEncoder(NARROW).eval()
    x = torch.rand(2, 1, 64, 100)
    expected = encoder.feature_extractor(
        torch.nn.functional.conv2d(x, encoder.conv.weight, encoder.conv.bias, padding=1)
    )
    assert torch.equal(encoder(x), expected) and expected.shape == (2, 16)


def test_round_trip(tmp_path):
    encoder = sound.SoundEncoder(NARROW).eval()
    sound.save_sound(tmp_path / "s.safetensors", encoder, mel.RELEASED, half=False)
    again, spec = sound.load_sound(tmp_path / "s.safetensors")
    x = torch.rand(1, 1, 64, 90)
    assert spec == mel.RELEASED and again.to_config() == dataclasses.asdict(NARROW) and not again.training
    assert torch.equal(again(x), encoder(x))


def test_half_precision_is_close(tmp_path):
    encoder = sound.SoundEncoder(NARROW).eval()
    sound.save_sound(tmp_path / "s.safetensors", encoder, mel.RELEASED)
    x = torch.rand(1, 1, 64, 90)
    assert torch.allclose(sound.load_sound(tmp_path / "s.safetensors")[0](x), encoder(x), atol=5e-3)


def test_refusals(tmp_path):
    with pytest.raises(InputError, match="backbone"):
        sound.SoundEncoder(dataclasses.replace(NARROW, backbone="resnet19"))
    safetensors_io.save(tmp_path / "other.safetensors", {"x": torch.zeros(1)}, {"kind": "generator"})
    with pytest.raises(InputError, match="does not describe a sound encoder"):
        sound.load_sound(tmp_path / "other.safetensors")


def test_prototypes_mix_by_a_softmax_over_cosines():
    from soundguide_core.embedding.sound import Prototypes

    g = torch.Generator().manual_seed(0)
    prototypes = Prototypes(3, 4, sharpness=7.0)
    prototypes.means = torch.nn.functional.normalize(torch.randn(3, 4, generator=g), dim=-1)
    q = torch.randn(2, 4, generator=g)
    for line, out in zip(q, prototypes(q)):
        weights = [torch.exp(7 * line @ p / line.norm()) for p in prototypes.means]
        expected = sum(w * p for w, p in zip(weights, prototypes.means)) / sum(weights)
        assert torch.allclose(out, expected, atol=tol.FLOAT32)
    sure = prototypes.means[1:2] * 100
    prototypes.sharpness = 1e4
    assert torch.allclose(prototypes(sure), prototypes.means[1:2])
