"""The values of all types, from the file over data artifact and etl to the served transforms, in Parquet and in CSV.

A column of some types stands in each table, as a category or as a number, under any name. Nothing is trained: the
models read the arrays that are compared here.
"""

import datetime as dt
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from column_types import EPOCH, NOT_IN_CSV, SCALARS, seconds, write_tables
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cascade.ensemble.graph.ops import Transform
from cascade.ensemble.graph.ops.compiled_features import load_feature
from cascade.workflows.config import DataConfig, EtlConfig, HistoryConfig, SchemaConfig
from cascade.workflows.data.stage import DATA
from cascade.workflows.etl.stage import ETL
from cascade.workflows.etl.tensors import Tensors
from cascade.workflows.tables.ids import rows_of
from cascade.workflows.tables.names import problem
from cascade.workflows.transforms.codes import MISSING_CODE, raw_array

USERS, ITEMS, EVENTS = 4, 5, 22
TYPES = 12
"""Types of columns in one shop."""
NAMES = st.text(st.characters(categories=["L", "M", "N"], include_characters="_ -."), min_size=1, max_size=9)
SIDES = {"users": USERS, "items": ITEMS, "interactions": EVENTS}
ID_TYPES = ["int64", "uint64", "NUMBER of Oracle", "decimal256", "text", "large text", "category", "date", "time in ns"]
LARGE = ("float", "float32")
"""Types whose numbers are too large for a standard deviation."""


def is_text(name):
    return SCALARS[name][2] is str


@st.composite
def tables(draw, csv):
    """Tables with a column for each type, and what each of its values has to become; and column -> name of its type."""

    def values_of(name):
        values = SCALARS[name][1]
        if csv and is_text(name):
            return values.map(lambda text: f"w{text}")  # not what another type could be
        return values

    def ids(name, count):
        kind, _, becomes = SCALARS[name]
        found = draw(st.lists(values_of(name), min_size=count, max_size=count, unique_by=becomes))
        return kind, found, [becomes(value) for value in found]

    def cells(name, count):
        kind, _, becomes = SCALARS[name]
        some = draw(st.lists(values_of(name), min_size=2, max_size=3, unique_by=becomes))
        rest = draw(st.lists(st.none() | st.sampled_from(some), min_size=count - 2, max_size=count - 2))
        found = [*some[:2], *rest]
        return kind, found, [None if v is None else becomes(v) for v in found]

    known = [name for name in SCALARS if not (csv and name in NOT_IN_CSV)]
    names = draw(st.lists(st.sampled_from(known), min_size=TYPES, max_size=TYPES, unique=True))
    users = ids(draw(st.sampled_from(ID_TYPES)), USERS)
    items = ids(draw(st.sampled_from(ID_TYPES)), ITEMS)
    columns = draw(st.lists(NAMES.filter(lambda name: not problem(name, "context")), min_size=3 * TYPES,
                            max_size=3 * TYPES, unique=True))  # fmt: skip
    types = dict(zip(columns, names * 3, strict=True))
    found = {
        table: {name: cells(types[name], rows) for name in columns[at * TYPES : (at + 1) * TYPES]}
        for at, (table, rows) in enumerate(SIDES.items())
    }
    found["users"]["user_id"], found["items"]["item_id"] = users, items
    pairs = [(row % USERS, row % ITEMS) for row in range(EVENTS)]
    for key, (kind, values, becomes), side in (("user_id", users, 0), ("item_id", items, 1)):
        at = [pair[side] for pair in pairs]
        found["interactions"][key] = kind, [values[row] for row in at], [becomes[row] for row in at]
    times = draw(st.lists(st.integers(0, 10**12), min_size=EVENTS, max_size=EVENTS, unique=True))
    times = [EPOCH.replace(year=2020) + dt.timedelta(microseconds=n) for n in times]
    found["interactions"]["timestamp"] = pa.timestamp("us"), times, times
    parts = ["train"] * (EVENTS - 2) + ["valid", "test"]
    found["interactions"]["the part"] = pa.string(), parts, parts
    return found, types


@pytest.mark.slow
@pytest.mark.parametrize("csv", [False, True], ids=["Parquet", "CSV"])
@settings(
    max_examples=4, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate], print_blob=False
)
@given(data=st.data())
def test_values_are_the_same_from_the_file_to_the_served_transforms(tmp_path_factory, csv, data):
    (shop, types), folder = data.draw(tables(csv)), tmp_path_factory.mktemp("shop")
    write_tables(folder / "t", shop, csv)
    names = {table: [name for name in columns if name in types] for table, columns in shop.items()}
    values = {name: column[2] for columns in shop.values() for name, column in columns.items()}
    numbers = [name for name, kind in types.items() if not is_text(kind) and kind not in LARGE]
    numbers = [name for name in numbers if len({*values[name]} - {None}) > 1]
    dense = data.draw(st.sets(st.sampled_from(numbers), max_size=len(numbers) // 2))
    sparse = [name for own in names.values() for name in own if name not in dense]
    schema = SchemaConfig(sparse=["user_id", "item_id", *sparse], dense=sorted(dense))
    config = DataConfig(source="tables", path=str(folder / "t"), split={"by": "column", "column": "the part"},
                        leak_check={"enabled": False})  # fmt: skip
    stored = DATA.run(folder / "runs", {"data": config, "schema": schema}, {})
    sections = {
        "schema": schema,
        "etl": EtlConfig(workers=1, device="cpu"),
        "history": HistoryConfig(length=3, gaps=True),
    }
    etl = ETL.run(folder / "runs", sections, {"data": stored})
    tensors = Tensors.load(etl.path)
    op = Transform.compiled(etl.path / "transforms")
    op.load(etl.path / "transforms")

    found = {table: pq.read_table(stored.path / f"{table}.parquet") for table in ("users", "items")}
    for table, key in (("users", "user_id"), ("items", "item_id")):
        expected = shop[table][key][2]
        assert found[table][key].to_pylist() == sorted(expected)
        assert getattr(tensors, f"{key}s").tolist() == sorted(expected)
        order = np.argsort(np.array(expected, object))
        for name in names[table]:
            assert found[table][name].to_pylist() == [shop[table][name][2][row] for row in order], name
    served = served_features(op, etl.path)
    compare(served, found["users"], tensors.users, {"user_id", *names["users"]}, dense)
    compare(served, found["items"], tensors.items, {"item_id", *names["items"]}, dense)

    events = pq.read_table(stored.path / "interactions")
    train = events.filter(pa.array([part == "train" for part in events["split"].to_pylist()]))
    rows = tensors.interactions("train")
    assert tensors.user_ids[rows.user_row].tolist() == train["user_id"].to_pylist()
    assert tensors.item_ids[rows.item_row].tolist() == train["item_id"].to_pylist()
    compare(served, train, rows.context, set(names["interactions"]), dense)
    assert_same_events(shop["interactions"], events, names["interactions"])
    unit = json.loads((stored.path / "tables.json").read_text())["time_unit"]
    micros = [(time - EPOCH) // dt.timedelta(microseconds=1) for time in shop["interactions"]["timestamp"][1]]
    assert sorted(value * unit for value in events["timestamp"].to_pylist()) == sorted(micros)
    assert rows_of(train["item_id"], found["items"]["item_id"].combine_chunks()).tolist() == rows.item_row.tolist()
    positives = np.load(etl.path / "positives" / "seconds.npy")
    assert sorted(positives.tolist()) == sorted(seconds(time) for time in shop["interactions"]["timestamp"][1])


def served_features(op, etl):
    """Feature -> the function that a request's values go through; those of items fill the index."""
    folder = etl / "transforms"
    items = json.loads((folder / "items.params").read_text())
    of_items = {entry["name"]: load_feature(entry, folder) for entry in items}
    return {**{name: compute for name, (compute, _) in op._features.items()}, **of_items}


def compare(served, table, arrays, names, dense):
    """The served transforms give what the etl wrote; different values differ, and larger numbers are larger."""
    for name in names:
        raw, values = raw_array(table[name]).reshape(-1, 1), table[name].to_pylist()
        got, codes = served[name]([raw]), np.asarray(arrays[name])
        if name in dense:
            np.testing.assert_allclose(got, codes, rtol=1e-5, atol=1e-5)
            known = sorted(
                (value, number) for value, number in zip(values, got[:, 0].tolist(), strict=True) if value is not None
            )
            assert [number for _, number in known] == sorted(number for _, number in known), name
            continue
        assert got.tolist() == codes.tolist(), name
        pairs = {*zip(values, got[:, 0].tolist(), strict=True)}
        assert len(pairs) == len({value for value, _ in pairs}) == len({code for _, code in pairs}), name
        assert all((code == MISSING_CODE) == (value is None) for value, code in pairs), name
        assert all(code >= 3 for value, code in pairs if value is not None), name


def assert_same_events(expected, found, names):
    """The rows of the artifact are those of the table, in another order."""
    keys = ["user_id", "item_id", *names]
    wanted = zip(*(expected[name][2] for name in keys), strict=True)
    rows = zip(*(found[name].to_pylist() for name in keys), strict=True)
    assert sorted(map(repr, rows)) == sorted(map(repr, wanted))
