"""What each release must answer, computed offline, and clients that compare every answer with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import ServerError
from ...ensemble.client import Client
from ...ensemble.graph.executor import Executor
from ...ensemble.protocol.arms import UNAVAILABLE
from ...ensemble.protocol.recommendation import Recommendation, recommendations
from ...ensemble.protocol.same_answer import difference
from ...evaluation.served_graph import feature_repo_at
from ..chaos.steady_load import Connect

_CALL_S = 10.0

Answers = Mapping[str, Mapping[Any, Recommendation]]
"""Release -> user -> its answer."""


class WrongAnswerError(ServerError):
    """An answer that is not the one of the release that it names."""


def expected_answers(versions: Sequence[Path], users: Sequence[Any], feature_repo: Path, redis: str | None) -> Answers:
    """What the releases in these version folders answer, without sampling."""
    with feature_repo_at(feature_repo, redis):
        executors = [Executor.load(version) for version in versions]
    return {str(one.release["release"]): {user: _answer(one, user) for user in users} for one in executors}


def _answer(executor: Executor, user: Any) -> Recommendation:
    dtype = next(spec.dtype for spec in executor.inputs if spec.name == "user_id")
    asked = {"user_id": np.array([[user]], dtype), "temperature": np.zeros((1, 1), np.float32)}
    return recommendations([user], executor(asked), {})[0]


class CheckedClients:
    """Clients of a server that compare every answer with the expected one.

    Args:
        url: ``host:port`` of the gRPC endpoint.
        model: name of the model.
        expected: what each release must answer.
    """

    def __init__(self, url: str, model: str, expected: Answers) -> None:
        self._url, self._model, self._expected = url, model, expected
        self.last: dict[str, float] = {}
        """Release -> when it has answered last, seconds of the monotonic clock."""
        self.marked, self.marked_at = 0, 0.0
        """Answers that say that an arm does not answer: their number, and when the last one came."""

    @property
    def connect(self) -> Connect:
        """Makes a client; it raises WrongAnswerError for an answer that differs."""

        @contextmanager
        def connect() -> Iterator[Callable[[Any], None]]:
            with Client(self._url, self._model, _CALL_S) as client:

                def ask(user: Any) -> None:
                    answer = client.recommend([user], temperature=0.0)[0]
                    check(answer, self._expected)
                    self.last[answer.release] = time.monotonic()
                    if set(answer.reasons) & set(UNAVAILABLE):
                        self.marked, self.marked_at = self.marked + 1, time.monotonic()

                yield ask

        return connect


def check(answer: Recommendation, expected: Answers) -> None:
    """Compare an answer with that of the release which it names.

    Raises:
        WrongAnswerError: it names none of these, or differs.
    """
    if answer.release not in expected:
        raise WrongAnswerError(f"release {answer.release!r} answers, which nobody has made live")
    if what := difference(answer, expected[answer.release][answer.user_id]):
        raise WrongAnswerError(f"user {answer.user_id}: other {what} than release {answer.release} gives offline")
