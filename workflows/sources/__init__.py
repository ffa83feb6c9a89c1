"""Where interactions, users and items come from.

In: the config section ``data``. Out: a `Source`, interactions in chunks, users and items as whole tables.
Start with `source`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ...core.errors import ConfigError
from ...core.registry import find, naming
from ..config import DataConfig
from .source import OpenSource, Source

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["OpenSource", "Source", "open_source"]


def open_source(config: DataConfig) -> Source:
    """The source that ``data.source`` names, built in or registered.

    Raises:
        ConfigError: there is no source of that name, or a registered one raises or opens something else.
    """
    from . import movielens_100k, synthetic, tables

    openers: dict[str, OpenSource] = {
        "movielens-100k": movielens_100k.open_source,
        "synthetic": synthetic.open_source,
        "tables": tables.open_source,
    }
    opener: OpenSource = find("source", config.source, openers)
    if config.source in openers:
        return opener(config)
    with naming("source", config.source):
        opened = opener(config)
    if not isinstance(opened, Source):
        raise ConfigError(f"source {config.source!r}: expected a Source, got {type(opened).__name__}")
    return replace(opened, interactions=lambda: _named(config.source, opened))


def _named(name: str, source: Source) -> Iterator[pa.Table]:
    """The interactions of a registered source, whose errors name it."""
    with naming("source", name):
        chunks = iter(source.interactions())
    while True:
        with naming("source", name):
            chunk = next(chunks, None)
        if chunk is None:
            return
        yield chunk
