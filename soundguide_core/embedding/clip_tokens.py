"""CLIP's tokenizer: words split into byte pairs by 48,894 published merges (Sennrich et al. 2016), which come with
open_clip as a data file; open_clip itself is not imported. The numbers are those of open_clip's SimpleTokenizer."""

from __future__ import annotations

import gzip
import html
import re
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from ..common.errors import InputError

MERGES = 49152 - 256 - 2  # what the vocabulary holds beside bytes and the two marks
START, END = "<start_of_text>", "<end_of_text>"
LAST = "</w>"  # ends the last part of a word
FILE = "bpe_simple_vocab_16e6.txt.gz"
PLAIN = re.compile(r"[A-Za-z0-9 .,:;!?'\"()/+*=%_-]*")  # without & and <, which may begin what stands for another sign
PLAIN_WORD = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[a-z]+|[0-9]|[^\sa-z0-9]+")  # PATTERN of such a text
PATTERN = rf"{START}|{END}|'s|'t|'re|'ve|'m|'ll|'d|[\p{{L}}]+|[\p{{N}}]|[^\s\p{{L}}\p{{N}}]+"


class Tokenizer:
    """list[str] => tokens [B, context_length], a long text cut off before the end mark."""

    def __init__(self, context_length: int = 77):
        self.context_length = context_length
        self.ranks, self.ids = _vocabulary()
        self.words = {id: part for part, id in self.ids.items()}
        self.sot_token_id, self.eot_token_id = self.ids[START], self.ids[END]
        self.known = {START: [self.sot_token_id], END: [self.eot_token_id]}

    def encode(self, text: str) -> list[int]:
        """Tokens without those of start and end."""
        letters = _letters()
        return [id for word in _words(text)
                for id in self._word("".join(letters[byte] for byte in word.encode("utf-8")))]  # fmt: skip

    def decode(self, tokens: list[int]) -> str:
        bytes_of = {letter: byte for byte, letter in _letters().items()}
        text = "".join(self.words[token] for token in tokens)
        return bytearray([bytes_of[letter] for letter in text]).decode("utf-8", errors="replace").replace(LAST, " ")

    def __call__(self, texts: list[str]) -> Tensor:
        lines = torch.zeros(len(texts), self.context_length, dtype=torch.long)
        for line, text in zip(lines, texts):
            tokens = [self.sot_token_id, *self.encode(text), self.eot_token_id][: self.context_length]
            tokens[-1] = self.eot_token_id
            line[: len(tokens)] = torch.tensor(tokens)
        return lines

    def _word(self, word: str) -> list[int]:
        """Merges neighbours, those first that were learned first, until none are known."""
        if word in self.known:
            return self.known[word]
        parts = [*word[:-1], word[-1] + LAST]
        while len(parts) > 1:
            first = min(pairwise(parts), key=lambda pair: self.ranks.get(pair, MERGES))
            if first not in self.ranks:
                break
            merged, at = [], 0
            while at < len(parts):
                pair = tuple(parts[at : at + 2]) == first
                merged.append("".join(parts[at : at + 2]) if pair else parts[at])
                at += 2 if pair else 1
            parts = merged
        self.known[word] = [self.ids[part] for part in parts]
        return self.known[word]


def _words(text: str) -> list[str]:
    """The words, numbers and signs of a text, mended where its letters were garbled.

    A text of English letters and plain signs needs no mending and none of Unicode's tables, which take a tenth of a
    second to import.
    """
    if PLAIN.fullmatch(text):
        return PLAIN_WORD.findall(" ".join(text.split()).lower())
    import ftfy

    text = " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split()).lower()
    return _pattern().findall(text)


@cache
def _pattern():
    import regex

    return regex.compile(PATTERN, regex.IGNORECASE)


@cache
def _letters() -> dict[int, str]:
    """A printable letter for every byte: its own where it has one, else one from 256 on."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + n) for n, byte in enumerate(others)}


@cache
def _vocabulary() -> tuple[dict[tuple[str, ...], int], dict[str, int]]:
    """(rank of every merge, number of every part)"""
    spec = find_spec("open_clip")  # of a package at the top: found, not run
    places = [] if spec is None else spec.submodule_search_locations or []
    file = next((Path(place) / FILE for place in places if (Path(place) / FILE).is_file()), None)
    if file is None:
        raise InputError("CLIP's vocabulary is not here.", "Install open_clip_torch again, which comes with it.")
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        merges = [tuple(line.split()) for line in lines.read().split("\n")[1 : MERGES + 1]]
    letters = list(_letters().values())
    parts = [*letters, *(letter + LAST for letter in letters), *map("".join, merges), START, END]
    return {merge: rank for rank, merge in enumerate(merges)}, {part: id for id, part in enumerate(parts)}
