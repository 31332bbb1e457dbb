"""A recording => words over time: heard, steadied, told from what noise gets, and said in words.

Axes: T times, K words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ..audio.smoothing import moving_average
from ..common.errors import InputError
from ..embedding.hearing.vocabulary import Vocabulary, names_of, plain
from ..embedding.hearing.words import HeardWords
from ..systems.configs.hear_words import FAINT, LIKELY, SURE, HearWordsConfig
from .recording import BLOCK, Recording

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..embedding.hearing.listening import Ears, Listener

REFERENCE_SEC = 3.0  # of the silence and of each noise that say what a score is worth
MARGIN = 0.05  # by which a word must score higher than in noise
MOST_SPANS = 12  # of a word that are listed
TOLD = ("sure", "likely", "faint")  # verdicts on words that are heard


def hear_words(
    ears: Ears,
    recording: Recording,
    words: Sequence[str],
    vocabulary: Vocabulary,
    config: HearWordsConfig | None = None,
    *,
    name: str = "",
    on_step: Callable[[int, int], None] | None = None,
) -> HeardWords:
    """What ears hear of some words in a recording of any length, which is read in blocks.

    vocabulary: where prompts and groups come from. name: of the ears. on_step(i, 0): once every few windows.

    Raises:
        InputError: no words, one twice, or one that the ears do not know; or the recording cannot be read.
    """
    check_words(words)
    listener = ears.listen_for(words, vocabulary)
    blocks, sample_rate = recording.mono_blocks()
    samples = 0

    def counted() -> Iterator[Tensor]:
        nonlocal samples
        for block in blocks:
            samples += block.shape[-1]
            yield block

    rows = []
    for i, part in enumerate(listener.hear(counted(), sample_rate)):
        rows.append(part)
        if on_step is not None:
            on_step(i, 0)
    heard = HeardWords(
        words=tuple(words),
        prompts=tuple(vocabulary.prompt(word) for word in words),
        groups=tuple(vocabulary.group(word) for word in words),
        scores=torch.cat(rows),
        hop_sec=listener.hop_sec,
        first_sec=listener.first_sec,
        seconds=samples / sample_rate,
        encoder=name,
        doubt=doubt_of(listener),
    )
    return steadied(heard, config or HearWordsConfig())


def check_words(words: Sequence[str]) -> None:
    """Refuses none, empty ones, and one twice."""
    if not words or not all(word.strip() for word in words):
        raise InputError("There is no word to listen for.", "Give some, such as rain,dog, or a group of words.")
    said = [plain(word) for word in words]
    if twice := next((word for word in said if said.count(word) > 1), None):
        raise InputError(f"The word {twice!r} is given twice.", "Give every word once.")


def ready_words(vocabulary: Vocabulary, groups: Sequence[str], ears: Ears) -> list[str]:
    """The words of some groups of the table, of all where none is named; of ears with classes those that they have."""
    entries = vocabulary.in_groups(groups)
    if ears.classes:
        known = {name for each in ears.classes for name in names_of(each)}
        entries = [entry for entry in entries if plain(entry.word) in known or set(names_of(entry.word)[1:]) & known]
    if not entries:
        raise InputError("These ears know none of the words of these groups.", "Choose other groups or other ears.")
    return [entry.word for entry in entries]


def steadied(heard: HeardWords, config: HearWordsConfig) -> HeardWords:
    """Held, then smoothed: s_t = max over the hold before t, and its Hann-weighted mean over half the smoothing on
    each side."""
    scores = heard.scores
    hold = round(config.hold / heard.hop_sec)
    if hold:
        scores = F.max_pool1d(F.pad(scores.T[None], (hold, 0)), hold + 1, stride=1)[0].T  # scores are not below 0
    reach = round(config.smoothing / 2 / heard.hop_sec)
    if reach:
        scores = torch.cat(list(moving_average(iter(scores.split(1024)), reach)))
    return replace(heard, scores=scores.contiguous())


def doubt_of(listener: Listener) -> Tensor:
    """[K]: the highest mean score of each word in silence, in white noise and in pink noise."""
    count = max(round(REFERENCE_SEC * listener.sample_rate), listener.window)
    draw = torch.Generator().manual_seed(0)
    white = torch.randn(count, generator=draw)
    spectrum = torch.fft.rfft(torch.randn(count, generator=draw))
    pink = torch.fft.irfft(spectrum / torch.arange(1, len(spectrum) + 1).sqrt(), n=count)
    rows = []
    for wave in (torch.zeros(count), 0.1 * white / white.std(), 0.1 * pink / pink.std()):
        blocks = (part[None] for part in wave.split(BLOCK))
        rows.append(torch.cat(list(listener.hear(blocks, listener.sample_rate))).mean(dim=0))
    return torch.stack(rows).amax(dim=0)


def verdict(score: float, doubt: float) -> str:
    """How sure a score is: "sure", "likely", "faint", "no more than in noise", "not heard"."""
    if score < FAINT:
        return "not heard"
    if score <= doubt + MARGIN:
        return "no more than in noise"
    return "sure" if score >= SURE else "likely" if score >= LIKELY else "faint"


def is_told(heard: HeardWords, column: int) -> bool:
    """Whether a word is heard, and more than in noise."""
    return verdict(*_score_and_doubt(heard, column)) in TOLD


def spans_of(heard: HeardWords, column: int, least: float) -> list[tuple[float, float]]:
    """(start, end) in seconds of every stretch in which a word scores `least` or more."""
    above = [False, *(heard.scores[:, column] >= least).tolist(), False]
    middles = heard.times[:-1] + heard.hop_sec / 2
    edges = [0.0, *middles.clamp(max=heard.seconds).tolist(), heard.seconds]  # [T+1], of the rows
    starts = [i for i in range(len(edges)) if above[i + 1] and not above[i]]
    ends = [i for i in range(len(edges)) if above[i] and not above[i + 1]]
    return [(edges[start], edges[end]) for start, end in zip(starts, ends)]


def described(heard: HeardWords, most: int = 10) -> str:
    """A line for each of the words that score highest, with how sure it is and when; or that nothing is told from
    noise."""
    lines = [_line(heard, column) for column in heard.strongest(most)]
    lines = [line for line in lines if line]
    if not heard.scores.any():
        return "Nothing is heard: the sound is silent."
    return "\n".join(lines) or "Nothing that these words name is heard any more than in noise."


def _line(heard: HeardWords, column: int) -> str:
    score, doubt = _score_and_doubt(heard, column)
    said = verdict(score, doubt)
    if said not in TOLD:
        return ""
    spans = spans_of(heard, column, max(score / 2, FAINT))
    times = ", ".join(f"{start:.1f}-{end:.1f}" for start, end in spans[:MOST_SPANS])
    more = ", ..." if len(spans) > MOST_SPANS else ""
    return f"{heard.words[column]}: {score:.2f}, {said} ({times}{more} s)"


def _score_and_doubt(heard: HeardWords, column: int) -> tuple[float, float]:
    return float(heard.scores[:, column].max()), 0.0 if heard.doubt is None else float(heard.doubt[column])


def to_report(heard: HeardWords, *, rows: bool = True) -> dict:
    """As plain values for JSON: the words with their verdicts and times, and with rows the scores over time of those
    that are heard at all."""
    words = []
    for column in heard.strongest(len(heard.words)):
        score, doubt = _score_and_doubt(heard, column)
        spans = spans_of(heard, column, max(score / 2, FAINT))
        words.append(
            {
                "word": heard.words[column],
                "group": heard.groups[column],
                "prompt": heard.prompts[column],
                "highest": round(score, 4),
                "mean": round(float(heard.scores[:, column].mean()), 4),
                "in_noise": round(doubt, 4),
                "verdict": verdict(score, doubt),
                "spans": [[round(x, 3) for x in span] for span in spans],
            }
        )
    report = {
        "encoder": heard.encoder,
        "seconds": round(heard.seconds, 3),
        "first_sec": heard.first_sec,
        "hop_sec": heard.hop_sec,
        "words": words,
    }
    if rows:
        report["scores"] = {
            word: [round(x, 4) for x in column]
            for word, column in zip(heard.words, heard.scores.T.tolist())
            if max(column) >= FAINT
        }
    return report
