"""Limited vocabularies and hashed columns, computed by hand, in the ETL and in the request path."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cascade.ensemble.graph.ops.transform import Transform
from cascade.workflows.config import EtlConfig, SchemaConfig
from cascade.workflows.etl.tensors import Tensors
from cascade.workflows.etl.train_part import rare_entities
from cascade.workflows.etl.vocabularies import conflicts
from cascade.workflows.transforms.codes import raw_array
from cascade.workflows.transforms.hashing import HashedCodes

# Training interactions: users a 3, b 2, c 1; items w 3, x 2, y 1. The last interaction of each user is the test part.
SHOP = {
    "interactions": {
        "user_id": list("aaaabbbcc"),
        "item_id": list("wxyzwxzwz"),
        "timestamp": list(range(9)),
        "device": ["app", "web", "app", "app", "web", "app", "tv", "app", "app"],
    },
    "users": {"user_id": list("abcd"), "geo": ["n", "n", "s", None]},
    "items": {
        "item_id": list("wxyz"),
        "brand": ["p", "p", "q", None],
        "year": [1999, 1999, None, 2000],
        "tags": [["u", "v"], ["u"], ["v", "u", "t"], []],
    },
}
SCHEMA = {
    "sparse": ["user_id", "item_id", "geo", "device", "brand", "year", "tags"],
    "crosses": [["geo", "device"], ["brand", "year"]],
}


@pytest.fixture
def etl(run_data, run_etl):
    """Runs the etl stage on the shop; returns tensors and the request path's features of its users on device app."""

    def run(**options):
        data = run_data(SCHEMA, SHOP, split={"valid_share": 1e-9})
        folder = run_etl(data, SCHEMA, **options).path
        op = Transform.compiled(folder / "transforms")
        op.load(folder / "transforms")
        users = pq.read_table(data.path / "users.parquet")
        columns = {name: raw_array(users[name])[:, None] for name in op.raw if name in users.column_names}
        columns["device"] = np.full((len(users), 1), "app", object)
        nothing = {name: np.zeros((len(users), 0), object) for name in op.reads if name not in op.raw}
        return Tensors.load(folder), op({**columns, **nothing})

    return run


def texts(values):
    return raw_array(pa.chunked_array([pa.array(values)]))


def test_crosses_of_few_values_have_a_vocabulary(etl):
    tensors, _ = etl()
    assert tensors.schema["geo_device"].cardinality == 3 + 3  # n app, n web, s app
    assert tensors.schema["brand_year"].cardinality == 3 + 2  # p 1999, q missing


@pytest.mark.slow
def test_crosses_of_more_values_than_buckets_are_hashed(etl):
    """In training geo and device have 2 values each, brand 2 and year 1."""
    tensors, served = etl(cross_buckets=3)
    assert tensors.schema["brand_year"].cardinality == 3 + 2
    assert tensors.schema["geo_device"].cardinality == 3 + 3
    expected = HashedCodes(3)([texts(["n", "n", "s", None]), texts(["app"] * 4)])
    assert served["geo_device"][:, 0].tolist() == expected.tolist()
    train = tensors.interactions("train")
    assert train.context["geo_device"][train.user_row == 2, 0].tolist() == [expected[2]]
    tensors, _ = etl(cross_buckets=4)
    assert tensors.schema["geo_device"].cardinality == 3 + 3 and etl(cross_buckets=None)[0].schema == tensors.schema


def test_hashed_columns_have_no_vocabulary(etl):
    buckets = {"user_id": 7, "item_id": 5, "tags": 4, "year": 6, "brand_year": 9}
    tensors, served = etl(hash_buckets=buckets)
    for name, size in buckets.items():
        assert tensors.schema[name].cardinality == 3 + size
    assert tensors.schema["history"].cardinality == 3 + 5
    assert served["user_id"].tolist() == tensors.users["user_id"].tolist()
    assert tensors.users["user_id"][:, 0].tolist() == HashedCodes(7)([texts(list("abcd"))]).tolist()
    items = HashedCodes(5)([texts(list("wxyz"))])
    assert tensors.items["item_id"][:, 0].tolist() == items.tolist()
    u, v, t = HashedCodes(4)([texts(list("uvt"))])
    assert tensors.items["tags"].tolist() == [[u, v, 0], [u, 0, 0], [v, u, t], [0, 0, 0]]
    assert tensors.items["year"][2, 0] == 1
    test = tensors.interactions("test")
    assert test.history[0].tolist() == [items[2], items[1], items[0]]


def test_a_request_finds_the_history_of_hashed_items(run_data, run_etl):
    data = run_data(SCHEMA, SHOP, split={"valid_share": 1e-9})
    folder = run_etl(data, SCHEMA, hash_buckets={"item_id": 5}).path / "transforms"
    op = Transform.compiled(folder)
    op.load(folder)
    columns = {name: np.array([["a"]], object) for name in op.raw}
    shown = {"history_ids": np.array([["x", "new"]], object), "rejected_ids": np.zeros((1, 0), object)}
    got = op({**columns, **shown, "exclude_items": np.array([["z"]], object)})
    assert got["history"].tolist() == [[HashedCodes(5)([texts(["x"])])[0], 2, 0]]
    assert got["seen_rows"].tolist() == [[1, 3, -1]]


def test_the_most_frequent_are_kept(etl):
    """Items and users are ranked by interactions; of the tags, u is in three items, v in two, t in one."""
    tensors, served = etl(max_size={"user_id": 2, "item_id": 1, "tags": 2, "geo_device": 1})
    a, b, c, d = tensors.users["user_id"][:, 0].tolist()
    assert {a, b} == {3, 4} and c == d == 2
    assert served["user_id"][:, 0].tolist() == [a, b, c, d]
    assert tensors.items["item_id"][:, 0].tolist() == [3, 2, 2, 2]
    assert tensors.items["tags"].tolist() == [[3, 4, 0], [3, 0, 0], [4, 3, 2], [0, 0, 0]]
    assert tensors.schema["geo_device"].cardinality == 3 + 1


def test_both_limits_hold(etl):
    """Brand p occurs twice, q once; tag u three times, v twice, t once."""
    tensors, _ = etl(min_frequency=2, max_size={"brand": 5, "tags": 1})
    assert tensors.items["brand"][:, 0].tolist() == [3, 3, 2, 1]
    assert tensors.items["tags"].tolist() == [[3, 2, 0], [3, 0, 0], [2, 3, 2], [0, 0, 0]]


def test_rare_entities():
    events = np.array([3, 1, 3, 0, 2, 3])
    assert rare_entities(events, 2, None).tolist() == [False, True, False, True, False, False]
    assert rare_entities(events, 1, 2).tolist() == [False, True, False, True, True, True]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_size": {"brnd": 3}}, "etl.max_size.brnd: 'brnd' is not a sparse column or a cross; did you mean"),
        ({"hash_buckets": {"zzz": 3}}, "etl.hash_buckets.zzz: 'zzz' is not a sparse column or a cross; valid: user_id"),
        (
            {"max_size": {"geo_device": 3}, "hash_buckets": {"geo_device": 3}},
            "etl.max_size.geo_device and etl.hash_buckets.geo_device: a hashed column has no vocabulary to limit",
        ),
    ],
)
def test_refuses(options, message):
    [line] = conflicts(SchemaConfig(**SCHEMA), EtlConfig(**options))
    assert line.startswith(message)
