"""The data and etl stages together, compared with results computed by hand."""

import json

import numpy as np
import pytest

from cascade.core.errors import ConfigError, DataError
from cascade.workflows.config import DataConfig, SchemaConfig
from cascade.workflows.data import spool, write
from cascade.workflows.data.drawn_order import drawn
from cascade.workflows.data.stage import DATA
from cascade.workflows.etl.tensors import Tensors

# User 1 buys a, c, b, a (c and b at the same time, so in file order); user 2 views one item, then buys two.
SHOP = {
    "interactions": {
        "user_id": ["u1", "u2", "u1", "u1", "u2", "u1", "u2"],
        "item_id": ["c", "a", "b", "a", "b", "a", "d"],
        "timestamp": [20, 5, 20, 10, 7, 30, 9],
        "event": ["buy", "view", "buy", "buy", "buy", "buy", "buy"],
        "hour": [1, 2, 3, 4, 5, 6, 7],
        "device": ["app", "web", "app", "app", "web", "tv", "app"],
    },
    "users": {"user_id": ["u2", "u1", "u3"], "age": [20.0, 40.0, None], "geo": ["n", "s", "n"]},
    "items": {
        "item_id": ["a", "b", "c", "d", "e"],
        "price": [1.0, 3.0, None, 100.0, 2.0],
        "tags": [["x", "y"], ["y"], [], ["z"], ["x", "y", "x"]],
        "title": ["A", "B", "C", "D", "E"],
    },
}
SCHEMA = {
    "sparse": ["user_id", "item_id", "geo", "tags", "device"],
    "dense": ["age", "price", "hour"],
    "crosses": [["geo", "device"]],
}


@pytest.fixture
def shop(run_data, run_etl):
    data = run_data(SCHEMA, SHOP, positive="event == 'buy'")
    return data, Tensors.load(run_etl(data, SCHEMA).path)


def codes(tensors, ids):
    """Raw item id -> code."""
    return {str(i): int(c) for i, c in zip(tensors.item_ids, tensors.items["item_id"][:, 0], strict=True) if i in ids}


def test_tables_json(shop):
    tables = json.loads((shop[0].path / "tables.json").read_text())
    assert tables["columns"]["items"] == {
        **{"item_id": "string", "price": "float"},
        **{"tags": "list_string", "title": "string"},
    }
    assert (tables["title"], tables["has_label"], tables["has_timestamp"]) == ("title", False, True)
    assert (tables["n_users"], tables["n_items"], tables["n_interactions"]) == (3, 5, 7)


def test_splits_and_rows(shop):
    _, tensors = shop
    assert tensors.user_ids.tolist() == ["u1", "u2", "u3"]
    test, train = tensors.interactions("test"), tensors.interactions("train")
    assert list(zip(test.user_row, test.item_row, strict=True)) == [(0, 0), (1, 3)]
    rest = [*train.item_row[train.user_row == 0], *tensors.interactions("valid").item_row]
    assert rest == [0, 2, 1]
    assert tensors.before_test().toarray().tolist() == [[1, 1, 1, 0, 0], [0, 1, 0, 0, 0], [0] * 5]


def test_history_is_past_positives_newest_first(shop):
    _, tensors = shop
    code = codes(tensors, "abcd")
    test = tensors.interactions("test")
    assert np.asarray(test.history).tolist() == [[code["b"], code["c"], code["a"]], [code["b"], 0, 0]]
    train = tensors.interactions("train")
    assert train.history[train.user_row == 1].tolist() == [[0, 0, 0], [0, 0, 0]]


@pytest.mark.slow
@pytest.mark.parametrize(("start", "step"), [(0, 1), (10**12, 1000), (10**15, 10**6)])
def test_gaps_between_past_positives(run_data, run_etl, start, step):
    """User 1: a at 10, c and b at 20, a at 30; in plain numbers, milliseconds and microseconds."""
    times = [start + time * step for time in SHOP["interactions"]["timestamp"]]
    tables = {**SHOP, "interactions": {**SHOP["interactions"], "timestamp": times}}
    data = run_data(SCHEMA, tables, positive="event == 'buy'")
    tensors = Tensors.load(run_etl(data, SCHEMA, gaps=True).path)
    test = tensors.interactions("test")
    assert test.timestamp.tolist() == [times[5], times[6]]
    assert np.asarray(test.history_gap).tolist() == [[1, 2, 2 + 4], [1, 0, 0]]
    feature = tensors.schema["history_gap"]
    assert tensors.schema.names("user") == ["user_id", "geo", "age", "history", "history_gap"]
    assert (feature.side, feature.length, feature.cardinality, feature.vocabulary) == ("user", 3, 30, None)
    assert feature.raw == ("history_times",) and "history_gap" not in tensors.users


def test_without_gaps_there_are_none(shop):
    assert shop[1].interactions("train").history_gap is None
    assert not (shop[1].path / "positives" / "seconds.npy").exists()


def test_fitted_on_the_training_part_only(shop):
    """Item d is only in the test part, e nowhere; user u3 has no event; device tv is only in the test part."""
    _, tensors = shop
    code = codes(tensors, "abcde")
    assert code["d"] == code["e"] == 2
    assert min(code["a"], code["b"], code["c"]) >= 3
    assert tensors.users["user_id"][:, 0].tolist()[2] == 2
    assert tensors.interactions("test").context["device"][0, 0] == 2
    assert tensors.interactions("test").context["geo_device"][0, 0] == 2


def test_item_counts_are_training_positives(run_data, run_etl):
    data = run_data(SCHEMA, SHOP, positive="event == 'buy'", split={"valid_share": 1e-9})
    assert Tensors.load(run_etl(data, SCHEMA).path).item_counts.tolist() == [1, 2, 1, 0, 0]


def test_continuous_are_filled_and_normalized(shop):
    """Training prices are 1, 3 and one missing: median 2, mean 2, sample standard deviation 1."""
    _, tensors = shop
    raw = np.array([1, 3, 2, 100, 2.0])
    std = np.std([1, 3, 2], ddof=1)
    assert tensors.items["price"].dtype == np.float32
    np.testing.assert_allclose(tensors.items["price"][:, 0], (raw - 2) / std, rtol=1e-6)


def test_lists_are_cut_and_padded(shop):
    """The longest list of the training part has two tags."""
    _, tensors = shop
    tags = tensors.items["tags"]
    x, y = tags[0]
    assert tags.tolist() == [[x, y], [y, 0], [0, 0], [2, 0], [x, y]]
    assert min(x, y) >= 3


def test_schema_sides_in_order(shop):
    schema = shop[1].schema
    assert schema.names("user") == ["user_id", "geo", "age", "history"]
    assert schema.names("context") == ["device", "hour", "geo_device"]
    assert schema.names("item") == ["item_id", "tags", "price"]
    assert schema["history"].cardinality == schema["item_id"].cardinality == 6
    assert schema["geo_device"].raw == ("geo", "device")
    for name, table in [*shop[1].users.items(), *shop[1].items.items()]:
        if schema[name].kind == "categorical":
            assert 0 <= table.min() <= table.max() < schema[name].cardinality


def test_merlin_tags(shop, run_data):
    from merlin.schema import Tags
    from nvtabular import Workflow

    workflow = Workflow.load(shop[1].path / "workflow" / "item")
    assert workflow.output_schema.select_by_tag(Tags.ITEM_ID).column_names == ["item_id"]
    assert set(workflow.output_schema.select_by_tag(Tags.ITEM).column_names) == {"item_id", "tags", "price"}
    assert workflow.output_schema["tags"].shape.dims[1].max == 2


@pytest.mark.slow
def test_rare_ids_are_out_of_vocabulary(run_data, run_etl):
    data = run_data(SCHEMA, SHOP, positive="event == 'buy'")
    tensors = Tensors.load(run_etl(data, SCHEMA, min_frequency=2).path)
    train = tensors.interactions("train")
    seen = np.bincount(train.item_row, minlength=5)
    assert ((tensors.items["item_id"][:, 0] >= 3) == (seen >= 2)).all()


def test_a_column_without_any_value(run_data, run_etl):
    tables = {**SHOP, "users": {**SHOP["users"], "age": [None, None, 3.0]}}
    with pytest.raises(DataError, match="users.age: no value in any row of the training part; take it out"):
        run_etl(run_data(SCHEMA, tables, positive="event == 'buy'"), SCHEMA)


def test_a_number_far_from_the_training_part(run_data, run_etl):
    items = {**SHOP["items"], "price": [1.0, 1.001, None, 1.001, 1e29]}  # nobody took the last one
    data = run_data(SCHEMA, {**SHOP, "items": items}, positive="event == 'buy'")
    with pytest.raises(DataError, match=r"items.price: 1e\+29 is over 1e\+30 standard deviations from the values"):
        run_etl(data, SCHEMA)


def test_a_threshold_that_no_id_reaches(run_data, run_etl):
    with pytest.raises(ConfigError, match="etl.min_frequency: no user_id has so many interactions .*; lower it"):
        run_etl(run_data(SCHEMA, SHOP, positive="event == 'buy'"), SCHEMA, min_frequency=1000)


def test_no_users_no_items_no_time(run_data, run_etl):
    schema = {"sparse": ["user_id", "item_id"]}
    tables = {"interactions": {"user_id": [7, 7, 5, 7, 5], "item_id": ["x", "y", "x", "z", "y"]}}
    tensors = Tensors.load(run_etl(run_data(schema, tables), schema).path)
    assert tensors.user_ids.tolist() == [5, 7]
    assert tensors.item_ids.tolist() == ["x", "y", "z"]
    test = tensors.interactions("test")
    places = drawn(np.array([0, 0, 1, 1, 1], np.int32), np.array([0, 1, 0, 1, 2], np.int32), np.zeros(5, np.int64))
    assert test.item_row.tolist() == [places[:2].argmax(), places[2:].argmax()]
    assert test.timestamp.tolist() == [places[:2].max(), places[2:].max()]


def test_given_split(run_data, run_etl):
    parts = ["train", "train", "valid", "train", "test", "test", "train"]
    schema = {"sparse": ["user_id", "item_id"]}
    tables = {"interactions": {**SHOP["interactions"], "part": parts}}
    tensors = Tensors.load(run_etl(run_data(schema, tables, split={"by": "column", "column": "part"}), schema).path)
    sizes = [len(tensors.interactions(split)) for split in ("train", "valid", "test")]
    assert sizes == [4, 1, 2]
    assert tensors.interactions("valid").item_row.tolist() == [1]


def test_a_split_may_be_empty(run_data, run_etl):
    schema = {"sparse": ["user_id", "item_id", "device"]}
    tables = {"interactions": {**SHOP["interactions"], "part": ["train"] * 7}}
    tensors = Tensors.load(run_etl(run_data(schema, tables, split={"by": "column", "column": "part"}), schema).path)
    valid = tensors.interactions("valid")
    assert (len(valid), valid.history.shape, valid.context["device"].shape) == (0, (0, 3), (0, 1))


@pytest.mark.slow
def test_joins_a_running_scheduler(run_data, run_etl):
    from distributed import LocalCluster

    data = run_data(SCHEMA, SHOP, positive="event == 'buy'")
    threads = run_etl(data, SCHEMA)
    with LocalCluster(n_workers=1, processes=False, protocol="tcp", dashboard_address=None) as cluster:
        joined = run_etl(data, SCHEMA, scheduler=cluster.scheduler_address)
    same_tensors(Tensors.load(threads.path), Tensors.load(joined.path))


SYNTHETIC = {
    "dense": ["price", "session_time", "age_norm"],
    "sparse": ["user_id", "item_id", "brand", "geo", "device"],
    "crosses": [["geo", "device"]],
}


def same_tensors(left, right):
    """Check that everything that models read is equal, bit for bit."""
    for name in ("user_ids", "item_ids", "item_counts"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))
    for side in ("users", "items"):
        for name, table in getattr(left, side).items():
            np.testing.assert_array_equal(table, getattr(right, side)[name], err_msg=name)
    for split in ("train", "valid", "test"):
        one, other = left.interactions(split), right.interactions(split)
        for name in ("user_row", "item_row", "timestamp", "positive", "label", "history"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
        for name, column in one.context.items():
            np.testing.assert_array_equal(column, other.context[name], err_msg=name)


@pytest.mark.slow
def test_memory_limit_changes_nothing_but_memory(run_data, run_etl):
    data = run_data(SYNTHETIC, source="synthetic", synthetic={"interactions": 40_000})
    much, little = (run_etl(data, SYNTHETIC, history=50, seen=50, memory_limit=size) for size in ("4GB", "32MiB"))
    assert little.metrics["rows_at_once"] < 40_000 / 3 < 40_000 < much.metrics["rows_at_once"]
    same_tensors(Tensors.load(much.path), Tensors.load(little.path))


@pytest.mark.slow
def test_parts_change_nothing(run_data, run_etl, monkeypatch, tmp_path):
    """A log that is divided into parts of whole users gives the same tensors as one part."""
    options = {"source": "synthetic", "synthetic": {"interactions": 20_000}, "split": {"by": "time"}}
    one = run_data(SYNTHETIC, **options)
    whole = Tensors.load(run_etl(one, SYNTHETIC).path)
    monkeypatch.setattr(spool, "PART_ROWS", 3_000)
    monkeypatch.setattr(write, "GROUP_ROWS", 700)
    monkeypatch.setattr(spool, "GROUP_ROWS", 700)
    sections = {"data": DataConfig(**options), "schema": SchemaConfig(**SYNTHETIC)}
    parts = DATA.run(tmp_path / "again", sections, {})
    assert len(list((parts.path / "interactions").iterdir())) >= 6
    in_parts = Tensors.load(run_etl(parts, SYNTHETIC).path)
    for split in ("train", "valid", "test"):
        a, b = whole.interactions(split), in_parts.interactions(split)
        np.testing.assert_array_equal(a.history, b.history)
        np.testing.assert_array_equal(a.item_row, b.item_row)
        np.testing.assert_allclose(a.context["session_time"], b.context["session_time"], rtol=1e-5)
    np.testing.assert_array_equal(whole.items["item_id"], in_parts.items["item_id"])


@pytest.mark.slow
def test_a_local_cluster_gives_the_same(run_data, run_etl):
    data = run_data(SCHEMA, SHOP, positive="event == 'buy'")
    threads = run_etl(data, SCHEMA)
    cluster = run_etl(data, SCHEMA, scheduler="local-cluster")
    same_tensors(Tensors.load(threads.path), Tensors.load(cluster.path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scheduler": "thread"}, "etl.scheduler: 'thread' is none of threads, local-cluster, cuda, tcp://host:port"),
        ({"scheduler": "tcp://127.0.0.1:1"}, "etl.scheduler: no Dask scheduler answers at tcp://127.0.0.1:1"),
        ({"memory_limit": "lots"}, "etl.memory_limit: 'lots' is not a size, write e.g. 4GB"),
        ({"memory_limit": "40MiB", "workers": 2}, "40MiB is too little for 2 workers, expected at least 64MiB"),
    ],
)  # fmt: skip
def test_refuses(run_data, run_etl, options, message, monkeypatch):
    monkeypatch.setattr("cascade.workflows.etl.dask_cluster.TCP_WAIT_SECONDS", 1)
    with pytest.raises(ConfigError, match=message):
        run_etl(run_data(SCHEMA, SHOP, positive="event == 'buy'"), SCHEMA, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scheduler": "cuda"}, "etl.scheduler: cuda needs a GPU, and there is none"),
        ({"device": "gpu"}, "etl.device: gpu needs a GPU and cuDF"),
    ],
)
def test_says_where_a_gpu_is_missing(run_data, run_etl, options, message):
    from cascade.core.merlin_env import prepare_merlin

    prepare_merlin()
    from merlin.core.dispatch import HAS_GPU

    if HAS_GPU:
        pytest.skip("there is a GPU")
    with pytest.raises(ConfigError, match=message):
        run_etl(run_data(SCHEMA, SHOP, positive="event == 'buy'"), SCHEMA, **options)
