"""The contract of ops of the request graph, as a test class to inherit from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ..core.signature import Columns, Signature
from ..ensemble.graph.ops.base import Op

PADDING: dict[str, set[Any]] = {
    "i": {-1, 0, int(np.iinfo(np.int64).min)},
    "f": {0.0, -np.inf},
    "O": {None, ""},
    "b": {False},
}
"""Kind of dtype -> values that may pad a row to the longest row of its batch; floats may also be padded with NaN."""


class RecordedColumns(Mapping[str, NDArray[Any]]):
    """Columns that record which of them are read."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> NDArray[Any]:
        self.read.add(name)
        return self.columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)


class OpContract:
    """Inherit from it and write ``make_op`` and ``make_batch``.

    The tests check that

    - one call with B rows gives the same as B calls with one row, up to trailing padding where a dimension varies,
    - the written columns are the declared ones, with the declared dtypes and dimensions,
    - an empty batch (B = 0) works,
    - the inputs are not changed, and a second call gives the same result,
    - the parameters can be stored as JSON and restored,
    - the op reads every column that it declares, and no other.
    """

    rtol = 0.0
    """Relative tolerance of floats between a batch and its rows; 0 requires equal bits."""

    def make_op(self, folder: Path) -> Op:
        """The op, after ``load(folder)``. Write the files that it loads into ``folder`` first."""
        raise NotImplementedError

    def make_batch(self) -> dict[str, NDArray[Any]]:
        """The op's input columns: at least 3 different rows, with lists of different lengths where the op allows it."""
        raise NotImplementedError

    @pytest.fixture
    def op(self, tmp_path: Path) -> Op:
        return self.make_op(tmp_path)

    @pytest.fixture
    def batch(self, op: Op) -> dict[str, NDArray[Any]]:
        columns = self.make_batch()
        assert_declared(columns, op.reads)
        assert rows(columns) >= 3, "the contract needs at least 3 rows"
        return columns

    def test_batch_equals_its_rows(self, op: Op, batch: dict[str, NDArray[Any]]) -> None:
        together = op(batch)
        for row in range(rows(batch)):
            alone = op({name: array[row : row + 1] for name, array in batch.items()})
            for name in op.writes:
                assert_row_equal(f"{name}[{row}]", together[name][row], alone[name][0], self.rtol)

    def test_writes_what_it_declares(self, op: Op, batch: dict[str, NDArray[Any]]) -> None:
        written = op(batch)
        assert_declared(written, op.writes)
        assert all(len(array) == rows(batch) for array in written.values())

    def test_empty_batch(self, op: Op, batch: dict[str, NDArray[Any]]) -> None:
        written = op({name: array[:0] for name, array in batch.items()})
        assert_declared(written, op.writes)
        assert all(len(array) == 0 for array in written.values())

    def test_leaves_its_inputs_alone(self, op: Op, batch: dict[str, NDArray[Any]]) -> None:
        before = {name: array.copy() for name, array in batch.items()}
        for array in batch.values():
            array.flags.writeable = False
        first, second = op(batch), op(batch)
        for name, array in before.items():
            np.testing.assert_array_equal(batch[name], array)
        for name in op.writes:
            np.testing.assert_array_equal(first[name], second[name])

    def test_reads_what_it_declares(self, op: Op, batch: dict[str, NDArray[Any]]) -> None:
        recorded = RecordedColumns({name: batch[name] for name in op.reads})
        op(recorded)
        assert recorded.read == set(op.reads)

    def test_parameters_survive_json(self, op: Op, batch: dict[str, NDArray[Any]], tmp_path: Path) -> None:
        again = type(op)(**json.loads(json.dumps(op.params())))
        assert json.dumps(again.params()) == json.dumps(op.params())
        assert (dict(again.reads), dict(again.writes)) == (dict(op.reads), dict(op.writes))
        again.load(tmp_path)
        for name, array in op(batch).items():
            np.testing.assert_array_equal(again(batch)[name], array)


def rows(columns: Columns) -> int:
    """The batch size of these columns, which must be the same for all."""
    lengths = {len(array) for array in columns.values()}
    assert len(lengths) == 1, f"columns of different lengths: { {n: len(a) for n, a in columns.items()} }"
    return lengths.pop()


def assert_declared(columns: Columns, signature: Signature) -> None:
    """Check that ``columns`` are exactly the declared ones, and that each named dimension has one size."""
    assert set(columns) == set(signature)
    sizes: dict[str, int] = {}
    for name, spec in signature.items():
        array = columns[name]
        assert spec.accepts(array), f"{name}: declared {spec}, is {array.dtype}{list(array.shape)}"
        for dim, size in zip(spec.dims, array.shape[1:], strict=True):
            if isinstance(dim, str):
                assert sizes.setdefault(dim, size) == size, f"{name}: {dim} is {size}, elsewhere {sizes[dim]}"


def assert_row_equal(name: str, left: NDArray[Any], right: NDArray[Any], rtol: float = 0.0) -> None:
    """Check that two arrays are equal up to trailing padding: a longer one may hold only padding beyond the other."""
    assert left.ndim == right.ndim, f"{name}: {left.shape} against {right.shape}"
    common = tuple(slice(min(a, b)) for a, b in zip(left.shape, right.shape, strict=True))
    for array in (left, right):
        rest = np.ones(array.shape, dtype=bool)
        rest[common] = False
        filling = set(array[rest].tolist())
        filling -= {value for value in filling if value != value}
        assert filling <= PADDING[array.dtype.kind], f"{name}: {filling} where only padding may be"
    if left.dtype.kind == "f":
        np.testing.assert_allclose(left[common], right[common], rtol=rtol, atol=0, err_msg=name)
    else:
        np.testing.assert_array_equal(left[common], right[common], err_msg=name)
