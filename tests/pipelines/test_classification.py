"""Which words a recording sounds like, and whether it is any of them: against silence, chance and other words."""

from __future__ import annotations

import pytest
import torch

from soundguide_core.audio.random_sounds import COUNT, SAMPLE_RATE, random_sounds
from soundguide_core.embedding.joint import load_joint
from soundguide_core.pipelines import classification as c
from soundguide_core.pipelines.recording import Recording


@pytest.fixture(scope="module")
def joint(tiny):
    return load_joint(tiny.joint)


def noise(level: float = 0.1) -> Recording:
    return Recording.of_wave(level * torch.randn(16_000, generator=torch.Generator().manual_seed(0)), 8000)


def test_silence_is_no_rain(joint):
    for level in (0.0, 1e-5):
        found = c.classify(joint, noise(level), ["rain", "wind"])
        assert found["label"] == "" and found["scores"] == {"rain": 0.0, "wind": 0.0}
        assert found["verdict"] == "nothing heard" and c.in_words(found).startswith("nothing is heard")


def test_against_what_random_sounds_get(joint):
    labels, recording = ["rain", "wind"], noise()
    embeds = joint.encode_audio(recording.wave, 8000)
    found = c.classify(joint, recording, labels)
    words = joint.encode_labels(labels)
    score = max(float(embeds[0] @ word) for word in words)
    below = 0
    for wave in random_sounds():
        below += max(float(joint.encode_audio(wave, SAMPLE_RATE)[0] @ word) for word in words) < score
    assert found["sure"] == pytest.approx(below / COUNT) and found["familiar"] is None
    assert set(found["scores"]) == set(labels) and sum(found["scores"].values()) == pytest.approx(1)


class Known:
    """A joint space of three dims: rain, wind, dog; each random sound lies between."""

    def encode_labels(self, labels):
        out = torch.zeros(len(labels), 4)
        for i, label in enumerate(labels):
            out[i, {"rain": 0, "wind": 1, "dog": 2}.get(label, 3)] = 1
        return out

    def classify(self, embeds, labels):
        return (20 * embeds @ self.encode_labels(labels).T).softmax(-1)

    def encode_audio(self, wave, sample_rate):
        return torch.tensor([[0.5, 0.5, 0.5, 0.5]])

    def familiarity(self, wave, sample_rate):
        return 0.1


@pytest.mark.parametrize(
    ("sound", "familiar", "verdict", "nearer"),
    [
        ([1.0, 0, 0, 0], 0.9, "heard", ""),
        ([1.0, 0, 0, 0], 0.3, "not among these words", ""),  # unlike all that it has learned
        ([0.1, 0, 0.9, 0], 0.9, "not among these words", "dog"),
        ([0.05, 0.04, 0, 0], 0.9, "no nearer than random sounds", ""),
    ],
)
def test_verdicts(sound, familiar, verdict, nearer):
    found = c.judged(Known(), torch.tensor([sound]), familiar, ["rain", "wind"])
    assert (found["verdict"], found["nearer"]) == (verdict, nearer)
    assert verdict in c.in_words(found)


def test_random_sounds_are_always_the_same():
    first, again = random_sounds(5), random_sounds(5)
    assert all(torch.equal(a, b) and a.abs().max() <= 0.5 for a, b in zip(first, again))
    assert len({float(x.std()) for x in first}) == 5
