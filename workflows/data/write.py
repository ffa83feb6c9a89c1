"""Write the interactions of the data artifact: sorted by user and time, split, in files of whole users."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError
from ..config import DataConfig, SplitConfig
from ..tables.ids import rows_of
from ..tables.parquet import batches
from ..tables.timestamps import TimeScale
from .crowded_time import crowded_time
from .drawn_order import SCALE, drawn_cuts, with_drawn_places
from .order import Places, order_of
from .split import (
    NAMES,
    VALID,
    by_column,
    by_time,
    draw_held_out_items,
    draw_validation_users,
    last_item,
    last_training_positives,
    new_items,
    time_cuts,
)
from .spool import GROUP_ROWS, Spool, parts_by_user
from .ties import in_order

if TYPE_CHECKING:
    import pyarrow as pa

    Splitter = Callable[[pa.Table, NDArray[np.int32]], NDArray[np.int8]]

GUEST, FEW_USERS = 0.2, 20
"""Share of all interactions from which on one user of so many at least is noticed."""
NO_ROW = "the test part, or the test and the validation part, have all of them: choose another data.split"
"""Why no row is left for training, where equal times are not the reason."""


def write_table(table: pa.Table, file: Path) -> None:
    """Write ``table`` to ``file`` in row groups of GROUP_ROWS rows."""
    import pyarrow.parquet as pq

    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file, row_group_size=GROUP_ROWS)


def write_interactions(
    folder: Path, spool: Spool, user_ids: pa.Array, item_ids: pa.Array, config: DataConfig, scale: TimeScale | None,
    *, as_written: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Write part-*.parquet into ``folder``, each part sorted by user and time.

    Interactions of one user with equal timestamps are sorted by ``data.columns.order``; without it, and where that is
    equal too, their order is drawn, or that of the rows. The column ``order`` is left out.

    Args:
        scale: of the timestamps in the spool, which are written in whole steps; None if they say nothing, see
            `drawn_order`.
        as_written: whether the order of the rows counts, see `ties`.

    Returns:
        The number of rows in each split (``n_train`` ...), ``time_span``: split -> first and last timestamp, and
        ``notices``.

    Raises:
        DataError: if the split leaves no row for training.
    """
    import pyarrow as pa

    cut = config.split.given is not None and config.split.valid_share > 0 and not _marks_valid(spool)
    stamps = _stamps(spool, scale) if config.split.by == "time" and scale is not None else None
    split_rows = _splitter(config.split, len(user_ids), item_ids, stamps, cut)
    places = order_of(spool) if config.has_order else None
    total, spans, counts = np.zeros(len(NAMES), np.int64), dict[str, list[int]](), np.zeros(len(user_ids), np.int64)
    for number, part in enumerate(parts_by_user(spool.file, user_ids)):
        user_row = rows_of(part["user_id"], user_ids)
        if scale is None:
            part = with_drawn_places(part, user_row, rows_of(part["item_id"], item_ids))
        breaks = [np.arange(len(part))] if as_written else _tie_breaks(part, places)
        order = in_order(part, user_row, item_ids, breaks)
        part, user_row = _in_steps(part.take(order), config, scale or SCALE), user_row[order]
        codes = split_rows(part, user_row)
        if "split" in part.column_names:
            part = part.drop_columns(["split"])
        part = part.append_column("split", pa.array(np.asarray(NAMES)[codes]))
        total += np.bincount(codes, minlength=len(NAMES))
        counts += np.bincount(user_row, minlength=len(counts))
        _widen(spans, part["timestamp"].to_numpy(), codes)
        write_table(part, folder / f"part-{number:05d}.parquet")
    why = crowded_time(config.split, stamps, total, (scale or SCALE).unit) if stamps is not None else None
    if total[0] == 0:
        raise DataError(f"interactions: the split ({config.split.by}) leaves no row for training; {why or NO_ROW}")
    sizes = {f"n_{name}": int(count) for name, count in zip(NAMES, total, strict=True)}
    notices = [cut_from_training(config.split, int(total[VALID]))] if cut else []
    notices += [*_guest(counts, user_ids), *(places.notices() if places is not None else []), *([why] if why else [])]
    return {**sizes, "time_span": spans, "notices": notices}


def _guest(counts: NDArray[np.int64], user_ids: pa.Array) -> list[str]:
    """The notice that one of many users has most interactions; ``counts`` [n_users] are those of each."""
    row = int(counts.argmax())
    share = counts[row] / counts.sum()
    if share <= GUEST or np.count_nonzero(counts) < FEW_USERS:
        return []
    return [
        f"interactions.user_id: {user_ids[row].as_py()!r} has {share:.0%} of all interactions; if it stands for "
        "guests, they are learned as one user: leave its rows out, by hand or with a table users without it and "
        "data.unknown: drop"
    ]


def _stamps(spool: Spool, scale: TimeScale) -> NDArray[np.int64]:
    """The timestamps of all interactions, as the artifact has them."""
    return scale(np.concatenate([b["timestamp"].to_numpy() for b in batches(spool.file, GROUP_ROWS, ["timestamp"])]))


def _marks_valid(spool: Spool) -> bool:
    """Whether the given split has a validation part."""
    return any((by_column(batch, "split") == VALID).any() for batch in batches(spool.file, GROUP_ROWS, ["split"]))


def cut_from_training(config: SplitConfig, rows: int) -> str:
    """The notice that the validation part was not given."""
    return (
        f"data.split: interactions.{config.column} marks no row as valid, so {rows:,} of its training rows validate: "
        f"the last positive of {config.valid_share:.0%} of the users (data.split.valid_share; 0 trains on all of them, "
        "without a validation part)"
    )


def without_validation(rows: int) -> list[str]:
    """The notice that there is no validation part, if it has 0 ``rows``."""
    if rows:
        return []
    return [
        "data.split: the validation part is empty, so models train for all epochs, without early stopping, and nothing "
        "is chosen: what may stand beside the retriever's towers is taken as it is by default, and the ranker, which "
        "is neither calibrated nor compared with the retriever, orders the list only with dlrm_ranker.order_by: dlrm"
    ]


def _tie_breaks(part: pa.Table, places: Places | None) -> list[NDArray[Any]]:
    """What sorts interactions of equal timestamps: the ranks [n] of the column ``order``, or nothing."""
    return [places.ranks(part["order"])] if places is not None else []


def _in_steps(part: pa.Table, config: DataConfig, scale: TimeScale) -> pa.Table:
    """``part`` with the timestamps of the artifact, and without the column ``order``."""
    import pyarrow as pa

    times = pa.array(scale(part["timestamp"].to_numpy()))
    part = part.set_column(part.column_names.index("timestamp"), "timestamp", times)
    return part.drop_columns(["order"]) if config.has_order else part


def _widen(spans: dict[str, list[int]], stamps: NDArray[np.int64], codes: NDArray[np.int8]) -> None:
    """Widen the first and last timestamp of each split by ``stamps`` [n]; ``codes`` [n] are their splits."""
    for code, name in enumerate(NAMES):
        own = stamps[codes == code]
        if len(own):
            first, last = spans.get(name, (own[0], own[0]))
            spans[name] = [int(min(first, own.min())), int(max(last, own.max()))]


def _splitter(
    config: SplitConfig, n_users: int, item_ids: pa.Array, stamps: NDArray[np.int64] | None, cut: bool
) -> Splitter:
    """The function from a part's rows [n], sorted by user and time, and their user rows [n] to split codes [n].

    Args:
        stamps: the timestamps of all interactions, for a split by time; None if it has none to go by.
        cut: whether a given split lacks a validation part, which is then cut from its training part.
    """
    if config.by == "last_item":
        validates = draw_validation_users(n_users, config.valid_share)
        return lambda part, user_row: last_item(user_row, part["positive"].to_numpy(), validates)
    if config.by == "new_items":
        validates = draw_validation_users(n_users, config.valid_share)
        held_out = draw_held_out_items(len(item_ids), config.item_share)
        return lambda part, user_row: new_items(
            user_row, held_out[rows_of(part["item_id"], item_ids)], part["positive"].to_numpy(), validates
        )
    if config.by == "time":
        cuts = drawn_cuts(config) if stamps is None else time_cuts(stamps, config.valid_share, config.test_share)
        return lambda part, user_row: by_time(part["timestamp"].to_numpy(), *cuts)
    if cut:
        validates = draw_validation_users(n_users, config.valid_share)
        return lambda part, user_row: last_training_positives(
            by_column(part, "split"), user_row, part["positive"].to_numpy(), validates
        )
    return lambda part, user_row: by_column(part, "split")
