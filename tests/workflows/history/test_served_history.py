"""Models are served what they were trained on: histories and gaps of the etl against those of the features artifact."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from cascade.ensemble.graph.ops.transform import Transform
from cascade.ensemble.repository.user_lookup import user_lookup
from cascade.workflows.config import FeatureStoreConfig, HistoryConfig, SchemaConfig
from cascade.workflows.etl.tensors import Tensors
from cascade.workflows.features.artifact_reader import ArtifactReader
from cascade.workflows.features.stage import FEATURES

SCHEMA = {"sparse": ["user_id", "item_id"]}
LENGTH, SEEN = 3, 6


def log(column, values):
    """200 interactions of 12 users with 15 items; many pairs repeat, and some timestamps are equal."""
    rng = np.random.default_rng(3)
    users = [f"u{user:02d}" for user in rng.integers(0, 12, 200)]
    times = np.sort(rng.integers(0, 90, 200))
    return {
        "interactions": {
            **{"user_id": users, "item_id": rng.integers(100, 115, 200), "timestamp": times},
            column: rng.choice(values, 200),
        }
    }


LOGS = {
    "ratings": (log("rating", [1, 2, 3, 4, 5]), {"positive": "rating >= 4"}),
    "ratings-by-time": (
        log("rating", [1, 2, 3, 4, 5]),
        {"positive": "rating >= 4", "split": {"by": "time", "test_share": 0.4}},
    ),
    "impressions": (log("label", [0, 0, 1]), {}),
    "purchases": (log("quantity", [1, 2]), {}),
}


@pytest.fixture(params=LOGS)
def served(request, run_data, run_etl, tmp_path):
    """The log's name, the data artifact, the tensors, and the output of the first serving ops for all users, as they
    were before the test part."""
    tables, options = LOGS[request.param]
    data = run_data(SCHEMA, tables, **options)
    etl = run_etl(data, SCHEMA, history=LENGTH, seen=SEEN, gaps=True)
    section = FeatureStoreConfig(repo=str(tmp_path / "repo"), project="p")
    sections = {
        **{"schema": SchemaConfig(**SCHEMA), "history": HistoryConfig(length=LENGTH, seen=SEEN, gaps=True)},
        "feature_store": section,
    }
    features = FEATURES.run(tmp_path / "runs", sections, {"data": data})
    lookup = user_lookup(features.path, section, times=LENGTH)
    transform = Transform.compiled(etl.path / "transforms")
    lookup.read_from(ArtifactReader.open(lookup.query, features.path))
    transform.load(etl.path / "transforms")
    tensors = Tensors.load(etl.path)
    request_columns = {
        "user_id": tensors.user_ids.astype(object)[:, None],
        "exclude_items": np.zeros((len(tensors.user_ids), 0), np.int64),
    }
    columns = {**request_columns, **lookup(request_columns)}
    return request.param, data, tensors, {**columns, **transform(columns)}


def test_served_history_is_that_of_the_first_test_event(served):
    _, _, tensors, columns = served
    test = tensors.interactions("test")
    users, first = np.unique(test.user_row, return_index=True)
    assert len(users) == len(tensors.user_ids) == 12
    assert (test.history[first] > 0).all(axis=1).sum() >= 6, "too few full histories for the test"
    np.testing.assert_array_equal(columns["history"][users], test.history[first])
    np.testing.assert_array_equal(columns["history_gap"][users], test.history_gap[first])
    assert len(np.unique(columns["history_gap"])) > 4, "too few different gaps for the test"


def test_what_is_not_shown_again(served):
    """Hidden are the positives before the test part and, with explicit feedback, the other interactions."""
    name, data, tensors, columns = served
    rows = pq.read_table(data.path / "interactions").to_pylist()
    explicit = name.startswith("ratings")
    for user, id_ in enumerate(tensors.user_ids.tolist()):
        past = [row for row in rows if row["user_id"] == id_ and row["split"] != "test"][::-1]
        liked = [row["item_id"] for row in past if row["positive"]][:SEEN]
        others = dict.fromkeys(row["item_id"] for row in past if not row["positive"] and row["item_id"] not in liked)
        hidden = np.isin(tensors.item_ids, [*liked, *(list(others)[:SEEN] if explicit else [])])
        every = np.arange(len(tensors.item_ids))
        assert np.isin(every, columns["seen_rows"][user]).tolist() == hidden.tolist()
    assert (columns["rejected_ids"] >= 0).any() == explicit
