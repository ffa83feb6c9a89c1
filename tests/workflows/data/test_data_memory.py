"""What the data stage expects to hold: the columns of users and items that are used."""

import numpy as np
import pandas as pd
import pytest

from cascade.workflows.config import DataConfig, SchemaConfig
from cascade.workflows.data.memory import memory

TEXT = {
    "item_id": np.arange(1000),
    "story": ["x" * 500 + str(item) for item in range(1000)],
    "price": np.arange(1000.0),
}


@pytest.fixture
def needs(tmp_path):
    """Part -> bytes, for a schema with the further columns."""

    def of(ending, *sparse):
        frame = pd.DataFrame(TEXT)
        (frame.to_csv if ending.startswith(".csv") else frame.to_parquet)(tmp_path / f"items{ending}", index=False)
        pd.DataFrame({"user_id": [1], "item_id": [2]}).to_parquet(tmp_path / "interactions.parquet")
        schema = SchemaConfig(sparse=["user_id", "item_id", *sparse])
        data = DataConfig(source="tables", path=str(tmp_path))
        return memory({"data": data, "schema": schema}, {}).parts

    return of


def test_a_column_that_nobody_reads_takes_nothing(needs):
    assert needs(".parquet")["the table items"] == 3 * 16 * 1000
    assert needs(".parquet", "price")["the table items"] == 3 * 16 * 2000


def test_text_counts_as_long_as_it_is(needs):
    assert 3 * 500_000 < needs(".parquet", "story")["the table items"] < 3 * 700_000


def test_csv_counts_whole_and_unpacked(needs):
    whole = needs(".csv")["the table items"]
    assert 3 * 500_000 < whole < 3 * 600_000


def test_a_table_that_is_not_there_takes_nothing(needs):
    assert [name for name in needs(".parquet") if name.startswith("the table")] == ["the table items"]
