from __future__ import annotations

import pytest
import torch

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.embedding.hearing.joint import JointEars
from soundguide_core.embedding.hearing.listening import EVERYDAY, WINDOWS_AT_ONCE, Listener, standing_out
from soundguide_core.embedding.hearing.vocabulary import read_vocabulary
from soundguide_core.embedding.joint import load_joint


def means(window: int, hop: int, seen: list[int] | None = None) -> Listener:
    """One that scores the mean of a window."""

    def scores(windows):
        if seen is not None:
            seen.append(len(windows))
        return windows.mean(dim=1, keepdim=True)

    return Listener(("mean",), 100, window, hop, scores)


@pytest.mark.parametrize("count", [1, 39, 40, 41, 56, 1000, 1016, 32 * 16 + 24, 32 * 16 + 25, 5000])
def test_rows_are_windows_and_the_last_is_filled_with_silence(count):
    wave = torch.arange(count) / count
    found = torch.cat(list(means(40, 16).hear((part[None] for part in wave.split(17)), 100)))
    rows = max(-(-(count - 40) // 16), 0) + 1
    padded = torch.nn.functional.pad(wave, (0, (rows - 1) * 16 + 40 - count))
    expected = torch.stack([padded[16 * t : 16 * t + 40].mean() for t in range(rows)])
    assert found.shape == (rows, 1) and torch.allclose(found[:, 0], expected, atol=tol.FLOAT32)


def test_few_windows_are_held_at_once():
    seen: list[int] = []
    blocks = (torch.zeros(1, 1000) for _ in range(200))
    list(means(40, 16, seen).hear(blocks, 100))
    assert max(seen) == WINDOWS_AT_ONCE and sum(seen) == -(-(200_000 - 40) // 16) + 1


def test_nothing_to_hear_is_refused():
    with pytest.raises(InputError, match="no samples"):
        list(means(40, 16).hear(iter([]), 100))


def test_words_are_held_against_the_usual_not_against_each_other():
    cosines = torch.tensor([[0.9, 0.9, 0.1, 0.0, 0.1], [0.1, 0.1, 0.1, 0.1, 0.1]])
    found = standing_out(cosines, 15.0, 0.3)
    assert torch.allclose(found[0, :2], torch.full((2,), 15 * (0.9 - 0.1 - 0.3)).sigmoid()) and found[1].max() < 0.02


def test_a_joint_encoder_hears_as_it_does_at_video_frames(tiny):
    ears = JointEars(load_joint(tiny.joint))
    wave = torch.randn(20_000, generator=torch.Generator().manual_seed(0)) / 5
    words = ["rain", "brass band"]
    listener = ears.listen_for(words, read_vocabulary())
    found = torch.cat(list(listener.hear(iter([wave[None]]), 8000)))
    embeds = ears.joint.encode_audio_frames(wave, 8000, fps=1 / listener.hop_sec, num_frames=len(found))
    everyday = [word for word in EVERYDAY if word not in words]
    cosines = embeds @ ears.joint.encode_labels([*words, *everyday]).T
    expected = torch.sigmoid(15 * (cosines - cosines.quantile(0.5, dim=1, keepdim=True) - 0.3))
    assert torch.allclose(found, expected[:, :2], atol=10 * tol.HALF)  # the log-mel is kept as fp16
    again = torch.cat(list(listener.hear((part[None] for part in wave.split(999)), 8000)))
    assert found.shape == (10, 2) and torch.equal(again, found)
