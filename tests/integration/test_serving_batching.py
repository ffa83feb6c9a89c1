"""Concurrent requests share passes and get their own answers; how long stages take is on the metrics page."""

import threading
import time
import urllib.request
from collections import Counter

import numpy as np
import pytest
import tritonclient.grpc as grpc
from prometheus_client.parser import text_string_to_metric_families
from waiting import HANG_S

from cascade.ensemble.client import Client
from cascade.ensemble.graph.executor import Executor
from cascade.ensemble.server import prober
from cascade.ensemble.server.server import TritonServer
from cascade.ensemble.server.stubs import running_stubs
from cascade.testing.miniature import SERVING, miniature_repository

TYPES = {"int64": "INT64", "int32": "INT32", "float32": "FP32"}
"""Metrics are published once a second; a busy machine may take longer."""
REQUESTS = "recsys_requests_total"
JOIN_US = 100_000
"""Requests wait so long for others, so that they are joined however slowly they are sent."""


@pytest.fixture(scope="module")
def joining(tmp_path_factory, free):
    """A server whose requests wait for others."""
    folder = tmp_path_factory.mktemp("joining") / "models"
    miniature_repository(folder, serving=SERVING.model_copy(update={"queue_delay_us": JOIN_US}))
    with TritonServer(folder, "cascade", feature_repo=folder, config=free) as running:
        yield running


def numbers(rng, kind):
    """Columns of a request of one to three users; ``kind`` says which optional inputs it brings."""
    rows = int(rng.integers(1, 4))
    columns = {"user_id": rng.integers(95, 125, (rows, 1)), "seed": rng.integers(0, 2**60, (rows, 1))}
    if kind != "plain":
        columns["top_k"] = rng.integers(1, 13, (rows, 1)).astype(np.int32)
        columns["temperature"] = rng.choice([0, 0.5], (rows, 1)).astype(np.float32)
    if kind == "lists":
        columns["exclude_items"] = rng.integers(1000, 1030, (rows, int(rng.integers(0, 9))))
    return columns


def ask_all(url, requests):
    """The answers to requests that are all sent before the first comes back."""
    answers, done = [None] * len(requests), threading.Semaphore(0)

    def keep(at):
        def callback(result, error):
            answers[at] = (result, error)
            done.release()

        return callback

    with grpc.InferenceServerClient(url) as raw:
        for at, columns in enumerate(requests):
            inputs = []
            for name, column in columns.items():
                inputs.append(grpc.InferInput(name, column.shape, TYPES[column.dtype.name]))
                inputs[-1].set_data_from_numpy(column)
            raw.async_infer("cascade", inputs, keep(at), client_timeout=HANG_S)
        for _ in requests:
            assert done.acquire(timeout=HANG_S)
    return answers


def passes(url):
    """How many there were so far; Triton may count the last one a moment after its answers."""
    with grpc.InferenceServerClient(url) as raw:
        (stats,) = raw.get_inference_statistics("cascade").model_stats
    return stats.execution_count


@pytest.mark.parametrize(
    "kinds", [["values"], ["lists"], ["plain", "values", "lists"]], ids=lambda kinds: "+".join(kinds)
)
def test_concurrent_requests_share_passes_and_each_gets_its_own_answer(joining, repository, kinds):
    executor, rng = Executor.load(repository / "cascade" / "1"), np.random.default_rng(len(kinds))
    # Triton ends a batch at a request with another set of inputs, so those of one kind come one after the other.
    requests = [numbers(rng, kind) for kind in kinds for _ in range(60)]
    before = passes(joining.grpc_url)
    answers = ask_all(joining.grpc_url, requests)
    assert passes(joining.grpc_url) - before < len(requests) / 4
    for columns, (answer, error) in zip(requests, answers, strict=True):
        assert error is None
        alone = executor(columns)
        for name in ("item_ids", "scores", "propensities"):
            assert answer.as_numpy(name).shape == alone[name].shape
            np.testing.assert_allclose(answer.as_numpy(name), alone[name], rtol=1e-5, atol=1e-6)


def test_of_more_requests_than_may_wait_some_are_answered_and_the_others_asked_to_come_back(tmp_path, free):
    few = SERVING.model_copy(update={"queue_delay_us": JOIN_US, "max_queue_size": 8})
    miniature_repository(tmp_path / "models", serving=few)
    with TritonServer(tmp_path / "models", "cascade", feature_repo=tmp_path, config=free) as server:
        answers = ask_all(server.grpc_url, [numbers(np.random.default_rng(at), "plain") for at in range(100)])
        errors = [error for _, error in answers if error is not None]
        assert 8 <= len(answers) - len(errors) < 100
        assert {error.status() for error in errors} == {"StatusCode.UNAVAILABLE"}
        assert all("serving.max_queue_size allows (8)" in error.message() for error in errors)
        with Client(server.grpc_url) as client:
            assert client.recommend([101])[0].items


def samples(server, requests):
    """All series of the model, as (name, labels, value), once ``requests`` are counted; fails if they never are."""
    give_up = time.monotonic() + HANG_S
    while True:
        with urllib.request.urlopen(server.metrics_url, timeout=HANG_S) as page:
            families = list(text_string_to_metric_families(page.read().decode()))
        found = [sample[:3] for family in families for sample in family.samples]
        found = [
            entry for entry in found if entry[0].startswith("recsys_") and "model" in entry[1]
        ]  # not the gateway's
        if sum(value for name, _, value in found if name == REQUESTS) == requests:
            return found
        assert time.monotonic() < give_up, found
        time.sleep(0.1)


def summed(found):
    """Over processes: (name, stage, le) -> value."""
    total = Counter()
    for name, labels, value in found:
        assert labels["model"] == "cascade"
        total[name, labels.get("stage"), labels.get("le")] += value
    return total


@pytest.fixture
def no_probes(monkeypatch):
    """No requests of the server itself, but the one at its start."""
    monkeypatch.setattr(prober, "_ASK_EVERY", 10**9)


def test_stages_are_on_the_metrics_page_of_all_instances(repository, free, no_probes):
    two = free.model_copy(update={"instances": 2})
    with TritonServer(repository, "cascade", feature_repo=repository, config=two) as server:
        before = summed(samples(server, 1))  # the server's own probe
        answers = ask_all(server.grpc_url, [numbers(np.random.default_rng(at), "plain") for at in range(100)])
        after = summed(samples(server, 101))
        with Client(server.grpc_url) as client:
            stages = list(client.recommend([101])[0].stages_ms)
        assert len(running_stubs(server.pid)) == 2
    grown = {series: value - before[series] for series, value in after.items()}
    joint = grown["recsys_latency_seconds_count", "total", None]
    assert grown[REQUESTS, None, None] == 100 >= joint > 0
    assert grown["recsys_users_total", None, None] == sum(len(answer.as_numpy("reasons")) for answer, _ in answers)
    assert {stage for _, stage, _ in grown} - {None} == {*stages, "unpack", "pack", "total"}
    for stage in (*stages, "unpack", "pack", "total"):
        assert grown["recsys_latency_seconds_count", stage, None] == joint
        assert grown["recsys_latency_seconds_bucket", stage, "+Inf"] == joint
        assert (
            0 < grown["recsys_latency_seconds_sum", stage, None] <= grown["recsys_latency_seconds_sum", "total", None]
        )


def test_requests_that_come_one_after_the_other_find_a_warm_instance(repository, free, no_probes):
    two = free.model_copy(update={"instances": 2})
    with TritonServer(repository, "cascade", feature_repo=repository, config=two) as server:
        with Client(server.grpc_url) as client:
            for _ in range(50):
                client.recommend([101])
                time.sleep(0.05)  # the answer comes a moment before Triton knows that its instance is idle again
        found = samples(server, 51)
    rarely, mostly = sorted(value for name, _, value in found if name == REQUESTS)
    assert rarely + mostly == 51
    assert rarely < 51 / 4  # taking turns gives half
