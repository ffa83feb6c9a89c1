"""Which releases count as readers of the feature store, and what each of them reads."""

import json
from pathlib import Path
from typing import Any

import pytest
from release_exports import write_export

from cascade.ensemble.config import ExportConfig
from cascade.rollout.releases.live_readers import live_readers
from cascade.rollout.releases.live_set import Arm, LiveSet, LiveSets
from cascade.rollout.releases.store import ReleaseStore
from cascade.workflows.config import FeatureStoreConfig

SECTION = FeatureStoreConfig(project="shop")
PARAMS: dict[str, Any] = {
    **{"project": "shop", "columns": {"age": "int"}, "user_kind": "int", "item_kind": "string", "seen": 5},
    "views": {"user_profile": ["age"], "user_history": ["history_ids", "rejected_ids"]},
}


@pytest.fixture
def export(tmp_path: Path) -> ExportConfig:
    """Releases a to f are kept; each reads the column ``age``."""
    found = ExportConfig(repository=str(tmp_path / "models"), model_name="shop")
    for release in "abcdef":
        write_export(tmp_path / release, release, ("rank",) if release == "b" else ())
        ReleaseStore(tmp_path / "models", "shop").add(tmp_path / release)
        write_graph(found, release, PARAMS)
    return found


def write_graph(export: ExportConfig, release: str, params: dict[str, Any]) -> None:
    version = Path(export.repository) / "shop" / ".releases" / release / "shop" / "1"
    nodes = [{"name": "00_lookup_user", "op": "lookup_user", "params": params}, {"name": "01", "op": "rank"}]
    (version / "graph.json").unlink()  # may be a hard link
    (version / "graph.json").write_text(json.dumps({"nodes": nodes}))


def go_live(export: ExportConfig, live: LiveSet) -> LiveSets:
    sets = LiveSets(Path(export.repository), "shop")
    sets.change(lambda _: live, actor="test", reason="")
    return sets


LIVE = LiveSet("a", previous="b", arms=(Arm("canary", "c", 0.1),), shadows=(Arm("shadow", "d", 0.1),))


def roles(export: ExportConfig, section: FeatureStoreConfig = SECTION) -> dict[str, str]:
    return {reader.release: reader.role for reader in live_readers(export, section)}


def test_every_release_of_the_live_set_reads(export: ExportConfig) -> None:
    go_live(export, LIVE)
    assert roles(export) == {"a": "stable", "b": "previous", "c": "canary", "d": "shadow"}


def test_what_it_reads(export: ExportConfig) -> None:
    go_live(export, LiveSet("a"))
    write_graph(export, "a", {**PARAMS, "times": 4})
    [reader] = live_readers(export, SECTION)
    assert (reader.columns, reader.keys) == ({"age": "int"}, {"user_id": "int", "item_id": "string"})
    assert (reader.profile, reader.seen, reader.times) == (True, 5, True)
    write_graph(export, "a", {**PARAMS, "columns": {}, "views": {"user_history": []}})
    [reader] = live_readers(export, SECTION)
    assert (reader.profile, reader.times) == (False, False)


def test_without_a_live_set_nobody_reads(export: ExportConfig, tmp_path: Path) -> None:
    assert live_readers(export, SECTION) == []
    assert live_readers(ExportConfig(repository=str(tmp_path / "new"), model_name="shop"), SECTION) == []


@pytest.mark.parametrize("other", [{"project": "other"}, {"online": "redis"}])
def test_who_reads_another_store_does_not_count(export: ExportConfig, other: dict[str, str]) -> None:
    go_live(export, LIVE)
    write_graph(export, "a", {**PARAMS, **other})
    assert sorted(roles(export)) == ["b", "c", "d"]
    assert sorted(roles(export, FeatureStoreConfig(**{"project": "shop", **other}))) == ["a"]


@pytest.mark.parametrize("text", ["{", "[]", None])
def test_while_it_is_unknown_what_is_live_every_kept_release_counts(
    export: ExportConfig, text: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    go_live(export, LiveSet("f"))
    file = go_live(export, LIVE).file
    file.unlink() if text is None else file.write_text(text)
    assert roles(export) == dict.fromkeys("abcdef", "kept")
    assert "for every kept release" in caplog.text and "live.json" in caplog.text


@pytest.mark.parametrize("damage", ["{", "[]", '{"nodes": [{"op": "lookup_user", "params": {}}]}', None])
def test_a_damaged_release_is_named_and_the_others_count(
    export: ExportConfig, damage: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    go_live(export, LIVE)
    graph = Path(export.repository) / "shop" / ".releases" / "a" / "shop" / "1" / "graph.json"
    graph.unlink() if damage is None else graph.write_text(damage)
    assert sorted(roles(export)) == ["b", "c", "d"]
    assert "release a (stable): what it reads of the feature store is not known" in caplog.text
