"""A split that a column of the source gives: its default column, its values, and a validation part if it has none."""

import pandas as pd
import pyarrow.parquet as pq
import pytest

from cascade.core.errors import ConfigError

SCHEMA = {"sparse": ["user_id", "item_id"]}
USERS = 40


def log(column="split", **parts):
    """Five events a user in order of time: three in training, one valid, one test, unless ``parts`` says otherwise."""
    given = {"train": "train", "valid": "valid", "test": "test", **parts}
    events = [(user, place) for user in range(USERS) for place in range(5)]
    return {
        "user_id": [user for user, _ in events],
        "item_id": [(user + place) % 12 for user, place in events],
        "timestamp": [100 * place + user for user, place in events],
        column: [given["train" if place < 3 else "valid" if place == 3 else "test"] for _, place in events],
    }


def split_of(artifact):
    table = pq.read_table(artifact.path / "interactions").to_pandas()
    assert list(table.columns).count("split") == 1
    return table.sort_values(["user_id", "timestamp"])


@pytest.mark.parametrize(("column", "named"), [("split", {}), ("part", {"column": "part"})])
@pytest.mark.parametrize("valid", ["valid", "validation"])
def test_the_column_is_called_split_unless_it_is_named(run_data, column, named, valid):
    data = run_data(SCHEMA, {"interactions": log(column, valid=valid)}, split={"by": "column", **named})
    assert split_of(data)["split"].tolist() == ["train", "train", "train", "valid", "test"] * USERS
    assert "notices" not in data.metrics


def test_a_missing_column_is_named_with_its_key(run_data):
    with pytest.raises(
        ConfigError, match=r"data.split.column: interactions has no column 'split', did you mean 'spli'"
    ):
        run_data(SCHEMA, {"interactions": log("spli")}, split={"by": "column"})


def test_a_validation_part_is_taken_from_training_if_the_column_marks_none(run_data):
    data = run_data(SCHEMA, {"interactions": log(valid="train")}, split={"by": "column", "valid_share": 0.5})
    found = split_of(data)
    wanted = {"train": ["train"] * 4 + ["test"], "valid": ["train"] * 3 + ["valid", "test"]}
    users = [rows["split"].tolist() for _, rows in found.groupby("user_id")]
    assert all(own in wanted.values() for own in users)
    assert 0 < sum("valid" in own for own in users) < USERS
    assert data.metrics["n_valid"] == sum("valid" in own for own in users)
    (notice,) = data.metrics["notices"]
    assert f"interactions.split marks no row as valid, so {data.metrics['n_valid']} of its training rows" in notice
    assert "50% of the users (data.split.valid_share; 0 trains on all of them" in notice


def test_a_share_of_0_trains_without_a_validation_part_and_says_what_is_lost(run_data):
    data = run_data(SCHEMA, {"interactions": log(valid="train")}, split={"by": "column", "valid_share": 0})
    assert data.metrics["n_valid"] == 0 and data.metrics["n_train"] == 4 * USERS
    (notice,) = data.metrics["notices"]
    assert "the validation part is empty" in notice and "without early stopping" in notice


@pytest.mark.parametrize("by", ["last_item", "time", "new_items"])
def test_no_share_is_no_validation_part_however_it_is_split(run_data, by):
    tables = {"interactions": pd.DataFrame(log("part")).drop(columns="part").to_dict("list")}
    data = run_data(SCHEMA, tables, split={"by": by, "valid_share": 0})
    assert data.metrics["n_valid"] == 0 and data.metrics["n_test"] > 0
    assert any("the validation part is empty" in line for line in data.metrics["notices"])
