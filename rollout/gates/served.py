"""Whether a release answers the golden requests in Triton as it does offline, with the same feature store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import CascadeError
from ...core.signature import Columns
from ...ensemble.client import Client
from ...ensemble.config import ServerConfig
from ...ensemble.graph.executor import Executor
from ...ensemble.graph.recorded_users import lookup_of
from ...ensemble.protocol.call_errors import one_line
from ...ensemble.protocol.inputs import MISSING
from ...ensemble.protocol.recommendation import Recommendation
from ...ensemble.protocol.same_answer import difference
from ...ensemble.repository.golden import Golden
from ...ensemble.repository.golden_requests import SETTINGS
from ...ensemble.server.releases.running_servers import servers_of
from ...ensemble.server.server import TritonServer
from ...ensemble.server.status import ServerStatus
from ...evaluation.served_graph import feature_repo_at
from ..config import GatesConfig
from ..releases.release_files import version_folder
from ..releases.store import ReleaseStore
from .golden import compared
from .verdict import GateVerdict, unknown

NAME = "served"
_TRIALS = 3
"""How often a request is asked whose answers differ: the store may be written to between both."""
ALONE = ServerConfig(http_port=0, grpc_port=0, metrics_port=0, instances=1, standby=False, restart="never")


@dataclass(frozen=True)
class ServedReleases:
    """Where releases are served, and the feature store that they read there."""

    store: ReleaseStore
    feature_repo: Path
    redis: str | None = None
    """Connection string of its online store, with the password."""
    start: bool = False
    """Whether to start a server of a release that none has."""

    def verdict(self, release: str, golden: Golden, config: GatesConfig) -> GateVerdict | None:
        """None if no server has the release, and none is to be started. Figures: see `compared`; requests that an arm
        of another release has answered are left out."""
        try:
            with self._client(release) as client:
                return None if client is None else self._compare(client, release, golden, config)
        except CascadeError as error:
            return GateVerdict(NAME, "fail", f"cannot be asked: {one_line(error)}")

    def _compare(self, client: Client, release: str, golden: Golden, config: GatesConfig) -> GateVerdict:
        with feature_repo_at(self.feature_repo, self.redis):
            offline = Executor.load(self._version(release))
        own, answers = self._offline(golden, offline), [*_served(client, golden.requests.columns)]
        for _ in range(_TRIALS - 1):
            differing = [at for at, each in enumerate(zip(answers, own, strict=True)) if difference(*each)]
            if not differing:
                break
            own = self._offline(golden, offline)
            part = {name: column[differing] for name, column in golden.requests.columns.items()}
            for at, answer in zip(differing, _served(client, part), strict=True):
                answers[at] = answer
        asked = np.array([answer.release == release for answer in answers])
        if not asked.any():
            return unknown(NAME, f"another release answers: {answers[0].release}")
        shown = replace(golden, requests=replace(golden.requests, kinds=golden.requests.kinds[asked]))
        chosen = np.flatnonzero(asked).tolist()
        pairs = [answers[at] for at in chosen], [own[at] for at in chosen]
        return compared(NAME, shown, *pairs, config, "of the same release offline")

    def _offline(self, golden: Golden, offline: Executor) -> list[Recommendation]:
        """The answers of the graph for users as they are in the store now."""
        users = lookup_of(offline)({"user_id": golden.requests.columns["user_id"]})
        return replace(golden, users=users).ask(offline)

    @contextmanager
    def _client(self, release: str) -> Iterator[Client | None]:
        """A connection to a server of the release."""
        if url := self._url(release):
            with Client(url, self.store.model) as client:
                yield client
        elif self.start:
            server = TritonServer(
                self.store.repository,
                self.store.model,
                first=self.store.folder(release),
                feature_repo=self.feature_repo,
                redis=self.redis,
                config=ALONE,
                forward=lambda line: None,
                clients=False,
            )
            with server, Client(server.grpc_url, self.store.model) as client:
                yield client
        else:
            yield None

    def _url(self, release: str) -> str:
        """``host:port`` of a running server that answers with the release; empty if there is none. One with arms is not
        asked: the requests would count as those of users."""
        servers = servers_of(self.store.repository, self.store.model)
        found = [ServerStatus.read(Path(server.status_file)) for server in servers]
        able = (status for status in found if status.ready and status.release == release and not status.arms)
        return next((status.grpc_url for status in able), "")

    def _version(self, release: str) -> Path:
        return version_folder(self.store.folder(release) / self.store.model)


def _served(client: Client, columns: Columns) -> Iterator[Recommendation]:
    """The answer to each request, asked one by one."""
    contexts = [name for name in columns if name not in SETTINGS]
    for row in range(len(columns["user_id"])):
        context = {name: columns[name][row].tolist()[0] if _has(columns[name], row) else None for name in contexts}
        items = [item for item in columns["exclude_items"][row].tolist() if item not in (None, MISSING["int64"])]
        yield client.recommend(
            columns["user_id"][row].tolist(),
            int(columns["top_k"][row, 0]),
            context={name: value for name, value in context.items() if value is not None},
            temperature=0.0,
            seed=0,
            exclude=items,
        )[0]


def _has(column: Any, row: int) -> bool:
    """Whether a request has a value in a context column."""
    value = column[row, 0]
    return not (value is None or value == MISSING["int64"] or value != value)
