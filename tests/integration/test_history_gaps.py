"""Time gaps end to end: a served model that reads them, on Feast's own sqlite store."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from cascade.cli.text.evaluation import whole_text
from cascade.core.artifact import Artifact, write_artifact
from cascade.core.errors import ConfigError, RequestError
from cascade.ensemble.config import AnnConfig, ExportConfig, RerankConfig, ServingConfig
from cascade.ensemble.graph.executor import Executor
from cascade.ensemble.repository.stage import EXPORT
from cascade.ensemble.repository.user_lookup import user_lookup
from cascade.evaluation.config import EvaluationConfig
from cascade.evaluation.held_out import LoggedTest
from cascade.evaluation.replay import event_columns, rank_logged
from cascade.evaluation.served_answers import scored_impressions
from cascade.evaluation.served_graph import before_test
from cascade.evaluation.stage import EVALUATION
from cascade.models.config import DlrmConfig
from cascade.models.training.rows import Events, item_columns, user_columns
from cascade.testing.feature_data import write_table
from cascade.testing.miniature_models import save_query_tower, save_ranker
from cascade.workflows.config import (
    DataConfig,
    EtlConfig,
    FeatureStoreConfig,
    HistoryConfig,
    SchemaConfig,
    TextConfig,
)
from cascade.workflows.data.stage import DATA
from cascade.workflows.etl.stage import ETL
from cascade.workflows.etl.tensors import Tensors
from cascade.workflows.features import store as feature_store
from cascade.workflows.features.definitions import PUSH_SOURCE
from cascade.workflows.features.stage import FEATURES

DIM, ITEMS, USERS, DAY = 8, 12, 6, 86_400
START = 1_700_000_000


def log(folder: Path) -> str:
    """User u takes items u, u + 1, ... u + 4, one every u + 1 days."""
    rows = [(user, user + at, START + at * (user + 1) * DAY) for user in range(USERS) for at in range(5)]
    kinds = {"user_id": "int", "item_id": "int", "timestamp": "int"}
    write_table(folder / "interactions", dict(zip(kinds, zip(*rows, strict=True), strict=True)), kinds)
    return str(folder)


def models(runs: Path, made: dict[str, Artifact]) -> dict[str, Artifact]:
    """Hand-made models of the etl's features, and an index."""
    import faiss

    tensors = Tensors.load(made["etl"].path)
    users, items = tensors.schema.side("user", "context"), tensors.schema.side("item")
    vectors = np.random.default_rng(0).normal(size=(len(tensors.item_ids), DIM)).astype(np.float32)

    def index(folder: Path) -> None:
        np.save(folder / "item_vectors.npy", vectors)
        flat = faiss.IndexFlatIP(DIM)
        flat.add(vectors)
        faiss.write_index(flat, str(folder / "index.faiss"))

    def two_tower(folder: Path) -> None:
        save_query_tower(folder / "query_tower.onnx", users, DIM)
        save_query_tower(folder / "item_tower.onnx", items, DIM)

    towers = {"etl": made["etl"]}
    made["two_tower"] = write_artifact(runs / "two_tower", "two_tower", towers, two_tower)
    made["index"] = write_artifact(runs / "index", "index", {**towers, "two_tower": made["two_tower"]}, index)
    parents = {name: made[name] for name in ("etl", "two_tower", "index")}
    made["ranker"] = write_artifact(
        runs / "ranker", "ranker", parents, lambda to: save_ranker(to / "ranker.onnx", users, items, DIM, fused=True)
    )
    return made


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """The published store, the etl's tensors, and the exported graph."""
    folder = tmp_path_factory.mktemp("gaps")
    section = FeatureStoreConfig(repo=str(folder / "repo"), project="gaps")
    sections = {
        "data": DataConfig(source="tables", path=log(folder / "tables")),
        "schema": SchemaConfig(sparse=["user_id", "item_id"]),
        "etl": EtlConfig(workers=1, device="cpu"),
        "etl.text": TextConfig(),
        "history": HistoryConfig(length=3, seen=10, gaps=True),
        "feature_store": section,
        "serving": ServingConfig(ann=AnnConfig(type="flat", topk=4), rerank=RerankConfig(k=2)),
        "export": ExportConfig(repository=str(folder / "models")),
    }
    made = {"data": DATA.run(folder, sections, {})}
    for stage in (ETL, FEATURES):
        made[stage.name] = stage.run(folder, sections, {"data": made["data"]})
    feature_store.publish(section, made["features"])
    made["export"] = artifact = EXPORT.run(folder, sections, models(folder, made))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CASCADE_FEATURE_REPO", section.repo)
        executor = Executor.load(artifact.path / "cascade" / "1", validate=True)
        tensors = Tensors.load(made["etl"].path)
        yield SimpleNamespace(section=section, sections=sections, made=made, tensors=tensors, executor=executor)


def answer(served: SimpleNamespace, user: int) -> dict[str, NDArray[Any]]:
    request = {"user_id": np.array([[user]])}
    columns, _ = served.executor.run(request, keep=["history", "history_gap", "query", "item_ids"])
    return dict(columns)


def gaps(served: SimpleNamespace, user: int) -> list[int]:
    return [int(gap) for gap in answer(served, user)["history_gap"][0]]


def code(seconds: int) -> int:
    return 2 + seconds.bit_length()


def test_served_gaps_are_those_of_the_test_events(served: SimpleNamespace) -> None:
    test = served.tensors.interactions("test")
    assert len(test) == USERS
    served = SimpleNamespace(**{**vars(served), "executor": before_test(served.executor, served.made["features"].path)})
    for at, user in enumerate(served.tensors.user_ids[test.user_row].tolist()):
        got = answer(served, user)
        np.testing.assert_array_equal(got["history"], test.history[[at]])
        np.testing.assert_array_equal(got["history_gap"], test.history_gap[[at]])
        assert got["history_gap"].tolist() == [[1, code((user + 1) * DAY), code((user + 1) * DAY)]]


def test_a_push_with_times_changes_the_next_answer(served: SimpleNamespace) -> None:
    before, last = answer(served, 1), START + 4 * 2 * DAY
    feature_store.push_history(served.section, 1, [9, 10], [last + 60, last + 60 + 7])
    after = answer(served, 1)
    assert after["history_gap"].tolist() == [[1, code(7), code(60)]]
    assert after["history"][0, 2] == before["history"][0, 0]
    assert not np.allclose(after["query"], before["query"])
    feature_store.push_history(served.section, 1, [11], [last + 67 + 1000])
    assert gaps(served, 1) == [1, code(1000), code(7)]


def test_only_the_times_differ_and_so_does_the_query(served: SimpleNamespace) -> None:
    for user, pause in ((100, 5), (101, 5000)):
        feature_store.push_history(served.section, user, [3, 4], [START, START + pause])
    soon, late = (answer(served, user) for user in (100, 101))
    assert (soon["history"].tolist(), soon["history_gap"][0, 1]) == (late["history"].tolist(), code(5))
    assert late["history_gap"][0, 1] == code(5000)
    assert not np.allclose(soon["query"], late["query"])


def test_a_push_without_times_is_of_now(served: SimpleNamespace) -> None:
    feature_store.push_history(served.section, 2, [9])
    newest, gap, _ = gaps(served, 2)
    assert newest == 1 and gap >= code(365 * DAY), "the log ended in 2023"


def test_nobody_s_history_is_padding(served: SimpleNamespace) -> None:
    assert gaps(served, 4711) == [0, 0, 0]


def offline(served: SimpleNamespace, events: Events) -> NDArray[np.float32]:
    """The ranker's logit [M] for the item of each event, by its models alone."""
    import onnxruntime

    tower, ranker = (
        onnxruntime.InferenceSession(served.made[name].path / file)
        for name, file in (("two_tower", "query_tower.onnx"), ("ranker", "ranker.onnx"))
    )
    users, rows = user_columns(served.tensors, events), events.item_row[:, None]
    vectors = np.load(served.made["index"].path / "item_vectors.npy")[rows]
    query = {"query": tower.run(["query"], users)[0], "item_vectors": vectors}
    [logits] = ranker.run(["logits"], {**users, **item_columns(served.tensors, rows), **query})
    return np.asarray(logits[:, 0])


def test_impressions_are_scored_with_the_gaps_of_their_moment(served: SimpleNamespace) -> None:
    """Whatever has been pushed since; what the user had, and when, is the event's own."""
    feature_store.push_history(served.section, 3, [9, 10], [START + 1000 * DAY, START + 1000 * DAY + 60])
    tensors = served.tensors
    logged = LoggedTest.read(served.made["data"].path, tensors.user_ids, tensors.item_ids)
    rows, events = scored_impressions(served.executor, logged, EvaluationConfig(), tensors)
    stored = answer(served, 3)
    at = int(np.flatnonzero(tensors.user_ids[events.user_row] == 3)[0])
    own = np.asarray(events.moment["history_gap"])[at]
    assert (own != stored["history_gap"][0]).any() and len(rows.logits) == USERS
    np.testing.assert_allclose(rows.logits, offline(served, events), atol=1e-5)


def test_earlier_moments_have_other_gaps(served: SimpleNamespace) -> None:
    """Each of several impressions of one user has its own; one without them is refused."""
    events = Events.of(served.tensors.interactions("train"))
    request = {"user_id": served.tensors.user_ids[events.user_row][:, None], "candidate_rows": events.item_row[:, None]}
    request["candidate_rows"] = request["candidate_rows"].astype(np.int64)
    given = event_columns(events.moment)
    assert len(np.unique(given["event_history_gap"][events.user_row == 0], axis=0)) > 2
    got = rank_logged(served.executor, {**request, **given}, batch_size=4)
    np.testing.assert_allclose(got, offline(served, events), atol=1e-5)
    with pytest.raises(RequestError, match="event_history_gap"):
        rank_logged(served.executor, {**request, "event_history": given["event_history"]}, batch_size=4)


def test_baselines_of_impressions_are_left_out_in_the_open(served: SimpleNamespace, tmp_path: Path) -> None:
    """A ranker that learned from candidates has no impressions to predict: one that was named says so."""
    ranker = replace(served.made["ranker"], metrics={"train_on": "candidates", "order": "fused"})
    section = EvaluationConfig(baselines=["popularity", "lightgbm"], replicates=100)
    sections = {**served.sections, "evaluation": section, "dlrm_ranker": DlrmConfig()}
    made = EVALUATION.run(tmp_path, sections, {**served.made, "ranker": ranker})
    assert list(made.metrics["baselines"]) == ["popularity", "lightgbm"] and made.metrics["impressions"] == {}
    why = made.metrics["baselines"]["lightgbm"]["skipped"]
    assert why.startswith("needs logged impressions, but the ranker was trained on candidates")
    assert f"LightGBM: {why}" in (made.path / "report.html").read_text()
    assert f"lightgbm: {why}" in whole_text(made)


def test_feasts_own_push_and_sdk(served: SimpleNamespace) -> None:
    """Times are seconds in the store; a history without any has items alone."""
    store = feature_store.open_store(served.section)
    lists = {"history_ids": [[5, 4]], "rejected_ids": [[]], "history_times": [[START + 90, START]]}
    row = {"user_id": [200], "event_timestamp": [pd.Timestamp.now("UTC")]}
    store.push(PUSH_SOURCE, pd.DataFrame({**row, **lists}))
    assert gaps(served, 200) == [1, code(90), 0]
    store.push(PUSH_SOURCE, pd.DataFrame({**row, "user_id": [201], **lists, "history_times": [[]]}))
    got = answer(served, 201)
    assert (got["history"] > 0).tolist() == [[True, True, False]] and not got["history_gap"].any()
    found = store.get_online_features(["user_history:history_times"], [{"user_id": 0}]).to_dict()
    assert found["history_times"] == [[START + at * DAY for at in (4, 3, 2, 1, 0)]]


def test_a_store_without_times_is_refused(served: SimpleNamespace, tmp_path: Path) -> None:
    sections = {"schema": SchemaConfig(sparse=["user_id", "item_id"]), "history": HistoryConfig()}
    other = FEATURES.run(tmp_path, {**sections, "feature_store": served.section}, {"data": served.made["data"]})
    with pytest.raises(ConfigError, match="user_history: lacks history_times; it was made without history.gaps"):
        user_lookup(other.path, served.section, times=3)
