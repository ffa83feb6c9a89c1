"""Values of every type in every role, from the file to the op that looks users up: ids, features, times and order.

Tables of a few rows, in Parquet or CSV, go through the data and the features stage; `LookupUser` reads the artifact.
"""

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from column_types import KINDS, NO_ID, STAMPS, id_of, named, scalars, stamped, tick_of, write_tables
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from cascade.ensemble.repository.user_lookup import user_lookup
from cascade.workflows.config import DataConfig, FeatureStoreConfig, HistoryConfig, SchemaConfig
from cascade.workflows.data.stage import DATA
from cascade.workflows.features.artifact_reader import ArtifactReader
from cascade.workflows.features.stage import FEATURES
from cascade.workflows.transforms.codes import MISSING_INT

USERS, ITEMS, EVENTS = 3, 3, 8
STORE = FeatureStoreConfig(project="values")
WHOLE = re.compile("[+-]?[0-9]{1,18}")
"""Text that is sorted as numbers if all of it is like this."""
ORDERS = ["int8", "uint64", "NUMBER of Oracle", "float", "text", "category", "date", "time in us"]


@st.composite
def shops(draw):
    """Tables as name -> (type, values, canonical values), the config of their data, and the moment of each event."""
    csv = draw(st.booleans())
    kinds, types = KINDS[not csv], {}

    def values_of(name, column):
        *found, forced = scalars(draw, name, csv)
        types.update({column: forced} if forced else {})
        return found

    def ids(column, count, names=tuple(name for name in kinds if name not in NO_ID)):
        kind, values, becomes = values_of(name := draw(st.sampled_from(names)), column)
        becomes = id_of(name, csv) if becomes is not str else str
        found = draw(st.lists(named(values), min_size=count, max_size=count, unique_by=becomes))
        return kind, found, [becomes(value) for value in found]

    def cells(column, count):
        kind, values, becomes = values_of(draw(st.sampled_from(kinds)), column)
        some = draw(st.lists(values, min_size=1, max_size=3, unique_by=becomes))
        chosen = st.sampled_from(some) | st.none()
        found = [some[0], *draw(st.lists(chosen, min_size=count - 1, max_size=count - 1))]
        return kind, found, [None if value is None else becomes(value) for value in found]

    users, items = ids("user_id", USERS), ids("item_id", ITEMS)
    pairs = draw(st.lists(st.tuples(st.integers(0, USERS - 1), st.integers(0, ITEMS - 1)), min_size=EVENTS,
                          max_size=EVENTS))  # fmt: skip
    events = {
        "user_id": tuple(column if at == 0 else [column[user] for user, _ in pairs] for at, column in enumerate(users)),
        "item_id": tuple(column if at == 0 else [column[item] for _, item in pairs] for at, column in enumerate(items)),
        "of event": cells("of event", EVENTS),
    }
    form = draw(st.sampled_from([*STAMPS]))
    placed = draw(st.booleans())  # without a place, the order of equal times is drawn
    some = (2, 4) if placed else (EVENTS, EVENTS)
    ticks = draw(st.lists(st.integers(0, 10**15 // tick_of(form)), min_size=some[0], max_size=some[1], unique=True))
    later = draw(st.lists(st.sampled_from(ticks), min_size=EVENTS - 2, max_size=EVENTS - 2)) if placed else ticks[2:]
    events["timestamp"] = stamped(form, csv, [*ticks[:2], *later])
    columns = {}
    if placed:
        events["place"] = ids("order", EVENTS, [name for name in ORDERS if name in kinds])
        columns = {"order": "place"}
    events["part"] = pa.string(), *[["train"] * (EVENTS - 2) + ["valid", "test"]] * 2
    shop = {
        "users": {"user_id": users, "of user": cells("of user", USERS)},
        "items": {"item_id": items, "of item": cells("of item", ITEMS)},
        "interactions": events,
    }
    return csv, shop, {"types": types, "columns": columns}


@pytest.mark.slow
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(given_shop=shops())
def test_values_are_the_same_from_the_file_to_the_lookup(tmp_path_factory, given_shop):
    csv, shop, data = given_shop
    folder = tmp_path_factory.mktemp("shop")
    write_tables(folder / "t", shop, csv)
    schema = SchemaConfig(sparse=["user_id", "item_id", "of user", "of item", "of event"])
    config = DataConfig(source="tables", path=str(folder / "t"), split={"by": "column", "column": "part"},
                        leak_check={"enabled": False}, **data)  # fmt: skip
    stored = DATA.run(folder / "runs", {"data": config, "schema": schema}, {})
    for table, key, of in (("users", "user_id", "of user"), ("items", "item_id", "of item")):
        found = pq.read_table(stored.path / f"{table}.parquet")
        expected = sorted(zip(shop[table][key][2], shop[table][of][2], strict=True), key=lambda row: row[0])
        assert list(zip(found[key].to_pylist(), found[of].to_pylist(), strict=True)) == expected

    events = {name: column[2] for name, column in shop["interactions"].items()}
    place = events.get("place", range(EVENTS))
    if all(isinstance(value, str) and WHOLE.fullmatch(value) for value in place):
        place = [int(value) for value in place]
        assume(len({*place}) == EVENTS)
    order = sorted(range(EVENTS), key=lambda at: (events["user_id"][at], events["timestamp"][at], place[at]))
    found = pq.read_table(stored.path / "interactions")
    unit = json.loads((stored.path / "tables.json").read_text())["time_unit"]
    for name in ("user_id", "item_id", "of event"):
        assert found[name].to_pylist() == [events[name][at] for at in order], name
    assert [value * unit for value in found["timestamp"].to_pylist()] == [events["timestamp"][at] for at in order]

    sections = {"schema": schema, "history": HistoryConfig(length=3, gaps=True), "feature_store": STORE}
    features = FEATURES.run(folder / "runs", sections, {"data": stored})
    op = user_lookup(features.path, STORE, ["of user"], times=EVENTS)
    op.read_from(ArtifactReader.open(op.query, features.path))
    users, dtype = shop["users"]["user_id"][2], op.reads["user_id"].dtype
    got = op({"user_id": np.array(users, dtype).reshape(-1, 1)})
    assert got["known_user"].all() and not got["features_stale"].any()
    assert [plain(value) for value in got["of user"][:, 0]] == shop["users"]["of user"][2]
    for user, ids, times in zip(users, got["history_ids"], got["history_times"], strict=True):
        past = [at for at in reversed(order) if events["user_id"][at] == user and events["part"][at] != "test"]
        assert [value for value in map(plain, ids) if value is not None] == [events["item_id"][at] for at in past]
        seconds = [events["timestamp"][at] // 10**6 for at in past]
        assert [value for value in map(plain, times) if value is not None] == seconds


def plain(value):
    """A value of the op as Python has it; None if it is missing."""
    if value is None or value == MISSING_INT or (isinstance(value, float) and np.isnan(value)):
        return None
    return value.item() if hasattr(value, "item") else value
