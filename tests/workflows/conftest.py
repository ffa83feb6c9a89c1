"""Small data and etl artifacts from the tables of a test."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cascade.workflows.config import (
    DataConfig,
    EtlConfig,
    HistoryConfig,
    SchemaConfig,
)
from cascade.workflows.data.stage import DATA
from cascade.workflows.etl.stage import ETL

TABLES = ("interactions", "users", "items")


@pytest.fixture
def run_data(tmp_path):
    """Runs the data stage on tables (name -> columns), or on a source named in ``data``."""

    def run(schema, tables=None, **data):
        if tables is not None:
            (tmp_path / "tables").mkdir(exist_ok=True)
            for name, columns in tables.items():
                pq.write_table(pa.table(columns), tmp_path / "tables" / f"{name}.parquet")
            data = {"source": "tables", "path": str(tmp_path / "tables"), **data}
        sections = {"data": DataConfig(**data), "schema": SchemaConfig(**schema)}
        return DATA.run(tmp_path / "runs", sections, {})

    return run


@pytest.fixture
def run_etl(tmp_path):
    """Runs the etl stage on a data artifact."""

    def run(data, schema, history=3, seen=10, gaps=False, **etl):
        sections = {
            "schema": SchemaConfig(**schema),
            "etl": EtlConfig(**{"workers": 1, "device": "cpu", **etl}),
            "history": HistoryConfig(length=history, seen=seen, gaps=gaps),
        }
        return ETL.run(tmp_path / "runs", sections, {"data": data})

    return run
