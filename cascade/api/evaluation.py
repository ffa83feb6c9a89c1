"""A release measured on interactions that happened."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import ConfigError, DataError
from .arguments import expect, expect_positive
from .batches import run_in_batches
from .frames import to_arrow
from .locate import RUNS, features_of

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from scipy.sparse import csr_matrix

    from ..ensemble.graph.executor import Executor
    from ..evaluation.bootstrap import Interval
    from .frames import Table
    from .release import Release

BUILT_IN = ("recall", "ndcg", "map", "mrr")
KEPT = ("ranked_rows", "seen_rows", "known_user")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluation:
    """Metrics of the lists that a release answers with, and what they were measured on."""

    metrics: dict[str, float]
    """``recall@10``, ``ndcg@10``, ``map@10``, ``mrr@10``: means over users. ``coverage@10``: share of the catalogue in
    any of the lists. And the further metrics that were asked for."""
    intervals: dict[str, tuple[float, float]]
    """95 % intervals of the means, by bootstrap over users."""
    users: int
    """Users that the metrics are means over: those with at least one item to find."""
    users_without_relevant: int
    """Users left out, because none of their positives is an item to find."""
    unknown_users: int
    """Users among ``users`` whom the feature store does not know."""
    relevant: int
    """Pairs of a user and an item to find."""
    already_seen: int
    """Pairs left out, because the served graph never shows the user that item: it is in the user's history, or was
    rejected."""
    unknown_items: int
    """Pairs left out, because the release does not hold the item."""

    def to_frame(self) -> pd.DataFrame:
        """A row for each metric: metric, value, low, high (the interval, missing where there is none)."""
        import pandas as pd

        none = (float("nan"), float("nan"))
        rows = [(name, value, *self.intervals.get(name, none)) for name, value in self.metrics.items()]
        return pd.DataFrame(rows, columns=["metric", "value", "low", "high"])


def evaluate(
    release: Release,
    table: Table,
    k: int = 10,
    *,
    metrics: str | Sequence[str] = (),
    replicates: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Measure the lists of a release on interactions that it was not trained on.

    Each user is asked for once, at temperature 0, with the context of the first of the user's positives. Items to find
    are all positives of the user, with two exceptions, which are counted and left out: items that the release does not
    hold, and items that the served graph drops because the user has seen them. A user with nothing to find is left out
    as well.

    Users are as they were before the test part of the release's data: they are read from its features artifact in
    ``runs``, so what has been pushed since does not count. Without the artifact they are read from the live feature
    store, which a warning says.

    Args:
        release: from `open_release`.
        table: user_id and item_id; optionally ``label`` (1 or true is a positive; without it every row is one),
            ``timestamp`` (orders a user's rows; without it their order does) and context columns. Other columns are
            ignored.
        k: length of the lists, at most ``serving.ann.topk``.
        metrics: one name or several of registered metrics to compute beside the built-in ones.
        replicates: bootstrap samples of the users behind the intervals.
        seed: of the bootstrap.

    Raises:
        ConfigError: an argument has another type, or ``k`` or ``replicates`` is not positive.
        DataError: a column is missing, a label is no number, no row is positive, or nothing is left to find; the
            message says why. Also if every list is empty, because nothing reaches ``serving.thresholds.min_score``.
        RequestError: k is larger than the release allows.

    Example:
        >>> held_out = interactions[interactions["timestamp"] >= cut]
        >>> cascade.evaluate(release, held_out, k=10).to_frame()
    """
    from ..evaluation.bootstrap import Bootstrap
    from ..evaluation.list_metrics import metric_values
    from ..models.metrics import find_hits

    expect_positive("k", k)
    expect_positive("replicates", replicates)
    expect("metrics", metrics, Collection, "the name of a metric or a list of names")
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    for name in names:
        expect("metrics", name, str, "the name of a metric or a list of names")
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise ConfigError(f"seed: expected an integer from 0 on, got {seed!r:.60}")
    if not hasattr(release, "run"):
        raise ConfigError(f"release: expected what cascade.open_release gives, got {release!r}")
    positives = _positives(to_arrow(table, "table"))
    asked = _Asked.of(release, positives)
    answer = run_in_batches(_before_test(release), asked.request(release, positives, k), KEPT)
    relevant, already_seen = _without_seen(asked.relevant, answer["seen_rows"])
    measured = np.diff(relevant.indptr) > 0
    if not measured.any():
        raise DataError(
            f"table: nothing is left to find for any of {len(measured)} users: of their {asked.pairs} positives the "
            f"release does not hold {asked.unknown_items}, and {already_seen} are items that the user had seen "
            "before, which the release does not show; with serving.seen: keep it would"
        )
    ranked = answer["ranked_rows"][measured]
    if (ranked < 0).all():
        raise DataError(
            f"table: the lists of all {len(ranked)} users are empty, because nothing reaches the release's "
            "serving.thresholds.min_score; lower it and export again"
        )
    if 2 * already_seen > asked.pairs:
        log.warning("%d of %d positives are items that the user had seen before; left out", already_seen, asked.pairs)
    hits, counts = find_hits(ranked, relevant[measured])
    values = {f"{name}@{k}": metric_values(name, hits, counts, k) for name in (*BUILT_IN, *names)}
    intervals = Bootstrap(replicates, seed).means(np.stack(list(values.values()), axis=1))
    return Evaluation(
        metrics={name: float(each.mean()) for name, each in values.items()}
        | {f"coverage@{k}": float((np.unique(ranked) >= 0).sum() / relevant.shape[1])},
        intervals=dict[str, "Interval"](zip(values, intervals, strict=True)),
        users=int(measured.sum()),
        users_without_relevant=int((~measured).sum()),
        unknown_users=int((~answer["known_user"][measured, 0]).sum()),
        relevant=int(relevant.nnz),
        already_seen=already_seen,
        unknown_items=asked.unknown_items,
    )


def _before_test(release: Release) -> Executor:
    """The graph with users as they were before the test part; as it is served if the features artifact is not here."""
    from ..evaluation.served_graph import before_test

    features = features_of(release.info, release._folder)
    if features is not None:
        return before_test(release.executor, features)
    log.warning(
        "release %s: its features artifact is not in %s/features, so users are read from the live feature store, which "
        "holds the test part too and may hold events of the table; evaluate in the folder of the run",
        release.id,
        RUNS,
    )
    return release.executor


@dataclass(frozen=True)
class _Asked:
    """U users, each with the row of its first positive, and the items to find, known ones only."""

    first: NDArray[np.int64]
    relevant: csr_matrix
    """bool [U, n_items]."""
    pairs: int
    unknown_items: int

    @classmethod
    def of(cls, release: Release, positives: pa.Table) -> _Asked:
        from scipy.sparse import csr_matrix

        users = release.ids("user_id", positives["user_id"])
        items = release.ids("item_id", positives["item_id"])
        number: dict[Any, int] = {}
        user = np.array([number.setdefault(one, len(number)) for one in users.tolist()], np.int64)
        first = np.unique(user, return_index=True)[1]
        rows = {item: row for row, item in enumerate(release.items.tolist())}
        item = np.array([rows.get(one, -1) for one in items.tolist()], np.int64)
        known, shape = item >= 0, (len(number), len(rows))
        relevant = csr_matrix((np.ones(int(known.sum()), bool), (user[known], item[known])), shape=shape, dtype=bool)
        pairs = len(set(zip(user.tolist(), items.tolist(), strict=True)))
        return cls(first, relevant, pairs, pairs - int(relevant.nnz))

    def request(self, release: Release, positives: pa.Table, k: int) -> dict[str, NDArray[Any]]:
        """The columns of the request, each user's context from its first positive."""
        names = ["user_id", *(name for name in release.context_columns if name in positives.column_names)]
        part = positives.select(names).take(self.first)
        return release.request(part, top_k=k, temperature=0.0, seed=0)


def _positives(table: pa.Table) -> pa.Table:
    """The positive rows, in order of time where there is a timestamp.

    Raises:
        DataError: user_id or item_id is missing, a label is no number, or no row is positive.
    """
    import pyarrow.compute as pc

    for name in ("user_id", "item_id"):
        if name not in table.column_names:
            raise DataError(f"table: no column {name}; it has {', '.join(table.column_names) or 'none'}")
    if "label" in table.column_names:
        table = table.filter(pc.equal(_label(table["label"]), 1))
    if not table.num_rows:
        raise DataError("table: no row is positive (label == 1), so there is nothing to find")
    if "timestamp" in table.column_names:
        table = table.take(np.argsort(table["timestamp"].to_numpy(), kind="stable"))
    return table


def _label(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The labels as numbers; true is 1."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_boolean(kind):
        return column.cast(pa.int8())
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
    if not any(test(kind) for test in tests):
        raise DataError(f"table: label: expected numbers or booleans, 1 or true for a positive, got {kind}")
    return column


def _without_seen(relevant: csr_matrix, seen_rows: NDArray[np.int64]) -> tuple[csr_matrix, int]:
    """``relevant`` [U, n_items] without what the graph will not show, and how many pairs that is."""
    from ..evaluation.ranking_lists import membership

    left = (relevant > (relevant.multiply(membership(seen_rows, relevant.shape[1])))).tocsr()
    return left, int(relevant.nnz - left.nnz)
