"""Every key that names a column, a feature or a step is checked before anything is trained."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel

from cascade.config.load import config_of
from cascade.config.pipeline import PipelineConfig
from cascade.core.errors import CascadeError
from cascade.models.retriever.stage import TWO_TOWER
from cascade.pipeline.stages import all_stages, run

NO_NAMES = {
    *("data.source", "data.path", "data.options"),
    *("data.csv.delimiter", "data.csv.quote", "data.csv.escape", "data.csv.encoding"),
    *("etl.scheduler", "etl.memory_limit", "etl.text.ngrams", "etl.text.encoder"),
    *("two_tower.user_tower.mlp", "two_tower.item_tower.mlp", "dlrm_ranker.bottom_mlp", "dlrm_ranker.top_mlp"),
    *("feature_store.repo", "feature_store.project", "feature_store.redis"),
    *("export.repository", "export.model_name", "server.host", "server.grpc_host", "server.metrics_host"),
    *("dlrm_ranker.choose_by", "rollout.outcomes.goal", "rollout.outcomes.guards"),
}
"""Keys of text or lists that do not name anything in the tables or the package."""
ATTENTION = {"dlrm_ranker.history.kind": "target_attention"}
OP = {"op": "order", "after": "order", "params": {"nope": 1}}
WRONG: list[tuple[str, Any, dict[str, Any]]] = [
    *((f"schema.{key}", ["nope"], {}) for key in ("dense", "text", "vectors")),
    ("schema.sparse", ["user_id", "item_id", "nope"], {}),
    ("schema.crosses", [["gender", "nope"]], {}),
    ("data.columns", {"age": "nope"}, {}),
    *((f"data.{key}", {"nope": value}, {}) for key, value in (("types", "int"), ("separators", "|"))),
    *((f"data.{key}", ["nope"], {}) for key in ("keep", "labels", "leak_check.ignore")),
    *((f"data.{key}", "nope == 1", {}) for key in ("positive", "label")),
    ("data.title", "nope", {}),
    ("data.split.column", "nope", {"data.split.by": "column"}),
    *((f"etl.{key}", {"nope": 5}, {}) for key in ("max_size", "hash_buckets")),
    *((f"two_tower.{side}_tower.emb_dims", {"nope": 8}, {}) for side in ("user", "item")),
    ("two_tower.user_tower.history.features", ["nope"], {}),
    ("two_tower.loss", "nope", {}),
    ("dlrm_ranker.embedding_dims", {"nope": 8}, {}),
    ("dlrm_ranker.embedding_dims", {"age": 8}, {}),
    ("dlrm_ranker.interactions", "nope", {}),
    ("dlrm_ranker.history.features", ["nope"], ATTENTION),
    ("dlrm_ranker.history.features", ["gender"], ATTENTION),
    ("dlrm_ranker.labels", {"nope": {}}, {}),
    ("dlrm_ranker.labels", {"always": {}}, {"data.labels": ["always"]}),
    ("dlrm_ranker.rates.features", ["nope"], {}),
    ("dlrm_ranker.rates.features", ["age"], {}),
    ("serving.step_instances", {"nope": 1}, {"serving.layout": "ensemble"}),
    ("serving.ann.type", "nope", {}),
    ("serving.ops", [{**OP, "op": "nope"}], {}),
    ("serving.ops", [OP], {}),
    *((f"evaluation.{key}", ["nope"], {}) for key in ("slices", "baselines", "metrics")),
    ("evaluation.slices", ["vector"], {}),
    ("evaluation.slices", ["empty"], {}),
    ("tune", {"nope": [1, 2]}, {}),
]


def text_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The keys that hold text of any kind, or lists or mappings."""
    for name, info in model.model_fields.items():
        key, kind = f"{prefix}{info.alias or name}", info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from text_keys(kind, f"{key}.")
        elif ("str" in str(kind) and "Literal" not in str(kind)) or "list[" in str(kind) or "dict[" in str(kind):
            yield key


def test_every_key_that_may_hold_a_name_is_tested():
    assert {key for key, *_ in WRONG} | NO_NAMES == set(text_keys(PipelineConfig))


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """A log of impressions with users and items, as files."""
    folder = tmp_path_factory.mktemp("names")
    events, rng = [(user, place) for user in range(30) for place in range(8)], np.random.default_rng(0)
    log = {
        "user_id": [user for user, _ in events],
        "item_id": np.concatenate([rng.permutation(20)[:8] for _ in range(30)]),
        "timestamp": [100 * place + user for user, place in events],
        "label": rng.integers(0, 2, len(events)),
        "always": [1 for _ in events],
    }
    pd.DataFrame(log).to_parquet(folder / "interactions.parquet")
    users = {"user_id": range(30), "gender": ["f", "m"] * 15, "age": [20.0 + user for user in range(30)]}
    pd.DataFrame(users).to_parquet(folder / "users.parquet")
    items = {"item_id": range(20), "brand": [f"b{item % 4}" for item in range(20)], "empty": [None] * 20}
    pd.DataFrame({**items, "vector": [[0.5, item] for item in range(20)]}).to_parquet(folder / "items.parquet")
    return folder


class TrainedError(AssertionError):
    """The first training has begun."""


def run_until_training(tables, more):
    """Run the pipeline up to the first training, which raises a TrainedError instead."""

    def train(*_: Any) -> Any:
        raise TrainedError

    given: dict[str, Any] = {
        "data": {"source": "tables", "path": str(tables / ".")},
        "schema": {"sparse": ["user_id", "item_id", "gender", "brand"], "dense": ["age"]},
        "etl": {"workers": 1, "device": "cpu"},
        "export": {"repository": str(tables / "models")},
    }
    for key, value in more.items():
        section, names = given, key.split(".")
        for name in names[:-1]:
            section = section.setdefault(name, {})
        section[names[-1]] = value
    config = config_of(None, given, environ={})
    stages = [replace(s, fill=train) if s is TWO_TOWER else replace(s, publish=None) for s in all_stages()]
    run(config, tables / "runs", stages=stages)


@pytest.mark.slow
def test_right_names_reach_the_training(tables):
    with pytest.raises(TrainedError):
        run_until_training(tables, {"evaluation.slices": ["gender", "brand", "label", "timestamp"]})


@pytest.mark.parametrize(("key", "value", "more"), WRONG, ids=[f"{key}={value}" for key, value, _ in WRONG])
def test_a_wrong_name_is_refused_before_anything_is_trained(tables, key, value, more):
    with pytest.raises(CascadeError) as refused:
        run_until_training(tables, {**more, key: value})
    name = str(value["op"] if isinstance(value, dict) and "op" in value else "nope")
    for other in ("gender", "age", "always", "vector", "empty"):
        name = other if other in str(value) and "nope" not in str(value) else name
    assert name in str(refused.value), refused.value


def test_a_test_part_without_positives_is_refused_before_anything_is_trained(tables):
    with pytest.raises(CascadeError, match=r"test part holds no positive.*cascade run --only export"):
        run_until_training(tables, {"data.positive": "label == 1 and timestamp < 400", "data.split.by": "time"})
