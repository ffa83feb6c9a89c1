"""Free text as codes: its words and their character n-grams, hashed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

WORD = re.compile(r"\w+")
KEPT_WORDS = 200_000
"""Words whose parts are remembered."""


def text_codes(text: str, buckets: int, length: int, ngrams: Sequence[int]) -> list[int]:
    """The first ``length`` parts of ``text``, each once, as codes 1 .. ``buckets``: every word, then the n-grams.

    Parts are those of fastText (Bojanowski et al., "Enriching word vectors with subword information", 2017): a word is
    marked at both ends, ``<word>``, and so are the n-grams that touch an end. Case and compatibility forms of
    characters do not count. MurmurHash3 of the UTF-8 text, seed 0, is the same on every machine.
    """
    words = dict.fromkeys(WORD.findall(unicodedata.normalize("NFKC", text).casefold()))
    lengths = tuple(ngrams)
    parts = [code for word in words for code in _codes(f"<{word}>", buckets, ())]
    parts += [code for word in words for code in _codes(f"<{word}>", buckets, lengths)]
    return list(dict.fromkeys(parts))[:length]


@lru_cache(KEPT_WORDS)
def _codes(marked: str, buckets: int, lengths: tuple[int, ...]) -> tuple[int, ...]:
    """Of a marked word the code, or with ``lengths`` those of its n-grams."""
    import mmh3

    grams = [marked[at : at + n] for n in lengths for at in range(len(marked) - n + 1)] if lengths else [marked]
    return tuple(mmh3.hash(gram, 0, signed=False) % buckets + 1 for gram in grams)
