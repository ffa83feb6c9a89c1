"""Answers of a server beside those of the same release offline."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gate_releases import MODEL, Releases

from cascade.core.errors import ServerError
from cascade.ensemble.graph.executor import Executor
from cascade.ensemble.protocol.recommendation import Recommendation
from cascade.ensemble.repository.golden import Golden
from cascade.ensemble.repository.golden_requests import AS_LOGGED, EXCLUDED, GoldenRequests
from cascade.ensemble.server.releases.running_servers import LiveServer
from cascade.ensemble.server.status import ServerStatus
from cascade.rollout.config import GatesConfig
from cascade.rollout.gates import served
from cascade.rollout.gates.served import ServedReleases

COUNT = 24
CONFIG = GatesConfig()
Change = Callable[[int, Recommendation], Recommendation]


@pytest.fixture(scope="module")
def golden(live: Executor) -> Golden:
    kinds = np.where(np.arange(COUNT) % 3 == 0, EXCLUDED, AS_LOGGED)
    hours = np.where(np.arange(COUNT) % 5 == 0, np.iinfo(np.int64).min, np.arange(COUNT))
    columns = {"user_id": np.arange(100, 100 + COUNT)[:, None], "hour": hours[:, None]}
    columns["top_k"] = np.full((COUNT, 1), 5, np.int32)
    columns["temperature"] = np.zeros((COUNT, 1), np.float32)
    return Golden.record(live, GoldenRequests(columns, kinds))


@dataclass
class Answering:
    """Stands for a client: it answers with ``executor`` what it is asked, changed by ``change(call, answer)``."""

    executor: Executor
    release: str
    change: Change = lambda call, answer: answer
    calls: int = 0
    contexts: list[dict[str, Any]] = field(default_factory=list)

    def recommend(self, users: list[Any], top_k: int, *, context: dict[str, Any], exclude: list[Any], **how: Any):
        columns = {"user_id": np.array([users]), "top_k": np.array([[top_k]], np.int32)}
        columns |= {name: np.array([[value]]) for name, value in context.items()}
        columns["exclude_items"] = np.array([exclude], np.int64)
        columns["temperature"] = np.full((1, 1), how["temperature"], np.float32)
        one = GoldenRequests(columns, np.array([AS_LOGGED]))
        self.contexts.append(context)
        self.calls += 1
        [answer] = Golden(one, Golden.record(self.executor, one).users, {}).ask(self.executor)
        return [self.change(self.calls, replace(answer, release=self.release))]


@pytest.fixture
def ask(releases: Releases, live, golden, tmp_path, monkeypatch: pytest.MonkeyPatch):
    """``ask(change)``: the verdict on a server whose answers are changed, and the client that asked it."""

    def run(change: Change = lambda call, answer: answer):
        client = Answering(live, releases.live, change)
        place = ServedReleases(releases.store, tmp_path)
        monkeypatch.setattr(ServedReleases, "_client", lambda self, release: nullcontext(client))
        return place.verdict(releases.live, golden, CONFIG), client

    return run


def test_equal_answers_pass_and_missing_context_is_left_out(ask) -> None:
    verdict, client = ask()
    assert (verdict.state, verdict.figures) == ("pass", {"asked": COUNT, "differ": 0})
    assert [bool(context) for context in client.contexts] == [at % 5 != 0 for at in range(COUNT)]


def test_an_answer_that_stays_another_one_fails(ask) -> None:
    def wrong(call: int, answer: Recommendation) -> Recommendation:
        return replace(answer, items=answer.items[::-1]) if answer.user_id == 107 else answer

    verdict, client = ask(wrong)
    assert verdict.state == "fail" and verdict.figures["differ"] == 1
    assert "1 of 24 answers are not those of the same release offline: request 7 (as logged)" in verdict.text
    assert client.calls == COUNT + 2, "only what differs is asked again"


def test_a_store_that_was_written_to_meanwhile_is_no_difference(ask) -> None:
    verdict, _ = ask(lambda call, answer: replace(answer, items=[]) if call == 3 else answer)
    assert (verdict.state, verdict.figures["differ"]) == ("pass", 0)


def test_answers_of_another_arm_are_left_out(ask) -> None:
    def in_arm(call: int, answer: Recommendation) -> Recommendation:
        return replace(answer, release="other", items=[]) if answer.user_id >= 116 else answer

    verdict, _ = ask(in_arm)
    assert (verdict.state, verdict.figures) == ("pass", {"asked": 16, "differ": 0})
    verdict, _ = ask(lambda call, answer: replace(answer, release="other"))
    assert verdict.state == "inconclusive" and "another release answers: other" in verdict.text


def test_a_server_that_fails_fails_the_release(ask) -> None:
    def fails(call: int, answer: Recommendation) -> Recommendation:
        raise ServerError("no answer")

    verdict, _ = ask(fails)
    assert verdict.state == "fail" and "no answer" in verdict.text


def test_only_a_server_of_the_release_is_asked(releases, golden, tmp_path: Path, monkeypatch) -> None:
    asked = list[str]()

    class Noting:
        def __init__(self, url: str, model: str) -> None:
            asked.append(url)
            raise ServerError("stop")

    monkeypatch.setattr(served, "Client", Noting)
    place = ServedReleases(releases.store, tmp_path)
    for at, release in enumerate(("other", releases.live)):
        file = tmp_path / f"status{at}.json"
        server = LiveServer(1, MODEL, str(releases.store.repository), str(file), True)
        monkeypatch.setattr(served, "servers_of", lambda *place, server=server: [server])
        assert place.verdict(releases.live, golden, CONFIG) is None  # it has not said anything yet
        ServerStatus(True, release, grpc_url=f"127.0.0.1:{at}").write(file)
        verdict = place.verdict(releases.live, golden, CONFIG)
        assert (verdict is None) == (release == "other")
    assert asked == ["127.0.0.1:1"]
