"""Tune the baselines of the evaluation on an etl artifact, and compare their defaults with what was chosen.

Run it from the repository's root: ``.venv/bin/python tests/benchmarks/baselines.py runs/etl/<key>``. Nothing is trained
but the baselines. Figures are of the test part: choose no setting by them.
"""

import argparse
import logging
import time
from pathlib import Path

import numpy as np

from cascade.core.text_table import table
from cascade.evaluation.baselines.factorization_machine import factorization_logits
from cascade.evaluation.baselines.labelled import Labelled
from cascade.evaluation.baselines.past import Past
from cascade.evaluation.baselines.top_n import BASELINES, METHODS, rank_baselines, tune_baselines
from cascade.evaluation.baselines.trees import tree_logits
from cascade.evaluation.baselines.tuning import Choice, Tuner
from cascade.evaluation.ranking import RankedRows, ranking_metrics
from cascade.evaluation.ranking_lists import means, retrieval_values
from cascade.models.ranker.heads import targets
from cascade.models.training.rows import Events
from cascade.workflows.etl.tensors import Tensors

PREDICT = {"lightgbm": tree_logits, "factorization_machine": factorization_logits}
SHOWN = ("recall@10", "recall@20", "recall@100", "ndcg@10", "ndcg@20")


def lists(tensors, names, tuner):
    """A row for each of the baselines that rank the catalogue, with its default and as it was tuned."""
    past, test = Past.read(tensors), Past.read(tensors, ["test"])
    users = np.unique(test.sequences.users).astype(np.int64)
    relevant, seen = test.matrix[users].astype(bool), past.matrix[users].astype(bool)
    tuned = tune_baselines(names, tensors, tuner)
    for name in (name for name in names if name in tuned):
        popular = {"popularity": tuned["popularity"]}
        for how, choice in (("default", Choice(METHODS[name].default)), ("tuned", tuned[name])):
            start = time.monotonic()
            ranked = rank_baselines(past, popular | {name: choice}, users, seen, 200, [name])[name]
            found = means(retrieval_values(ranked, relevant))
            yield [name, how, *(found[metric] for metric in SHOWN), time.monotonic() - start]


def impressions(tensors, names, label, tuner):
    """A row for each of the baselines that predict logged impressions."""
    train, valid, test = (Events.of(tensors.interactions(split)) for split in ("train", "valid", "test"))
    labels = [targets(part, [label])[:, 0] for part in (train, valid, test)]
    for name in names:
        start = time.monotonic()
        made = PREDICT[name](tensors, Labelled(train, labels[0]), Labelled(valid, labels[1]), [test], tuner, label)
        rows = RankedRows(made.others[0], labels[2] > 0, test.user_row, test.item_row, np.arange(len(test)))
        yield [name, str(made.choice.setting), *ranking_metrics(rows, name).values(), time.monotonic() - start]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("etl", type=Path, help="folder of an etl artifact")
    parser.add_argument("--names", nargs="+", default=BASELINES, choices=[*BASELINES, *PREDICT])
    parser.add_argument("--label", default="label", help="of the logged impressions")
    parser.add_argument("--seconds", type=float, default=20, help="evaluation.tuning_seconds")
    options = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("cascade").setLevel(logging.INFO)
    tensors, tuner = Tensors.load(options.etl), Tuner(seconds=options.seconds)
    if catalogue := [name for name in options.names if name in METHODS]:
        print(table(["", "", *SHOWN, "s"], [*lists(tensors, catalogue, tuner)]))
    if logged := [name for name in options.names if name in PREDICT]:
        print(
            table(["", "", "auc", "gauc", "logloss", "ece", "s"], [*impressions(tensors, logged, options.label, tuner)])
        )


if __name__ == "__main__":
    main()
