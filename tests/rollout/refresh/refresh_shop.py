"""A small shop whose data and features are made by the real stages, and whose models are made by hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import csr_matrix

from cascade.core.artifact import Artifact, write_artifact
from cascade.ensemble.config import AnnConfig, ExportConfig, RerankConfig, ServingConfig
from cascade.ensemble.graph.executor import Executor
from cascade.evaluation.served_graph import load_before_test
from cascade.models.onnx.export import run, session
from cascade.models.ranker.model_files import ITEM, PAIR
from cascade.models.retriever.neighbours import Neighbours
from cascade.rollout.refresh.refresh import Refreshed, WantedItems, refresh
from cascade.rollout.releases.release_files import version_folder
from cascade.rollout.releases.store import ReleaseStore
from cascade.testing.miniature_models import save_query_tower, save_ranker, save_split_ranker
from cascade.workflows.config import (
    DataConfig,
    EtlConfig,
    FeatureStoreConfig,
    HistoryConfig,
    LeakCheckConfig,
    SchemaConfig,
    SplitConfig,
    TextConfig,
)
from cascade.workflows.etl.tensors import Tensors

USERS, ITEMS, EVENTS, DIM = 40, 60, 6, 8
MODEL = "cascade"
BRANDS, TAGS, WORDS = ("acme", "bolt", "core"), ("red", "blue", "big"), ("lamp", "chair", "table", "shelf")
SCHEMA = SchemaConfig(
    sparse=["user_id", "item_id", "gender", "brand", "tags", "year"],
    dense=["price", "stock"],
    crosses=[["brand", "year"]],
    text=["title"],
    vectors=["image"],
)
TEXT = TextConfig(buckets=50, length=6)
ANN = AnnConfig(type="flat", topk=100)
Item = dict[str, Any]


def item_schema(text_ids: bool) -> pa.Schema:
    kinds = {"item_id": pa.string() if text_ids else pa.int64(), "brand": pa.string(), "tags": pa.list_(pa.string())}
    kinds |= {"year": pa.int64(), "price": pa.float64(), "stock": pa.int64(), "title": pa.string()}
    return pa.schema({**kinds, "image": pa.list_(pa.float64())})


def some_item(number: Any, seed: int) -> Item:
    """An item; a third of its values are missing."""
    rng = np.random.default_rng(seed)
    values: Item = {
        "brand": str(rng.choice(BRANDS)),
        "tags": [str(tag) for tag in rng.choice(TAGS, rng.integers(0, 3), replace=False)],
        "year": int(rng.integers(2000, 2006)),
        "price": round(float(rng.uniform(1, 100)), 2),
        "stock": int(rng.integers(0, 50)),
        "title": " ".join(rng.choice(WORDS, 2)),
        "image": rng.normal(size=3).round(3).tolist(),
    }
    gaps = {name: [] if name == "tags" else None for name in values if rng.random() < 1 / 3}
    return {"item_id": number, **values, **gaps}


@dataclass
class Shop:
    """The shop's artifacts, a store with its release, and the items that this has."""

    parts: dict[str, Artifact]
    store: ReleaseStore
    release: str
    items: list[Item]
    data: DataConfig
    schema: pa.Schema

    def write(self, items: list[Item], file: Path) -> Path:
        """A Parquet file of items."""
        pq.write_table(pa.Table.from_pylist(items, schema=self.schema), file)
        return file

    def refresh(self, source: str, folder: Path, **files: list[Item]) -> Refreshed:
        """Refresh a release; ``items``, ``add`` and ``remove`` are lists of items."""
        written = {name: self.write(items, folder / f"{name}.parquet") for name, items in files.items()}
        return refresh(self.store, source, WantedItems(**written), self.data, TEXT)

    def version(self, release: str) -> Path:
        return version_folder(self.store.folder(release) / MODEL)

    def executor(self, release: str) -> Executor:
        return load_before_test(self.version(release), self.parts["features"].path)

    def tower(self, items: list[Item]) -> np.ndarray:
        """Vectors by the fitted NVTabular workflow and the item tower, as the pipeline computes them."""
        from nvtabular import Workflow

        from cascade.core.files import read_json
        from cascade.workflows.etl.fit import FittedSide
        from cascade.workflows.etl.write_tensors import transform
        from cascade.workflows.tables.raw_features import raw_features

        etl = self.parts["etl"].path
        kinds = read_json(self.parts["data"].path / "tables.json")["columns"]
        raw = tuple(feature for feature in raw_features(SCHEMA, kinds) if feature.side == "item")
        features = Tensors.load(etl).schema.side("item")
        side = FittedSide(
            Workflow.load(str(etl / "workflow" / "item")), raw, features, etl / "workflow" / "item", "cpu"
        )
        found = transform(side, pa.Table.from_pylist(items, schema=self.schema))
        columns = {feature.name: found[feature.name].astype(feature.dtype) for feature in features}
        return run(session(self.parts["two_tower"].path / "item_tower.onnx"), columns)


def made_parts(folder: Path, *, text_ids: bool = False) -> tuple[dict[str, Artifact], list[Item], DataConfig]:
    """The artifacts data, etl and features, and the items."""
    from cascade.workflows.data.stage import DATA
    from cascade.workflows.etl.stage import ETL
    from cascade.workflows.features.stage import FEATURES

    tables = folder / "tables"
    tables.mkdir(parents=True)
    rng = np.random.default_rng(3)
    numbers = [f"i{at:03d}" if text_ids else 10 * at for at in range(ITEMS)]
    items = [some_item(number, seed) for seed, number in enumerate(numbers)]
    pq.write_table(pa.Table.from_pylist(items, schema=item_schema(text_ids)), tables / "items.parquet")
    users = {"user_id": np.arange(USERS), "gender": np.array(["f", "m"] * (USERS // 2))}
    pq.write_table(pa.table(users), tables / "users.parquet")
    taken = np.concatenate([rng.choice(ITEMS - 10, EVENTS, replace=False) for _ in range(USERS)])
    events = {"user_id": np.repeat(np.arange(USERS), EVENTS), "item_id": [numbers[at] for at in taken]}
    pq.write_table(pa.table({**events, "timestamp": np.arange(USERS * EVENTS)}), tables / "interactions.parquet")
    data = DataConfig(
        source="tables", path=str(tables), split=SplitConfig(valid_share=0.5), leak_check=LeakCheckConfig(enabled=False)
    )
    sections = _sections(data, ServingConfig(), folder)
    parts = {"data": DATA.run(folder / "runs", sections, {})}
    parts["etl"] = ETL.run(folder / "runs", sections, {"data": parts["data"]})
    parts["features"] = FEATURES.run(folder / "runs", sections, {"data": parts["data"]})
    return parts, items, data


def made_shop(
    folder: Path,
    made: tuple[dict[str, Artifact], list[Item], DataConfig],
    *,
    split: bool = False,
    ann: AnnConfig = ANN,
    **serving: Any,
) -> Shop:
    """A store with the release of these artifacts.

    Args:
        split: serve the ranker in two parts, in place of a whole one that reads item-item scores.
    """
    from cascade.ensemble.repository.stage import EXPORT
    from cascade.models.index.stage import INDEX

    parts, items, data = made
    tensors = Tensors.load(parts["etl"].path)
    of_users, of_items = tensors.schema.side("user", "context"), tensors.schema.side("item")
    config = ServingConfig(ann=ann, rerank=RerankConfig(k=100), max_batch_size=64, **serving)
    sections = _sections(data, config, folder)

    def towers(target: Path) -> None:
        save_query_tower(target / "query_tower.onnx", of_users, DIM)
        save_query_tower(target / "item_tower.onnx", of_items, DIM, seed=1)
        if not split:
            rng = np.random.default_rng(5)
            weights = rng.normal(size=(tensors.schema["history"].cardinality, ITEMS)).astype(np.float32)
            Neighbours(csr_matrix(weights * (rng.random(weights.shape) < 0.1)), 0.5).save(target)

    def ranker(target: Path) -> dict[str, Any]:
        if split:
            save_split_ranker(target / ITEM, target / PAIR, of_users, of_items, 4, "item_slots")
            return {"split": {"max_difference": 0.0, "widths": {"item_slots": 4}}}
        features = [feature for feature in of_items if feature.kind != "vector"]
        save_ranker(target / "ranker.onnx", of_users, features, DIM, neighbours=True)
        return {}

    parts = {**parts, "two_tower": write_artifact(folder / "two_tower", "two_tower", _of(parts, "etl"), towers)}
    parts["index"] = INDEX.run(folder / "runs", sections, _of(parts, "etl", "two_tower"))
    parts["ranker"] = write_artifact(folder / "ranker", "ranker", _of(parts, "etl", "two_tower", "index"), ranker)
    store = ReleaseStore(folder / "repository", MODEL)
    release = store.add(EXPORT.run(folder / "runs", sections, parts).path)
    return Shop(parts, store, release, items, data, item_schema(isinstance(items[0]["item_id"], str)))


def _of(parts: dict[str, Artifact], *names: str) -> dict[str, Artifact]:
    return {name: parts[name] for name in names}


def _sections(data: DataConfig, serving: ServingConfig, folder: Path) -> dict[str, Any]:
    return {
        "data": data,
        "schema": SCHEMA,
        "etl": EtlConfig(text=TEXT),
        "etl.text": TEXT,
        "history": HistoryConfig(length=5, seen=30),
        "feature_store": FeatureStoreConfig(project="shop"),
        "serving": serving,
        "serving.ann": serving.ann,
        "export": ExportConfig(repository=str(folder / "published")),
    }
