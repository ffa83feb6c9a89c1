"""The gate of what the feature store has: a release that reads a column that is gone by now is not promoted."""

import json
from pathlib import Path

import pytest
from gate_releases import NoUsers
from release_exports import write_export
from user_columns import Shop

from cascade.rollout.config import GatesConfig
from cascade.rollout.gates.verdict import GateVerdict
from cascade.rollout.gates.verify import verify
from cascade.rollout.releases.store import ReleaseStore
from cascade.workflows.config import FeatureStoreConfig
from cascade.workflows.features import store as feature_store


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path, FeatureStoreConfig(repo=str(tmp_path / "repo"), project="shop"))


@pytest.fixture
def store(shop: Shop) -> ReleaseStore:
    """The release 9fba reads age and city; nothing in it can be loaded."""
    users = shop.lookup(shop.features({"age": "int", "city": "string"}))
    write_export(shop.folder / "export", "9fba")
    store = ReleaseStore(shop.folder / "models", "shop")
    store.add(shop.folder / "export")
    graph = store.folder("9fba") / "shop" / "1" / "graph.json"
    graph.write_text(json.dumps({"nodes": [{"name": "00", "op": users.kind, "params": users.params()}]}))
    return store


def verdicts(store: ReleaseStore, section: FeatureStoreConfig | None) -> list[GateVerdict]:
    report = verify(store, "9fba", None, GatesConfig(), NoUsers({}), features=section)
    return [verdict for verdict in report.verdicts if verdict.gate == "features"]


def test_a_column_that_is_gone_fails_it(store: ReleaseStore, shop: Shop) -> None:
    feature_store.publish(shop.section, shop.features({"city": "string"}))
    [verdict] = verdicts(store, shop.section)
    assert verdict.state == "fail" and "it reads user_profile.age, which the store lacks" in verdict.text
    assert "`cascade features materialize` with its config" in verdict.text


def test_a_column_of_another_type_fails_it(store: ReleaseStore, shop: Shop) -> None:
    feature_store.publish(shop.section, shop.features({"age": "string", "city": "string"}))
    [verdict] = verdicts(store, shop.section)
    assert verdict.state == "fail" and "user_profile.age as int, and the store has string" in verdict.text


def test_more_than_it_reads_passes(store: ReleaseStore, shop: Shop) -> None:
    feature_store.publish(shop.section, shop.features({"age": "int", "city": "string", "zip": "int"}))
    assert [verdict.state for verdict in verdicts(store, shop.section)] == ["pass"]


def test_a_column_that_was_kept_passes(store: ReleaseStore, shop: Shop) -> None:
    first = shop.features({"age": "int", "city": "string"})
    feature_store.publish(shop.section, first)
    feature_store.publish(shop.section, shop.features({"city": "string"}), [shop.reader(first)])
    assert [verdict.state for verdict in verdicts(store, shop.section)] == ["pass"]


@pytest.mark.parametrize("case", ["nothing published", "another project", "no store named"])
def test_it_is_left_out_where_nothing_is_known(store: ReleaseStore, shop: Shop, case: str) -> None:
    if case == "another project":
        feature_store.publish(shop.section, shop.features({}))
    other = shop.section.model_copy(update={"project": "other"} if case == "another project" else {})
    assert verdicts(store, None if case == "no store named" else other) == []
