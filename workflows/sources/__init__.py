"""Where interactions, users and items come from.

In: the config section ``data``. Out: a `Source`, interactions in chunks, users and items as whole tables.
Start with `source`.
"""

from __future__ import annotations

from ...core.registry import find
from ..config import DataConfig
from .source import OpenSource, Source

__all__ = ["OpenSource", "Source", "open_source"]


def open_source(config: DataConfig) -> Source:
    """The source that ``data.source`` names, built in or registered.

    Raises:
        ConfigError: there is no source of that name.
    """
    from . import movielens_100k, synthetic, tables

    openers: dict[str, OpenSource] = {
        "movielens-100k": movielens_100k.open_source,
        "synthetic": synthetic.open_source,
        "tables": tables.open_source,
    }
    opener: OpenSource = find("source", config.source, openers)
    return opener(config)
