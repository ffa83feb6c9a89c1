"""User and item feature tables as tensors: a batch brings row numbers, the training graph gathers the features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...core.features import GAP, HISTORY
from ...workflows.history.transitions import TRANSITIONS, UNKNOWN_USER
from ...workflows.transforms.codes import UNKNOWN_CODE
from .._merlin import tf
from ..training.random_state import uniform
from ..training.rows import PLACE, Events, unknown_user

if TYPE_CHECKING:
    from ...workflows.etl.tensors import Tensors


ITEM_ID, USER_ID = "item_id", "user_id"


class PairFeatures(Protocol):
    """Features of a user and a candidate together, which are computed in numpy rather than gathered."""

    def columns(self, events: Events, items: NDArray[np.integer[Any]]) -> Mapping[str, NDArray[np.float32]]:
        """Columns [n, K, width] of n events and their candidates' item rows [n, K]."""
        ...


class Columns:
    """Named tables [n, L] from which rows are gathered.

    Tables of one dtype are stored side by side: one gather of wide rows takes as long as a gather of single numbers.
    """

    def __init__(self, tables: Mapping[str, NDArray[Any]]) -> None:
        of_type: dict[np.dtype[Any], list[str]] = {}
        for name, table in tables.items():
            of_type.setdefault(table.dtype, []).append(name)
        self.order = tuple(tables)
        self.groups = [
            (
                names,
                [tables[n].shape[1] for n in names],
                tf.constant(np.concatenate([tables[n] for n in names], axis=1)),
            )
            for names in of_type.values()
        ]

    def __call__(self, rows: Any) -> dict[str, Any]:
        """Columns [..., L] of rows [...], in the order of the tables."""
        found: dict[str, Any] = {}
        for names, widths, table in self.groups:
            found |= zip(names, tf.split(tf.gather(table, rows), widths, axis=-1), strict=True)
        return {name: found[name] for name in self.order}


class Lookup:
    """The user and item tables of an etl artifact as tensors.

    Args:
        followers: pair features that the ranker reads; None for a model without any.
    """

    def __init__(self, tensors: Tensors, followers: PairFeatures | None = None) -> None:
        self.schema, self.followers = tensors.schema, followers
        self._users, self._items = Columns(tensors.users), Columns(tensors.items)
        unknown = unknown_user(tensors.schema, tensors.users)
        self.unknown = {name: tf.constant(values) for name, values in unknown.items()}

    def users(self, batch: Mapping[str, Any], id_dropout: float = 0.0, user_id_dropout: float = 0.0) -> dict[str, Any]:
        """User and context features [B, L].

        Args:
            batch: user_row [B], history and its time gaps [B, N], and context features [B, 1]. In a batch of windows
                several rows share a history: there are fewer than B, and ``WINDOW`` and ``PLACE`` [B] say which part
                of which history a row reads; see `History`.
            id_dropout: probability that a row gets the features of an unknown user.
            user_id_dropout: probability that a row's user id is out of vocabulary; the user's other features stay.
        """
        columns = self._users(batch["user_row"])
        columns |= {name: values for name, values in batch.items() if name != "user_row"}
        if id_dropout:
            hidden = uniform(tf.shape(batch["user_row"])[:1])[:, None] < id_dropout
            shared = (HISTORY, GAP) if PLACE in columns else ()
            shown = {name: row for name, row in self.unknown.items() if name not in shared}
            columns |= {name: tf.where(hidden, row[None], columns[name]) for name, row in shown.items()}
            if shared:  # the position past the end of a history, where it is empty
                columns[PLACE] = tf.where(hidden[:, 0], columns[HISTORY].shape[1], columns[PLACE])
            if TRANSITIONS in columns:
                columns[TRANSITIONS] *= tf.where(hidden[..., None], UNKNOWN_USER, 1.0)
        if user_id_dropout:
            columns[USER_ID] = without_ids(columns[USER_ID], batch["user_row"], user_id_dropout)
        return columns

    def items(self, rows: Any, id_dropout: float = 0.0, at_once: bool = False) -> dict[str, Any]:
        """Item features [..., L] of item rows [...].

        Args:
            id_dropout: probability that a row's item id is out of vocabulary, like that of an item without
                interactions. Its other features stay.
            at_once: draw once for each item, so that all of its rows [n] agree. Needed where rows are each other's
                negatives.
        """
        columns = self._items(rows)
        if id_dropout:
            columns[ITEM_ID] = without_ids(columns[ITEM_ID], rows, id_dropout, at_once)
        return columns


def without_ids(codes: Any, rows: Any, share: float, at_once: bool = False) -> Any:
    """Codes [..., 1] of rows [...] with a random ``share`` of them out of vocabulary; see `uniform_per_row`."""
    hidden = tf.expand_dims(uniform_per_row(rows, at_once) < share, -1)
    return tf.where(hidden, tf.cast(UNKNOWN_CODE, codes.dtype), codes)


def uniform_per_row(rows: Any, at_once: bool) -> Any:
    """A uniform number in [0, 1) for each of the item rows [...]; with ``at_once`` equal rows [n] get equal numbers."""
    if not at_once:
        return uniform(tf.shape(rows))
    return tf.gather(uniform(tf.shape(rows)), tf.unique(rows).idx)
