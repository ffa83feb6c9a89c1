"""Widths of text and vector features, and the encoder of texts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from ...core.errors import ConfigError
from ..config import TextConfig
from .features import RawFeature


def content_lengths(features: Sequence[RawFeature], config: TextConfig) -> dict[str, int]:
    """Text feature -> how many codes it has, or numbers if it is encoded."""
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
