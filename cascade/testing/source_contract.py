"""What every source of data has to hold, as a test class to inherit from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ..workflows.config import DataConfig
from ..workflows.data.ingest import ingest
from ..workflows.data.spool import Spool
from ..workflows.sources import Source


class SourceContract:
    """Inherit from it and write ``open`` and, where the source reads keys, ``settings``.

    The tests check that

    - interactions are Arrow tables with user_id and item_id, all of one schema, and not all in one call of the opener,
    - a second reading gives the same rows,
    - the three tables keep the data convention, as the data stage checks it,
    - ``rows`` is the number of interactions, or an estimate of it.
    """

    def open(self, config: DataConfig) -> Source:
        """What is registered."""
        raise NotImplementedError

    def settings(self, folder: Path) -> Mapping[str, Any]:
        """Keys of the section ``data`` that the source reads; ``folder`` is empty, for files that it opens."""
        return {}

    @pytest.fixture
    def config(self, tmp_path: Path) -> DataConfig:
        folder = tmp_path / "given"
        folder.mkdir()
        return DataConfig.model_validate(self.settings(folder))

    @pytest.fixture
    def source(self, config: DataConfig) -> Source:
        return self.open(config)

    def test_interactions_are_tables_of_one_schema(self, source: Source) -> None:
        chunks = list(source.interactions())
        assert chunks, "the source yields no chunk; an empty table is a chunk, too"
        for chunk in chunks:
            assert {"user_id", "item_id"} <= set(chunk.column_names)
            assert chunk.schema == chunks[0].schema

    def test_reading_twice_gives_the_same(self, source: Source, config: DataConfig) -> None:
        import pyarrow as pa

        first = pa.concat_tables(source.interactions())
        assert pa.concat_tables(source.interactions()).equals(first)
        assert pa.concat_tables(self.open(config).interactions()).equals(first)

    def test_tables_keep_the_convention(self, source: Source, config: DataConfig, tmp_path: Path) -> None:
        entities, _ = ingest(source, Spool(tmp_path / "spool" / "interactions.parquet"), config)
        assert all(len(table) for table in entities.values())

    def test_says_how_many_rows(self, source: Source) -> None:
        assert source.rows >= 0
