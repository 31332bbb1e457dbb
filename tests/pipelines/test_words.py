"""Words over time from a recording: held and smoothed, told from noise, and said."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.embedding.hearing.listening import ClassifyingEars
from soundguide_core.embedding.hearing.vocabulary import read_vocabulary
from soundguide_core.embedding.hearing.words import HeardWords
from soundguide_core.pipelines.recording import Recording
from soundguide_core.pipelines.words import (
    described,
    hear_words,
    ready_words,
    spans_of,
    steadied,
    to_report,
    verdict,
)
from soundguide_core.systems.configs.hear_words import HearWordsConfig

RATE = 1000
RAW = HearWordsConfig(smoothing=0.0, hold=0.0)


class Tones(ClassifyingEars):
    """Rain is a tone of 100 Hz, a bird one of 200 Hz, each by itself; static is whatever is not silent."""

    classes = ("Rain", "Bird", "Static")
    sample_rate, window, hop = RATE, 500, 250

    def __init__(self):
        super().__init__()
        self.level = torch.nn.Parameter(torch.ones(1))

    def forward(self, windows: Tensor) -> Tensor:
        power = torch.fft.rfft(windows).abs()[:, [50, 100]] / 125
        loud = windows.square().mean(dim=1, keepdim=True).sqrt() * 10
        return torch.cat([power, loud], dim=1).clamp(0, 1) * self.level


def tone(hz: float, start: float, end: float, seconds: float = 6.0) -> Tensor:
    time = torch.arange(round(seconds * RATE)) / RATE
    return torch.sin(2 * torch.pi * hz * time) * ((time >= start) & (time < end))


def heard_of(wave: Tensor, words=("rain", "bird"), config=RAW) -> HeardWords:
    return hear_words(Tones(), Recording.of_wave(wave, RATE), list(words), read_vocabulary(), config, name="tones")


def test_two_sounds_at_once_are_both_heard_when_they_sound():
    heard = heard_of(tone(100, 1, 4) + tone(200, 3, 5))
    assert heard.prompts == ("heavy rain, wet streets, raindrops", "a colourful bird on a branch")
    assert heard.seconds == 6 and heard.groups == ("water", "birds")
    rain, bird = heard.at_frames(2, 12).T
    assert rain[3:7].min() > 0.9 and rain[[0, 10]].max() < 0.1
    assert bird[7:9].min() > 0.9 and bird[[0, 3]].max() < 0.1
    assert min(rain[6], bird[6]) > 0.9  # both
    ((start, end),) = spans_of(heard, 0, 0.5)
    assert abs(start - 1) < 0.3 and abs(end - 4) < 0.3


def test_a_hold_lasts_and_smoothing_is_the_mean_about_each_row():
    scores = torch.zeros(12, 1)
    scores[4] = 1.0
    heard = HeardWords(("a",), ("a",), scores, 0.5, 6.0)
    held = steadied(heard, HearWordsConfig(smoothing=0.0, hold=1.0)).scores[:, 0]
    assert torch.equal(held, (torch.arange(12) >= 4).float() * (torch.arange(12) <= 6))
    smooth = steadied(heard, HearWordsConfig(smoothing=2.0, hold=0.0)).scores[:, 0]
    weights = [float(torch.cos(torch.tensor(torch.pi / 2 * i / 3)) ** 2) for i in (2, 1, 0, 1, 2)]
    expected = torch.tensor([0, 0, *(w / sum(weights) for w in weights), *[0] * 5])
    assert torch.allclose(smooth, expected, atol=tol.FLOAT32)


def test_what_noise_gets_too_is_not_told():
    noise = torch.randn(6 * RATE, generator=torch.Generator().manual_seed(5)) / 10
    heard = heard_of(noise, words=("rain", "bird", "static"))
    assert verdict(0.97, float(heard.doubt[2])) == "no more than in noise"
    assert described(heard) == "Nothing that these words name is heard any more than in noise."
    assert described(heard_of(tone(100, 0, 6), ("rain", "static"))) == "rain: 1.00, sure (0.0-6.0 s)"


@pytest.mark.parametrize(
    "score, doubt, said",
    [(0.9, 0.1, "sure"), (0.3, 0.1, "likely"), (0.1, 0.0, "faint"), (0.01, 0.0, "not heard"), (0.9, 0.88, "no more")],
)
def test_verdicts(score, doubt, said):
    assert verdict(score, doubt).startswith(said)


def test_the_report_has_the_courses_of_what_is_heard():
    report = to_report(heard_of(tone(100, 1, 4)))
    rain, bird = report["words"]
    assert (rain["word"], rain["verdict"], bird["verdict"]) == ("rain", "sure", "not heard")
    assert list(report["scores"]) == ["rain"] and len(report["scores"]["rain"]) == 23
    assert "scores" not in to_report(heard_of(tone(100, 1, 4)), rows=False)


def test_words_in_blocks_are_words_at_once(tmp_path):
    import soundfile

    wave = tone(100, 1, 90, 100.0) + tone(200, 30, 70, 100.0)
    soundfile.write(tmp_path / "a.wav", wave.numpy() / 4, RATE, subtype="FLOAT")
    of_file = hear_words(Tones(), Recording.of_file(tmp_path / "a.wav"), ["rain", "bird"], read_vocabulary(), RAW)
    assert torch.equal(of_file.scores, heard_of(wave / 4).scores) and of_file.seconds == 100


def test_ready_words_are_those_that_the_ears_know():
    vocabulary = read_vocabulary()
    assert ready_words(vocabulary, ["water", "birds"], Tones()) == ["Bird", "Rain"]
    with pytest.raises(InputError, match="none of the words"):
        ready_words(vocabulary, ["home"], Tones())


@pytest.mark.parametrize("words, why", [([], "no word"), ([" "], "no word"), (["rain", "Rain"], "given twice")])
def test_words_that_are_none(words, why):
    with pytest.raises(InputError, match=why):
        heard_of(tone(100, 0, 1), words)
