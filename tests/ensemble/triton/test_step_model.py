"""The step models of an ensemble, all in this process, against the executor of the same files."""

import sys

import numpy as np
import pytest
from triton_steps import STAND_IN, Steps

from cascade.core.signature import ColumnSpec
from cascade.ensemble.graph.executor import Executor
from cascade.ensemble.graph.ops import (
    LookupItems,
    MergeNeighbours,
    Order,
    Rank,
    Respond,
    Retrieve,
)
from cascade.ensemble.protocol.wire import decode_text, encode_text
from cascade.ensemble.triton.step_model import padding
from cascade.testing.miniature import SERVING, miniature, miniature_repository

ENSEMBLE = SERVING.model_copy(update={"layout": "ensemble"})


@pytest.fixture(scope="module", params=["int64", "object", "neighbours"])
def repository(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ensemble") / "models"
    kind = {"string_ids": request.param == "object", "neighbours": request.param == "neighbours"}
    miniature_repository(folder, **kind, serving=ENSEMBLE)
    return folder


@pytest.fixture
def steps(repository, monkeypatch):
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", STAND_IN)
    made = Steps(repository)
    yield made
    made.close()


@pytest.fixture(scope="module")
def executor(repository):
    return Executor.load(repository / "cascade" / "1", validate=True)


@pytest.fixture
def ids(executor):
    """Column [B, n] of user ids (100 ..) or item ids (1000 ..) in the dtype of the graph."""
    text = executor.signature["exclude_items"].dtype == "object"

    def column(rows):
        values = [[f"{'i' if value >= 1000 else 'u'}{value}" if text else value for value in row] for row in rows]
        return np.array(values, dtype=object if text else np.int64).reshape(len(rows), -1)

    return column


def wire(columns):
    return {name: encode_text(array) if array.dtype == object else array for name, array in columns.items()}


def same(got, expected):
    for name, array in expected.items():
        array = encode_text(array) if array.dtype == object else array
        np.testing.assert_array_equal(got[name], array, err_msg=name)


@pytest.mark.slow
def test_one_request_is_answered_as_the_executor_does(steps, executor, ids):
    request = {"user_id": ids([[101], [7], [119]]), "temperature": np.full((3, 1), 0, np.float32)}
    [got] = steps(wire(request))
    same(got, executor(request))
    assert got["stages_ms"].shape == (3, len(executor.stages)) and (got["stages_ms"] > 0).all()
    assert got["stages_ms"].dtype == np.float32


def test_requests_of_all_kinds_share_passes_and_get_the_same_as_alone(steps, executor, ids):
    requests = [
        {"user_id": ids([[105]])},
        {"user_id": ids([[105], [3]]), "exclude_items": ids([[1003, 1004, 1005], [1003, 1001, 1]])},
        {"user_id": ids([[111]]), "top_k": np.array([[12]], np.int32), "hour": np.array([[20]])},
        {"user_id": ids([[100], [101], [102]]), "top_k": np.array([[1], [2], [3]], np.int32)},
        {
            "user_id": ids([[111]]),
            "exclude_items": ids([[1000]]),
            "temperature": np.array([[0.5]], np.float32),
            "seed": np.array([[5]]),
        },
    ]
    for got, request in zip(steps(*map(wire, requests)), requests, strict=True):
        same(got, executor(request))


def test_a_refused_request_does_not_affect_others_and_has_the_executor_s_message(steps, executor, ids):
    good, bad = {"user_id": ids([[105]])}, {"user_id": ids([[105]]), "top_k": np.array([[13]], np.int32)}
    first, refused, last = steps(wire(good), wire(bad), wire(good))
    same(first, executor(good))
    same(last, executor(good))
    assert refused.code == "INVALID_ARG"
    with pytest.raises(Exception, match=str(refused.message)):
        executor(bad)


def test_a_step_refuses_a_request_that_another_release_began(steps, ids):
    steps.models["cascade_respond"].number = np.float32(1)
    [refused] = steps(wire({"user_id": ids([[105]])}))
    assert refused.code == "UNAVAILABLE"
    assert "begun by another release than 0123456789ab" in refused.message


@pytest.mark.parametrize("repository", ["object"], indirect=True)
def test_the_first_step_refuses_a_missing_id(steps):
    [refused] = steps({"user_id": np.array([[b"\xff"]], dtype=object)})
    assert (refused.code, refused.message) == ("INVALID_ARG", "user_id: expected a string, got None")


def test_columns_that_no_step_reads_are_not_sent(steps, ids):
    steps(wire({"user_id": ids([[105]])}))
    [tensors] = steps.tensors
    assert "retrieve.retrieved_rows" in tensors
    assert not any(name.startswith("miniature_users.user_id") for name in tensors)
    read = {tensor for step in steps.scheduling for tensor in step.input_map.values()}
    assert {name for name in tensors if "." in name} <= read


def test_text_with_missing_values_round_trip():
    texts = np.array([["", None, "ÿ", "\xff", "None"]], dtype=object)
    assert decode_text("geo", encode_text(texts)).tolist() == texts.tolist()


def test_what_a_column_is_padded_with():
    assert padding("seen_rows", ColumnSpec("int64", ("S",))) == -1
    assert padding("logits", ColumnSpec("float32", ("K",))) == -np.inf
    assert padding("price", ColumnSpec("float32", ("K", 1))) == 0
    assert padding("item_code", ColumnSpec("int64", ("K", 1))) == 0
    assert padding("history_ids", ColumnSpec("int64", ("S",))) is None
    assert padding("likes", ColumnSpec("object", ("likes_length",))) is None


@pytest.mark.parametrize("op", [LookupItems, Rank, Order, Retrieve, MergeNeighbours, Respond], ids=lambda op: op.kind)
def test_rows_that_vary_in_length_hold_item_rows_logits_or_candidates(op, tmp_path):
    """A new candidate column needs no case in ``padding``; a new kind of list does."""
    made = miniature(tmp_path, neighbours=True).steps.named[op.kind].op
    varying = {name: spec for name, spec in made.reads.items() if isinstance(spec.dims[0], str)}
    for name, spec in varying.items():
        assert name.endswith("_rows") or spec.dims[0] in ("K", "k"), name
