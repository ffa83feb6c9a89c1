"""All figures of an evaluation, with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scipy.sparse import csr_matrix

from .bootstrap import Bootstrap
from .intervals import (
    UserValues,
    differences,
    list_intervals,
    ranking_intervals,
)
from .ranking import RankedRows, ranking_metrics
from .ranking_lists import (
    LIST,
    Rows,
    coverage,
    list_values,
    means,
    retrieval_values,
)

LEAK_CHECK = "recsys_label_leak_check"


def measure_methods(
    ranked: Mapping[str, Rows | str],
    rows: RankedRows,
    relevant: csr_matrix,
    bootstrap: Bootstrap,
    more: Sequence[str] = (),
) -> dict[str, Any]:
    """``retrieval``, ``cascade`` and ``baselines``; ``ranking``; ``intervals`` of all of these, and ``differences``.

    Args:
        ranked: ``retrieval``, ``cascade`` and the baselines: item rows [U, R], or why a baseline was left out.
        rows: what the ranker is measured on.
        relevant: [U, n_items].
        more: registered metrics to compute beside the built-in ones.
    """
    there = {name: lists for name, lists in ranked.items() if not isinstance(lists, str)}
    values = {name: user_values(name, lists, relevant, more) for name, lists in there.items()}
    shown: dict[str, dict[str, Any]] = {
        name: means(values[name]) | _coverage(name, lists, relevant) for name, lists in there.items()
    }
    shown |= {name: {"skipped": why} for name, why in ranked.items() if isinstance(why, str)}
    intervals = {name: list_intervals(each, bootstrap) for name, each in values.items()}
    ranking = ranking_metrics(rows)
    return {
        **nested(shown),
        "ranking": ranking,
        "intervals": {
            "level": bootstrap.level,
            "replicates": bootstrap.replicates,
            **nested(intervals),
            "ranking": ranking_intervals(rows, ranking, bootstrap),
        },
        "differences": differences(values, bootstrap),
    }


def user_values(name: str, ranked: Rows, relevant: csr_matrix, more: Sequence[str] = ()) -> UserValues:
    """What a method is measured in: the retriever as one, the cascade by its list, a baseline as both."""
    of_retrieval = {} if name == "cascade" else retrieval_values(ranked, relevant)
    return of_retrieval | ({} if name == "retrieval" else list_values(ranked, relevant, more))


def _coverage(name: str, ranked: Rows, relevant: csr_matrix) -> dict[str, float]:
    return {} if name == "retrieval" else coverage(ranked, relevant.shape[1])


def nested(methods: Mapping[str, Any]) -> dict[str, Any]:
    """``retrieval``, ``cascade``, and all others under ``baselines``."""
    ours = {name: methods[name] for name in ("retrieval", "cascade")}
    return ours | {"baselines": {name: each for name, each in methods.items() if name not in ours}}


def recsys(results: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, float | None]:
    """The figures under the names by which dashboards know them: the ranker's, and those of the cascade's list.

    Args:
        data: metrics of the data artifact, which the leak check is among.
    """
    ranking = {f"recsys_{name}": results["ranking"][name] for name in ("auc", "gauc", "ece")}
    lists = {f"recsys_{name}@{LIST}": results["cascade"][f"{name}@{LIST}"] for name in ("ndcg", "map", "mrr")}
    return ranking | lists | {LEAK_CHECK: data.get(LEAK_CHECK)}
