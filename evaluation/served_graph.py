"""The served graph for offline evaluation, which reads users from the features artifact instead of the live store."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..core.files import read_json
from ..ensemble.graph.executor import Executor
from ..ensemble.graph.ops.lookup_user import REPO_VARIABLE, LookupUser
from ..ensemble.protocol.release_names import GRAPH
from ..ensemble.repository.user_lookup import reading_artifact
from ..workflows.features.online import REDIS_VARIABLE

_turn = threading.RLock()


def version_folder(export: Path) -> Path:
    """The version folder in an export artifact."""
    return next(export.glob("*/*/graph.json")).parent


def load_before_test(version: Path, features: Path) -> Executor:
    """The graph in a version folder, with users as they were before the test part.

    The live store may hold later events, which are to be predicted.

    Args:
        features: the features artifact that the release was made with.
    """
    nodes = read_json(version / GRAPH)["nodes"]
    users = LookupUser(**next(node["params"] for node in nodes if node["op"] == LookupUser.kind))
    return Executor.load(version, replace={LookupUser.kind: reading_artifact(users, features)})


def before_test(executor: Executor, features: Path) -> Executor:
    """The same for a graph that is loaded."""
    ops = {node.name: node.op for node in executor.nodes}
    users = {name: reading_artifact(op, features) for name, op in ops.items() if isinstance(op, LookupUser)}
    return Executor(
        executor.inputs, {**ops, **users}, executor.outputs, max_users=executor.max_users, release=executor.release
    )


@contextmanager
def feature_repo_at(folder: Path | str, redis: str | None = None) -> Iterator[None]:
    """Let the graph's user lookup read the Feast repository in ``folder``, as the server does.

    Threads take turns, as all of them have the same environment.

    Args:
        redis: connection string of its online store, with the password that no release holds.
    """
    own = {REPO_VARIABLE: str(Path(folder).resolve()), **({} if redis is None else {REDIS_VARIABLE: redis})}
    with _turn:
        before = {name: os.environ.get(name) for name in own}
        os.environ.update(own)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
