"""The export stage, on artifacts of a small synthetic shop and hand-made models."""

import json
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.sparse import csr_matrix

from cascade.api.locate import locate
from cascade.core.artifact import Artifact, write_artifact
from cascade.core.errors import ArtifactError, ConfigError
from cascade.core.signature import ColumnSpec
from cascade.ensemble.config import (
    AnnConfig,
    ExportConfig,
    RerankConfig,
    ServingConfig,
)
from cascade.ensemble.graph.executor import Executor
from cascade.ensemble.graph.ops import LookupUser, Op
from cascade.ensemble.protocol.config_file import served_version
from cascade.ensemble.repository.publication import install
from cascade.ensemble.repository.stage import EXPORT
from cascade.models.retriever.neighbours import Neighbours
from cascade.testing.miniature_models import save_query_tower, save_ranker
from cascade.workflows.config import (
    DataConfig,
    EtlConfig,
    FeatureStoreConfig,
    HistoryConfig,
    SchemaConfig,
    SyntheticConfig,
    TextConfig,
)
from cascade.workflows.etl.tensors import Tensors

DIM, TOPK = 8, 20
SECTIONS = {
    "data": DataConfig(source="synthetic", synthetic=SyntheticConfig(interactions=10_000)),
    "schema": SchemaConfig(
        dense=["price", "age_norm", "session_time"],
        sparse=["user_id", "item_id", "brand", "geo", "device"],
        crosses=[["geo", "device"]],
    ),
    "etl": EtlConfig(),
    "etl.text": TextConfig(),
    "history": HistoryConfig(length=5, seen=30),
    "feature_store": FeatureStoreConfig(project="shop"),
    "serving": ServingConfig(ann=AnnConfig(topk=TOPK), rerank=RerankConfig(k=10)),
}


@dataclass
class UsersTable(Op):
    """Replaces the feature store by users.parquet; all users have the same history."""

    path: str
    columns: list[str]
    history: list[int] = field(default_factory=list)
    kind = "users_table"
    rows: dict = field(init=False, default=None)

    @property
    def reads(self):
        return {"user_id": ColumnSpec("int64")}

    @property
    def writes(self):
        flags = {name: ColumnSpec("bool") for name in ("known_user", "features_stale")}
        dtypes = {"age_norm": "float64", "geo": "object"}
        raw = {name: ColumnSpec(dtypes[name]) for name in self.columns}
        return {**raw, "history_ids": ColumnSpec("int64", ("S",)), "rejected_ids": ColumnSpec("int64", ("X",)), **flags}

    def __call__(self, columns):
        table = pq.read_table(self.path).to_pydict()
        rows = [table["user_id"].index(user) for user in columns["user_id"][:, 0]]
        raw = {name: np.array([[table[name][row]] for row in rows], self.writes[name].dtype) for name in self.columns}
        flags = {"known_user": np.ones((len(rows), 1), bool), "features_stale": np.zeros((len(rows), 1), bool)}
        history, nothing = np.array([self.history] * len(rows), np.int64), np.zeros((len(rows), 0), np.int64)
        return {**raw, "history_ids": history.reshape(len(rows), -1), "rejected_ids": nothing, **flags}


def two_tower(folder, tensors):
    save_query_tower(folder / "query_tower.onnx", tensors.schema.side("user", "context"), DIM)
    save_query_tower(folder / "item_tower.onnx", tensors.schema.side("item"), DIM)


def index(folder, tensors):
    import faiss

    vectors = np.random.default_rng(0).normal(size=(len(tensors.item_ids), DIM)).astype(np.float32)
    np.save(folder / "item_vectors.npy", vectors)
    flat = faiss.IndexFlatIP(DIM)
    flat.add(vectors)
    faiss.write_index(flat, str(folder / "index.faiss"))
    return {"notices": ["serving.ann.type: gpu_flat runs as flat, there is no GPU"]}


def ranker(folder, tensors):
    users, items = tensors.schema.side("user", "context"), tensors.schema.side("item")
    save_ranker(folder / "ranker.onnx", users, items, DIM, fused=True)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def parts(runs):
    """The artifacts: data, etl and features from their stages; two_tower, index and ranker made by hand."""
    from cascade.workflows.data.stage import DATA
    from cascade.workflows.etl.stage import ETL
    from cascade.workflows.features.stage import FEATURES

    made = {"data": DATA.run(runs, SECTIONS, {})}
    made["etl"] = ETL.run(runs, SECTIONS, {"data": made["data"]})
    made["features"] = FEATURES.run(runs, SECTIONS, {"data": made["data"]})
    tensors = Tensors.load(made["etl"].path)
    for fill, parents in ((two_tower, ["etl"]), (index, ["etl", "two_tower"]), (ranker, ["etl", "two_tower", "index"])):
        made[fill.__name__] = by_hand(runs / fill.__name__, fill, tensors, {name: made[name] for name in parents})
    return made


def by_hand(path, fill, tensors, parents):
    return write_artifact(path, fill.__name__, parents, lambda folder: fill(folder, tensors))


def sections(repository, **export):
    return {**SECTIONS, "export": ExportConfig(repository=str(repository), **export)}


@pytest.fixture(scope="module")
def artifact(runs, parts):
    return EXPORT.run(runs, sections(runs / "repository"), parts)


@pytest.fixture(scope="module")
def version(artifact):
    return artifact.path / "cascade" / "1"


@pytest.fixture(scope="module")
def executor(version, parts):
    users = UsersTable(str(parts["data"].path / "users.parquet"), ["geo", "age_norm"])
    return Executor.load(version, replace={"lookup_user": users}, validate=True)


def test_features_of_the_graph_are_those_of_the_etl(executor, parts):
    tensors = Tensors.load(parts["etl"].path)
    names = list(tensors.users)
    got, _ = executor.run({"user_id": tensors.user_ids[:, None]}, keep=names)
    for name in names:
        np.testing.assert_array_equal(got[name], tensors.users[name])


def test_answers_raw_ids_of_the_catalogue(executor, parts):
    tensors = Tensors.load(parts["etl"].path)
    got, stage_ms = executor.run({"user_id": tensors.user_ids[:5, None], "device": np.full((5, 1), None)})
    assert got["item_ids"].shape == (5, 10)
    assert set(got["item_ids"].ravel()) <= set(tensors.item_ids)
    assert got["release"].tolist() == [[executor.release["release"]]] * 5
    assert list(stage_ms)[1:] == [
        "transform",
        "encode_query",
        "retrieve",
        "drop_seen",
        "lookup_items",
        "rank",
        "order",
        "respond",
    ]


@pytest.fixture(scope="module")
def with_neighbours(runs, parts):
    """The release of a retriever with item-item weights: with the first item goes the last one."""
    tensors, made = Tensors.load(parts["etl"].path), dict(parts)
    code = np.load(parts["etl"].path / "transforms" / "item_codes.npy")[0]
    weights = np.zeros((tensors.schema["history"].cardinality, len(tensors.item_ids)), np.float32)
    weights[code, -1] = 50

    def tower(folder, tensors):
        two_tower(folder, tensors)
        Neighbours(csr_matrix(weights)).save(folder)

    def reading(folder, tensors):
        users, items = tensors.schema.side("user", "context"), tensors.schema.side("item")
        save_ranker(folder / "ranker.onnx", users, items, DIM, neighbours=True)

    above = {"etl": parts["etl"]}
    for fill, name in ((tower, "two_tower"), (index, "index"), (reading, "ranker")):
        made[name] = write_artifact(runs / f"{name}-2", name, dict(above), lambda folder, of=fill: of(folder, tensors))
        above[name] = made[name]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cascade.core.files.LINK_FROM", 0)  # these files are small
        return EXPORT.run(runs, sections(runs / "repository"), made).path / "cascade" / "1"


def test_item_item_weights_are_served_from_one_copy(with_neighbours, parts):
    tensors = Tensors.load(parts["etl"].path)
    first = int(tensors.item_ids[0])
    users = UsersTable(str(parts["data"].path / "users.parquet"), ["geo", "age_norm"], [first])
    executor = Executor.load(with_neighbours, replace={"lookup_user": users}, validate=True)
    assert executor.stages[3:6] == ("retrieve", "merge_neighbours", "drop_seen")
    names = ["candidate_rows", "neighbour_scores", "source_rows", "retrieved_sources", "logits"]
    got, _ = executor.run({"user_id": tensors.user_ids[:5, None]}, names)
    last = len(tensors.item_ids) - 1
    assert (got["candidate_rows"][:, 0] == last).all() and (got["neighbour_scores"][:, 0] == 50).all()
    assert not got["neighbour_scores"][:, 1:].any() and (got["item_ids"][:, 0] == tensors.item_ids[-1]).all()
    assert (got["source_rows"][:, 0] == last).all() and set(got["retrieved_sources"][:, 0]) <= {2, 3}
    stranger = Executor.load(with_neighbours, replace={"lookup_user": replace(users, history=[])})
    assert not stranger.run({"user_id": tensors.user_ids[:5, None]}, names)[0]["neighbour_scores"].any()
    for name in ("neighbour_start.npy", "neighbour_row.npy", "neighbour_weight.npy", "item_vectors.npy"):
        one, other = with_neighbours.glob(f"nodes/*/{name}")
        assert one.samefile(other)


def test_inputs_follow_from_the_tables(executor):
    inputs = {entry.name: (entry.dtype, entry.required) for entry in executor.inputs}
    assert inputs["user_id"] == ("int64", True)
    assert (inputs["device"], inputs["session_time"]) == (("object", False), ("float64", False))
    assert not {"geo", "age_norm", "brand"} & set(inputs)


def test_lookup_reads_the_feature_store_for_what_the_transforms_need(version):
    graph = json.loads((version / "graph.json").read_text())
    lookup = LookupUser(**graph["nodes"][0]["params"])
    assert graph["nodes"][0]["name"] == "00_lookup_user"
    assert sorted(lookup.columns) == ["age_norm", "geo"] and lookup.project == "shop"


def test_release_pins_all_parts(version, parts, artifact):
    release = json.loads((version / "release.json").read_text())
    assert release["parts"] == {stage: part.digest for stage, part in sorted(parts.items())}
    assert release["pipeline"] == "shop" and "gpu_flat runs as flat" in " ".join(release["notices"])
    assert artifact.metrics["release"] == release["release"]


def test_parts_of_two_releases_are_refused(runs, parts):
    other = by_hand(runs / "other", two_tower, Tensors.load(parts["etl"].path), {"data": parts["data"]})
    mixed = {**parts, "two_tower": Artifact(other.path, "two_tower", other.digest, other.parents)}
    with pytest.raises(ArtifactError, match="was made from two_tower .* the release holds two_tower"):
        EXPORT.run(runs, sections(runs / "repository", version=9), mixed)


def test_the_manifest_says_what_was_exported_and_what_runs_otherwise_than_configured(artifact):
    assert (artifact.metrics["layout"], artifact.metrics["backend"]) == ("fused", "python")
    assert "gpu_flat runs as flat" in " ".join(artifact.metrics["notices"])


@pytest.fixture(scope="module")
def ensemble_settings(runs):
    serving = SECTIONS["serving"].model_copy(update={"layout": "ensemble"})
    return {**sections(runs / "ensembles"), "serving": serving}


@pytest.fixture(scope="module")
def published(runs, parts, ensemble_settings):
    """The repository, and its models in the order in which they were placed in it."""
    placed = []

    def note(model, target):
        placed.append(model.name)
        install(model, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cascade.ensemble.repository.publication.install", note)
        EXPORT.publish(EXPORT.run(runs, ensemble_settings, parts), ensemble_settings)
    return runs / "ensembles", placed


class TestEnsemble:
    """The same parts in the ensemble layout."""

    def test_the_steps_are_placed_before_the_ensemble(self, published):
        repository, placed = published
        assert placed[-1] == "cascade" and len(placed) == 9
        assert {folder.name for folder in repository.iterdir() if folder.is_dir()} == set(placed)

    def test_it_answers_as_the_fused_model_does(self, published, executor, parts):
        users = UsersTable(str(parts["data"].path / "users.parquet"), ["geo", "age_norm"])
        ensemble = Executor.load(published[0] / "cascade" / "1", replace={"lookup_user": users}, validate=True)
        request = {"user_id": Tensors.load(parts["etl"].path).user_ids[:50, None]}
        expected = executor(request)
        for name, array in ensemble(request).items():
            if name != "release":
                np.testing.assert_array_equal(array, expected[name])

    def test_its_release_differs(self, published, executor):
        releases = {json.loads(file.read_text())["release"] for file in published[0].glob("*/1/release.json")}
        assert len(releases) == 1 and releases != {executor.release["release"]}


def shown(folder):
    """Names in a folder but hidden ones."""
    return {file.name for file in folder.iterdir() if not file.name.startswith(".")}


class TestPublish:
    def test_a_published_version_is_not_copied_again(self, artifact, tmp_path):
        EXPORT.publish(artifact, sections(tmp_path))
        file = tmp_path / "cascade" / "1" / "graph.json"
        before = file.stat().st_ino
        EXPORT.publish(artifact, sections(tmp_path))
        assert file.stat().st_ino == before

    def test_other_versions_and_models_stay(self, artifact, tmp_path):
        (tmp_path / "cascade" / "7").mkdir(parents=True)
        (tmp_path / "other" / "1").mkdir(parents=True)
        (tmp_path / "cascade" / "config.pbtxt").write_text("old")
        EXPORT.publish(artifact, sections(tmp_path))
        assert shown(tmp_path / "cascade") == {"1", "7", "config.pbtxt"}
        assert (tmp_path / "cascade" / "config.pbtxt").read_text().startswith('name: "cascade"')
        assert (tmp_path / "other" / "1").is_dir()

    def test_the_exported_version_is_served_and_not_the_highest(self, runs, parts, tmp_path):
        (tmp_path / "cascade" / "7").mkdir(parents=True)
        for version in (3, 2):
            EXPORT.publish(EXPORT.run(runs, sections(tmp_path, version=version), parts), sections(tmp_path))
            assert served_version(tmp_path / "cascade") == version
        assert shown(tmp_path / "cascade") == {"2", "3", "7", "config.pbtxt"}
        assert locate(tmp_path)[0] == tmp_path / "cascade" / "2"

    def test_the_model_of_another_pipeline_is_not_overwritten(self, artifact, parts, tmp_path):
        EXPORT.publish(artifact, sections(tmp_path))
        before = (tmp_path / "cascade" / "1" / "release.json").read_text()
        other = {**sections(tmp_path), "feature_store": FeatureStoreConfig(project="other")}
        for refuse in (EXPORT.publish, lambda _, given: EXPORT.check({**given, "serving": ServingConfig()}, parts)):
            with pytest.raises(ConfigError, match="cascade is a release of the pipeline 'shop', this is 'other'"):
                refuse(artifact, other)
        assert (tmp_path / "cascade" / "1" / "release.json").read_text() == before
        EXPORT.publish(artifact, {**other, "export": ExportConfig(repository=str(tmp_path), model_name="mine")})

    def test_a_version_of_another_release_is_replaced_whole(self, tmp_path):
        for release in ("a", "b"):
            folder = tmp_path / release / "1"
            folder.mkdir(parents=True)
            (folder / "release.json").write_text(release)
            (folder / release).write_text("")
            (tmp_path / release / "config.pbtxt").write_text("same")
            install(tmp_path / release, tmp_path / "target")
        assert sorted(file.name for file in (tmp_path / "target").rglob("*")) == [
            "1",
            "b",
            "config.pbtxt",
            "release.json",
        ]
