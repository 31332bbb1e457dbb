from __future__ import annotations

import pytest

from soundguide_core.common.errors import InputError
from soundguide_core.embedding.hearing.vocabulary import Vocabulary, names_of, read_vocabulary


def write(path, text: str):
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_table_has_all_classes_with_a_group_and_a_prompt():
    vocabulary = read_vocabulary()
    assert len(vocabulary.entries) == 527 and all(x.group and x.prompt for x in vocabulary.entries)
    assert vocabulary.prompt("rain") == "heavy rain, wet streets, raindrops"
    assert vocabulary.prompt("Sea_waves") == "sea waves breaking on a beach, foam"
    assert {x.group for x in vocabulary.in_groups(["birds", "fire"])} == {"birds", "fire"}
    with pytest.raises(InputError, match="no group of words 'fish'"):
        vocabulary.in_groups(["fish"])


@pytest.mark.parametrize(
    "word",
    ["dog", "rooster", "rain", "sea_waves", "crackling_fire", "crying_baby", "sneezing", "clock_tick"],
)
def test_labels_of_data_sets_are_found(word):
    vocabulary = read_vocabulary()
    assert vocabulary.columns(word, [entry.word for entry in vocabulary.entries])


def test_names_of_a_class():
    assert names_of("Roaring cats (lions, tigers)") == ["roaring cats (lions, tigers)", "roaring cats"]
    assert names_of("Waves, surf") == ["waves, surf", "waves", "surf"]


def test_a_table_of_ones_own(tmp_path):
    path = write(tmp_path / "mine.csv", 'word,prompt,also\nRain,a purple rain,"drizzle, shower"\nbells,,\n')
    vocabulary = read_vocabulary(path)
    assert vocabulary.prompt("shower") == "a purple rain" and vocabulary.prompt("bells") == "bells"
    assert vocabulary.prompt("a_thing unheard of") == "a thing unheard of"
    assert vocabulary.columns("drizzle", ["Wind", "Rain"]) == [1]


@pytest.mark.parametrize(
    "text, why",
    [
        ("", "no column 'word'"),
        ("name\nrain\n", "no column 'word'"),
        ("word,prompt\n,a\n", "a row without a word"),
        ("word\nrain\nRain\n", "'rain' twice"),
        ("word\n" + "\n".join(map(str, range(10_001))), "10001 words"),
    ],
)
def test_tables_that_are_none(tmp_path, text, why):
    with pytest.raises(InputError, match=why):
        read_vocabulary(write(tmp_path / "odd.csv", text))


def test_a_word_that_no_class_has():
    with pytest.raises(InputError, match="no word 'violn'") as error:
        read_vocabulary().columns("violn", ["Violin, fiddle", "Rain"])
    assert "violin" in error.value.remedy
    with pytest.raises(InputError, match="Choose among its classes"):
        Vocabulary([]).columns("xyzzy", ["Rain"])
