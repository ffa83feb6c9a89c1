"""A features artifact read in place of the store that it was published to."""

from pathlib import Path

import pytest

from cascade.core.errors import FeatureStoreError
from cascade.testing.feature_data import shop_features
from cascade.workflows.config import FeatureStoreConfig
from cascade.workflows.features import artifact_reader
from cascade.workflows.features import store as feature_store
from cascade.workflows.features.artifact_reader import ArtifactReader
from cascade.workflows.features.online import FeatureQuery, open_reader

VIEWS = {"user_profile": ["age", "city", "income", "tags"], "user_history": ["history_ids", "rejected_ids"]}


@pytest.mark.parametrize("ids", ["int", "string"])
def test_the_rows_are_those_of_the_store(tmp_path: Path, ids: str) -> None:
    section = FeatureStoreConfig(repo=str(tmp_path / "repo"), project="shop")
    artifact = shop_features(tmp_path, section, ids)
    feature_store.publish(section, artifact)
    query = FeatureQuery("shop", "user_id", VIEWS)
    asked = [str(n) if ids == "string" else n for n in [3, 0, 19, 777, 3, *range(20)]]
    keys = [*asked, None]
    found = ArtifactReader.open(query, artifact.path).read(keys)
    stored = open_reader(query, Path(section.repo), "sqlite", "").read(keys)
    assert found.known == stored.known == [*[key not in (777, "777") for key in asked], False]
    for name, values in found.values.items():
        for key, value, other in zip(keys, values, stored.values[name], strict=True):
            if key in (0, "0") and name in VIEWS["user_history"]:
                assert value is None and other is not None, "the only event of this user is in the test part"
            else:
                assert value == other, (key, name)


def test_row_groups_that_are_no_longer_held_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cascade.workflows.features import tables

    monkeypatch.setattr(tables, "ROW_GROUP", 3)
    monkeypatch.setattr(artifact_reader, "HELD", 1)
    section = FeatureStoreConfig(repo=str(tmp_path / "repo"), project="shop")
    reader = ArtifactReader.open(FeatureQuery("shop", "user_id", VIEWS), shop_features(tmp_path, section).path)
    users = [17, 2, 9, 0, 18, 3]
    apart = [reader.read([user]).values["tags"][0] for user in users]
    assert reader.read(users).values["tags"] == apart
    assert [len(view.starts) for view in reader.views] == [7, 7]
    assert [len(view.held) for view in reader.views] == [1, 1]


def test_a_view_without_a_file_is_of_no_user(tmp_path: Path) -> None:
    section = FeatureStoreConfig(repo=str(tmp_path / "repo"), project="shop")
    query = FeatureQuery("shop", "user_id", {"user_history": ["history_ids"]})
    found = ArtifactReader.open(query, shop_features(tmp_path, section).path).read([0, 1])
    assert found.known == [False, True], "user 0 has no history before the test part"


def test_a_column_that_the_artifact_lacks_is_named(tmp_path: Path) -> None:
    """As when newer data lacks what an older release reads."""
    section = FeatureStoreConfig(repo=str(tmp_path / "repo"), project="shop")
    query = FeatureQuery("shop", "user_id", {"user_profile": ["age", "height"]})
    with pytest.raises(FeatureStoreError, match="user_profile lacks height"):
        ArtifactReader.open(query, shop_features(tmp_path, section).path)
