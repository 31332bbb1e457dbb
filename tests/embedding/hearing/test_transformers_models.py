"""CLAP and AST of transformers, tiny and untrained: scores equal to those of calling transformers."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.embedding.hearing.listening import EVERYDAY
from soundguide_core.embedding.hearing.loading import load_ears
from soundguide_core.embedding.hearing.vocabulary import read_vocabulary

RATE = 4000
AST = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "num_mel_bins": 16,
    "max_length": 128, "patch_size": 8, "frequency_stride": 8, "time_stride": 8,
}  # fmt: skip
CLASSES = ["Rain", "Bark", "Dog", "Bird"]


def noise(seconds: float, rate: int) -> torch.Tensor:
    return torch.randn(round(seconds * rate), generator=torch.Generator().manual_seed(0)) / 5


def heard(ears, words, wave, rate):
    listener = ears.listen_for(words, read_vocabulary())
    return torch.cat(list(listener.hear((part[None] for part in wave.split(3001)), rate))), listener


@pytest.fixture(params=[False, True], ids=["plain", "fused"])
def clap_folder(request, make_clap):
    return make_clap(fused=request.param)


@torch.no_grad()
def test_clap_scores_are_those_of_transformers(transformers, clap_folder):
    features = json.loads((clap_folder / "preprocessor_config.json").read_text())
    ears = load_ears(clap_folder)
    wave = noise(3.3, RATE)
    found, listener = heard(ears, ["rain", "a brass band"], wave, RATE)
    again, _ = heard(load_ears(clap_folder / "model.safetensors"), ["rain", "a brass band"], wave, RATE)
    assert torch.equal(found, again) and found.shape == (4, 2) and listener.hop_sec == 0.5

    model = transformers.ClapModel.from_pretrained(clap_folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(clap_folder)
    extractor = transformers.ClapFeatureExtractor(**features)
    fused = model.config.audio_config.enable_fusion
    words = ["rain", "a brass band", *(word for word in EVERYDAY if word != "rain")]
    tokens = tokenizer([f"This is a sound of {word}." for word in words], padding=True, return_tensors="pt")
    padded = F.pad(wave, (0, RATE // 2))
    for t in range(4):
        window = padded[2000 * t : 2000 * t + 8000].double().numpy()
        mel, _ = extractor._get_input_mel(window, 10 * RATE, "fusion" if fused else "rand_trunc", "repeatpad")
        inputs = {"input_features": torch.from_numpy(np.asarray(mel))[None].float()}
        given = model(**tokens, **inputs, is_longer=torch.zeros(1, 1, dtype=torch.bool))
        cosines = given.logits_per_audio[0] / model.logit_scale_a.exp()
        expected = torch.sigmoid(15 * (cosines - cosines.quantile(0.5) - 0.2))[:2]
        assert torch.allclose(found[t], expected, atol=tol.HALF), t


@pytest.fixture
def ast_folder(transformers, tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.ASTConfig(**AST, id2label=dict(enumerate(CLASSES)))
        transformers.ASTForAudioClassification(config).eval().save_pretrained(tmp_path)
    transformers.ASTFeatureExtractor(num_mel_bins=16, max_length=128).save_pretrained(tmp_path)
    return tmp_path


@torch.no_grad()
def test_ast_scores_are_those_of_transformers(transformers, ast_folder):
    ears = load_ears(ast_folder)
    wave = noise(6.2, 16000)
    found, listener = heard(ears, ["rain", "dog"], wave, 16000)
    assert ears.classes == tuple(CLASSES) and found.shape == (3, 2) and listener.first_sec == 2.5
    model = transformers.ASTForAudioClassification.from_pretrained(ast_folder).eval()
    extractor = transformers.ASTFeatureExtractor.from_pretrained(ast_folder)
    for t in range(3):
        window = F.pad(wave, (0, 16000))[16000 * t : 16000 * (t + 5)].numpy()
        given = extractor(window, sampling_rate=16000, return_tensors="pt")
        scores = model(**given).logits[0].sigmoid()
        assert torch.allclose(found[t], torch.stack([scores[0], scores[1:3].max()]), atol=tol.FLOAT32_SUM)


def test_folders_that_are_none(transformers, ast_folder):
    config = json.loads((ast_folder / "config.json").read_text())
    (ast_folder / "config.json").write_text(json.dumps({**config, "model_type": "bert"}))
    with pytest.raises(InputError, match="model of the type 'bert'"):
        load_ears(ast_folder)
    (ast_folder / "config.json").write_text(json.dumps(config))
    (ast_folder / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match="not a whole audio-spectrogram-transformer"):
        load_ears(ast_folder)
