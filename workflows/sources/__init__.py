"""Where interactions, users and items come from."""

from __future__ import annotations

from collections.abc import Callable

from ...core.registry import find
from ..config import DataConfig
from .source import Source

__all__ = ["Source", "open_source"]


def open_source(config: DataConfig) -> Source:
    """The source that ``data.source`` names, built in or registered.

    Raises:
        ConfigError: there is no source of that name.
    """
    from . import movielens_100k, synthetic, tables

    openers: dict[str, Callable[[DataConfig], Source]] = {
        "movielens-100k": movielens_100k.open_source,
        "synthetic": synthetic.open_source,
        "tables": tables.open_source,
    }
    opener: Callable[[DataConfig], Source] = find("source", config.source, openers)
    return opener(config)
