"""Ears: networks that name what they hear in windows of samples, and how one listens to a recording of any length.

Axes: W windows, N samples, T times, K words, D dims.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...audio.silence import is_silent
from ...audio.waveform import resampled_blocks
from ...common.errors import InputError
from .vocabulary import Vocabulary

WINDOWS_AT_ONCE = 32  # so that hours of sound cost the memory of seconds
EVERYDAY = (
    "rain", "wind", "thunder", "sea waves", "crackling fire", "birds", "crickets", "dog", "crying baby", "clock tick",
    "engine", "footsteps", "speech", "music",
)  # fmt: skip


@dataclass(frozen=True)
class Listener:
    """Ears that wait for certain words.

    Args:
        words: K of them. sample_rate: in Hz. window, hop: samples that are heard at once, and from one window to the
            next. scores: windows [W,window] => [W,K] in 0..1, each word by itself; deterministic.
    """

    words: tuple[str, ...]
    sample_rate: int
    window: int
    hop: int
    scores: Callable[[Tensor], Tensor]

    @property
    def hop_sec(self) -> float:
        return self.hop / self.sample_rate

    @property
    def first_sec(self) -> float:
        """The middle of the first window."""
        return self.window / 2 / self.sample_rate

    def hear(self, blocks: Iterable[Tensor], sample_rate: float) -> Iterator[Tensor]:
        """Blocks [1,n] of one channel at any rate => parts [t,K] which in a row are the scores over time [T,K].

        Row t is about the samples t hop .. t hop + window; of silence (audio/silence.py) it is 0. Silence fills the
        last window. No more than WINDOWS_AT_ONCE windows are held.
        """
        held, started = torch.zeros(0), False
        most = self.window + (WINDOWS_AT_ONCE - 1) * self.hop
        for block in resampled_blocks(blocks, sample_rate, self.sample_rate):
            held = torch.cat([held, block])
            while len(held) >= most:
                yield self._scored(held[:most])
                held, started = held[WINDOWS_AT_ONCE * self.hop :], True
        if len(held) > (self.window - self.hop if started else 0):  # something is left that no window has reached
            count = max(-(-(len(held) - self.window) // self.hop), 0) + 1
            yield self._scored(F.pad(held, (0, max((count - 1) * self.hop + self.window - len(held), 0))))
        elif not started:
            raise InputError("The sound has no samples.", "Give a recording of at least one sample.")

    def _scored(self, wave: Tensor) -> Tensor:
        windows = wave.unfold(0, self.window, self.hop)
        heard = torch.tensor([not is_silent(window) for window in windows])
        with torch.no_grad():
            return self.scores(windows).float().cpu() * heard[:, None]


class Ears(nn.Module):
    """Networks that hear. classes: the words that they know; () for any. sample_rate, window, hop: as in Listener."""

    classes: tuple[str, ...] = ()
    sample_rate: int
    window: int
    hop: int

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def listen_for(self, words: Sequence[str], vocabulary: Vocabulary) -> Listener:
        """A listener for these words; InputError names one that the ears do not know."""
        raise NotImplementedError

    def _listener(self, words: Sequence[str], scores: Callable[[Tensor], Tensor]) -> Listener:
        return Listener(tuple(words), self.sample_rate, self.window, self.hop, scores)


class ClassifyingEars(Ears):
    """Ears with classes of their own; forward: windows [W,N] => a score in 0..1 for each of them."""

    def listen_for(self, words: Sequence[str], vocabulary: Vocabulary) -> Listener:
        """A word may stand for several classes, of which the one that scores highest counts: "dog", barking too."""
        columns = [vocabulary.columns(word, self.classes) for word in words]

        def scores(windows: Tensor) -> Tensor:
            found = self(windows.to(self.device))
            return torch.stack([found[:, column].amax(dim=1) for column in columns], dim=1)

        return self._listener(words, scores)


class ComparingEars(Ears):
    """Ears that put sounds and any words into one space.

    embed_windows: [W,N] => [W,D] unit norm. embed_words: K words => [K,D] unit norm. A softmax over the words would
    make them share what is heard; here each is held against what everyday sounds get at the same time:

        score_k = sigmoid(steepness (cos_k - median_b cos_b - bar))        b: the words and EVERYDAY
    """

    steepness: float = 15.0
    bar: float = 0.3

    def embed_windows(self, windows: Tensor) -> Tensor:
        raise NotImplementedError

    def embed_words(self, words: Sequence[str]) -> Tensor:
        raise NotImplementedError

    def listen_for(self, words: Sequence[str], vocabulary: Vocabulary) -> Listener:
        wanted = [spoken(word) for word in words]
        with torch.no_grad():
            embeds = self.embed_words(wanted + [word for word in EVERYDAY if word not in wanted])

        def scores(windows: Tensor) -> Tensor:
            cosines = self.embed_windows(windows.to(self.device)) @ embeds.T
            return standing_out(cosines, self.steepness, self.bar)[:, : len(words)]

        return self._listener(words, scores)


def standing_out(cosines: Tensor, steepness: float, bar: float) -> Tensor:
    """[W,B] => [W,B]: the equation of ComparingEars."""
    usual = cosines.quantile(0.5, dim=1, keepdim=True)
    return torch.sigmoid(steepness * (cosines - usual - bar))


def spoken(word: str) -> str:
    """ "Sea_waves " => "sea waves": a label as one says it."""
    return " ".join(word.replace("_", " ").split()).lower()
