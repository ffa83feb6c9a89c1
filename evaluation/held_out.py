"""The test requests: one for each test user, and the items that are relevant to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ..core.errors import DataError
from ..core.signature import Signature
from ..workflows.tables.ids import rows_of
from ..workflows.transforms.codes import raw_array


@dataclass(frozen=True)
class HeldOut:
    """Requests of U users and their relevant items, in ascending order of user rows.

    ``columns``: the inputs of the requests [U, 1]: user_id and the raw context columns. ``rows``: int64 [U], user rows.
    ``relevant``: bool [U, n_items]. ``events``: int64 [U], the test interactions that the contexts are taken from.
    """

    columns: Mapping[str, NDArray[Any]]
    rows: NDArray[np.int64]
    relevant: csr_matrix
    events: NDArray[np.int64]


@dataclass(frozen=True)
class LoggedTest:
    """The M test interactions of a data artifact, in file order.

    ``table``: the raw columns as an Arrow table. ``users``, ``items``: int64 [M], their rows. ``positive``: bool [M].
    ``label``: bool [M], what the ranker predicts: the label column if there is one, else ``positive``.
    """

    table: Any
    users: NDArray[np.int64]
    items: NDArray[np.int64]
    positive: NDArray[np.bool_]
    label: NDArray[np.bool_]
    n_items: int

    @classmethod
    def read(cls, data: Path, user_ids: NDArray[Any], item_ids: NDArray[Any]) -> LoggedTest:
        """Read the test part of the data artifact in the folder ``data``.

        Args:
            user_ids: raw id of each user row.
            item_ids: raw id of each item row.
        """
        import pyarrow.dataset as ds

        table = ds.dataset(data / "interactions").to_table(filter=ds.field("split") == "test")
        positive = np.asarray(table["positive"].to_numpy(), bool)
        return cls(
            table=table,
            users=rows_of(table["user_id"], user_ids).astype(np.int64),
            items=rows_of(table["item_id"], item_ids).astype(np.int64),
            positive=positive,
            label=table["label"].to_numpy() > 0 if "label" in table.column_names else positive,
            n_items=len(item_ids),
        )

    def users_held_out(self, inputs: Signature, max_users: int | None, seed: int) -> HeldOut:
        """One request for each user with a positive, in the context of the user's first positive.

        Args:
            inputs: the inputs of the graph. Context columns among them are taken from the interaction.
            max_users: draw this many users with ``seed`` if there are more.

        Raises:
            DataError: if no user has a positive.
        """
        positives = np.flatnonzero(self.positive)
        if not len(positives):
            raise DataError("interactions: the test part holds no positive, so there is nothing to evaluate")
        users, first = np.unique(self.users[positives], return_index=True)
        drawn = draw(len(users), max_users, seed)
        users, first = users[drawn], first[drawn]
        taken = positives[np.isin(self.users[positives], users)]
        cells = (np.ones(len(taken), bool), (np.searchsorted(users, self.users[taken]), self.items[taken]))
        relevant = csr_matrix(cells, shape=(len(users), self.n_items), dtype=bool)
        return HeldOut(self._columns(positives[first], inputs), users, relevant, positives[first])

    def impressions(
        self, inputs: Signature, max_users: int | None, seed: int
    ) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
        """One request for each interaction of the test users, and the numbers of these interactions, int64 [M].

        The item that was shown is the request's ``candidate_rows`` int64 [M, 1].
        """
        users = np.unique(self.users)
        chosen = np.flatnonzero(np.isin(self.users, users[draw(len(users), max_users, seed)]))
        chosen = chosen[np.argsort(self.users[chosen], kind="stable")]
        shown = {"candidate_rows": self.items[chosen][:, None]}
        return self._columns(chosen, inputs) | shown, chosen

    def _columns(self, at: NDArray[np.int64], inputs: Signature) -> dict[str, NDArray[Any]]:
        part = self.table.take(at)
        names = [name for name in self.table.column_names if name in inputs]
        return {name: raw_array(part[name]).astype(inputs[name].dtype)[:, None] for name in names}


def draw(count: int, most: int | None, seed: int) -> NDArray[np.int64]:
    """The numbers from 0 to count - 1, or ``most`` of them drawn at random, in ascending order."""
    if most is None or most >= count:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))
