"""Keys of the data section that another one requires."""

from __future__ import annotations

from collections.abc import Iterator

from ..pipeline import PipelineConfig


def data_conflicts(config: PipelineConfig) -> Iterator[str]:
    """Lines about a source that lacks what it reads."""
    data = config.data
    if data.source == "tables" and data.path is None:
        yield "data.path: required with data.source: tables; the folder of interactions, users and items"
    if data.source in ("movielens-100k", "synthetic") and data.path is not None:
        yield f"data.path: is for data.source: tables, which is {data.source}: set that, or leave data.path out"
