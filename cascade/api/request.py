"""From what a caller has (ids, a DataFrame, a context) to the columns that the request graph takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RequestError
from ..ensemble.protocol.inputs import MISSING
from .frames import columns_of, is_table

if TYPE_CHECKING:
    from ..ensemble.protocol.inputs import Input

CONTROLS = ("exclude_items", "top_k", "temperature", "seed")
"""The inputs that are neither the user nor the context."""


class Inputs:
    """What a release takes, and requests made of it.

    Args:
        inputs: of the request graph.
    """

    def __init__(self, inputs: Sequence[Input]) -> None:
        self._inputs = {spec.name: spec for spec in inputs}

    @property
    def context(self) -> list[str]:
        """Names of the context columns."""
        return [name for name in self._inputs if name not in ("user_id", *CONTROLS)]

    def columns(
        self, users: Any, context: Mapping[str, Any] | None, exclude: Any = None, **controls: float | None
    ) -> dict[str, NDArray[Any]]:
        """The columns [B, ...] of a request.

        Args:
            users: B raw ids, or a table with the column user_id and, optionally, context columns.
            context: context column -> a value for all users, or B values.
            exclude: raw item ids that nobody is to be shown.
            controls: input -> a value for all users; None leaves the input out.

        Raises:
            RequestError: naming the input, what was expected and what came.
        """
        if context is not None and not isinstance(context, Mapping):
            raise RequestError(
                f"context: expected a dict of context column -> value, got a {type(context).__name__}; a table with "
                "the column user_id goes into users"
            )
        given = self._users_and_context(users, context or {})
        count = len(given["user_id"])
        if exclude is not None:
            given["exclude_items"] = np.tile(self.ids("item_id", exclude, "exclude"), (count, 1))
        for name, value in controls.items():
            if value is not None:
                if name not in CONTROLS[1:] or name not in self._inputs:
                    raise RequestError(f"{name}: no such control; there are {', '.join(CONTROLS[1:])}")
                if not _is_scalar(value) or isinstance(value, (bool, np.bool_)) or _is_missing(value):
                    raise RequestError(f"{name}: expected one number for all users, got {value!r}")
                given[name] = np.tile(_typed(self._inputs[name], [value]), (count, 1))
        return given

    def ids(self, column: str, values: Any, name: str = "") -> NDArray[Any]:
        """Raw ids [n] of ``user_id`` or ``item_id`` in the release's dtype.

        Args:
            name: what messages call them; default: ``column``.

        Raises:
            RequestError: if an id is missing or of another type; text that holds a number is a number.
        """
        if column not in ("user_id", "item_id"):
            raise RequestError(f"column: expected user_id or item_id, got {column!r}")
        own = self._inputs["exclude_items" if column == "item_id" else column]
        spec = replace(own, name=name or column, missing=False)
        typed = _typed(spec, given := _listed(spec.name, values))
        _check_ids(spec, given)
        return typed

    def _users_and_context(self, users: Any, context: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        table = columns_of(users) if is_table(users) else {"user_id": users}
        if "user_id" not in table:
            raise RequestError(f"users: the table has no column user_id; it has {', '.join(map(str, table)) or 'none'}")
        twice = sorted(set(table) & set(context))
        if twice:
            raise RequestError(f"context {twice[0]}: is a column of users as well; leave one of them out")
        ids = self.ids("user_id", table.pop("user_id"))
        given = {"user_id": ids[:, None]}
        for name, values in {**table, **context}.items():
            given[name] = self._context(name, values, len(ids))
        return given

    def _context(self, name: str, values: Any, count: int) -> NDArray[Any]:
        """A context column [B, 1], or [B, L] of a list, of one value for all users or one for each."""
        if name not in self.context:
            valid = ", ".join(self.context) or "no context column"
            raise RequestError(f"context {name}: the release takes {valid}; leave other columns out")
        if isinstance(self._inputs[name].dims[0], str):
            return self._lists(name, values, count)
        if _is_scalar(values):
            return np.tile(_typed(self._inputs[name], [values]), (count, 1))
        found = _typed(self._inputs[name], values)
        if found.shape != (count,):
            raise RequestError(
                f"context {name}: expected one value, or one for each of {count} users, got {len(found)}"
            )
        return found[:, None]

    def _lists(self, name: str, values: Any, count: int) -> NDArray[Any]:
        """A context column of lists [B, L], of one list for all users or one for each; L is the longest."""
        if _is_scalar(values):
            raise RequestError(f"context {name}: expected a list of values, got {values!r}; write [{values!r}]")
        given = list(values)
        rows = [given] * count if not given or _is_scalar(given[0]) else given
        if len(rows) != count:
            raise RequestError(f"context {name}: expected one list, or one for each of {count} users, got {len(rows)}")
        spec = self._inputs[name]
        if any(map(_is_scalar, rows)):
            raise RequestError(f"context {name}: expected one list, or one for each of {count} users, got {values!r}")
        rows = [list(row) for row in rows]
        out = np.full((count, max(map(len, rows), default=0)), MISSING[spec.dtype], dtype=spec.dtype)
        for row, entries in zip(out, rows, strict=True):
            row[: len(entries)] = _typed(spec, entries)
        return out


def _typed(spec: Input, values: Any) -> NDArray[Any]:
    """``values`` [n] in the dtype of an input; what is missing becomes the dtype's missing value."""
    from ..ensemble.protocol.wire import as_written

    array = _one_dim(spec.name, values)
    if array.dtype in (np.float32, np.float16):
        array = np.array([as_written(value) for value in array], dtype=np.float64)
    if spec.dtype == "object":
        texts = np.empty(len(array), dtype=object)
        texts[:] = [_text(spec, value) for value in array.tolist()]
        return texts
    if array.dtype.kind == "M":  # as the data stage reads times: seconds since 1970
        seconds = array.astype("datetime64[s]").astype(np.int64).astype(object)
        seconds[np.isnat(array)] = None
        array = seconds
    if array.dtype.kind in "iu" and _fits(array, spec.dtype):
        return array.astype(spec.dtype)
    return np.array([_number(spec, value) for value in array.tolist()], dtype=spec.dtype)


def _check_ids(spec: Input, values: Any) -> None:
    """Refuse values that a conversion would make the id of somebody else, or of nobody: True, b"1", a time, a float too
    large to be exact, 1 where ids are text."""
    from ..ensemble.protocol.wire import WireType

    array = _one_dim(spec.name, values)
    if array.dtype.kind == "M":
        raise RequestError(f"{spec.name}: expected {spec.dtype}, got times ({array.dtype})")
    if spec.dtype == "object" or array.dtype.kind not in "iu":
        wire = WireType(spec.dtype, spec.dtype)
        for value in array if array.dtype.kind == "f" else array.tolist():  # a list would hold float64 only
            wire.identifier(spec.name, value)


def _text(spec: Input, value: Any) -> str | None:
    from ..ensemble.protocol.wire import WireType

    if _is_missing(value):
        if spec.missing:
            return None
        raise RequestError(f"{spec.name}: expected a string, got a missing value; drop that row")
    if isinstance(value, bytes) or not _is_scalar(value):
        raise RequestError(f"{spec.name}: expected a string, got {value!r}")
    return str(WireType(spec.dtype, spec.dtype).value(spec.name, value))


def _number(spec: Input, value: Any) -> int | float:
    """``value`` as the input's dtype holds it; text is read as a number."""
    from ..ensemble.protocol.wire import WireType

    if _is_missing(value):
        if spec.missing:
            missing: int | float = MISSING[spec.dtype]
            return missing
        raise RequestError(f"{spec.name}: expected {spec.dtype}, got a missing value; drop that row")
    number: int | float = WireType(spec.dtype, spec.dtype).value(spec.name, value)
    return number


def _one_dim(name: str, values: Any) -> NDArray[Any]:
    if hasattr(values, "to_pylist"):
        values = _of_arrow(values)
    elif hasattr(values, "to_numpy"):
        values = values.to_numpy()
    elif hasattr(values, "filled"):  # a masked array
        values = values.tolist()  # None where the mask is
    try:
        array = np.asarray(values, dtype=None if isinstance(values, np.ndarray) else _plain(values))
    except ValueError as error:
        raise RequestError(f"{name}: expected one value for each user, got lists of different lengths") from error
    if array.ndim != 1:
        raise RequestError(f"{name}: expected one value for each user, got an array of shape {list(array.shape)}")
    return array


def _of_arrow(values: Any) -> Any:
    """An Arrow array as numpy's, or as a list where numpy would make floats of whole numbers, as one is missing."""
    import pyarrow as pa

    whole = pa.types.is_integer(values.type)
    return values.to_pylist() if whole and values.null_count else values.to_numpy(zero_copy_only=False)


def _plain(values: Any) -> Any:
    """The dtype to read a Python sequence with: numpy would make text of the numbers in a mixed one."""
    return object if any(isinstance(value, (str, type(None), float, bool, np.bool_)) for value in values) else None


def _listed(what: str, values: Any) -> Any:
    """``values``, unless they are a single value.

    Raises:
        RequestError: saying to put it into a list.
    """
    if is_table(values):
        raise RequestError(f"{what}: expected a sequence of ids, got a {type(values).__name__}; pass one column of it")
    if _is_scalar(values):
        advice = "" if values is None else f"; write [{values!r}]"
        raise RequestError(f"{what}: expected a sequence of ids, got {values!r}{advice}")
    return values if hasattr(values, "__getitem__") else list(values)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (str, bytes)) or not hasattr(value, "__iter__") or getattr(value, "ndim", 1) == 0


def _is_missing(value: Any) -> bool:
    """None, NaN, NaT or pandas' NA, none of which equals itself, or whose comparison has no truth value."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except TypeError:
        return True
    except ValueError:  # an array, which is no value
        return False


def _fits(array: NDArray[Any], dtype: str) -> bool:
    """Whether a dtype holds all these whole numbers."""
    if np.dtype(dtype).kind == "f" or array.size == 0:
        return True
    limits = np.iinfo(dtype)
    return bool(array.min() >= limits.min and array.max() <= limits.max)
