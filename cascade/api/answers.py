"""What a release answers, as arrays and as a DataFrame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Recommendations:
    """Recommendations for B users, k items each, best first.

    Where a user gets fewer than k items, the rest of the row is padding: item id -1 (``""`` for ids of text), score and
    propensity 0.

    Example:
        >>> answer = release.recommend([42, 43], top_k=3)
        >>> answer.item_ids[0]
        array([50, 181, 172])
        >>> answer.to_frame()
    """

    user_ids: NDArray[Any]
    """Raw ids [B], int64 or object."""
    item_ids: NDArray[Any]
    """Raw ids [B, k], int64 or object."""
    scores: NDArray[np.float32]
    """The ranker's probability of a positive, [B, k], in 0 .. 1."""
    propensities: NDArray[np.float32]
    """Probability that sampling picked the item at its place, given the picks before it: [B, k]; 1 at temperature 0."""
    reasons: list[list[str]]
    """Why each user's answer is degraded: ``unknown_user``, ``features_stale`` (the feature store could not be read),
    ``fewer_items`` (fewer than top_k); empty if it is not."""
    release: str
    """Id of the release that answered."""

    def __len__(self) -> int:
        """B."""
        return len(self.item_ids)

    def to_frame(self) -> pd.DataFrame:
        """A row for each item, padding left out: user_id, rank (from 1), item_id, score, propensity, reasons.

        ``reasons`` is text, joined by commas. A user without items has no row.
        """
        import pandas as pd

        row, place = np.nonzero(listed(self.item_ids))
        reasons = np.array([",".join(names) for names in self.reasons], dtype=object)
        return pd.DataFrame(
            {
                "user_id": self.user_ids[row],
                "rank": place + 1,
                "item_id": self.item_ids[row, place],
                "score": self.scores[row, place],
                "propensity": self.propensities[row, place],
                "reasons": reasons[row],
            }
        )


@dataclass(frozen=True, eq=False)
class SimilarItems:
    """The k nearest items of each of B items, nearest first, the item itself left out.

    Where there are fewer than k, or the item is unknown, the row is padded: item id -1 (``""`` for ids of text),
    similarity 0.
    """

    item_ids: NDArray[Any]
    """Raw ids [B] that were asked for, int64 or object."""
    similar_ids: NDArray[Any]
    """Raw ids [B, k], int64 or object."""
    similarities: NDArray[np.float32]
    """Cosine of the item vectors, [B, k], in -1 .. 1."""
    reasons: list[list[str]]
    """``unknown_item`` where the release does not hold the item, ``fewer_items`` where there are fewer than k."""

    def __len__(self) -> int:
        """B."""
        return len(self.similar_ids)

    def to_frame(self) -> pd.DataFrame:
        """A row for each pair, padding left out: item_id, rank (from 1), similar_id, similarity."""
        import pandas as pd

        row, place = np.nonzero(listed(self.similar_ids))
        return pd.DataFrame(
            {
                "item_id": self.item_ids[row],
                "rank": place + 1,
                "similar_id": self.similar_ids[row, place],
                "similarity": self.similarities[row, place],
            }
        )


def listed(ids: NDArray[Any]) -> NDArray[np.bool_]:
    """Where raw ids are no padding; same shape."""
    return np.asarray(ids != ("" if ids.dtype == object else -1), dtype=bool)
