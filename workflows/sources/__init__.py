"""Where interactions, users and items come from.

In: the config section ``data``. Out: a `Source`, interactions in chunks, users and items as whole tables.
Start with `source`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ...core.errors import ConfigError
from ...core.inputs import Inputs, StageInput
from ...core.registry import find, naming
from ..config import DataConfig
from .source import OpenSource, Source
from .tables import Used, table_columns, table_inputs
from .tables import open_source as open_tables

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["OpenSource", "Source", "open_source", "source_columns", "source_inputs"]


def open_source(config: DataConfig, used: Used | None = None, categories: Collection[str] = ()) -> Source:
    """The source that ``data.source`` names, built in or registered.

    Args:
        used: the columns that somebody reads; ``tables`` reads no others.
        categories: columns whose values are names; ``tables`` keeps their text.

    Raises:
        ConfigError: there is no source of that name, or a registered one raises or opens something else.
    """
    if config.source == "tables":
        return open_tables(config, used, categories)
    opener, built_in = _opener(config)
    if built_in:
        return opener(config)
    with naming("source", config.source):
        opened = opener(config)
    if not isinstance(opened, Source):
        raise ConfigError(f"source {config.source!r}: expected a Source, got {type(opened).__name__}")
    return replace(opened, interactions=lambda: _named(config.source, opened))


def source_columns(config: DataConfig) -> Mapping[str, Sequence[str]]:
    """Table -> the names of its columns, where they are known before a row is read: of ``tables``; else empty.

    Raises:
        ConfigError: as `open_source`.
        DataError: there are no interactions, or a file cannot be read.
    """
    return table_columns(config) if config.source == "tables" else {}


def source_inputs(config: DataConfig) -> Inputs:
    """What the source reads beside the config: the files of ``tables``, and what a registered source says of itself.

    Raises:
        ConfigError: as `open_source`.
    """
    if config.source == "tables":
        return table_inputs(config)
    opener, _ = _opener(config)
    fingerprint: Callable[[DataConfig], str] | None = getattr(opener, "fingerprint", None)
    if fingerprint is None:
        return {}
    with naming("source", config.source):
        return {config.source: StageInput(str(fingerprint(config)))}


def _opener(config: DataConfig) -> tuple[OpenSource, bool]:
    """The opener that ``data.source`` names, and whether it is a built-in one."""
    from . import movielens_100k, synthetic

    openers: dict[str, OpenSource] = {
        "movielens-100k": movielens_100k.open_source,
        "synthetic": synthetic.open_source,
        "tables": open_tables,
    }
    return find("source", config.source, openers), config.source in openers


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
