"""Published sound encoders from files as their authors save them: the same embeddings as the released code."""

from __future__ import annotations

import pytest
import timm
import torch

from soundguide_core.audio import mel
from soundguide_core.checkpoints import safetensors_io
from soundguide_core.checkpoints.formats import open_foreign, sound_resnet, swin
from soundguide_core.common.errors import InputError
from soundguide_core.embedding import sound


def loaded(state, path, prefix=""):
    torch.save({prefix + name: x for name, x in state.items()}, path)
    return sound.load_sound(path)


@pytest.mark.parametrize("prefix", ["", "module."])
@torch.no_grad()
def test_released_resnet18(parity, tmp_path, prefix):
    tensors, states, _ = parity.read("sound_resnet")
    encoder, spec = loaded(states["resnet18"], tmp_path / "resnet18_57.pth", prefix)
    assert spec == mel.RELEASED and encoder.config == sound.RELEASED and not encoder.training
    assert parity.far(encoder(tensors["resnet18.x"]), tensors["resnet18.out"]) < 1e-5


def test_resnet50_is_told_by_its_blocks():
    with torch.device("meta"):
        encoder = sound.SoundEncoder(sound.PAPER)
    state, config = sound_resnet.convert(encoder.state_dict())
    assert config["encoder"] == {"backbone": "resnet50", "dim": 512} and state.keys() == encoder.state_dict().keys()
    with pytest.raises(InputError, match="blocks"):
        sound_resnet.convert({k: x for k, x in state.items() if "layer3.5" not in k})


@torch.no_grad()
def test_swin_of_timm_0_5(parity, tmp_path):
    tensors, states, _ = parity.read("swin")
    assert "feature_extractor.layers.0.downsample.reduction.weight" in states["narrow"]
    encoder, spec = loaded(states["narrow"], tmp_path / "tpami_encoder40.pth", "module.")
    assert spec == mel.SQUARE
    out = encoder(tensors["narrow.x"].float())
    assert parity.far(out, tensors["narrow.out"]) < 1e-5
    # the newer scheme is ours: a file in it loads to the same
    new = {**encoder.state_dict(), "logit_scale_ai": torch.ones([]), "logit_scale_at": torch.ones([])}
    again, _ = loaded(new, tmp_path / "swin_audioencoder.pth")
    assert torch.equal(again(tensors["narrow.x"].float()), out)


def test_swin_at_its_own_width(parity):
    state, config = swin.convert(parity.read("swin")[1]["full"])
    with torch.device("meta"):
        encoder = sound.SoundEncoder.from_config(config["encoder"])
        plain = timm.create_model("swin_tiny_patch4_window7_224", in_chans=1, num_classes=512)
    assert sum(p.numel() for p in encoder.parameters()) == 27_910_010
    assert {k: x.shape for k, x in encoder.state_dict().items()} == {k: x.shape for k, x in state.items()}
    assert {f"feature_extractor.{k}" for k in plain.state_dict()} == set(state)


def test_a_converted_file_is_the_same(parity, tmp_path):
    tensors, states, _ = parity.read("swin")
    encoder, _ = loaded(states["narrow"], tmp_path / "swin.pth")
    converted = open_foreign(tmp_path / "swin.pth")
    safetensors_io.save(tmp_path / "sound.safetensors", converted.tensors, converted.config)
    again, spec = sound.load_sound(tmp_path / "sound.safetensors")
    assert spec == mel.SQUARE and converted.kind == "sound"
    x = tensors["narrow.x"].float()
    assert torch.equal(again(x), encoder(x))


@pytest.mark.parametrize("layout, name, case", [(swin, "swin", "narrow"), (sound_resnet, "sound_resnet", "resnet18")])
def test_odd_keys_are_named(parity, layout, name, case):
    state = parity.read(name)[1][case]
    assert layout.recognises(state)
    with pytest.raises(InputError, match="feature_extractor.extra"):
        layout.convert({**state, "feature_extractor.extra": torch.zeros(1)})
