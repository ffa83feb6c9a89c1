"""The compiled transforms give what NVTabular gives, bit for bit."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cascade.core.features import FeatureSchema
from cascade.ensemble.graph.ops.compiled_features import load_feature
from cascade.ensemble.graph.ops.transform import Transform
from cascade.workflows.config import (
    DataConfig,
    EtlConfig,
    HistoryConfig,
    SchemaConfig,
    TextConfig,
)
from cascade.workflows.data.stage import DATA
from cascade.workflows.etl.compile import compile_feature, pairs
from cascade.workflows.etl.fit import FittedSide, fit_side
from cascade.workflows.etl.stage import ETL
from cascade.workflows.etl.tensors import Tensors
from cascade.workflows.etl.write_tensors import transform
from cascade.workflows.tables.raw_features import raw_features
from cascade.workflows.transforms.codes import MISSING_INT, raw_array

MOVIELENS = {
    "dense": ["age"],
    "sparse": ["user_id", "item_id", "gender", "occupation", "genres", "release_year"],
    "crosses": [["gender", "occupation"]],
}


class Rows:
    """Rows to fit on, a stand-in for `Partition`."""

    def __init__(self, table):
        self.rows = table

    def table(self, features):
        return self.rows

    def __dask_tokenize__(self):
        return id(self)


def request_array(column):
    """The column in a request: [n, 1], or for lists [n, longest + 1], padded with the missing value."""
    if not pa.types.is_list(column.type):
        return raw_array(column)[:, None]
    rows = column.to_pylist()
    missing = {pa.string(): None, pa.int64(): MISSING_INT, pa.float64(): np.nan}[column.type.value_type]
    dtype = {pa.string(): object, pa.int64(): np.int64, pa.float64(): np.float64}[column.type.value_type]
    array = np.full((len(rows), max(map(len, rows), default=0) + 1), missing, dtype)
    for i, row in enumerate(rows):
        array[i, : len(row)] = row
    return array


def assert_same_bits(fitted, table, folder):
    """Compare every feature of ``table``, by NVTabular and by the compiled tables."""
    by_nvtabular = transform(fitted, table)
    for feature, raw in pairs(fitted):
        entry = json.loads(json.dumps(compile_feature(folder, feature, raw, fitted)))
        got = load_feature(entry, folder)([request_array(table[name]) for name in raw.raw])
        assert got.dtype == np.dtype(feature.dtype), feature.name
        assert got.shape == (len(table), *feature.dims), feature.name
        expected = by_nvtabular[feature.name].astype(feature.dtype)
        assert got.tobytes() == expected.tobytes(), feature.name


def with_nonsense(table):
    """The rows of ``table``, then a row of unknown values and a row of missing values."""
    unknown, missing = [], []
    for column in table.columns:
        kind = column.type
        value = {pa.string(): "never seen", pa.int64(): -77, pa.float64(): 1e9}.get(kind)
        unknown.append(pa.array([value if value is not None else ["never seen", column[0].as_py()[0]]], kind))
        missing.append(pa.array([[] if pa.types.is_list(kind) else None], kind))
    rows = [pa.Table.from_arrays(row, schema=table.schema) for row in (unknown, missing)]
    return pa.concat_tables([table, *rows])


@pytest.fixture(scope="module")
def movielens(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    sections = {
        **{"data": DataConfig(), "schema": SchemaConfig(**MOVIELENS)},
        **{"etl": EtlConfig(device="cpu"), "history": HistoryConfig()},
    }
    data = DATA.run(runs, sections, {})
    return data, ETL.run(runs, sections, {"data": data})


@pytest.mark.parametrize(("side", "table"), [("user", "users"), ("item", "items")])
def test_every_row_of_movielens_and_nonsense(movielens, side, table, tmp_path):
    from nvtabular import Workflow

    data, etl = movielens
    kinds = json.loads((data.path / "tables.json").read_text())["columns"]
    raw = tuple(f for f in raw_features(SchemaConfig(**MOVIELENS), kinds) if f.side == side)
    schema = FeatureSchema.load(etl.path / "schema.json")
    features = tuple(schema[f.name] for f in raw)
    fitted = FittedSide(Workflow.load(etl.path / "workflow" / side), raw, features, etl.path / "workflow" / side, "cpu")
    rows = pq.read_table(data.path / f"{table}.parquet", columns=sorted({n for f in raw for n in f.raw}))
    assert_same_bits(fitted, with_nonsense(rows), tmp_path)


def test_the_op_gives_what_the_etl_wrote(movielens):
    data, etl = movielens
    op = Transform.compiled(etl.path / "transforms")
    op.load(etl.path / "transforms")
    users = pq.read_table(data.path / "users.parquet")
    columns = {name: raw_array(users[name])[:, None] for name in op.raw}
    nothing = {name: np.zeros((len(users), 0), np.int64) for name in op.reads if name not in op.raw}
    got = op({**columns, **nothing})
    for name, expected in Tensors.load(etl.path).users.items():
        np.testing.assert_array_equal(got[name], expected, err_msg=name)


PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""No shrinking: it would take many minutes, because each example fits a workflow."""

TEXT = st.one_of(st.none(), st.sampled_from(["", "a", "b", "ab", " a"]), st.text(max_size=3))
WHOLE = st.one_of(st.none(), st.integers(-3, 3), st.integers(-(2**62), 2**62))
REAL = st.one_of(st.none(), st.sampled_from([0.0, -0.0, 0.1, 1e-300]), st.floats(-1e6, 1e6))
ROW = st.tuples(TEXT, TEXT, WHOLE, WHOLE, REAL, REAL, st.lists(st.text(max_size=2), max_size=4))
NAMES = ("text", "other", "whole", "size", "share", "ratio", "tags")
KINDS = ("string", "string", "int", "int", "float", "float", "list_string")
TYPES = (pa.string(), pa.string(), pa.int64(), pa.int64(), pa.float64(), pa.float64(), pa.list_(pa.string()))
SCHEMA = {
    "sparse": ["user_id", "item_id", "text", "other", "whole", "share", "tags"],
    "dense": ["size", "ratio"],
    "crosses": [["text", "other"], ["text", "whole"], ["whole", "share", "other"]],
}
SOME = ("v", "w", 1, 5, 0.5, 2.5, ["x"])
"""A row without missing values, so that each column has a value to learn from."""


def table_of(rows):
    columns = zip(*rows, strict=True)
    ids = {"item_id": pa.array(range(len(rows)))}
    return pa.table({**ids, **{n: pa.array(c, t) for n, c, t in zip(NAMES, columns, TYPES, strict=True)}})


@pytest.mark.slow
@settings(max_examples=25, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(ROW, max_size=12),
    st.lists(ROW, min_size=1, max_size=6),
    st.sampled_from([1, 2]),
    st.sampled_from([{}, {"other": 1, "tags": 2, "text_other": 2}]),
    st.sampled_from([(), ("text", "whole", "share", "tags", "text_whole", "whole_share_other")]),
)
def test_random_tables(tmp_path_factory, seen, asked, min_frequency, max_size, hashed):
    kinds = {
        "users": {"user_id": "int"},
        "interactions": {},
        "items": dict(zip(NAMES, KINDS, strict=True)) | {"item_id": "int"},
    }
    features = [f for f in raw_features(SchemaConfig(**SCHEMA), kinds) if f.side == "item"]
    raw = tuple(replace(f, buckets=5 if f.name in hashed else 0) for f in features)
    folder = tmp_path_factory.mktemp("fit")
    options = min_frequency, TextConfig(), max_size
    fitted = fit_side(raw, [Rows(table_of([SOME, *seen]))], folder / "workflow", "cpu", *options)
    sizes = {f.name: f.cardinality for f in fitted.features}
    assert all(sizes[name] <= 3 + most for name, most in max_size.items() if name not in hashed)
    assert all(sizes[name] == 3 + 5 for name in hashed)
    assert_same_bits(fitted, table_of([*asked, *seen]), folder)
    assert_same_bits(fitted, table_of(asked[:1]), folder)
