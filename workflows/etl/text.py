"""Free text as codes of its words and n-grams, or as the vector of a sentence-transformers model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from ...core.errors import ConfigError
from ..config import TextConfig
from ..tables.raw_features import RawFeature

WORD = re.compile(r"\w+")
CACHED_WORDS = 200_000
"""Words whose codes are cached."""


def text_codes(text: str, buckets: int, length: int, ngrams: Sequence[int]) -> list[int]:
    """The first ``length`` different codes, 1 .. ``buckets``, of the words of ``text`` and then of their n-grams.

    As in fastText (Bojanowski et al., "Enriching word vectors with subword information", 2017), a word is marked at
    both ends, ``<word>``, and its n-grams include the marks. Case and compatibility forms of characters are ignored.
    The hash, MurmurHash3 of the UTF-8 text with seed 0, is the same on every machine.

    Args:
        ngrams: lengths of the n-grams in characters.
    """
    words = dict.fromkeys(WORD.findall(unicodedata.normalize("NFKC", text).casefold()))
    lengths = tuple(ngrams)
    parts = [code for word in words for code in _codes(f"<{word}>", buckets, ())]
    parts += [code for word in words for code in _codes(f"<{word}>", buckets, lengths)]
    return list(dict.fromkeys(parts))[:length]


@lru_cache(CACHED_WORDS)
def _codes(marked: str, buckets: int, lengths: tuple[int, ...]) -> tuple[int, ...]:
    """The codes of a marked word's n-grams of these ``lengths``; without lengths, the code of the word."""
    import mmh3

    grams = [marked[at : at + n] for n in lengths for at in range(len(marked) - n + 1)] if lengths else [marked]
    return tuple(mmh3.hash(gram, 0, signed=False) % buckets + 1 for gram in grams)


def content_lengths(features: Sequence[RawFeature], config: TextConfig) -> dict[str, int]:
    """Text feature -> how many codes it has, or the width of its vector if there is an encoder."""
    texts = [feature.name for feature in features if feature.role == "text"]
    if not texts:
        return {}
    length = config.length if config.encoder is None else encoder_width(config.encoder)
    return dict.fromkeys(texts, length)


@lru_cache(maxsize=1)
def encoder(folder: str) -> Any:
    """The sentence-transformers model in ``folder``; nothing is ever downloaded.

    Raises:
        ConfigError: if there is no such folder, or the package is not installed.
    """
    if not Path(folder).is_dir():
        raise ConfigError(f"etl.text.encoder: {folder} is not a folder; models are never downloaded")
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise ConfigError(
            "etl.text.encoder: needs sentence-transformers, which is not installed: pip install 'merlin-cascade[text]'"
        ) from None
    return SentenceTransformer(folder, local_files_only=True)


def encoder_width(folder: str) -> int:
    """Numbers in a vector of the model in ``folder``."""
    return int(encoder(folder).encode(["width"], convert_to_numpy=True, show_progress_bar=False).shape[1])
