"""Whether users come back to items that they had: counted in the data; it decides whether such items are shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import DataError
from ...core.files import read_json
from ..tables.parquet import batches, whole_users

if TYPE_CHECKING:
    import pyarrow as pa

COME_BACK = 0.1
"""Mean share of a user's later positives from which on users count as coming back to items. Purchases of most shops,
ratings and news are far below it; groceries, music and places far above."""
ROWS = 1 << 20
"""Interactions read at once."""
COLUMNS = ("user_id", "item_id", "positive", "split")


@dataclass(frozen=True)
class Repeats:
    """How often users come back to items. Positives of an item directly after one another count once."""

    users: int
    """Users with a later positive: one after the first."""
    shares: float
    """The sum over these users of the share of later positives whose item the user had before. A bot with most of the
    events is one user like others."""
    held_out: int
    """Pairs of user and item among the positives of the test part."""
    known: int
    """Those of them that the user had before the test part."""

    def __add__(self, other: Repeats) -> Repeats:
        own, more = vars(self).values(), vars(other).values()
        return Repeats(*(a + b for a, b in zip(own, more, strict=True)))

    @property
    def share(self) -> float:
        """Of a user's later positives, those that repeat an earlier one; the mean over users."""
        return self.shares / max(self.users, 1)

    @property
    def seen(self) -> str:
        """What ``serving.seen: auto`` is: ``keep`` or ``drop``."""
        return "keep" if self.share >= COME_BACK else "drop"

    def facts(self) -> dict[str, Any]:
        """The metrics of the data stage, of which `keeps_seen` reads two again."""
        held_out = self.known / max(self.held_out, 1)
        return {"repeat_share": self.share, "held_out_repeat_share": held_out, "seen": self.seen}

    def notices(self) -> list[str]:
        """What a run says about it."""
        if self.seen == "drop":
            return []
        return [
            f"interactions: users come back to items ({self.share:.1%} of a user's later positives are of an item that "
            "it had before), so items that a user has seen are recommended again (serving.seen: auto); "
            "serving.seen: drop leaves them out"
        ]


def count_repeats(folder: Path) -> Repeats:
    """Count in the interactions of a data artifact in ``folder``, a chunk of whole users at a time."""
    parts = sorted((folder / "interactions").glob("*.parquet"))
    tables = whole_users(batch for part in parts for batch in batches(part, ROWS, [*COLUMNS]) if batch.num_rows)
    return sum(map(_repeats_of, tables), Repeats(0, 0.0, 0, 0))


def _repeats_of(table: pa.Table) -> Repeats:
    """Those of whole users, each user's rows in order of time."""
    import pyarrow.compute as pc

    table = table.filter(table["positive"])
    if not table.num_rows:
        return Repeats(0, 0.0, 0, 0)
    user, item = (_numbers(table[name]) for name in ("user_id", "item_id"))
    items = int(item.max()) + 1
    pair = user * items + item
    pairs, new = np.unique(pair), np.append(True, pair[1:] != pair[:-1])
    visits, different = (np.bincount(of, minlength=user.max() + 1) for of in (user[new], pairs // items))
    later, repeated = visits - 1, visits - different
    test = pc.equal(table["split"], "test").to_numpy()
    held_out = np.unique(pair[test])
    known = int(np.isin(held_out, pair[~test]).sum())
    return Repeats(int((later > 0).sum()), float((repeated[later > 0] / later[later > 0]).sum()), len(held_out), known)


def _numbers(column: pa.ChunkedArray) -> Any:
    """int64 [n]: equal numbers for equal ids."""
    return column.combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)


def keeps_seen(setting: str, data: Path) -> bool:
    """Whether items that a user has seen are recommended again.

    Args:
        setting: ``serving.seen``.
        data: folder of the data artifact, which decides what ``auto`` is.

    Raises:
        DataError: seen items are left out, and all that is held out for the evaluation is of such items.
    """
    facts = read_json(data / "tables.json")
    if (facts["seen"] if setting == "auto" else setting) == "keep":
        return True
    if facts["held_out_repeat_share"] == 1:
        raise DataError(
            "interactions: every positive of the test part is of an item that its user had before, and such items are "
            f"left out (serving.seen: {setting}), so all metrics would be 0. serving.seen: keep recommends them again"
        )
    return False
