"""Both layouts answer as the executor does offline, whatever the request, alone and together with others.

The release has two sources of candidates; most other tests with a server have one.
"""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from waiting import HANG_S, wait_until

from cascade.core.errors import RequestError, ServerError
from cascade.ensemble.client import Client
from cascade.ensemble.config import SkewSampleConfig
from cascade.ensemble.graph.executor import Executor
from cascade.ensemble.protocol.skew_rows import key_of, read_rows, skew_folder
from cascade.ensemble.server.server import TritonServer
from cascade.ensemble.triton.skew_sampler import PassSample, rows_of
from cascade.testing import miniature

STEPS = 10
REQUESTS = [
    {"users": [101]},
    {"users": [119, 5, 100], "top_k": 12},
    {"users": [105, 7], "exclude": [1003, 1004, 1001, 99]},
    {"users": [111], "context": {"hour": 20}, "top_k": 1},
    {"users": [111, 112], "temperature": 0.5, "seed": 9, "top_k": 7},
    {"users": [118], "temperature": 2, "seed": 1, "exclude": [1000 + at for at in range(27)]},
]
REFUSED = [
    ({"users": [101], "top_k": 13}, "top_k: expected 1 to 12, got 13"),
    ({"users": [101], "temperature": -1}, "temperature: expected at least 0, got -1"),
    ({"users": [101], "temperature": float("nan")}, "temperature: expected a number, got NaN"),
    ({"users": list(range(65))}, "user_id: expected 1 to 64 users in one call, got 65"),
]


@pytest.fixture(scope="module", params=["fused", "ensemble"])
def repository(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param) / "models"
    serving = miniature.SERVING.model_copy(update={"layout": request.param})
    miniature.miniature_repository(folder, serving=serving, neighbours=True)
    return folder


@pytest.fixture(scope="module")
def server(repository, free):
    config = free.model_copy(update={"skew_sample": SkewSampleConfig(share=1.0)})
    with TritonServer(repository, "cascade", feature_repo=repository, config=config) as running:
        yield running


@pytest.fixture
def client(server):
    with Client(server.grpc_url, timeout=HANG_S) as connected:
        yield connected


@pytest.fixture(scope="module")
def offline(repository):
    """The executor's answers to a call of the client: (ids, scores, propensities, reasons) for each user."""
    executor = Executor.load(repository / "cascade" / "1", validate=True)
    dtypes = {spec.name: spec.dtype for spec in executor.inputs}

    def answer(users, context=None, exclude=None, **controls):
        given = {name: [value] for name, value in {**controls, **(context or {})}.items()}
        given |= {} if exclude is None else {"exclude_items": exclude}
        columns = {name: np.array([row] * len(users), dtype=dtypes[name]) for name, row in given.items()}
        got = executor({"user_id": np.array(users)[:, None], **columns})
        keep = got["propensities"] > 0
        return [
            (
                *(got[name][row][keep[row]].tolist() for name in ("item_ids", "scores", "propensities")),
                got["reasons"][row, 0],
            )
            for row in range(len(users))
        ]

    return answer


def served(answers):
    return [
        (
            *([getattr(item, name) for item in answer.items] for name in ("item_id", "score", "propensity")),
            ",".join(answer.reasons),
        )
        for answer in answers
    ]


@pytest.mark.parametrize("request_", REQUESTS, ids=str)
def test_served_equals_offline(client, offline, request_):
    answers = client.recommend(**request_)
    assert served(answers) == offline(**request_)
    for answer in answers:
        assert answer.release == miniature.RELEASE.release
        assert len(answer.stages_ms) == STEPS and all(took > 0 for took in answer.stages_ms.values())


def test_requests_are_kept_with_the_features_that_they_saw(client, repository):
    users, folder = [101, 119, 5, 100], skew_folder(repository, "cascade")
    for _ in range(30):  # a file is written after 100 rows
        client.recommend(users, context={"hour": 20})
    wait_until(lambda: [*read_rows(folder)])
    executor = Executor.load(repository / "cascade" / "1")
    sample = PassSample(np.arange(len(users)), {})
    columns = {"user_id": np.array(users)[:, None], "hour": np.full((len(users), 1), 20)}
    executor.run_pass(executor.batcher.accept(columns), watch=sample)
    expected = rows_of(key_of(folder), sample, miniature.RELEASE.release)
    kept = [replace(row, at=sample.at) for row in read_rows(folder)]
    assert len(expected) == len(users) and all(row in kept for row in expected)


def test_requests_of_all_kinds_at_once_each_get_their_own_answer(server, offline):
    expected = [offline(**request) for request in REQUESTS]

    def ask(at):
        with Client(server.grpc_url, timeout=HANG_S) as client:
            return at % len(REQUESTS), served(client.recommend(**REQUESTS[at % len(REQUESTS)]))

    with ThreadPoolExecutor(16) as pool:
        for kind, answers in pool.map(ask, range(240)):
            assert answers == expected[kind]


@pytest.mark.parametrize(("request_", "message"), REFUSED, ids=lambda value: str(value)[:40])
def test_refused_requests_say_the_same(client, request_, message):
    with pytest.raises(RequestError, match=f"^{message}"):
        client.recommend(**request_)


def test_a_refused_request_spoils_none_of_those_beside_it(server, offline):
    [expected] = offline([101])

    def ask(at):
        with Client(server.grpc_url, timeout=HANG_S) as client:
            if at % 2:
                with pytest.raises(RequestError, match="^top_k: expected 1 to 12, got 13"):
                    client.recommend([101], top_k=13)
                return expected
            return served(client.recommend([101]))[0]

    with ThreadPoolExecutor(8) as pool:
        assert all(answer == expected for answer in pool.map(ask, range(80)))


class TestEnsemble:
    """What only an ensemble can do wrong; each test has a repository of its own."""

    @pytest.fixture
    def own(self, tmp_path):
        serving = miniature.SERVING.model_copy(update={"layout": "ensemble"})
        miniature.miniature_repository(tmp_path / "models", serving=serving)
        return tmp_path / "models"

    def test_ids_of_text_and_missing_ones_cross_the_steps(self, tmp_path, free):
        repository = tmp_path / "models"
        serving = miniature.SERVING.model_copy(update={"layout": "ensemble"})
        miniature.miniature_repository(repository, string_ids=True, serving=serving)
        executor = Executor.load(repository / "cascade" / "1")
        users = ["u100", "u119", "nobody", "日本"]
        excluded = np.array([["i1001", "ÿ"]] * 4, dtype=object)
        expected = executor({"user_id": np.array(users, dtype=object)[:, None], "exclude_items": excluded})
        with (
            TritonServer(repository, "cascade", feature_repo=repository, config=free) as server,
            Client(server.grpc_url, timeout=HANG_S) as client,
        ):
            got = client.recommend(users, exclude=["i1001", "ÿ"])
            assert [[item.item_id for item in answer.items] for answer in got] == expected["item_ids"].tolist()
            assert [answer.reasons for answer in got] == [[], [], ["unknown_user"], ["unknown_user"]]
            assert len(client.recommend(users)) == 4

    def test_steps_of_two_releases_give_no_answer(self, own, free):
        step = own / "cascade_rank" / "1" / "release.json"
        facts = json.loads(step.read_text())
        step.write_text(json.dumps({**facts, "release": "another"}))
        miniature.seal(own)
        server = TritonServer(own, "cascade", feature_repo=own, config=free)
        with pytest.raises(ServerError, match="its steps belong to several releases"):
            server.start()

    def test_a_new_version_is_loaded_while_the_server_runs(self, own, free, monkeypatch, tmp_path):
        with (
            TritonServer(own, "cascade", feature_repo=own, config=free) as server,
            Client(server.grpc_url) as client,
        ):
            monkeypatch.setattr(miniature, "RELEASE", replace(miniature.RELEASE, release="next"))
            serving = miniature.SERVING.model_copy(update={"layout": "ensemble"})
            miniature.miniature_repository(tmp_path / "new", version=2, serving=serving)
            for model in (tmp_path / "new").iterdir():
                shutil.copytree(model, own / model.name, dirs_exist_ok=True)
            server.reload()
            [answer] = client.recommend([101])
            assert answer.release == "next"
