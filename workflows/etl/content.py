"""Values of text and vector features, as NumPy arrays: for the ETL, and for items that come after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .text import encoder, text_codes

Objects = NDArray[Any]
"""[n] objects; a missing value is None or NaN."""


def hashed_texts(values: Objects, buckets: int, length: int, ngrams: Sequence[int]) -> NDArray[np.int32]:
    """Codes [n, length] of words and n-grams, see `text.text_codes`; missing text is all padding."""
    found = np.zeros((len(values), length), np.int32)
    for row, text in enumerate(values):
        if isinstance(text, str):
            codes = text_codes(text, buckets, length, ngrams)
            found[row, : len(codes)] = codes
    return found


def encoded_texts(values: Objects, folder: str, length: int) -> NDArray[np.float64]:
    """Vectors [n, length] of L2 norm 1 by the sentence-transformers model in ``folder``; missing or blank text is 0."""
    found = np.zeros((len(values), length))
    present = np.array([isinstance(text, str) and bool(text.strip()) for text in values], bool)
    if present.any():
        texts = [str(text) for text in values[present]]
        found[present] = encoder(folder).encode(texts, convert_to_numpy=True, show_progress_bar=False)
    return _unit(found)


def unit_vectors(values: Objects, length: int) -> NDArray[np.float64]:
    """Vectors [n, length] divided by their L2 norm; a missing or empty one is 0."""
    found = np.zeros((len(values), length))
    present = np.array([isinstance(v, list | np.ndarray) and len(v) > 0 for v in values], bool)
    if present.any():
        found[present] = np.stack(list(values[present]))
    return _unit(found)


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norm > 0, norm, 1))
