"""Encoders that take waves: Wav2CLIP and CLAP with Ex-MCR's head, from files as saved, and in a joint encoder."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import tolerances as tol
from soundguide_core.audio import wave_windows
from soundguide_core.audio.wave_windows import WaveSpec
from soundguide_core.checkpoints.formats import exmcr, wav2clip
from soundguide_core.common.errors import InputError
from soundguide_core.embedding import clap
from soundguide_core.embedding.joint import JointEncoder
from soundguide_core.embedding.sound import load_sound, save_sound

# a sound tower of CLAP in a few thousand numbers, of each kind
FEATURES = {"sampling_rate": 4000, "hop_length": 160, "fft_window_size": 256, "feature_size": 16, "frequency_max": 1500}
TOWER = {
    "spec_size": 64, "num_mel_bins": 16, "patch_embeds_hidden_size": 8, "hidden_size": 32, "depths": [1, 1, 1],
    "num_attention_heads": [1, 1, 1], "projection_dim": 8, "window_size": 4, "aff_block_r": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def released(parity, tmp_path_factory):
    """(stored inputs and outputs, the path of Wav2CLIP.pt)"""
    tensors, states, _ = parity.read("wav2clip")
    path = tmp_path_factory.mktemp("wav2clip") / "Wav2CLIP.pt"
    torch.save(states["released"], path)
    return tensors, path


@torch.no_grad()
def test_wav2clip(released, parity):
    tensors, path = released
    encoder, spec = load_sound(path)
    wave = tensors["released.x"].float() / 32768
    assert parity.far(encoder(wave), tensors["released.out"]) < 1e-5 and spec == wave_windows.WAV2CLIP
    # a batch keeps its members apart, and a click is long enough
    both = encoder(torch.cat([wave, 0.3 * wave.flip(1)]))
    assert parity.far(both[:1], tensors["released.out"]) < 1e-5 and torch.isfinite(encoder(wave[:, :40])).all()


def test_wav2clip_in_a_joint_encoder(released, tmp_path):
    encoder, spec = load_sound(released[1])
    save_sound(tmp_path / "sound.safetensors", encoder, spec, half=False)
    again, kept = load_sound(tmp_path / "sound.safetensors")
    towers = torch.nn.Module()
    towers.dim, towers.device, towers.size = 512, torch.device("cpu"), encoder.space
    joint = JointEncoder(towers, again, kept)
    wave = 0.1 * torch.randn(11_000, generator=torch.Generator().manual_seed(0))
    whole = joint.encode_audio(wave, 16000)
    assert torch.allclose(whole, F.normalize(encoder(wave[None]), dim=-1), atol=tol.FLOAT32_SUM)
    frames = joint.encode_audio_frames(wave, 16000, fps=4, num_frames=2)
    assert frames.shape == (2, 512) and not torch.allclose(frames[0], frames[1], atol=tol.HALF)


def test_windows_of_samples():
    spec = WaveSpec(1000, samples=400, stride=300, frame_samples=100)
    wave = torch.arange(1000.0)
    windows, weights = spec.windows(wave, 1000)
    assert (
        windows.shape == (3, 400)
        and windows[:, 0].tolist() == [0, 300, 600]
        and torch.allclose(weights.sum(), torch.ones([]))
    )
    assert torch.equal(spec.windows(wave[:123], 1000)[0], wave[None, :123])
    frames = spec.frame_windows(wave, 1000, fps=10, num_frames=10)
    assert frames[3].tolist() == list(range(300, 400))
    early = WaveSpec(1000, 400, 300, frame_samples=120).frame_windows(wave, 1000, fps=10, num_frames=1)[0]
    assert early[:12].tolist() == [*range(10, 0, -1), 0, 1]
    with pytest.raises(InputError, match="frames"):
        spec.frame_windows(wave, 1000, fps=0, num_frames=2)


@torch.no_grad()
def test_ex_mcr_head(parity):
    tensors, states, _ = parity.read("exmcr")
    state, config = exmcr.convert(states["head"])
    head = clap.Head(config["encoder"]["dim"]).eval()
    head.load_state_dict({name.removeprefix("head."): x for name, x in state.items()})
    assert (head(tensors["head.x"]) - tensors["head.out"]).abs().max() < 1e-6


@pytest.fixture(params=[False, True], ids=["plain", "fused"])
def files(request, transformers, tmp_path):
    """(path of a head, transformers' CLAP whose folder lies beside it)"""
    fusion = {"enable_fusion": True, "fusion_type": "aff_2d"} if request.param else {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = transformers.ClapAudioModelWithProjection(transformers.ClapAudioConfig(**TOWER, **fusion)).eval()
        head = clap.Head(8)
    torch.save(head.state_dict(), tmp_path / "ex_clap.pt")
    (tmp_path / "clap").mkdir()
    text = {"text_model.embeddings.weight": torch.zeros(2), "logit_scale_a": torch.zeros([])}
    torch.save({**theirs.state_dict(), **text}, tmp_path / "clap" / "pytorch_model.bin")
    (tmp_path / "clap" / "config.json").write_text(json.dumps({"audio_config": theirs.config.to_dict()}))
    (tmp_path / "clap" / "preprocessor_config.json").write_text(json.dumps({**FEATURES, "max_length_s": 10}))
    return tmp_path / "ex_clap.pt", theirs


@pytest.mark.parametrize("samples", [7000, 40_000])
@torch.no_grad()
def test_clap_equals_transformers(files, transformers, samples):
    path, theirs = files
    encoder, spec = load_sound(path)
    fused = theirs.config.enable_fusion
    extractor = transformers.ClapFeatureExtractor(**{**clap.FEATURES, **FEATURES})
    wave = 0.1 * np.random.RandomState(0).randn(samples)
    mel, longer = extractor._get_input_mel(wave, 40_000, "fusion" if fused else "rand_trunc", "repeatpad")
    ours = encoder.log_mel(torch.from_numpy(wave).float()[None])
    assert not longer and ours.shape == (1, 1, 251, 16) and np.abs(ours[0, 0].numpy() - mel[0]).max() < 2e-3
    want = theirs(torch.from_numpy(mel)[None].float(), is_longer=torch.zeros(1, 1)).audio_embeds
    got = encoder(torch.from_numpy(wave).float()[None])
    assert torch.allclose(got, encoder.head(F.normalize(want, dim=-1)), atol=tol.PARITY) and spec == wave_windows.CLAP


@torch.no_grad()
def test_clap_in_one_file(files, tmp_path):
    encoder, spec = load_sound(files[0])
    save_sound(tmp_path / "whole.safetensors", encoder, spec, half=False)
    again, _ = load_sound(tmp_path / "whole.safetensors")
    wave = torch.randn(2, 9000, generator=torch.Generator().manual_seed(1))
    assert torch.equal(again(wave), encoder(wave))


def test_a_head_alone_asks_for_its_clap(tmp_path):
    torch.save(clap.Head(8).state_dict(), tmp_path / "ex_clap.pt")
    with pytest.raises(InputError, match="head of Ex-MCR only") as caught:
        load_sound(tmp_path / "ex_clap.pt")
    assert "laion/clap-htsat-fused" in caught.value.remedy


def test_odd_keys(parity):
    for layout, name, case in ((wav2clip, "wav2clip", "released"), (exmcr, "exmcr", "head")):
        state = parity.read(name)[1][case]
        with pytest.raises(InputError, match="odd.weight"):
            layout.convert({**state, "odd.weight": torch.zeros(1)})
        assert not layout.recognises({"odd.weight": torch.zeros(1)})
