"""The client, on a server that answers from memory."""

from types import SimpleNamespace

import numpy as np
import pytest

from cascade.core.errors import ConfigError, RequestError, ServerError
from cascade.ensemble.client import Client
from cascade.ensemble.protocol import resend
from cascade.ensemble.protocol.call_errors import OVERLOADED

grpc = pytest.importorskip("tritonclient.grpc")
OF_TEXT = ("item_ids", "reasons", "release", "arm")


class FakeTriton:
    """Serves `shop`, which is an ensemble with the step `shop_rank`, and `other`, which is not ready."""

    def __init__(self, ready=("shop", "shop_rank")):
        self.ready = ready

    def get_model_config(self, model, client_timeout):
        if model not in self.ready:
            raise grpc.InferenceServerException(f"Request for unknown model: '{model}' is not found", "NOT_FOUND")
        inputs = [SimpleNamespace(name=name, data_type=13) for name in ("user_id", "exclude_items")]  # TYPE_STRING
        return SimpleNamespace(
            config=SimpleNamespace(
                parameters={"stages": SimpleNamespace(string_value="")} if model == "shop" else {}, input=inputs
            )
        )

    def get_inference_statistics(self, client_timeout):
        return SimpleNamespace(model_stats=[SimpleNamespace(name=name) for name in self.ready])


def client_of(model, **fake):
    client = Client("host:1", model)
    client.__dict__["_triton"] = FakeTriton(**fake)
    return client


def test_of_a_model_that_is_not_served_it_names_those_that_are():
    with pytest.raises(ServerError) as error:
        client_of("cascade").recommend(["a"])
    assert str(error.value) == (
        "host:1: no model 'cascade' is served, but shop; name one of them: `model=` of the client, `--model` beside "
        "`--url`, or export.model_name in the config"
    )


def test_where_no_model_is_served_it_says_how_to_serve_one():
    with pytest.raises(ServerError, match="'cascade' is not found; `cascade serve` serves what `cascade run` has"):
        client_of("cascade", ready=()).recommend(["a"])


def test_a_number_is_no_id_of_a_model_whose_ids_are_text():
    with pytest.raises(RequestError, match="user_id: expected a string, as the ids of this model are text, got 1"):
        client_of("shop").recommend([1])


def test_no_users_need_no_server():
    assert Client("nowhere:1").recommend([]) == []


@pytest.mark.parametrize(
    ("users", "more", "message"),
    [
        (None, {}, "users: expected a list of ids, got None"),
        ({0: 1}, {}, "users: expected a list of ids, got a dict"),
        ("ab", {}, "users: expected a list of ids, got 'ab'"),
        (["\ud800"], {}, "user_id: expected text that UTF-8 can hold"),
        (["a"], {"context": ["b"]}, "context: expected a dict of context column -> value, got a list"),
        (["a"], {"context": {"hour": 1}}, "context hour: the model has no context columns; leave context out, or"),
        (["a"], {"exclude": "b"}, "exclude: expected a list of ids, got 'b'"),
        (["a"], {"exclude": [1]}, "exclude: expected a string, as the ids of this model are text, got 1"),
        (["a"], {"top_k": [3]}, r"top_k: expected one number for all users, got \[3\]"),
    ],
)
def test_what_cannot_be_sent_is_named(users, more, message):
    with pytest.raises(RequestError, match=message):
        client_of("shop").recommend(users, **more)


def test_an_address_is_text():
    with pytest.raises(ConfigError, match="url: expected a string, got None"):
        Client(None)


@pytest.mark.parametrize("timeout", ["1", None, True, 0, -1, float("nan"), float("inf"), 10**9], ids=repr)
def test_a_timeout_is_a_number_of_seconds(timeout):
    with pytest.raises(ConfigError, match="timeout: expected seconds, more than 0 and at most 86,400, got"):
        Client("host:1", timeout=timeout)


@pytest.mark.parametrize("name", ["url", "model"])
def test_an_empty_address_is_refused(name):
    with pytest.raises(ConfigError, match=f"{name}: expected a string, got an empty one"):
        Client(**{name: ""})


class Dying(FakeTriton):
    """Fails the first ``failures`` requests."""

    def __init__(self, status, text, failures):
        super().__init__()
        self.error, self.failures, self.asked = grpc.InferenceServerException(text, status), failures, 0

    def infer(self, model, inputs, request_id, client_timeout):
        self.asked += 1
        if self.asked <= self.failures:
            raise self.error
        answers = {
            "item_ids": [[b"x"]],
            "scores": [[0.5]],
            "propensities": [[1.0]],
            "reasons": [[b""]],
            "release": [[b"r"]],
            "arm": [[b"stable"]],
        }
        arrays = {
            name: np.array(value, dtype=object if name in OF_TEXT else np.float32) for name, value in answers.items()
        }
        return SimpleNamespace(as_numpy=lambda name: arrays.get(name, np.zeros((1, 0), np.float32)))


@pytest.mark.parametrize(
    ("status", "text", "failures", "asked"),
    [
        ("StatusCode.UNAVAILABLE", "the stub has died", 0, 1),
        ("StatusCode.UNAVAILABLE", "the stub has died", 2, 3),
        ("StatusCode.UNAVAILABLE", "the stub has died", 9, 3),
        ("StatusCode.UNAVAILABLE", OVERLOADED, 9, 1),
        ("StatusCode.INVALID_ARGUMENT", "top_k: expected 1 to 12", 9, 1),
        ("StatusCode.DEADLINE_EXCEEDED", "", 9, 1),
    ],
)
def test_a_request_that_met_a_dying_instance_is_sent_again(monkeypatch, status, text, failures, asked):
    monkeypatch.setattr(resend, "PAUSES_S", (0.0, 0.0))
    client, triton = Client("host:1", "shop"), Dying(status, text, failures)
    client.__dict__["_triton"] = triton
    if failures < 3:
        assert client.recommend(["a"])[0].release == "r"
    else:
        with pytest.raises((ServerError, RequestError)):
            client.recommend(["a"])
    assert triton.asked == asked
