"""An order for interactions without times: drawn, so that the order of the rows in a file means nothing.

Without times nothing comes before anything. In a drawn order, what comes "before" an interaction is a random part of
the user's other items, a user's last item is a random one, and the latest tenth of a log is a random tenth of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..config import SplitConfig
from ..tables.parquet import batches
from ..tables.timestamps import TimeScale
from .split import by_column

if TYPE_CHECKING:
    import pyarrow as pa

    from .spool import Spool

STEPS = 30_000_000
"""Places drawn from. With the splits of a column one after the other, all stay below what a clock would show."""
SCALE = TimeScale(1, 1, 1_000_000)
"""Of drawn places, which count as seconds."""
ROWS = 1 << 20
"""Rows read at once."""
SPLITS = {
    "last_item": "the test part is one random positive of each user",
    "time": "the test part is a random share of the interactions",
}
"""What a split by order becomes."""


def has_times(spool: Spool) -> bool:
    """Whether the timestamps in the spool differ from one another."""
    import pyarrow.compute as pc

    found = [pc.min_max(batch["timestamp"]).as_py() for batch in batches(spool.file, ROWS, ["timestamp"])]
    return len({value for one in found for value in one.values()}) > 1


def notice(split: SplitConfig) -> str:
    """What a run without times says."""
    held_out = f"; data.split.by {split.by}: {SPLITS[split.by]}" if split.by in SPLITS else ""
    return (
        "interactions: no timestamps, or all are equal, so each user's history is a set, not a sequence"
        f"{held_out}. If the table has times, name their column: data.columns.timestamp"
    )


def with_drawn_places(part: pa.Table, user_row: NDArray[np.int32], item_row: NDArray[np.int32]) -> pa.Table:
    """``part`` with drawn places as its timestamps; they depend on user and item alone, not on the order of the rows.

    Interactions of a user with the same item have different places, so a held-out item may be known.

    Where the table gives the split, a user's training part comes before the validation part and that before the test
    part, so the history of a held-out interaction is what a request reads: everything that is known.

    Args:
        user_row: [n].
        item_row: [n].
    """
    import pyarrow as pa

    places = drawn(user_row, item_row, twins_before(part, user_row, item_row))
    if "split" in part.column_names:
        places = places + STEPS * by_column(part, "split").astype(np.int64)
    return part.set_column(part.column_names.index("timestamp"), "timestamp", pa.array(places))


def twins_before(part: pa.Table, *keys: NDArray[Any]) -> NDArray[np.int64]:
    """For each row of ``part``, how many rows with the same ``keys`` [n] come before it, int64 [n].

    Rows with the same keys are sorted by their other columns, so that their order in the file does not matter.
    """
    order = np.lexsort(keys)
    new = np.append(True, np.any([key[order][1:] != key[order][:-1] for key in keys], axis=0))[: len(order)]
    twins = np.sort(order[~new | ~np.append(new[1:], True)[: len(order)]])
    if not len(twins):
        return np.zeros(len(order), np.int64)
    places = np.zeros(len(order), np.int64)
    places[twins] = _by_content(part.take(twins))
    order = np.lexsort((places, *keys))
    at = np.arange(len(order))
    found = np.empty(len(order), np.int64)
    found[order] = at - np.maximum.accumulate(np.where(new, at, 0))
    return found


def _by_content(rows: pa.Table) -> NDArray[np.int64]:
    """The place [n] of each row when the rows are sorted by their columns other than ids and time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = rows.select([name for name in rows.column_names if name not in ("user_id", "item_id", "timestamp")])
    for index, field in enumerate(rows.schema):
        if pa.types.is_list(field.type):
            text = pa.array([str(value) for value in rows[index].to_pylist()])
            rows = rows.set_column(index, field.name, text)
    places = np.zeros(rows.num_rows, np.int64)
    if rows.num_columns:
        order = pc.sort_indices(rows, [(name, "ascending") for name in rows.column_names]).to_numpy()
        places[order] = np.arange(rows.num_rows)
    return places


def drawn(user_row: NDArray[np.int32], item_row: NDArray[np.int32], number: NDArray[np.int64]) -> NDArray[np.int64]:
    """A place of 0 .. STEPS - 1 for each interaction, int64 [n], by SplitMix64.

    Args:
        user_row, item_row: [n].
        number: [n], of the interaction among those of the same user and item.
    """
    bits: NDArray[Any] = (user_row.astype(np.uint64) << np.uint64(32)) + item_row.astype(np.uint64)
    bits = bits + np.uint64(0x9E3779B97F4A7C15) * (number + 1).astype(np.uint64)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray((bits ^ (bits >> np.uint64(31))) % np.uint64(STEPS), np.int64)


def drawn_cuts(config: SplitConfig) -> tuple[int, int]:
    """The first places of valid and of test, see `split.time_cuts`."""
    return round(STEPS * (1 - config.valid_share - config.test_share)), round(STEPS * (1 - config.test_share))
