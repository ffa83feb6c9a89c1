"""Shapes of tables that shops have, from their files to the data artifact."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cascade.core.errors import ConfigError
from cascade.workflows.config import DataConfig, SchemaConfig
from cascade.workflows.data.stage import DATA

USERS, EACH, ITEMS = 20, 6, 10


@pytest.fixture
def log():
    """Interactions of 20 users with 6 different items each."""
    rng = np.random.default_rng(0)
    items = np.concatenate([rng.permutation(ITEMS)[:EACH] + 1 for _ in range(USERS)])
    n = np.arange(USERS * EACH)
    return pd.DataFrame({"user_id": n // EACH + 1, "item_id": items, "timestamp": 1_700_000_000 + 60 * n})


@pytest.fixture
def run(tmp_path):
    """Runs the data stage on the folder ``t`` below ``tmp_path``."""
    (tmp_path / "t").mkdir()

    def run(*columns, **data):
        sections = {
            "data": DataConfig(source="tables", path=str(tmp_path / "t"), **data),
            "schema": SchemaConfig(sparse=["user_id", "item_id", *columns]),
        }
        artifact = DATA.run(tmp_path / "runs", sections, {})
        return artifact, pq.read_table(artifact.path / "interactions").to_pandas()

    return run


def same_events(got, log):
    keys = ["user_id", "timestamp"]
    wanted = log.sort_values(keys).reset_index(drop=True)
    found = got.sort_values(keys).reset_index(drop=True)[list(log)]
    pd.testing.assert_frame_equal(found, wanted, check_dtype=False)


def test_hive_keys_split(run, log, tmp_path):
    log["split"] = np.where(np.arange(len(log)) % EACH == EACH - 1, "test", "train")
    log.loc[log.index % EACH == EACH - 2, "split"] = "valid"
    log.to_parquet(tmp_path / "t" / "interactions.parquet", partition_cols=["split"])
    artifact, got = run(split={"by": "column", "column": "split"})
    assert [artifact.metrics[f"n_{name}"] for name in ("train", "valid", "test")] == [80, 20, 20]
    same_events(got, log)


@pytest.mark.parametrize("first", ["missing", "null"])
def test_a_feature_that_the_first_part_lacks(run, log, tmp_path, first):
    half = len(log) // 2
    table = pa.Table.from_pandas(log[:half], preserve_index=False)
    (tmp_path / "t" / "interactions.parquet").mkdir()
    head = table if first == "missing" else table.append_column("device", pa.nulls(half))
    pq.write_table(head, tmp_path / "t" / "interactions.parquet" / "0.parquet")
    log[half:].assign(device="web").to_parquet(tmp_path / "t" / "interactions.parquet" / "1.parquet")
    same_events(run()[1], log)
    _, got = run("device")
    same_events(got, log.assign(device=[None] * half + ["web"] * half))


def test_names_by_table(run, log, tmp_path):
    items = pd.DataFrame({"id": range(1, ITEMS + 1), "item_id": range(1001, ITEMS + 1001)})
    items.to_parquet(tmp_path / "t" / "items.parquet")
    users = pd.DataFrame({"id": range(1, USERS + 1), "gender": ["m", "f"] * (USERS // 2)})
    users.to_parquet(tmp_path / "t" / "users.parquet")
    log.assign(id=range(len(log)), ts=log.timestamp, timestamp=5).to_parquet(tmp_path / "t" / "interactions.parquet")
    with pytest.raises(ConfigError, match=r"data\.columns\.user_id: interactions has both 'id' and 'user_id'"):
        run(columns={"user_id": "id", "item_id": "id"})
    with pytest.raises(ConfigError, match=r"data\.columns\.timestamp: interactions has both 'ts' and 'timestamp'"):
        run(columns={"timestamp": "ts", "users": {"user_id": "id"}, "items": {"item_id": "id"}})
    names = {"users": {"user_id": "id"}, "items": {"item_id": "id"}, "interactions": {"timestamp": "ts"}}
    same_events(run("gender", columns=names)[1], log)


@pytest.mark.parametrize(
    ("column", "early", "late"), [("item_id", None, "A45"), ("coupon", "", "SUMMER"), ("price", 5, 4.5)]
)
def test_types_of_a_csv_change_at_its_end(run, log, tmp_path, column, early, late):
    long = pd.concat([log] * 400, ignore_index=True).astype({"item_id": object})
    long["timestamp"] = np.arange(len(long))
    long[column] = (long.item_id if early is None else pd.Series([early] * len(long))).astype(object)
    long.loc[len(long) - 3 :, column] = late
    long.to_csv(tmp_path / "t" / "interactions.csv", index=False)
    used = [] if column == "item_id" else [column]
    _, got = run(*used, leak_check={"enabled": False})
    last = got.sort_values("timestamp")[column].tolist()[-3:]
    assert last == [late] * 3
    if column == "item_id":
        assert set(got.item_id) == {str(item) for item in log.item_id} | {"A45"}


def test_leading_zeros_in_every_table(run, log, tmp_path):
    log["item_id"] = log.item_id.map("{:04d}".format)
    log.to_csv(tmp_path / "t" / "interactions.csv", index=False)
    items = pd.DataFrame({"item_id": sorted(set(log.item_id)), "zip_code": "01234"})
    items.to_csv(tmp_path / "t" / "items.csv.gz", index=False)
    artifact, got = run("zip_code")
    same_events(got, log)
    assert pq.read_table(artifact.path / "items.parquet").to_pandas().equals(items)
    artifact, got = run("zip_code", types={"item_id": "int"})
    same_events(got, log.astype({"item_id": int}))
