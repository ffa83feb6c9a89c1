"""The metrics of the retriever, the cascade, the ranker and the baselines, with their intervals."""

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
from .ranking import LOWER, RankedRows, ranking_metrics
from .ranking_lists import (
    LIST,
    Rows,
    coverage,
    list_values,
    means,
    retrieval_values,
)

RETRIEVERS = ("retrieval", "served_retrieval")
"""The retriever by exact search, and the candidates of the served graph, of which there are ``serving.ann.topk``."""
OURS = (*RETRIEVERS, "cascade")
LEAK_CHECK = "recsys_label_leak_check"


def measure_methods(
    ranked: Mapping[str, Rows | str],
    rows: RankedRows,
    relevant: csr_matrix,
    bootstrap: Bootstrap,
    more: Sequence[str] = (),
    calibrated: bool = True,
) -> dict[str, Any]:
    """Sections of metrics.json: those of `OURS`, ``baselines``, ``ranking``, ``intervals``, ``differences``.

    Args:
        ranked: each of `OURS` and each baseline -> item rows [U, R], or why a baseline was left out.
        rows: what the ranker is measured on.
        relevant: bool [U, n_items].
        more: registered metrics to compute in addition to the built-in ones.
        calibrated: whether the score is the probability of a positive. That of several labels is a mean of their
            probabilities, so its log-loss and ECE would say nothing; they are None.
    """
    measured = {name: lists for name, lists in ranked.items() if not isinstance(lists, str)}
    values = {name: user_values(name, lists, relevant, more) for name, lists in measured.items()}
    shown: dict[str, dict[str, Any]] = {
        name: means(values[name]) | _coverage(name, lists, relevant) for name, lists in measured.items()
    }
    shown |= {name: {"skipped": why} for name, why in ranked.items() if isinstance(why, str)}
    intervals = {name: list_intervals(each, bootstrap) for name, each in values.items()}
    ranking = ranking_metrics(rows)
    if not calibrated:
        ranking |= dict.fromkeys(LOWER)
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
    """Metrics of each user: those of retrieval, those of the cascade's list, and both of a baseline."""
    of_retrieval = {} if name == "cascade" else retrieval_values(ranked, relevant)
    return of_retrieval | ({} if name in RETRIEVERS else list_values(ranked, relevant, more))


def _coverage(name: str, ranked: Rows, relevant: csr_matrix) -> dict[str, float]:
    return {} if name in RETRIEVERS else coverage(ranked, relevant.shape[1])


def nested(methods: Mapping[str, Any]) -> dict[str, Any]:
    """Each of `OURS`, and all other methods under ``baselines``."""
    ours = {name: methods[name] for name in OURS if name in methods}
    return ours | {"baselines": {name: each for name, each in methods.items() if name not in ours}}


def recsys(results: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, float | None]:
    """The metrics of the ranker and of the cascade's list, under the names that dashboards use.

    Args:
        data: metrics of the data artifact, which include the leak check.
    """
    ranking = {f"recsys_{name}": results["ranking"][name] for name in ("auc", "gauc", "ece")}
    lists = {f"recsys_{name}@{LIST}": results["cascade"][f"{name}@{LIST}"] for name in ("ndcg", "map", "mrr")}
    return ranking | lists | {LEAK_CHECK: data.get(LEAK_CHECK)}
