"""Codes of the words and n-grams of a text."""

import mmh3
from hypothesis import given
from hypothesis import strategies as st

from cascade.workflows.etl.text import text_codes

MANY = 2**30
"""So many buckets that a few words do not collide."""


def code(part, buckets=MANY):
    return mmh3.hash(part, 0, signed=False) % buckets + 1


def test_words_come_first_then_their_ngrams():
    parts = ["<toy>", "<go>", "<to", "toy", "oy>", "<go", "go>"]
    assert text_codes("Toy, GO!", MANY, 64, [3]) == [code(part) for part in parts]


def test_a_part_counts_once():
    """The 4-gram of <go> is the word itself."""
    assert text_codes("go Go", MANY, 64, [4]) == [code("<go>")]


def test_without_ngrams_only_words():
    assert text_codes("Amélie (2001)", MANY, 64, []) == [code("<amélie>"), code("<2001>")]


def test_case_and_compatibility_forms_are_ignored():
    assert text_codes("Straße Ⅳ", MANY, 64, [3]) == text_codes("STRASSE iv", MANY, 64, [3])


def test_codes_do_not_change():
    """Trained models depend on these codes."""
    assert text_codes("Toy Story", 20_000, 64, []) == [8760, 735]


@given(st.text(max_size=40), st.integers(1, 50), st.integers(1, 8))
def test_codes_are_within_the_table_and_the_length(text, buckets, length):
    codes = text_codes(text, buckets, length, [2, 3])
    assert len(codes) <= length
    assert all(1 <= one <= buckets for one in codes)
    assert len(set(codes)) == len(codes)
    assert codes == text_codes(text, buckets, 64, [2, 3])[:length]
