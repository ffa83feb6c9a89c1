"""The values of all types, from the file over data artifact and etl to the ops of a release, in Parquet and in CSV.

Each table has a column of every type, as a category or as a number, under any name; ids and times are of every type,
too. What an op gives is compared with the values in the file. Nothing is trained: the models read the arrays that are
compared here.
"""

import json
from dataclasses import dataclass
from itertools import islice, pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from column_types import KINDS, NO_ID, SCALARS, STAMPS, id_of, named, scalars, stamped, tick_of, write_tables
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from cascade.ensemble.graph.ops import Transform
from cascade.ensemble.graph.ops.compiled_features import load_feature
from cascade.ensemble.graph.ops.respond import Respond
from cascade.workflows.config import DataConfig, EtlConfig, HistoryConfig, SchemaConfig
from cascade.workflows.data.stage import DATA
from cascade.workflows.etl.stage import ETL
from cascade.workflows.etl.tensors import Tensors
from cascade.workflows.history.gaps import BITS, NEWEST, SHORTEST
from cascade.workflows.tables.names import problem
from cascade.workflows.transforms.codes import DTYPES, FIRST_CODE, MISSING_CODE, MISSING_INT

USERS, ITEMS, EVENTS = 4, 5, 22
TABLES = {"users": USERS, "items": ITEMS, "interactions": EVENTS}
LENGTH = 3
"""Of the history."""
NAMES = st.text(st.characters(categories=["L", "M", "N"], include_characters="_ -."), min_size=1, max_size=9)
IDS = [[name for name in kinds if name not in NO_ID] for kinds in KINDS]
LISTS = ["int64", "uint64", "float", "text"], ["int8", "uint64", "int64", "NUMBER of Oracle", "float32", "large text"]
"""Types of entries of lists in a CSV, and in Parquet."""
LARGE = ("float", "float32")
"""Types whose numbers are too large for a standard deviation."""
MISSING = {"int64": MISSING_INT, "float64": np.nan, "object": None}
ONE_BY_ONE = settings(deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate], print_blob=False)


@st.composite
def shops(draw, csv, user, item, stamp, kinds=(), lists=()):
    """Tables as name -> (type, values, canonical values), the config of their data, and the dense columns.

    Args:
        user, item, stamp: types of ids and of times.
        kinds, lists: types of the columns that each table has, and of the entries of lists.
    """
    data, dense = {"types": {}, "separators": {}}, []

    def typed(column, name):
        *found, forced = scalars(draw, name, csv)
        data["types"].update({column: forced} if forced else {})
        return found

    def ids(column, name, count):
        kind, values, becomes = typed(column, name)
        becomes = id_of(name, csv) if becomes is not str else str
        found = draw(st.lists(named(values), min_size=count, max_size=count, unique_by=becomes))
        return kind, found, [becomes(value) for value in found]

    def cells(column, name, count):
        kind, values, becomes = typed(column, name)
        if becomes is not str and draw(st.booleans()):
            dense.append(column)
            values = st.floats(-(2**30), 2**30, width=32) if name in LARGE else values
        some = draw(st.lists(values, min_size=2, max_size=3, unique_by=becomes))
        least = count - len(some)
        found = [*some, *draw(st.lists(st.none() | st.sampled_from(some), min_size=least, max_size=least))]
        return kind, found, [None if v is None else becomes(v) for v in found]

    def listed(column, name, count):
        kind, values, becomes = SCALARS[name]
        some = draw(st.lists(values, min_size=2, max_size=4, unique_by=becomes))
        rows = st.none() | st.lists(st.none() | st.sampled_from(some), max_size=4)
        found = [some, *draw(st.lists(rows, min_size=count - 1, max_size=count - 1))]
        expected = [[becomes(v) for v in row or [] if v is not None] for row in found]
        if not csv:
            return pa.list_(kind), found, expected
        data["separators"][column] = "json"
        return pa.string(), [None if row is None else json.dumps(row) for row in found], expected

    names = NAMES.filter(lambda name: not problem(name, "context") and name != "part")

    def own(types):
        return zip(islice(columns, len(types)), types, strict=True)

    count = len(TABLES) * len(kinds) + 2 * len(lists)
    columns = iter(draw(st.lists(names, min_size=count, max_size=count, unique=True)))
    shop = {table: {c: cells(c, k, rows) for c, k in own(kinds)} for table, rows in TABLES.items()}
    for table in ("users", "items"):
        shop[table] |= {c: listed(c, k, TABLES[table]) for c, k in own(lists)}
    shop["users"]["user_id"], shop["items"]["item_id"] = ids("user_id", user, USERS), ids("item_id", item, ITEMS)
    for key, table, rows in (("user_id", "users", USERS), ("item_id", "items", ITEMS)):
        kind, *values = shop[table][key]
        shop["interactions"][key] = kind, *([column[at % rows] for at in range(EVENTS)] for column in values)
    ticks = draw(st.lists(st.integers(0, 10**15 // tick_of(stamp)), min_size=EVENTS, max_size=EVENTS, unique=True))
    ticks = [*sorted(ticks)[:-2][::-1], *sorted(ticks)[-2:]]
    shop["interactions"]["timestamp"] = stamped(stamp, csv, ticks)
    parts = ["train"] * (EVENTS - 2) + ["valid", "test"]
    shop["interactions"]["part"] = pa.string(), parts, parts
    return shop, data, dense


@pytest.mark.slow
@pytest.mark.parametrize("csv", [False, True], ids=["Parquet", "CSV"])
@settings(ONE_BY_ONE, max_examples=3)
@given(data=st.data())
def test_features_are_the_same_from_the_file_to_the_transforms(tmp_path_factory, csv, data):
    """A hundred columns in each of 3 shops."""
    skip_simplest(data)
    user, item, stamp = (data.draw(st.sampled_from(names)) for names in (IDS[not csv], IDS[not csv], [*STAMPS]))
    shop = data.draw(shops(csv, user, item, stamp, KINDS[not csv], LISTS[not csv]))
    check(tmp_path_factory.mktemp("shop"), csv, *shop)


@pytest.mark.slow
@pytest.mark.parametrize(("csv", "at"), [(csv, at) for csv in (False, True) for at in range(len(IDS[not csv]))])
@settings(ONE_BY_ONE, max_examples=1)
@given(data=st.data())
def test_ids_and_times_are_the_same_from_the_file_to_the_answer(tmp_path_factory, csv, at, data):
    """Ids of every type, with each form of times at least once."""
    skip_simplest(data)
    names, stamps = IDS[not csv], [*STAMPS]
    shop = data.draw(shops(csv, names[at], names[at - 7], stamps[at % len(stamps)]))
    check(tmp_path_factory.mktemp("shop"), csv, *shop)


def skip_simplest(data):
    """Hypothesis begins with the simplest example, a shop of zeros without dense columns; it is not one of the few."""
    assume(data.draw(st.integers(0, 2**32)) > 2**8)


def check(folder, csv, shop, data, dense):
    """Run the data and the etl stage, and compare what the ops give with the values in the file."""
    write_tables(folder / "t", shop, csv)
    values = {table: {name: column[2] for name, column in columns.items()} for table, columns in shop.items()}
    features = {name for columns in values.values() for name in columns} - {"timestamp", "part"}
    schema = SchemaConfig(sparse=sorted(features.difference(dense)), dense=dense)
    config = DataConfig(source="tables", path=str(folder / "t"), split={"by": "column", "column": "part"},
                        leak_check={"enabled": False}, **data)  # fmt: skip
    stored = DATA.run(folder / "runs", {"data": config, "schema": schema}, {})
    history = HistoryConfig(length=LENGTH, gaps=True)
    sections = {"schema": schema, "etl": EtlConfig(workers=1, device="cpu"), "history": history}
    etl = ETL.run(folder / "runs", sections, {"data": stored}).path

    events = values["interactions"]
    order = sorted(range(EVENTS), key=lambda row: (events["user_id"][row], events["timestamp"][row]))
    check_stored(stored.path, values, order)
    seconds = [events["timestamp"][row] // 10**6 for row in order]
    assert np.load(etl / "positives" / "seconds.npy").tolist() == seconds
    kinds = json.loads((stored.path / "tables.json").read_text())["columns"]
    check_items(etl, values["items"], kinds["items"])
    op = Transform.compiled(etl / "transforms")
    op.load(etl / "transforms")
    for split in ("train", "valid", "test"):
        check_requests(op, etl, values, order, split)


def check_stored(folder, values, order):
    """The data artifact holds the values of the file, users and items in the order of their ids."""
    for table in TABLES:
        found = pq.read_table(folder / (table if table == "interactions" else f"{table}.parquet"))
        at = order if table == "interactions" else by_id(values[table])
        for name in values[table].keys() - {"timestamp", "part"}:
            same(found[name].to_pylist(), [values[table][name][row] for row in at], name)
    unit = json.loads((folder / "tables.json").read_text())["time_unit"]
    times = [values["interactions"]["timestamp"][row] for row in order]
    assert [time * unit for time in found["timestamp"].to_pylist()] == times


def check_items(etl, items, kinds):
    """The answer has the ids of the file; the transforms of new items and the etl give their features."""
    tensors, folder, at = Tensors.load(etl), etl / "transforms", by_id(items)
    answer = Respond(isinstance(items["item_id"][0], str), "a release")
    answer.load(etl)
    yes = np.ones((1, 1), bool)
    asked = {"ranked_rows": np.arange(ITEMS)[None], "known_user": yes, "features_stale": ~yes}
    found = answer(asked | {"top_k": np.full((1, 1), ITEMS, np.int32)})["item_ids"][0].tolist()
    same(found, sorted(items["item_id"]), "item_id")
    for entry in json.loads((folder / "items.params").read_text()):
        name = entry["name"]
        wanted = [items[name][row] for row in at]
        kind = kinds[name]
        raw = as_request(wanted, DTYPES[kind.removeprefix("list_")], listed=kind.startswith("list_"))
        meaning = Meaning.of(etl, "item", entry, items[name])
        meaning.check(load_feature(entry, folder)([raw]), tensors.items[name], wanted)


def check_requests(op, etl, values, order, split):
    """What the op makes of a request at the time of each event is what the etl gives the models for that event."""
    tensors, events = Tensors.load(etl), values["interactions"]
    logged, at = tensors.interactions(split), [row for row in order if events["part"][row] == split]
    user = [values["users"]["user_id"].index(events["user_id"][row]) for row in at]
    wanted = {name: [column[row] for row in user] for name, column in values["users"].items()}
    wanted |= {name: [events[name][row] for row in at] for name in events.keys() - wanted.keys()}
    past = [[then for then in order[: order.index(row)][::-1] if events["user_id"][then] == events["user_id"][row]]
            for row in at]  # fmt: skip
    items, times = ([[events[name][row] for row in rows] for rows in past] for name in ("item_id", "timestamp"))
    times = [[time // 10**6 for time in row] for row in times]
    asked = {name: as_request(wanted[name], dtype, listed=dims == ["L"]) for name, (dtype, dims) in op.raw.items()}
    lists = {"history_ids": items, "rejected_ids": [[] for _ in at], "exclude_items": [[i] for i in wanted["item_id"]]}
    asked |= {name: as_request(rows, op.item_dtype, listed=True) for name, rows in lists.items()}
    got = op(asked | {"history_times": as_request(times, "int64", listed=True)})

    assert tensors.user_ids[logged.user_row].tolist() == wanted["user_id"]
    assert tensors.item_ids[logged.item_row].tolist() == wanted["item_id"]
    for entry in op.features:
        name = entry["name"]
        of_user = name in values["users"]
        written = tensors.users[name][logged.user_row] if of_user else logged.context[name]
        known = values["users"][name] if of_user else events[name][:-2]
        Meaning.of(etl, "user" if of_user else "context", entry, known).check(got[name], written, wanted[name])
    codes = dict(zip(tensors.item_ids.tolist(), tensors.items["item_id"][:, 0].tolist(), strict=True))
    shown = [[codes[item] for item in row[:LENGTH]] for row in items]
    gaps = [[NEWEST, *(SHORTEST + min((new - old).bit_length(), BITS) for new, old in pairwise(row))][: len(row)]
            for row in (row[:LENGTH] for row in times)]  # fmt: skip
    for name, rows, written in (("history", shown, logged.history), ("history_gap", gaps, logged.history_gap)):
        padded = [[*row, *[0] * (LENGTH - len(row))] for row in rows]
        assert got[name].tolist() == np.asarray(written).tolist() == padded, name
    dropped = [[tensors.item_ids[row] for row in rows if row >= 0] for rows in got["seen_rows"]]
    assert dropped == [[*row, item] for row, item in zip(items, wanted["item_id"], strict=True)]


@dataclass
class Meaning:
    """What the numbers of a feature stand for in the file."""

    name: str
    length: int | None
    codes: dict
    """Value -> code, in the vocabulary; empty for dense ones."""
    dense: tuple[float, float, float] | None
    """What replaces a missing value, mean and standard deviation."""

    @classmethod
    def of(cls, etl, side, entry, known):
        """The meaning that the etl gives a feature whose values in the training part are ``known``."""
        name = entry["name"]
        if entry["kind"] == "continuous":
            filled = [entry["fill"] if value is None else float(value) for value in known]
            assert entry["mean"] == pytest.approx(np.mean(filled), rel=1e-9, abs=1e-9 * np.abs(filled).max()), name
            return cls(name, None, {}, (entry["fill"], entry["mean"], entry["std"]))
        file = etl / "workflow" / side / "categories" / f"unique.{name}.parquet"
        vocabulary = pq.read_table(file, columns=[name])[name].drop_null().to_pylist()
        every = {v for value in known for v in (value if isinstance(value, list) else [value])} - {None}
        same(sorted(vocabulary), sorted(every), name)
        codes = {value: FIRST_CODE + at for at, value in enumerate(vocabulary)}
        return cls(name, entry["length"], codes, None)

    def check(self, served, written, values):
        """Compare what an op gives and what the etl has written, [n, 1 or length], with the n ``values``."""
        if self.dense is None:
            wanted = [self.code_of(value) for value in values]
            assert served.tolist() == written.tolist() == wanted, self.name
            return
        fill, mean, std = self.dense
        wanted = [[((fill if value is None else float(value)) - mean) / std] for value in values]
        np.testing.assert_allclose(served, wanted, rtol=1e-5, atol=1e-5, err_msg=self.name)
        np.testing.assert_allclose(written, wanted, rtol=1e-5, atol=1e-5, err_msg=self.name)
        known = sorted((value, *row) for value, row in zip(values, served.tolist(), strict=True) if value is not None)
        assert [number for _, number in known] == sorted(number for _, number in known), self.name

    def code_of(self, value):
        if self.length is None:
            return [MISSING_CODE if value is None else self.codes[value]]
        return [*[self.codes[v] for v in value][: self.length], *[0] * (self.length - len(value))]


def as_request(values, dtype, *, listed=False):
    """Values, or lists of them, as ops read them: [n, 1], or [n, longest]."""
    rows = values if listed else [[value] for value in values]
    longest = max(map(len, rows))
    padded = [[*row, *[None] * (longest - len(row))] for row in rows]
    return np.array([[MISSING[dtype] if v is None else v for v in row] for row in padded], dtype).reshape(len(rows), -1)


def by_id(columns):
    """Row numbers of users or items in the order of their ids."""
    ids = next(columns[name] for name in ("user_id", "item_id") if name in columns)
    return sorted(range(len(ids)), key=ids.__getitem__)


def same(found, expected, name):
    """Equal values of equal types."""
    assert found == expected, name
    assert [type(value) for value in found] == [type(value) for value in expected], name
