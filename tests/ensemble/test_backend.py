"""The python model against a stand-in for Triton's own module, which exists only inside a stub."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from cascade.core.errors import RequestError
from cascade.core.signature import ColumnSpec
from cascade.ensemble.backend import TritonPythonModel, check_outputs, output_signature
from cascade.ensemble.executor import Executor

CONFIG = {
    "input": [{"name": "user_id", "data_type": "TYPE_STRING", "dims": ["1"]}, {"name": "top_k"}],
    "output": [
        {"name": "item_ids", "data_type": "TYPE_INT64", "dims": ["-1"]},
        {"name": "reasons", "data_type": "TYPE_STRING", "dims": ["1"]},
        {"name": "stages_ms", "data_type": "TYPE_FP32", "dims": ["2"]},
    ],
}


class Tensor:
    def __init__(self, name, array):
        self.name, self.array = name, array

    def as_numpy(self):
        return self.array


class TritonError(Exception):
    INVALID_ARG, INTERNAL = "INVALID_ARG", "INTERNAL"

    def __init__(self, message, code):
        super().__init__(message)
        self.message, self.code = message, code


class Response:
    def __init__(self, output_tensors, error=None):
        self.error = error
        self.outputs = {tensor.name: tensor.array for tensor in output_tensors}


class Request:
    def __init__(self, **inputs):
        self.inputs = {name: Tensor(name, array) for name, array in inputs.items()}
        self.wanted = ["item_ids", "reasons", "stages_ms"]

    def requested_output_names(self):
        return self.wanted


class FakeExecutor:
    """Answers user "u<n>" with items n, n + 1; refuses "bad", breaks on "bug", answers "wrong" in a wrong dtype."""

    stages = ("first", "second")

    def run(self, columns):
        users = columns["user_id"][:, 0].tolist()
        if "bad" in users:
            raise RequestError("user_id: not\nthis one")
        if "bug" in users:
            raise ValueError("secret\ndetail")
        dtype = np.float64 if "wrong" in users else np.int64
        first = np.array([[int(user[1:]) if user[1:].isdigit() else 0] for user in users])
        items = (first + np.arange(2)).astype(dtype)
        reasons = np.full((len(users), 1), "ü", dtype=object)
        return {"item_ids": items, "reasons": reasons}, {"first": 1.0, "second": 2.5}


@pytest.fixture
def model(monkeypatch, tmp_path):
    find = lambda request, name: request.inputs.get(name)  # noqa: E731
    module = SimpleNamespace(
        get_input_tensor_by_name=find, Tensor=Tensor, TritonError=TritonError, InferenceResponse=Response
    )
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", module)
    loaded = []
    monkeypatch.setattr(Executor, "load", lambda folder: loaded.append(folder) or FakeExecutor())
    made = TritonPythonModel()
    made.initialize({"model_config": json.dumps(CONFIG), "model_repository": str(tmp_path / "m"), "model_version": "3"})
    assert loaded == [tmp_path / "m" / "3"]
    return made


def users(*names):
    return np.array([[name.encode()] for name in names], dtype=object)


def test_answers_each_request_in_order(model):
    one, two = model.execute([Request(user_id=users("u5")), Request(user_id=users("u7", "u9"))])
    assert one.outputs["item_ids"].tolist() == [[5, 6]]
    assert two.outputs["item_ids"].tolist() == [[7, 8], [9, 10]]
    assert two.outputs["reasons"].tolist() == [["ü".encode()]] * 2
    assert two.outputs["stages_ms"].tolist() == [[1.0, 2.5]] * 2
    assert two.outputs["stages_ms"].dtype == np.float32


def test_a_bad_request_does_not_hurt_its_neighbours(model):
    before, bad, after = model.execute([Request(user_id=users(name)) for name in ("u1", "bad", "u2")])
    assert (bad.error.code, bad.error.message) == ("INVALID_ARG", "user_id: not this one")
    assert bad.outputs == {}
    assert before.outputs["item_ids"].tolist() == [[1, 2]]
    assert after.outputs["item_ids"].tolist() == [[2, 3]]


@pytest.mark.parametrize(("name", "kind"), [("bug", "ValueError"), ("wrong", "TypeError")])
def test_a_defect_is_one_line_for_the_client_and_a_traceback_in_the_log(model, caplog, name, kind):
    (response,) = model.execute([Request(user_id=users(name))])
    assert response.error.code == "INTERNAL"
    assert response.error.message == f"internal error ({kind}); the server's log says more"
    assert f"{kind}:" in caplog.text and "Traceback" in caplog.text


def test_only_what_is_asked_for_is_sent(model):
    request = Request(user_id=users("u1"))
    request.wanted = ["reasons"]
    assert list(model.execute([request])[0].outputs) == ["reasons"]


def test_text_that_is_not_utf8_is_refused(model):
    (response,) = model.execute([Request(user_id=np.array([[b"\xff"]], dtype=object))])
    assert response.error.code == "INVALID_ARG"
    assert response.error.message.startswith("user_id: expected UTF-8")


def test_outputs_follow_from_the_config():
    assert output_signature(CONFIG) == {
        "item_ids": ColumnSpec("int64", ("k",)),
        "reasons": ColumnSpec("object", (1,)),
        "stages_ms": ColumnSpec("float32", (2,)),
    }


@pytest.mark.parametrize(
    "answer",
    [{}, {"x": np.zeros((2, 3))}, {"x": np.zeros((3, 3), np.float32)}, {"x": np.zeros(2, np.float32)}],
    ids=["missing", "dtype", "rows", "rank"],
)
def test_an_output_of_another_shape_never_leaves(answer):
    with pytest.raises(TypeError, match=r"^output x: expected float32\[B, k\] with B = 2"):
        check_outputs(answer, {"x": ColumnSpec("float32", ("k",))}, 2)
