"""Text in the column ``data.columns.order``: numbers are sorted as numbers, other text by its characters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..tables.parquet import batches
from .spool import GROUP_ROWS, Spool

if TYPE_CHECKING:
    import pyarrow as pa

WHOLE = r"^\s*[+-]?[0-9]{1,18}\s*$"


@dataclass(frozen=True)
class Places:
    """How values of the column ``order`` are sorted."""

    numbers: bool = False
    """Whether they are text, all of which is whole numbers."""
    other: str | None = None
    """A value of text that is no whole number, if the values differ in length."""

    def ranks(self, column: pa.ChunkedArray) -> NDArray[Any]:
        """The places of values [n], int64 [n]; equal values have one place."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.numbers:
            plain = pc.replace_substring(pc.utf8_trim_whitespace(column), "+", "")
            column = plain.cast(pa.int64())
        return np.asarray(pc.rank(column, tiebreaker="dense"))

    def notices(self) -> list[str]:
        """What a run says of text that is sorted in another way than its numbers would be."""
        if self.other is None:
            return []
        return [
            f"interactions.order: {self.other!r} is no whole number, so the column is sorted as text, in which 10 "
            "comes before 9; if that is wrong, write whole numbers"
        ]


def order_of(spool: Spool) -> Places:
    """How the column ``order`` of the spool is sorted."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_string(spool.schema.field("order").type):
        return Places()
    other, lengths = None, set[int]()
    for batch in batches(spool.file, GROUP_ROWS, ["order"]):
        text = batch["order"]
        lengths.update(pc.unique(pc.utf8_length(text)).to_pylist())
        at = pc.index(pc.match_substring_regex(text, WHOLE), False).as_py()
        other = text[at].as_py() if other is None and at >= 0 else other
    return Places(numbers=other is None, other=other if len(lengths) > 1 else None)
