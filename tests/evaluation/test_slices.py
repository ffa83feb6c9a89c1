"""Slices, checked by hand."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix

from cascade.core.errors import ConfigError
from cascade.evaluation.held_out import HeldOut, LoggedTest
from cascade.evaluation.ranking import RankedRows
from cascade.evaluation.slices import (
    Slice,
    _series,
    by_value,
    head_of,
    measure_slice,
    of_columns,
    standard,
    tables_of,
)

# requests of users 0, 2 and 3 of four, in the contexts of the test interactions 5, 6 and 7
RELEVANT = csr_matrix(np.array([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0]], bool))
HELD_OUT = HeldOut({}, np.array([0, 2, 3]), RELEVANT, np.array([5, 6, 7]))
ANSWERS = np.array([[1, 3, -1], [1, 0, -1], [0, 1, -1]])
ROWS = RankedRows(
    logits=np.array([0.1, 0.2, 0.3, 0.4, 0.5], np.float32),
    label=np.array([False, True, True, False, True]),
    users=np.array([0, 0, 2, 2, 3]),
    items=np.array([1, 3, 1, 0, 2]),
    events=np.array([5, 5, 6, 6, 7]),
)


def measured(of, mask):
    got = measure_slice(Slice("it", of, np.array(mask, bool)), HELD_OUT, ANSWERS, ROWS)
    assert list(got) == ["slice", "users", "recall@10", "ndcg@10", "rows", "auc"] and got["slice"] == "it"
    return [*got.values()][1:]


def test_users():
    users, recall, ndcg, rows, auc = measured("users", [1, 1, 1, 0])
    assert (users, recall, rows, auc) == (2, pytest.approx((1 / 2 + 1) / 2), 4, 0.5)
    assert ndcg == pytest.approx(((1 / np.log2(3)) / (1 + 1 / np.log2(3)) + 1) / 2)


def test_a_slice_of_items_counts_their_users_and_only_them_as_relevant():
    users, recall, ndcg, rows, auc = measured("items", [0, 0, 1, 1])
    assert (users, recall) == (2, pytest.approx(1 / 2))  # user 0 found item 3, user 3 not item 2
    assert ndcg == pytest.approx((1 / np.log2(3)) / 2)
    assert (rows, auc) == (2, None)


def test_interactions():
    assert measured("interactions", np.arange(9) == 6) == [1, 1.0, 1.0, 2, 0.0]


def test_an_empty_slice():
    assert measured("users", [0, 1, 0, 0]) == [0, None, None, 0, None]
    assert measured("items", [0, 0, 0, 0]) == [0, None, None, 0, None]


def test_the_head_has_half_of_the_positives():
    assert head_of(np.array([1, 5, 0, 3, 1])).tolist() == [False, True, False, False, False]
    assert head_of(np.array([1, 4, 0, 3, 2])).tolist() == [False, True, False, True, False]
    assert not head_of(np.zeros(3, int)).any()


def test_new_users_and_items_are_not_in_training():
    train = SimpleNamespace(
        user_row=np.array([0, 1, 1]), item_row=np.array([0, 0, 2]), positive=np.array([False, True, True])
    )
    tensors = SimpleNamespace(
        interactions=lambda split: train if split == "train" else None,
        user_ids=np.arange(3),
        item_ids=np.arange(4),
        item_counts=np.array([1, 0, 1, 0]),
    )
    got = {part.name: (part.of, part.mask.tolist()) for part in standard(tensors)}
    assert got["new users"] == ("users", [True, False, True])
    assert got["new items"] == ("items", [False, True, False, True])
    assert got["head items"] == ("items", [True, False, False, False])
    assert got["tail items"] == ("items", [False, True, True, True])


def test_values_are_sorted_by_frequency_lists_by_element_and_missing_last():
    words = pd.Series(["b", "a", "b", None])
    assert [(name, mask.tolist()) for name, mask in by_value(words)] == [
        ("b", [True, False, True, False]),
        ("a", [False, True, False, False]),
        ("missing", [False, False, False, True]),
    ]
    lists = pd.Series([["x", "y"], [], ["x", "x"]])
    assert {name: mask.tolist() for name, mask in by_value(lists)} == {
        "x": [True, False, True],
        "y": [True, False, False],
        "missing": [False, True, False],
    }


def test_numbers_with_many_values_are_cut_into_quartiles():
    got = list(by_value(pd.Series(np.arange(40.0))))
    assert [mask.sum() for _, mask in got] == [10, 10, 10, 10]
    assert np.array_equal(sum(mask.astype(int) for _, mask in got), np.ones(40))
    assert [name for name, _ in got][1:] == ["9.75 to 19.5", "19.5 to 29.25", "29.25 to 39"]


def test_names_of_quartiles_differ():
    times = pa.chunked_array([[1_700_000_000 + 60 * row for row in range(320)] + [None]])
    got = list(by_value(_series(times)))
    assert [name for name, _ in got][1:] == [
        "1700004785 to 1700009570",
        "1700009570 to 1700014355",
        "1700014355 to 1700019140",
        "missing",
    ]
    assert [mask.sum() for _, mask in got] == [80, 80, 80, 80, 1]


def test_large_whole_numbers_beside_missing_values_are_different_values():
    got = list(by_value(_series(pa.chunked_array([[2**60 + 1, 2**60 + 2, None, 2**60 + 1]]))))
    assert [(name, mask.tolist()) for name, mask in got] == [
        (str(2**60 + 1), [True, False, False, True]),
        (str(2**60 + 2), [False, True, False, False]),
        ("missing", [False, False, True, False]),
    ]


def test_of_many_words_only_the_most_frequent_are_used():
    words = pd.Series([f"w{i % 30 if i % 2 else 0}" for i in range(300)])
    assert len(list(by_value(words))) == 10
    assert next(by_value(words))[0] == "w0"


@pytest.fixture
def data(tmp_path):
    pd.DataFrame({"user_id": [1, 2], "gender": ["F", "M"], "age": [20, 30]}).to_parquet(tmp_path / "users.parquet")
    pd.DataFrame({"item_id": [5, 6], "age": [1, 2]}).to_parquet(tmp_path / "items.parquet")
    (tmp_path / "interactions").mkdir()
    logs = {"user_id": [2, 1], "item_id": [5, 5], "hour": [3, 4], "positive": [True, True], "split": ["test", "train"]}
    pd.DataFrame(logs).to_parquet(tmp_path / "interactions/part-0.parquet")
    numbers = {"user_id": "int", "age": "int"}
    kinds = {
        "users": numbers | {"gender": "string"},
        "items": {"item_id": "int", "age": "int", "image": "list_float"},
        "interactions": {"user_id": "int", "item_id": "int", "hour": "int"},
    }
    (tmp_path / "tables.json").write_text(json.dumps({"columns": kinds}))
    return tmp_path


def test_columns_of_every_table(data):
    logged = LoggedTest.read(data, np.array([1, 2]), np.array([5, 6]))
    got = [(part.name, part.of, part.mask.tolist()) for part in of_columns(["gender", "hour", "age"], data, logged)]
    assert got[:3] == [
        ("gender = F", "users", [True, False]),
        ("gender = M", "users", [False, True]),
        ("hour = 3", "interactions", [True]),
    ]
    assert {name for name, _, _ in got[3:]} == {"users.age = 20", "users.age = 30", "items.age = 1", "items.age = 2"}


def test_an_unknown_column_is_an_error(data):
    logged = LoggedTest.read(data, np.array([1, 2]), np.array([5, 6]))
    message = r"evaluation.slices: 'gendr' is in no table, or has no value in any row, did you mean 'gender'\?"
    with pytest.raises(ConfigError, match=message):
        list(of_columns(["gendr"], data, logged))


def test_lists_of_fractions_are_no_groups(data):
    with pytest.raises(ConfigError, match="evaluation.slices: items.image holds lists of fractions"):
        tables_of(["gender", "image"], data)


def test_columns_that_the_data_stage_adds_can_be_sliced_by(data):
    assert tables_of(["split", "positive"], data) == {"split": ["interactions"], "positive": ["interactions"]}
