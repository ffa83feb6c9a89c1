"""``cascade demo``: the whole pipeline, then recommendations for a few users from a running server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.files import read_json
from .logging import is_verbose, to_stderr
from .options import NONE, PIPELINE, RUNS, ConfigFile, Runs, Sets, Verbose, load
from .run import run_stages
from .text.answer import answer_notes, answer_table

if TYPE_CHECKING:
    from ..config.pipeline import PipelineConfig
    from ..core.artifact import Artifact

_KNOWN_USERS = 3
_LAST_ITEMS = 5


def demo(
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    runs: Runs = RUNS,
    top_k: Annotated[int, typer.Option(min=1, help="Items recommended to each user.")] = 10,
    verbose: Verbose = False,
) -> None:
    """Run the pipeline, serve the result, and show recommendations for a few users."""
    merged = load(config, sets)
    show_recommendations(merged, run_stages(merged, runs, [], False), top_k)


def show_recommendations(config: PipelineConfig, artifacts: Mapping[str, Artifact], top_k: int) -> None:
    """Serve the exported model on free ports, print recommendations for a few users, and stop the server.

    Args:
        artifacts: stage name -> its artifact.
        top_k: items for each user.
    """
    from ..api.server import Server

    users = _users(artifacts["etl"].path)
    titles = _titles(artifacts["data"].path)
    history = _history(artifacts["features"].path, users)
    server = Server(
        config,
        settings=config.server.model_copy(update={"http_port": 0, "grpc_port": 0, "metrics_port": 0}),
        forward=to_stderr if is_verbose() else lambda line: None,
    )
    with server, server.client() as client:
        print(f"\nTriton answers on {server.grpc_url} (gRPC); release {server.release}")
        for user in users:
            [answer] = client.recommend([user], top_k=top_k)
            print(f"\nuser {user}\nhistory: {_last_items(history.get(user), titles)}")
            print(answer_table(answer, titles))
            print(answer_notes(answer))


def _users(etl: Path) -> list[Any]:
    """Raw ids of a few users from all over the data, and of one who is not in the data."""
    import numpy as np

    ids = np.load(etl / "user_ids.npy")
    known = ids[np.linspace(0, len(ids) - 1, num=min(_KNOWN_USERS, len(ids)), dtype=int)].tolist()
    unknown = int(ids.max()) + 1 if ids.dtype.kind in "iu" else f"{max(ids.tolist())}-new"
    return [*dict.fromkeys(known), unknown]


def _titles(data: Path) -> dict[Any, str]:
    """Raw item id -> its title; empty if the items have no titles."""
    import pyarrow.parquet as pq

    column = read_json(data / "tables.json")["title"]
    if column is None:
        return {}
    table = pq.read_table(data / "items.parquet", columns=["item_id", column])
    return dict(zip(table["item_id"].to_pylist(), table[column].to_pylist(), strict=True))


def _history(features: Path, users: Sequence[Any]) -> dict[Any, list[Any]]:
    """User id -> raw item ids of the user's positives, most recent first. Unknown users are left out."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    file = features / "user_history.parquet"
    kind = pq.read_schema(file).field("user_id").type
    wanted = pc.field("user_id").isin(pa.array(users, type=kind))
    table = pq.read_table(file, columns=["user_id", "history_ids"], filters=wanted)
    return dict(zip(table["user_id"].to_pylist(), table["history_ids"].to_pylist(), strict=True))


def _last_items(item_ids: Sequence[Any] | None, titles: Mapping[Any, str]) -> str:
    if item_ids is None:
        return "none, this user is unknown"
    return "; ".join(str(titles.get(item, item)) for item in item_ids[:_LAST_ITEMS]) or "no positive yet"
