"""The demo on a tiny pipeline, with a server and a client that only remember."""

import json
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cascade.api import server
from cascade.cli.demo import show_recommendations
from cascade.config.pipeline import PipelineConfig
from cascade.core.artifact import Artifact
from cascade.ensemble.protocol.recommendation import Recommendation, RecommendedItem

CONFIG = PipelineConfig.model_validate({"schema": {"sparse": ["user_id", "item_id"]}})


class FakeClient:
    """Answers without a server. The real class stays as it is: hang checks of other tests' servers ask through it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def recommend(self, user_ids: Any, top_k: int | None = None, **how: Any) -> list[Recommendation]:
        item = RecommendedItem("x" if isinstance(user_ids[0], str) else 7, 0.25, 1.0)
        return [
            Recommendation(user, [item] * (top_k or 1), ["unknown_user"], "abc", {"rank": 0.5}) for user in user_ids
        ]


class FailingClient(FakeClient):
    """Is interrupted."""

    def recommend(self, user_ids: Any, top_k: int | None = None, **how: Any) -> list[Recommendation]:
        raise KeyboardInterrupt


class FakeServer:
    """Started and stopped, and that is all."""

    client = FakeClient
    grpc_url = "127.0.0.1:1"
    events: list[str] = []
    release = "abc"

    def __init__(self, config: PipelineConfig, **how: Any) -> None:
        settings = how["settings"]
        assert (settings.http_port, settings.grpc_port, settings.metrics_port) == (0, 0, 0), "the demo takes free ports"

    def __enter__(self) -> Self:
        self.events.append("start")
        return self

    def __exit__(self, *error: object) -> None:
        self.events.append("stop")


def artifacts(folder: Path, users: list[Any], items: list[Any], title: str | None) -> dict[str, Artifact]:
    """What the demo reads; the first user had the items in their order, most recent first."""
    for name in ("data", "etl", "features"):
        (folder / name).mkdir()
    np.save(folder / "etl" / "user_ids.npy", np.array(users))
    columns = {"item_id": items, **({title: [f"Film {item}" for item in items]} if title else {})}
    pq.write_table(pa.table(columns), folder / "data" / "items.parquet")
    (folder / "data" / "tables.json").write_text(json.dumps({"title": title}))
    history = pa.table({"user_id": users[:1], "history_ids": [items]})
    pq.write_table(history, folder / "features" / "user_history.parquet")
    return {name: Artifact(folder / name, name, "", {}) for name in ("data", "etl", "features")}


@pytest.fixture(autouse=True)
def no_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeServer.events = []
    monkeypatch.setattr(server, "Server", FakeServer)


def test_users_titles_history_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_recommendations(CONFIG, artifacts(tmp_path, [3, 5, 8], [7, 6], "title"), top_k=2)
    text = capsys.readouterr().out
    assert [line for line in text.splitlines() if line.startswith("user ")] == ["user 3", "user 5", "user 8", "user 9"]
    assert "history: Film 7; Film 6" in text
    assert text.count("Film 7") == 1 + 4 * 2, "once in the history, twice for each user"
    assert "0.2500" in text and "reasons: unknown_user; release: abc" in text and "rank 0.50" in text
    assert FakeServer.events == ["start", "stop"]


def test_text_ids_without_titles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_recommendations(CONFIG, artifacts(tmp_path, ["a", "b"], ["x", "y"], None), top_k=1)
    text = capsys.readouterr().out
    assert [line for line in text.splitlines() if line.startswith("user ")] == ["user a", "user b", "user b-new"]
    assert "history: x; y" in text and "title" not in text


def test_the_server_stops_when_the_client_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeServer, "client", FailingClient)
    with pytest.raises(KeyboardInterrupt):
        show_recommendations(CONFIG, artifacts(tmp_path, [1], [7], None), top_k=1)
    assert FakeServer.events == ["start", "stop"]
