"""The joint encoder on small untrained towers: averaging of windows, level within a file, labels, refusals, loading."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

import tolerances as tol
from soundguide_core.audio.mel import RELEASED, MelSpec, frame_windows, sound_windows
from soundguide_core.common.errors import InputError
from soundguide_core.embedding.clip import ClipTowers
from soundguide_core.embedding.joint import JointEncoder, load_joint, smooth_embeds
from soundguide_core.embedding.sound import SoundEncoder, SoundEncoderConfig, save_sound

CLIP = {
    "embed_dim": 8,
    "vision_cfg": {"layers": [1, 1, 1, 1], "width": 4, "head_width": 32, "image_size": 32},
    "text_cfg": {"context_length": 12, "width": 8, "heads": 2, "layers": 1},
    "preprocess": {"size": 32, "mean": [0.5] * 3, "std": [0.5] * 3},
    "prompts": ["{}", "the sound of {}"],
}
SMALL = {
    "sample_rate": 8000,
    "n_fft": 256,
    "hop_length": 128,
    "n_mels": 32,
    "fmax": 4000.0,
    "columns": 64,
    "stride": 32,
}
SPEC = MelSpec(**{**RELEASED.to_dict(), **SMALL, "stride": 32, "layout": "plain", "focus": 2.0})


def sound_encoder(dim=8):
    return SoundEncoder(SoundEncoderConfig(dim=dim, backbone="test_resnet", padding=1)).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def joint():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return JointEncoder(ClipTowers.from_config(CLIP).freeze(), sound_encoder(), SPEC)


def noise(*shape, seed=0):
    return 0.3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_recording_is_the_weighted_mean_of_its_windows(joint):
    wave = noise(30_000)
    windows, weights = sound_windows(wave, 8000, SPEC)
    assert len(windows) > 3
    total = sum(w * F.normalize(joint.sound(x[None])[0], dim=0) for w, x in zip(weights, windows, strict=True))
    got = joint.encode_audio(wave, 8000)
    assert torch.allclose(got[0], total / total.norm(), atol=tol.FLOAT32_SUM)
    assert torch.equal(got, joint.encode_audio(wave, 8000))
    both = joint.encode_audio(torch.stack([wave, noise(30_000, seed=1)]), 8000)
    assert both.shape == (2, joint.dim) and torch.allclose(both[:1], got, atol=tol.FLOAT32_SUM)


def test_frames_share_the_reference_of_the_file(joint):
    wave = noise(24_000)
    wave[:12_000] *= 0.01
    frames = joint.encode_audio_frames(wave, 8000, fps=4, num_frames=12)
    windows = frame_windows(wave, 8000, SPEC, fps=4, num_frames=12)
    assert frames.shape == (12, 8) and torch.allclose(frames.norm(dim=1), torch.ones(12), atol=tol.FLOAT32_SUM)
    assert torch.allclose(frames[7], F.normalize(joint.sound(windows[7:8])[0], dim=0), atol=tol.FLOAT32_SUM)
    assert windows[1].mean() < windows[10].mean() - 0.2


def test_labels_are_ensembled_over_the_prompts(joint):
    got = joint.encode_labels(["sea_waves", "rain"])
    want = joint.encode_text(["sea waves", "the sound of sea waves"]).mean(0)
    assert torch.allclose(got[0], want / want.norm(), atol=tol.FLOAT32)
    embeds = joint.encode_audio(noise(2, 9000), 8000)
    p = joint.classify(embeds, ["sea_waves", "rain"])
    logits = joint.clip.model.logit_scale.exp() * torch.tensor([[float(e @ k) for k in got] for e in embeds])
    assert torch.allclose(p, logits.exp() / logits.exp().sum(1, keepdim=True), atol=tol.FLOAT32_SUM)


@pytest.mark.parametrize(
    "wave, sample_rate",
    [
        (torch.zeros(0), 8000),
        (torch.tensor([0.0, float("nan")]), 8000),
        (torch.zeros(2, 2, 100), 8000),
        (torch.zeros(100), 0),
        ([0.0, 0.1], 8000),
    ],
)
def test_bad_sounds_are_refused(joint, wave, sample_rate):
    with pytest.raises(InputError):
        joint.encode_audio(wave, sample_rate)


def test_bad_requests_are_refused(joint):
    with pytest.raises(InputError, match="label"):
        joint.encode_labels(["rain", ""])
    with pytest.raises(InputError, match="shape"):
        joint.encode_audio_frames(torch.zeros(2, 100), 8000, fps=4, num_frames=2)
    with pytest.raises(InputError, match="dims"):
        JointEncoder(joint.clip, sound_encoder(dim=4), SPEC)


def test_a_folder_loads_as_it_was_saved(joint, tmp_path):
    joint.clip.save(tmp_path / "clip.safetensors", half=False)
    save_sound(tmp_path / "sound.safetensors", joint.sound, SPEC, half=False)
    again = load_joint(tmp_path)
    wave = noise(9000)
    assert torch.allclose(again.encode_audio(wave, 8000), joint.encode_audio(wave, 8000), atol=tol.FLOAT32)
    with pytest.raises(InputError):
        load_joint(tmp_path / "nowhere")


@pytest.mark.parametrize(("frames", "reach"), [(9, 2), (3, 5), (1, 4), (6, 0)])
def test_what_is_heard_is_a_mean_over_neighbouring_frames(frames, reach):
    embeds = F.normalize(torch.randn(frames, 4, generator=torch.Generator().manual_seed(3)), dim=1)
    for f, near in enumerate(smooth_embeds(embeds, reach)):
        total = sum(
            math.cos(math.pi / 2 * (g - f) / (reach + 1)) ** 2 * embeds[g]
            for g in range(max(0, f - reach), min(frames, f + reach + 1))
        )
        torch.testing.assert_close(near, total / total.norm())
