"""Interactions of one user with equal times: how many there are, and the order that they are given.

``data.columns.order`` says what came first among equal times. Without it the order of the rows does, if they stand as a
log writes them: the times of a user hardly ever fall from row to row, and equal times are not sorted by item. Any other
order of rows says nothing, and neither do ids, so equal times are then ordered by a draw, see `drawn_order`. Where most
of what is known of a user has one time, as in a log of single baskets, the times give no sequence at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..config import SplitConfig
from ..tables.ids import rows_of
from ..tables.parquet import batches
from .drawn_order import SPLITS, drawn, twins_before

if TYPE_CHECKING:
    import pyarrow as pa

    from .spool import Spool

ROWS = 1 << 20
"""Rows read at once."""
SAMPLE = 4_000_000
"""Rows of about so many are looked at, those of a sample of the users."""
LATE = 0.01
"""Share of a user's neighbouring rows that a log may have in the wrong order: events that came late."""
SORTED, FEW = 0.05, 20
"""Equal times are sorted by item if less than this share of neighbours is out of order; of few, that may be chance."""
MOST = 0.5
"""Share of the pairs with equal times from which on a user's positives are a set."""


@dataclass(frozen=True)
class Ties:
    """How much of the order of a user's positives is unknown, of users with two or more."""

    events: float = 0.0
    """Share of the positives that have the time of another one."""
    pairs: float = 0.0
    """Mean over the positives: the share of the user's others that have the same time."""
    as_written: bool = False
    """Whether the rows stand as a log writes them, so that their order counts among equal times."""

    @property
    def is_set(self) -> bool:
        """Whether the times say little of what came first."""
        return self.pairs > MOST

    def notices(self) -> list[str]:
        """What a run says of a log that has an order, but not within most times."""
        if self.events <= MOST or self.as_written:
            return []
        return [f"{self._share}: their order is drawn. {REMEDY}"]

    def set_notice(self, split: SplitConfig) -> str:
        """What a run says of a log whose times are taken for none."""
        held_out = f"; data.split.by {split.by}: {SPLITS[split.by]}" if split.by in SPLITS else ""
        return f"{self._share}, so each user's history is a set, not a sequence{held_out}. {REMEDY}"

    @property
    def _share(self) -> str:
        return f"interactions.timestamp: {self.events:.0%} of the positives have the time of another one of their user"


REMEDY = "If a column says what came first, name it: data.columns.order; if one has finer times: data.columns.timestamp"


def count_ties(spool: Spool, user_ids: pa.Array, item_ids: pa.Array) -> Ties:
    """Count the positives of a user that have equal times; in a large log, those of a sample of the users.

    Args:
        user_ids, item_ids: sorted.
    """
    every = -(-spool.rows // SAMPLE)
    users, times, items = list[NDArray[Any]](), list[NDArray[Any]](), list[NDArray[Any]]()
    for batch in batches(spool.file, ROWS, ["user_id", "item_id", "timestamp", "positive"]):
        user = rows_of(batch["user_id"], user_ids)
        keep = batch["positive"].to_numpy(zero_copy_only=False) & (user % every == 0)
        users.append(user[keep])
        times.append(batch["timestamp"].to_numpy()[keep])
        items.append(rows_of(batch["item_id"], item_ids)[keep])
    row = np.concatenate(items)
    return ties_of(np.concatenate(users), np.concatenate(times), [place[row] for place in item_orders(item_ids)])


def item_orders(item_ids: pa.Array) -> list[NDArray[np.int64]]:
    """The place of each item [n_items] in the orders that a table may be sorted in.

    That of the ids, and for text also by length first ("2" before "10"), and without case.
    """
    import pyarrow as pa

    if not pa.types.is_string(item_ids.type):
        return [np.arange(len(item_ids))]
    texts = item_ids.to_pylist()
    every = range(len(texts))
    by_size = sorted(every, key=lambda at: (len(texts[at]), texts[at]))
    without_case = sorted(every, key=lambda at: texts[at].casefold())
    return [np.arange(len(texts)), np.argsort(by_size), np.argsort(without_case)]


def ties_of(user: NDArray[np.integer[Any]], time: NDArray[Any], items: Sequence[NDArray[Any]]) -> Ties:
    """The ties among events [n] of users at times, in the order of the rows.

    Args:
        items: [n] each, the place of the event's item in each of `item_orders`.
    """
    order = np.lexsort((time, user))
    sizes, of_user = group_sizes([user[order], time[order]]), group_sizes([user[order]])
    many = of_user > 1
    if not many.any():
        return Ties()
    pairs = ((sizes[many] - 1) / (of_user[many] - 1)).mean()
    return Ties(float((sizes[many] > 1).mean()), float(pairs), as_written(user, time, items))


def as_written(user: NDArray[np.integer[Any]], time: NDArray[Any], items: Sequence[NDArray[Any]]) -> bool:
    """Whether rows [n] stand as a log writes them: hardly any time of a user falls, and equal times are not sorted by
    item in any of the orders ``items``, see `ties_of`.
    """
    order = np.argsort(user, kind="stable")
    user, time = user[order], time[order]
    same = user[1:] == user[:-1]
    if same.any() and (time[1:] < time[:-1])[same].mean() > LATE:
        return False
    tied = np.flatnonzero(same & (time[1:] == time[:-1]))
    return not any(_sorted(places[order][tied], places[order][tied + 1]) for places in items)


def _sorted(before: NDArray[Any], after: NDArray[Any]) -> bool:
    """Whether nearly all neighbours [n] rise, or nearly all fall; equal ones say nothing."""
    rises = (after > before)[after != before]
    return len(rises) >= FEW and not SORTED < float(rises.mean()) < 1 - SORTED


def group_sizes(keys: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
    """How many rows [n] have the ``keys`` of a row; rows with equal keys stand together."""
    if not len(keys[0]):
        return np.zeros(0, np.int64)
    new = np.append(True, np.any([key[1:] != key[:-1] for key in keys], axis=0))
    group = np.cumsum(new) - 1
    return np.asarray(np.bincount(group)[group], np.int64)


def in_order(
    part: pa.Table, user_row: NDArray[np.int32], item_ids: pa.Array, breaks: Sequence[NDArray[Any]]
) -> NDArray[np.int64]:
    """The rows [n] of ``part`` sorted by user, time and ``breaks``; where all are equal, in a drawn order.

    The drawn order depends on what the rows hold, and not on where they stand in the file.

    Args:
        user_row: [n].
        breaks: [n] each, what sorts equal times.
    """
    keys = (*breaks, part["timestamp"].to_numpy(), user_row)
    order: NDArray[np.int64] = np.lexsort(keys)
    tied = np.sort(order[group_sizes([key[order] for key in keys]) > 1])
    if not len(tied):
        return order
    rows, user, time = part.take(tied), user_row[tied], keys[-2][tied]
    item = rows_of(rows["item_id"], item_ids)
    places = np.zeros(len(order), np.int64)
    # The time, so that the items of a user's next basket have another order.
    places[tied] = drawn(user, item, twins_before(rows, user, item, time) + mixed(time))
    order = np.lexsort((places, *keys))
    return order


def mixed(time: NDArray[Any]) -> NDArray[np.int64]:
    """A number for each time [n] that has little in common with those of its neighbours."""
    bits = np.asarray(time.astype(np.int64) if time.dtype.kind != "f" else (time + 0.0).view(np.int64)).view(np.uint64)
    bits = (bits ^ (bits >> np.uint64(31))) * np.uint64(0xD6E8FEB86659FD93)
    return np.asarray((bits ^ (bits >> np.uint64(32))) >> np.uint64(8), np.int64)
