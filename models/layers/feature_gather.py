"""Feature tables on TensorFlow's side: a batch brings row numbers, the graph gathers the features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.features import GAP, HISTORY
from ...workflows.history.transitions import TRANSITIONS, UNKNOWN_USER
from ...workflows.transforms.lookup_tables import UNKNOWN_CODE
from .._merlin import tf
from ..retriever.history_encoder import PLACE
from ..training.random_state import uniform
from ..training.rows import unknown_user

if TYPE_CHECKING:
    from ...workflows.etl.tensors import Tensors
    from ..ranker.transition_features import Followers


ITEM_ID = "item_id"


class Columns:
    """Tables [n, L] by name; those of one type lie side by side, as many rows of a number each take as long to gather
    as rows of several.
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

    ``followers``: what a ranker reads of users and candidates together, if it does.
    """

    def __init__(self, tensors: Tensors, followers: Followers | None = None) -> None:
        self.schema, self.followers = tensors.schema, followers
        self._users, self._items = Columns(tensors.users), Columns(tensors.items)
        unknown = unknown_user(tensors.schema, tensors.users)
        self.unknown = {name: tf.constant(values) for name, values in unknown.items()}

    def users(self, batch: Mapping[str, Any], id_dropout: float = 0.0) -> dict[str, Any]:
        """User and context features [B, L].

        Args:
            batch: user_row [B], history and its gaps [B, N], and context features [B, 1]; or, instead of a history for
                each row, fewer of them and ``window`` and ``place`` [B], see `History`.
            id_dropout: share of rows whose user is shown as one who is not known.
        """
        columns = self._users(batch["user_row"])
        columns |= {name: values for name, values in batch.items() if name != "user_row"}
        if id_dropout:
            hidden = uniform(tf.shape(batch["user_row"])[:1])[:, None] < id_dropout
            shared = (HISTORY, GAP) if PLACE in columns else ()
            shown = {name: row for name, row in self.unknown.items() if name not in shared}
            columns |= {name: tf.where(hidden, row[None], columns[name]) for name, row in shown.items()}
            if shared:  # where nothing has been seen
                columns[PLACE] = tf.where(hidden[:, 0], columns[HISTORY].shape[1], columns[PLACE])
            if TRANSITIONS in columns:
                columns[TRANSITIONS] *= tf.where(hidden[..., None], UNKNOWN_USER, 1.0)
        return columns

    def items(self, rows: Any, id_dropout: float = 0.0, at_once: bool = False) -> dict[str, Any]:
        """Item features [..., L] of item rows [...].

        Args:
            id_dropout: share of rows whose item id is shown as out of vocabulary, as that of an item without
                interactions is; its other features stay.
            at_once: hide all rows of an item or none, ``rows`` [n]: for rows that are candidates of one another.
        """
        columns = self._items(rows)
        if id_dropout:
            hidden = tf.expand_dims(drawn(rows, at_once) < id_dropout, -1)
            columns[ITEM_ID] = tf.where(hidden, tf.cast(UNKNOWN_CODE, columns[ITEM_ID].dtype), columns[ITEM_ID])
        return columns


def drawn(rows: Any, at_once: bool) -> Any:
    """A number in [0, 1) for each of the item rows [...]; with ``at_once`` equal rows [n] have equal numbers."""
    if not at_once:
        return uniform(tf.shape(rows))
    return tf.gather(uniform(tf.shape(rows)), tf.unique(rows).idx)
