from __future__ import annotations

import builtins

import pytest
import torch
from torch import nn

from soundguide_core.audio.stems import SAMPLE_RATE, STEMS, StemSeparator, load_stem_separator, separate
from soundguide_core.common.errors import InputError

SHARES = torch.tensor([0.4, 0.3, 0.2, 0.1])


class Shares(nn.Module):
    """A separator whose stems are known: each is its share of the mixture."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(SHARES)
        self.lengths = []

    def forward(self, mixture):
        self.lengths.append(mixture.shape[-1])
        return self.weight[None, :, None, None] * mixture[:, None]


def separator(audio_channels=2):
    return StemSeparator(Shares(), audio_channels)


@pytest.mark.parametrize("seconds", [0.5, 3.0, 3.001, 10.7])
def test_segments_join_without_a_seam(seconds):
    wave = torch.randn(2, round(seconds * SAMPLE_RATE), generator=torch.manual_seed(0)) * 0.1
    wave = wave - wave.mean()  # the mean is shared evenly, whatever the network
    network, steps = separator(), []
    stems = separate(network, wave, SAMPLE_RATE, lambda *at: steps.append(at), segment_sec=3.0)
    assert torch.allclose(stems, SHARES[:, None, None] * wave, atol=1e-6)
    assert max(network.network.lengths) <= 3 * SAMPLE_RATE and steps[-1] == (len(steps), len(steps))


def test_the_mean_of_a_sound_stays_in_the_sum():
    wave = torch.randn(2, SAMPLE_RATE, generator=torch.manual_seed(0)) * 0.1 + 0.2
    assert torch.allclose(separate(separator(), wave, SAMPLE_RATE).sum(0), wave, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 2, 8])
def test_any_rate_and_channels(channels):
    wave = torch.sin(torch.arange(16001) / 16000 * 2 * torch.pi * 220).expand(channels, -1) * 0.3
    stems = separate(separator(), wave, 16000)
    assert stems.shape == (len(STEMS), 2, 16001)
    middle = slice(1000, -1000)  # resampled twice; its edges ring
    assert torch.allclose(stems.sum(0)[:, middle], wave[:1, middle].expand(2, -1), atol=2e-3)


def test_silence_stays_silent():
    assert separate(separator(), torch.zeros(2, 5000), 44100).abs().max() == 0


@pytest.mark.parametrize("wave", [torch.zeros(2, 0), torch.full((1, 10), float("nan"))])
def test_what_is_no_sound_is_refused(wave):
    with pytest.raises(InputError):
        separate(separator(), wave, 44100)


def test_segments_shorter_than_their_overlap_are_refused():
    with pytest.raises(InputError, match="segment"):
        separate(separator(), torch.zeros(2, 5000), 44100, segment_sec=1.0)


def test_without_torchaudio_it_says_what_to_install(monkeypatch):
    genuine = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("torchaudio"):
            raise ImportError(name)
        return genuine(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match="torchaudio"):
        load_stem_separator("hdemucs-high")


def tiny(tmp_path):
    models = pytest.importorskip("torchaudio.models", reason="torchaudio is not installed", exc_type=ImportError)
    torch.manual_seed(0)
    network = models.HDemucs(list(STEMS), channels=8, nfft=1024, depth=5).eval()
    torch.save(network.state_dict(), tmp_path / "tiny.pt")
    return network, tmp_path / "tiny.pt"


def test_equal_to_torchaudio(tmp_path):
    theirs, path = tiny(tmp_path)
    wave = torch.randn(2, SAMPLE_RATE, generator=torch.manual_seed(1)) * 0.1
    found = separate(load_stem_separator(path), wave, SAMPLE_RATE)
    mean, spread = wave.mean(), wave.std()
    with torch.no_grad():
        wanted = theirs(((wave - mean) / spread)[None])[0] * spread + mean / 4
    assert torch.allclose(found, wanted, atol=1e-6)


def test_a_file_of_our_format_is_the_same(tmp_path):
    from soundguide_core.checkpoints import safetensors_io, weights

    _, path = tiny(tmp_path)
    safetensors_io.save(tmp_path / "ours.safetensors", *weights.load(path, "stem-separator"))
    wave = torch.randn(2, SAMPLE_RATE // 2, generator=torch.manual_seed(1)) * 0.1
    ours, same = (load_stem_separator(tmp_path / name) for name in ("ours.safetensors", "tiny.pt"))
    assert torch.equal(separate(ours, wave, SAMPLE_RATE), separate(same, wave, SAMPLE_RATE))


def test_another_number_of_stems_is_refused(tmp_path):
    models = pytest.importorskip("torchaudio.models", reason="torchaudio is not installed", exc_type=ImportError)
    torch.save(models.HDemucs(["a", "b"], channels=8, nfft=1024, depth=5).state_dict(), tmp_path / "two.pt")
    with pytest.raises(InputError, match="separates 2 stems"):
        load_stem_separator(tmp_path / "two.pt")
