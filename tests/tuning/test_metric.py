"""Which metric a study optimizes, and that it is never one of the test part."""

from pathlib import Path

import pytest

from cascade.core.artifact import Artifact
from cascade.core.errors import ConfigError
from cascade.tuning.metric import check_influence, default_metric, read_metric


@pytest.mark.parametrize(
    ("keys", "metric"),
    [
        (["two_tower.loss", "history.length"], "two_tower.valid_ndcg"),
        (["dlrm_ranker.dropout"], "ranker.valid_fused"),
        (["two_tower.loss", "dlrm_ranker.layers"], "ranker.valid_fused"),
        (["serving.ann.topk"], "ranker.valid_fused"),
    ],
)
def test_the_default_metric_is_of_the_first_stage_that_depends_on_every_key(keys, metric):
    assert str(default_metric(keys)) == metric


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["serving.rerank.k"], "tune.serving.rerank.k: ranker's validation metrics do not depend on it"),
        (["two_tower.loss", "data.positive"], "tune.data.positive: decides what is measured"),
        (["serving.seen"], "tune.serving.seen: decides what is measured"),
    ],
)
def test_a_key_without_influence_is_an_error(keys, said):
    with pytest.raises(ConfigError, match=said):
        default_metric(keys)


def test_a_key_of_a_later_stage_is_an_error():
    with pytest.raises(ConfigError, match=r"^tune.dlrm_ranker.loss: two_tower's .* they do on data, schema, etl"):
        check_influence(["two_tower.loss", "dlrm_ranker.loss"], read_metric("two_tower.valid_ndcg"))


def test_directions():
    assert read_metric("ranker.valid_logloss").direction == "minimize"
    assert read_metric("ranker.valid_auc").direction == "maximize"
    assert read_metric("ranker.valid_auc", "minimize").direction == "minimize"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("evaluation.cascade.ndcg@10", "cascade.ndcg@10 is not of the validation part"),
        ("two_tower.loss", "loss is not of the validation part; e.g. two_tower.valid_ndcg"),
        ("two_towr.valid_ndcg", r"no such stage; did you mean two_tower\?"),
        ("ranker", "nothing is not of the validation part"),
    ],
)
def test_unknown_metrics(text, said):
    with pytest.raises(ConfigError, match=said):
        read_metric(text)


def test_a_metric_that_the_artifact_does_not_have():
    artifact = Artifact(Path("x"), "ranker", "d", {}, {"valid_auc": 0.5, "loss": [1.0]})
    assert read_metric("ranker.valid_auc").of(artifact) == 0.5
    with pytest.raises(ConfigError, match=r"stage ranker has no such number .*; it has valid_auc$"):
        read_metric("ranker.valid_ndcg").of(artifact)
    with pytest.raises(ConfigError, match=r"is there a validation part\?"):
        read_metric("ranker.valid_ndcg").of(Artifact(Path("x"), "ranker", "d", {}, {}))
