"""The tokenizer beside open_clip's, on words, signs and scripts of all kinds."""

from __future__ import annotations

import random

import pytest
import torch

from soundguide_core.embedding import clip_tokens
from soundguide_core.embedding.clip_tokens import Tokenizer

TEXTS = [
    "rain", "The sound of RAIN, on a tin roof!", "it's we're don't I'll they'd", "a  b\t c\n", "1984 3.14 10,000",
    "naïve café — “quotes” … ½", "日本語の雨の音", "дождь и гром", "🌧️⚡ rain 🎵", "&lt;b&gt; &amp;amp; &eacute;",
    "<start_of_text> inside <end_of_text>", "under_score #tag @who https://x.y/z?q=1", "ß ﬁ ǅ İ", "e\u0301 \u200b x",
    "antidisestablishmentarianism " * 40, "...", "¡olé!", "a", "\u0627\u0644\u0645\u0637\u0631", "ÃƒÂ©tÃƒÂ©",
]  # fmt: skip


@pytest.fixture(scope="module")
def theirs():
    from open_clip import SimpleTokenizer

    return SimpleTokenizer(context_length=24)


def test_equal_to_open_clips(theirs):
    ours = Tokenizer(24)
    assert (ours.sot_token_id, ours.eot_token_id) == (theirs.sot_token_id, theirs.eot_token_id) == (49406, 49407)
    assert torch.equal(ours(TEXTS), theirs(TEXTS))
    for text in TEXTS:
        assert ours.encode(text) == theirs.encode(text)
        assert ours.decode(ours.encode(text)) == theirs.decode(theirs.encode(text))


def test_equal_on_random_letters(theirs):
    rng, ours = random.Random(0), Tokenizer(24)
    ranges = [(32, 127), (32, 127), (0xA0, 0x250), (0x370, 0x600), (0x3040, 0x3100), (0x1F300, 0x1F600)]
    for _ in range(300):
        text = "".join(chr(rng.randrange(*rng.choice(ranges))) for _ in range(rng.randrange(1, 40)))
        assert ours.encode(text) == theirs.encode(text), ascii(text)


def test_a_vocabulary_that_is_not_there_is_said(monkeypatch):
    clip_tokens._vocabulary.cache_clear()
    monkeypatch.setattr(clip_tokens, "find_spec", lambda name: None)
    with pytest.raises(Exception, match="vocabulary is not here"):
        Tokenizer()


def test_equal_on_plain_letters_and_signs(theirs):
    rng, ours = random.Random(1), Tokenizer(24)
    for _ in range(300):
        text = "".join(rng.choice("abS'tLd e.,:;!?\"()/+*=%_-0189&<") for _ in range(rng.randrange(40)))
        assert ours.encode(text) == theirs.encode(text), ascii(text)
