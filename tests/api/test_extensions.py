"""The page on extensions: its blocks register one of each kind, which a pipeline then uses from end to end."""

import re

import pandas as pd
import pytest
import yaml
from shipping import ROOT

import cascade
import cascade.testing
from cascade.core import registry
from cascade.core.registry import BUILT_IN
from cascade.errors import ArtifactError

PAGE = ROOT / "docs" / "how-to" / "extend.md"
SMALL = {
    "schema.sparse": ["user_id", "item_id"],
    "two_tower": {"user_tower.mlp": [16], "item_tower.mlp": [16]},
    "two_tower.training": {"epochs": 4, "batch_size": 128, "learning_rate": 0.01},
    "dlrm_ranker": {"bottom_mlp": [16], "top_mlp": [16, 1], "training.epochs": 1},
    "serving": {"ann.topk": 20, "rerank.k": 10},
    "evaluation.replicates": 100,
}

pytestmark = pytest.mark.timeout(600)


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.slow
def test_every_example_of_the_page_in_one_pipeline(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own: dict[str, object] = {}
    for code in blocks("python"):
        exec(compile(code, str(PAGE), "exec"), own)
    named = [yaml.safe_load(text) for text in blocks("yaml")]
    assert {kind for kind in BUILT_IN if registry.registered(kind)} == set(BUILT_IN) and len(named) == len(BUILT_IN)
    overrides = dict(SMALL)
    for section in named:
        overrides |= {f"{key}.{name}": value for key, part in section.items() for name, value in part.items()}
    config = cascade.load_config(overrides=overrides)
    assert (config.two_tower.loss, config.data.source) == ("soft_margin", "two_tastes")

    artifacts = cascade.run(config)

    assert artifacts["index"].metrics["type"] == "eight_bits" and artifacts["index"].metrics["recall"] > 0.9
    figures = artifacts["evaluation"].metrics
    assert set(figures["baselines"]) == {"popularity", "together"}
    for method in (figures["cascade"], *figures["baselines"].values()):
        assert 0 <= method["hit_rate@10"] <= 1
    assert figures["retrieval"]["recall@10"] > 0.3, "the registered loss has learned nothing"
    users = list(range(60))
    with cascade.open_release(artifacts["export"]) as release:
        frame = release.recommend(users, top_k=10).to_frame()
        assert "block_list" in release.executor.stages
    assert not frame["item_id"].isin([3, 24]).any()
    test = pd.read_parquet(artifacts["data"].path / "interactions").query("split == 'test' and positive")
    with cascade.open_release(artifacts["export"]) as release:
        again = cascade.evaluate(release, test, metrics=["hit_rate"], replicates=100)
    assert again.already_seen == 0, "nobody takes an item twice, so the stage has nothing to count as filtered"
    for name in ("ndcg@10", "map@10", "mrr@10", "hit_rate@10", "coverage@10"):
        assert again.metrics[name] == pytest.approx(figures["cascade"][name]), name
    own_taste = frame["item_id"] // 20 == frame["user_id"] % 2  # 8 of the 28 items that a user has not seen
    assert own_taste.mean() > 0.45
    own.clear()
    registry._registered["op"].clear()
    with pytest.raises(ArtifactError, match="is a 'block_list'"):
        cascade.open_release(config)


def test_the_table_has_every_kind():
    table = re.findall(r"^\| `(\w+)` \|.*\| `([\w.]+)` \| `(\w+)` \|$", PAGE.read_text(), re.MULTILINE)
    assert [kind for kind, *_ in table] == list(BUILT_IN)
    for kind, key, contract in table:
        assert contract.removesuffix("Contract").lower() == kind and contract in cascade.testing.__all__
        cascade.load_config(overrides={"schema.sparse": ["user_id", "item_id"]}).value(key)
        assert registry.group(kind) in PAGE.read_text()
