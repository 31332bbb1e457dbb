"""The shipped sound encoder on synthesised sounds that training never drew."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from soundguide_core.embedding.joint import load_joint
from soundguide_core.miniature.sounds import synthesis as sounds

NEW_SEEDS = 900_000
RATE = 22050


@pytest.fixture(scope="module")
def joint():
    return load_joint("miniature")


def test_new_sounds_are_named(joint):
    labels = list(sounds.SOUNDS)
    right = 0
    for k, label in enumerate(labels):
        for i in range(3):
            wave = torch.from_numpy(sounds.synthesise(label, 5, seed=NEW_SEEDS + i, sample_rate=RATE))
            right += int(joint.classify(joint.encode_audio(wave, RATE), labels)[0].argmax()) == k
    assert right >= 16  # of 21


@pytest.mark.parametrize("label", ["rain", "waves", "fire", "thunder", "birds"])
def test_what_swells_within_a_file_comes_nearer_and_what_fades_turns_calm(joint, label):
    curve = np.repeat([0.02, 1.0], 36)
    word, calm = joint.encode_labels([label, "silence"])
    nearer, calmer = [], []
    for i in range(3):
        wave = sounds.synthesise(label, 6, intensity=curve, seed=NEW_SEEDS + i, sample_rate=RATE)
        frames = joint.encode_audio_frames(torch.from_numpy(wave), RATE, fps=2, num_frames=12)
        quiet, loud = frames[1:5].mean(0), frames[7:11].mean(0)
        nearer.append(float((loud - quiet) @ word))
        calmer.append(float((quiet - loud) @ calm))
    # a fire burned down and a storm gone far are still heard as what they are, and hardly as calm
    assert np.mean(nearer) > 0.15 and np.mean(calmer) > (0.0 if label in ("fire", "thunder") else 0.05)
