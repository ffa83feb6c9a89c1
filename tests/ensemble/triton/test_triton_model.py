"""The python model, with a stand-in for Triton's own module."""

import json
import sys
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from triton_fakes import MODULE, MetricFamily, Tensor

from cascade.core.signature import ColumnSpec
from cascade.ensemble.graph.executor import Executor
from cascade.ensemble.graph.ops.base import Op
from cascade.ensemble.protocol.inputs import Input
from cascade.ensemble.triton import model as triton_model
from cascade.ensemble.triton.model import TritonPythonModel
from cascade.ensemble.triton.outputs import check_outputs, output_signature

CONFIG = {
    "name": "shop",
    "parameters": {"max_queue_size": {"string_value": "6"}},
    "input": [{"name": "user_id"}, {"name": "top_k"}],
    "output": [
        {"name": "item_ids", "data_type": "TYPE_INT64", "dims": ["-1"]},
        {"name": "reasons", "data_type": "TYPE_STRING", "dims": ["1"]},
        {"name": "stages_ms", "data_type": "TYPE_FP32", "dims": ["1"]},
    ],
}
INPUTS = [
    Input("user_id", "object", required=True),
    Input("top_k", "int32", default=2, minimum=1, maximum=9),
    Input("exclude_items", "int64", ("E",)),
]


class Request:
    def __init__(self, **inputs):
        self.tensors = [Tensor(name, array) for name, array in inputs.items()]
        self.wanted = {entry["name"] for entry in CONFIG["output"]}

    def inputs(self):
        return self.tensors

    def request_id(self):
        return ""

    def requested_output_names(self):
        return self.wanted


@dataclass
class Count(Op):
    """Recommends items n, n + 1, ... that are not excluded to "u<n>"; raises for "bug", a wrong dtype for "wrong"."""

    kind = "count"
    passes = 0

    @property
    def reads(self):
        return {spec.name: spec.spec for spec in INPUTS}

    @property
    def writes(self):
        return {"item_ids": ColumnSpec("int64", ("k",)), "reasons": ColumnSpec("object")}

    def __call__(self, columns):
        self.passes += 1
        users, top_k = columns["user_id"][:, 0].tolist(), columns["top_k"][:, 0].tolist()
        if "bug" in users:
            raise ValueError("secret\ndetail")
        items = np.full((len(users), max(top_k)), -1, np.float64 if "wrong" in users else np.int64)
        for row, (user, gone) in enumerate(zip(users, columns["exclude_items"].tolist(), strict=True)):
            first = int(user[1:]) if user[1:].isdigit() else 0
            items[row, : top_k[row]] = [at for at in range(first, first + 50) if at not in gone][: top_k[row]]
        return {"item_ids": items, "reasons": np.full((len(users), 1), "ü", dtype=object)}


@pytest.fixture
def load(monkeypatch, tmp_path):
    """Initializes the model with this executor, and finalizes it, as Triton does."""
    started = []

    def start(executor, config=CONFIG):
        monkeypatch.setitem(sys.modules, "triton_python_backend_utils", MODULE)
        monkeypatch.setattr(MetricFamily, "sent", {})
        loaded = []
        monkeypatch.setattr(triton_model, "check_files", lambda folder, **how: None)
        monkeypatch.setattr(Executor, "load", lambda folder: loaded.append(folder) or executor)
        made, folder = TritonPythonModel(), tmp_path / "m"
        arguments = {"model_repository": str(folder), "model_version": "3", "model_instance_name": "m_0"}
        made.initialize({"model_config": json.dumps(config), **arguments})
        assert loaded == [folder / "3"]
        started.append(made)
        return made

    yield start
    for made in started:
        made.finalize()


@pytest.fixture
def op():
    return Count()


@pytest.fixture
def model(load, op):
    made = load(Executor(INPUTS, {"count": op}, ["item_ids", "reasons"], max_users=4))
    assert op.passes > 0  # it was warmed up
    op.passes = 0
    return made


def users(*names):
    return np.array([[name.encode()] for name in names], dtype=object)


def numbers(*values, dtype=np.int32):
    return np.array(values, dtype=dtype).reshape(-1, 1)


@pytest.mark.slow
def test_answers_requests_in_order_from_one_pass(model, op):
    one, two = model.execute([Request(user_id=users("u5")), Request(user_id=users("u7", "u9"))])
    assert one.outputs["item_ids"].tolist() == [[5, 6]]
    assert two.outputs["item_ids"].tolist() == [[7, 8], [9, 10]]
    assert two.outputs["reasons"].tolist() == [["ü".encode()]] * 2
    assert two.outputs["stages_ms"].shape == (2, 1) and (two.outputs["stages_ms"] > 0).all()
    assert two.outputs["stages_ms"].dtype == np.float32
    assert op.passes == 1


def test_each_answer_is_as_wide_as_its_own_largest_top_k(model):
    requests = [
        Request(user_id=users("u1"), top_k=numbers(1)),
        Request(user_id=users("u5", "u7"), top_k=numbers(1, 3)),
        Request(user_id=users("u9")),
    ]
    got = [response.outputs["item_ids"].tolist() for response in model.execute(requests)]
    assert got == [[[1]], [[5, -1, -1], [7, 8, 9]], [[9, 10]]]


def test_an_invalid_request_does_not_affect_others(model, op):
    bad = Request(user_id=users("u1"), top_k=numbers(0))
    before, refused, after = model.execute([Request(user_id=users("u1")), bad, Request(user_id=users("u2"))])
    assert (refused.error.code, refused.error.message) == ("INVALID_ARG", "top_k: expected 1 to 9, got 0")
    assert refused.outputs == {}
    assert before.outputs["item_ids"].tolist() == [[1, 2]]
    assert after.outputs["item_ids"].tolist() == [[2, 3]]
    assert op.passes == 1


@pytest.mark.parametrize(("name", "kind"), [("bug", "ValueError"), ("wrong", "TypeError")])
def test_a_defect_is_one_line_for_the_client_and_a_traceback_in_the_log(model, caplog, name, kind):
    (response,) = model.execute([Request(user_id=users(name))])
    assert response.error.code == "INTERNAL"
    assert response.error.message == f"internal error ({kind}); the server's log says more"
    assert f"{kind}:" in caplog.text and "Traceback" in caplog.text


@pytest.mark.parametrize("name", ["bug", "wrong"])
def test_a_request_that_breaks_the_pass_affects_only_itself(model, caplog, name):
    before, broken, after = model.execute([Request(user_id=users(user)) for user in ("u1", name, "u2")])
    assert broken.error.code == "INTERNAL"
    assert before.outputs["item_ids"].tolist() == [[1, 2]]
    assert after.outputs["item_ids"].tolist() == [[2, 3]]
    assert "a pass of 3 requests failed, answering one by one" in caplog.text


def test_more_users_than_a_call_may_hold_take_more_passes(model, op):
    requests = [Request(user_id=users(*(f"u{10 * at + row}" for row in range(2)))) for at in range(5)]
    got = [response.outputs["item_ids"][:, 0].tolist() for response in model.execute(requests)]
    assert got == [[10 * at, 10 * at + 1] for at in range(5)]
    assert op.passes == 3


def test_lists_of_any_length_share_a_pass(model, op):
    gone = [np.array([[1, 2]]), np.array([[3]]), np.zeros((1, 0), np.int64)]
    requests = [Request(user_id=users("u1"), exclude_items=entry) for entry in gone] + [Request(user_id=users("u1"))]
    got = [response.outputs["item_ids"].tolist() for response in model.execute(requests)]
    assert got == [[[3, 4]], [[1, 2]], [[1, 2]], [[1, 2]]]
    assert op.passes == 1


def test_a_very_long_list_gets_a_separate_pass(load, op):
    model = load(Executor(INPUTS, {"count": op}, ["item_ids", "reasons"], max_users=1000))
    op.passes = 0
    many = Request(user_id=users(*["u1"] * 100))
    long = Request(user_id=users("u1"), exclude_items=np.arange(100, 10_100)[None])
    assert [response.error for response in model.execute([many, long, many])] == [None] * 3
    assert op.passes == 3


def test_only_requested_outputs_are_sent(model):
    request = Request(user_id=users("u1"))
    request.wanted = {"reasons"}
    assert list(model.execute([request])[0].outputs) == ["reasons"]


def test_text_that_is_not_utf8_is_refused(model):
    (response,) = model.execute([Request(user_id=np.array([[b"\xff\xfe"]], dtype=object))])
    assert response.error.code == "INVALID_ARG"
    assert response.error.message.startswith("user_id: expected UTF-8")


def test_more_requests_than_may_wait_are_refused_unread(model, op):
    requests = [Request(user_id=users(f"u{at}")) for at in range(6)] + [SimpleNamespace()] * 3
    responses = model.execute(requests)
    assert [response.outputs["item_ids"][0, 0] for response in responses[:6]] == [0, 1, 2, 3, 4, 5]
    assert [response.error.code for response in responses[6:]] == ["UNAVAILABLE"] * 3
    assert responses[6].error.message == "more requests wait than serving.max_queue_size allows (6)"
    model.finalize()
    assert sum(MetricFamily.sent["recsys_refused_requests_total", "overloaded"]) == 3


def test_no_requests_no_responses(model, op):
    assert model.execute([]) == []
    assert op.passes == 0


def test_passes_are_counted_for_the_metrics_endpoint_and_the_warm_up_is_not(model):
    model.execute([Request(user_id=users("u1")), Request(user_id=users("u1", "u2")), Request(user_id=users("bug"))])
    model.execute([Request(user_id=users("u1"), top_k=numbers(0))])
    model.finalize()
    sent = {series: sum(steps) for series, steps in MetricFamily.sent.items() if steps}
    assert sent["recsys_requests_total", None] == 3
    assert sent["recsys_users_total", None] == 4
    assert {stage for name, stage in sent if name.endswith("_count")} == {"count", "unpack", "pack", "total"}
    assert sent["recsys_latency_seconds_count", "total"] == 1
    parts = [sent["recsys_latency_seconds_sum", stage] for stage in ("count", "unpack", "pack")]
    assert sum(parts) <= sent["recsys_latency_seconds_sum", "total"]
    refused = {why: count for (name, why), count in sent.items() if name == "recsys_refused_requests_total"}
    assert refused == {"internal": 1, "invalid": 1}


def test_outputs_follow_from_the_config():
    assert output_signature(CONFIG) == {
        "item_ids": ColumnSpec("int64", ("k",)),
        "reasons": ColumnSpec("object", (1,)),
        "stages_ms": ColumnSpec("float32", (1,)),
    }


@pytest.mark.parametrize(
    "answer",
    [{}, {"x": np.zeros((2, 3))}, {"x": np.zeros((3, 3), np.float32)}, {"x": np.zeros(2, np.float32)}],
    ids=["missing", "dtype", "rows", "rank"],
)
def test_an_output_of_another_shape_is_refused(answer):
    with pytest.raises(TypeError, match=r"^output x: expected float32\[B, k\] with B = 2"):
        check_outputs(answer, {"x": ColumnSpec("float32", ("k",))}, 2)


MINIATURE = {
    "name": "cascade",
    "parameters": {"max_queue_size": {"string_value": "64"}},
    "input": [],
    "output": [
        {"name": "item_ids", "data_type": "TYPE_INT64", "dims": ["-1"]},
        {"name": "scores", "data_type": "TYPE_FP32", "dims": ["-1"]},
        {"name": "propensities", "data_type": "TYPE_FP32", "dims": ["-1"]},
        {"name": "reasons", "data_type": "TYPE_STRING", "dims": ["1"]},
    ],
}


@st.composite
def requests(draw):
    """Columns of a request to the miniature: 1 to 4 known or unknown users, some of the optional inputs."""
    rows = draw(st.integers(1, 4))

    def column(values, dtype, width=1):
        cells = st.lists(values, min_size=rows * width, max_size=rows * width)
        return np.array(draw(cells), dtype=dtype).reshape(rows, width)

    columns = {"user_id": column(st.integers(95, 125), np.int64)}
    optional = {
        "hour": (st.integers(0, 23), np.int64),
        "top_k": (st.integers(1, 12), np.int32),
        "temperature": (st.sampled_from([0, 0.5]), np.float32),
    }
    for name in draw(st.sets(st.sampled_from(sorted(optional)))):
        columns[name] = column(*optional[name])
    if draw(st.booleans()):
        columns["exclude_items"] = column(st.integers(995, 1035), np.int64, draw(st.integers(0, 40)))
    return columns | {"seed": column(st.integers(-(2**63), 2**63 - 1), np.int64)}


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(asked=st.lists(requests(), min_size=1, max_size=20))
def test_requests_that_share_a_pass_get_the_same_as_alone(mini_executor, asked):
    """More than 64 users in total take several passes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "triton_python_backend_utils", MODULE)
        patch.setattr(triton_model, "check_files", lambda folder, **how: None)
        patch.setattr(Executor, "load", lambda folder: mini_executor)
        model = TritonPythonModel()
        arguments = {"model_repository": "m", "model_version": "1", "model_instance_name": "m_0"}
        model.initialize({"model_config": json.dumps(MINIATURE), **arguments})
    sent = [Request(**columns) for columns in asked]
    model.finalize()
    for request in sent:
        request.wanted = {entry["name"] for entry in MINIATURE["output"]}
    for columns, response in zip(asked, model.execute(sent), strict=True):
        alone = mini_executor(columns)
        for name in ("item_ids", "scores", "propensities"):
            assert response.outputs[name].shape == alone[name].shape
            np.testing.assert_allclose(response.outputs[name], alone[name], rtol=1e-5, atol=1e-6)
        assert [[text.decode() for text in row] for row in response.outputs["reasons"]] == alone["reasons"].tolist()
