"""Measures the ranker on logged impressions, compared with baselines on the same features, for each label.

The settings of the baselines are chosen on the validation part, and their training is stopped by it; then they are
fitted to both parts. On the test part they get the same history of each impression as the served graph.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.artifact import Artifact
from ..models import metrics
from ..models.ranker.heads import shares, targets
from ..models.training.rows import Events
from ..workflows.history.history import Histories
from .baselines.labelled import Labelled
from .bootstrap import Bootstrap
from .config import IMPRESSION_BASELINES
from .intervals import ranking_differences, ranking_draws
from .ranking import RankedRows, ranking_metrics

if TYPE_CHECKING:
    from ..models.config import DlrmConfig
    from ..models.ranker.rows import ValidRows
    from ..workflows.etl.tensors import Tensors
    from .baselines.labelled import Predicted
    from .baselines.tuning import Tuner

log = logging.getLogger(__name__)

RANKER, LABEL = "ranker", "label"
MOST_ROWS = 2_000_000
"""Baselines use at most this many rows of the training part and of the validation part, drawn at random."""
SEED = 42

Logits = NDArray[np.float32]
Fitter = Callable[..., "Predicted"]


@dataclass(frozen=True)
class Logged:
    """The logged impressions of the three parts: to fit on, to stop early on, and to measure on."""

    train: Events
    valid: Events
    test: Events

    @classmethod
    def read(cls, tensors: Tensors, test: Events) -> Logged:
        """The ``test`` impressions, and those of the other parts from the etl artifact."""
        train, valid = (Events.of(tensors.interactions(split)).sample(MOST_ROWS, SEED) for split in ("train", "valid"))
        return cls(train, valid, test)


def events_of_test(tensors: Tensors, rows: NDArray[np.integer[Any]], history: str) -> Events:
    """The test interactions number ``rows`` [M], with the history that ``evaluation.history`` asks for."""
    events = Events.of(tensors.interactions("test")).take(np.asarray(rows, np.int64))
    return events if history == "at_event" else before_test(events, tensors)


def before_test(events: Events, tensors: Tensors) -> Events:
    """The test events with the history that their users had at the beginning of the test part."""
    parts = [tensors.interactions(split) for split in ("train", "valid")]
    positives = np.concatenate([part.user_row[part.positive] for part in parts])
    known = np.bincount(positives, minlength=len(tensors.user_ids))
    of_user = {name: values for name, values in events.moment.items() if isinstance(values, Histories)}
    moved = {name: replace(h, end=h.positives.first[h.user_row] + known[h.user_row]) for name, h in of_user.items()}
    return replace(events, moment={**events.moment, **moved})


def measure_impressions(
    served: RankedRows, logged: Logged, own: Mapping[str, Logits], tensors: Tensors, ranker: Mapping[str, Any],
    names: Collection[str], bootstrap: Bootstrap, tuner: Tuner,
) -> dict[str, Any]:  # fmt: skip
    """The section ``impressions`` of metrics.json.

    Args:
        served: the test impressions, scored by the served graph.
        own: label -> the ranker's logits [M] for it.
        ranker: metrics of the ranker's artifact.
        names: the baselines to measure; those outside ``IMPRESSION_BASELINES`` are ignored.

    Returns:
        Label -> ``methods``: auc, gauc, logloss, ece and valid_auc of each method, the ``intervals`` and
        ``differences`` of these, and the ``tuning`` of the baselines.
    """
    found = {}
    for label, logits in own.items():
        train, valid, test = (targets(part, [label])[:, 0] for part in (logged.train, logged.valid, logged.test))
        valid_auc = ranker.get("valid_auc_of", {}).get(label, ranker.get("valid_fused"))
        scored: dict[str, tuple[Logits, float | None] | str] = {RANKER: (logits, valid_auc)}
        tuning = {}
        for name, fitter in _fitters(names):
            if why := unfit(train, valid):
                scored[name] = why
                continue
            parts = Labelled(logged.train, train), Labelled(logged.valid, valid)
            made = fitter(tensors, *parts, [logged.test], tuner, label)
            scored[name] = made.others[0], metrics.auc(made.valid, valid > 0, name)
            tuning[name] = made.choice.facts()
        rows = {
            name: replace(served, logits=each[0], label=test > 0)
            for name, each in scored.items()
            if not isinstance(each, str)
        }
        found[label] = compare(rows, scored, bootstrap) | {"tuning": tuning}
    return found


def compare(
    rows: Mapping[str, RankedRows], scored: Mapping[str, tuple[Logits, float | None] | str], bootstrap: Bootstrap
) -> dict[str, Any]:
    """The metrics of each method, their intervals, and the differences of the ranker's from those of each baseline."""
    measured = {name: ranking_metrics(each, name) for name, each in rows.items()}
    draws = {name: ranking_draws(each, measured[name], bootstrap) for name, each in rows.items()}
    methods: dict[str, Any] = {
        name: {"skipped": each} if isinstance(each, str) else measured[name] | {"valid_auc": each[1]}
        for name, each in scored.items()
    }
    intervals = {
        name: {m: bootstrap.interval(float(measured[name][m] or 0), values) for m, values in own.items()}
        for name, own in draws.items()
    }
    differences = {
        f"{RANKER} - {name}": ranking_differences(
            (measured[RANKER], draws[RANKER]), (measured[name], draws[name]), bootstrap
        )
        for name in rows
        if name != RANKER
    }
    return {"methods": methods, "intervals": intervals, "differences": differences}


def ranker_logits(
    served: RankedRows, test: Events, tensors: Tensors, parents: Mapping[str, Artifact], config: DlrmConfig
) -> dict[str, Logits]:
    """Label -> logits [M].

    A label with the whole weight has the served logits, if the release orders lists by what predicts impressions best.
    Otherwise, and for other labels, they are computed with the checkpoint.

    Args:
        parents: the artifacts two_tower, index and ranker.
    """
    from ..models.ranker.retriever_scores import RetrieverScores
    from ..models.ranker.rows import ValidRows
    from ..models.ranker.score_fusion import Fusion

    names, ranker = list(config.labels) or [LABEL], parents["ranker"].metrics
    is_served = {name for name, share in zip(names, shares(config.labels), strict=True) if share == 1}
    found = {name: served.logits for name in names}
    own = ranker.get("impression_fusion", ranker["fusion"])
    if set(names) == is_served and own == ranker["fusion"]:
        return found
    rows = ValidRows(test, test.item_row[:, None], test.label[:, None] > 0)
    heads = dict(zip(names, _heads(rows, tensors, parents["ranker"], config).T, strict=True))
    found |= {name: logits for name, logits in heads.items() if name not in is_served}
    if own != ranker["fusion"]:
        cosine = RetrieverScores.served(parents, tensors)(rows)[:, 0]
        found |= {name: Fusion.of(own)(heads[name], cosine) for name in is_served}
    return found


def _heads(rows: ValidRows, tensors: Tensors, artifact: Artifact, config: DlrmConfig) -> Logits:
    """The logits [M, T] of all T heads, computed with the checkpoint."""
    from ..models.layers.feature_gather import Lookup
    from ..models.ranker.stage import load_ranker
    from ..models.ranker.training import score_heads
    from ..models.ranker.transition_features import TransitionFeatures

    dlrm = load_ranker(artifact, config, tensors).dlrm
    lookup = Lookup(tensors, TransitionFeatures.open(artifact.path, config.transitions))
    return score_heads(dlrm, lookup, rows)


def without_impressions(named: Collection[str] | None) -> dict[str, str]:
    """If the ranker was trained on candidates: why the ``named`` baselines that predict impressions are left out."""
    why = "needs logged impressions, but the ranker was trained on candidates (dlrm_ranker.train_on)"
    found: dict[str, str] = {name: why for name in IMPRESSION_BASELINES if name in (named or ())}
    for name in found:
        log.warning("baseline %s skipped: %s", name, why)
    return found


def unfit(train: NDArray[np.float32], valid: NDArray[np.float32]) -> str:
    """Why no model can be fitted on these labels; empty if one can."""
    for name, label in (("training", train), ("validation", valid)):
        if not 0 < label.sum() < len(label):
            return f"the {name} part does not hold both 0 and 1"
    return ""


def _fitters(names: Collection[str]) -> Iterator[tuple[str, Fitter]]:
    from .baselines.factorization_machine import factorization_logits
    from .baselines.trees import tree_logits

    every: Mapping[str, Fitter] = {"lightgbm": tree_logits, "factorization_machine": factorization_logits}
    yield from ((name, every[name]) for name in IMPRESSION_BASELINES if name in names)
