"""A column of any name is a feature, or is refused in the data stage with another name that can be pasted."""

import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from cascade.core.errors import CascadeError
from cascade.workflows.config import DataConfig, FeatureStoreConfig, HistoryConfig, SchemaConfig
from cascade.workflows.data.stage import DATA
from cascade.workflows.features.spec import FeatureSpec
from cascade.workflows.features.stage import FEATURES
from cascade.workflows.tables.names import BATCH, RESERVED

KNOWN = ["timestamp", "positive", "split", "label", "title", "Größe", "日本", "geo.country", "a b"]
WORDS = st.text(min_size=1, max_size=8) | st.text(st.characters(categories=["L", "M", "N"]), min_size=1, max_size=8)
NAMES = WORDS | st.sampled_from([*sorted(RESERVED), *BATCH, *KNOWN])
SIDES = ["users", "items", "interactions"]
IDS = {"user_id": [1, 2, 3, 1, 2, 3], "item_id": [7, 8, 9, 8, 9, 7], "timestamp": [1, 2, 3, 4, 5, 6]}
VALUES = {"users": ["a", "b", "a"], "items": ["a", "b", "a"], "interactions": ["a", "b", "a", "b", "a", "b"]}


def tables_with(name, side):
    tables = {"users": {"user_id": [1, 2, 3]}, "items": {"item_id": [7, 8, 9]}, "interactions": dict(IDS)}
    tables[side][name] = VALUES[side]
    return tables


def stored(folder, tables, name, columns):
    """The artifacts of data and features, of a config that names the column."""
    schema = SchemaConfig(sparse=["user_id", "item_id", name])
    config = DataConfig(source="tables", path=str(folder / "t"), columns=columns, leak_check={"enabled": False})
    data = DATA.run(folder / "runs", {"data": config, "schema": schema}, {})
    sections = {"schema": schema, "history": HistoryConfig(length=2), "feature_store": FeatureStoreConfig()}
    return data, FEATURES.run(folder / "runs", sections, {"data": data})


@pytest.mark.slow
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(name=NAMES, side=st.sampled_from(SIDES))
def test_any_name_works_or_is_refused_with_one_that_does(tmp_path_factory, name, side):
    tables, folder = tables_with(name, side), tmp_path_factory.mktemp("names")
    assume(side != "interactions" or name not in ("label", "timestamp"))  # these mean something there
    (folder / "t").mkdir()
    for table, columns in tables.items():
        pq.write_table(pa.table(columns), folder / "t" / f"{table}.parquet")
    try:
        data, features = stored(folder, tables, name, {})
    except CascadeError as error:
        pasted = re.search(r"data\.columns: ({.*?}), and write", str(error), re.DOTALL)
        assert pasted, str(error)
        if not name.isprintable():
            return
        columns = yaml.safe_load(pasted[1])
        [(new, old)] = columns.get(side, columns).items()
        assert old == name
        name, (data, features) = new, stored(folder, tables, new, columns)
    found = pq.read_table(data.path / "interactions" if side == "interactions" else data.path / f"{side}.parquet")
    assert sorted(found[name].to_pylist()) == sorted(VALUES[side])
    view = FeatureSpec.load(features.path).view("user_profile")
    assert side != "users" or dict(view.columns) == {name: "string"}
