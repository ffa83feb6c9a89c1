"""Train every loss with every sampling on MovieLens 100k, and rank the validation part's positives.

Run it from the repository's root: ``.venv/bin/cascade run --only etl && .venv/bin/python tests/benchmarks/losses.py``;
``--set two_tower.negatives.share=1`` and the like try other settings. The exit code is 1 if a combination is not
better than popularity.
"""

import argparse
import itertools
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from cascade.config import load_config
from cascade.models.events import Events
from cascade.models.lookup import Lookup
from cascade.models.ranks import full_ndcg, rank_metrics, seen_matrix, target_ranks
from cascade.models.two_tower_training import train, valid_ranks
from cascade.show import table
from cascade.stages import find
from cascade.workflows.tensors import Tensors

LOSSES, SAMPLINGS = ("bpr", "softmax", "sampled_softmax"), ("in_batch", "mixed", "hard")
EPOCHS = 2


def quality(ranks):
    found = rank_metrics(ranks)
    return [float((ranks < 10).mean()), found["recall@100"], found["ndcg@10"], full_ndcg(ranks)]


def popularity_ranks(tensors, events, seen):
    counts = tensors.item_counts.astype(np.float32)
    return target_ranks(np.ones((len(events), 1), np.float32), counts[:, None], events, seen)


def learned(tensors, events, seen, config):
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        model, found = train(tensors, config, Path(folder))
    took = time.monotonic() - start
    ranks = valid_ranks(model, Lookup(tensors), events, seen)
    return [*quality(ranks), found.hard_share, found.temperature, took]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a config key")
    parser.add_argument("--losses", nargs="+", default=LOSSES, choices=LOSSES)
    parser.add_argument("--samplings", nargs="+", default=SAMPLINGS, choices=SAMPLINGS)
    options = parser.parse_args()
    config, _ = load_config(Path("pipeline.yaml"), [f"two_tower.training.epochs={EPOCHS}", *options.set])
    tensors = Tensors.load(find(config, Path("runs"), "etl").path)
    seen = seen_matrix(tensors.interactions("train"), (len(tensors.user_ids), len(tensors.item_ids)))
    events = Events.positives(tensors.interactions("valid"))
    popular = quality(popularity_ranks(tensors, events, seen))
    rows = [["popularity", "", *popular, None, None, None]]
    for loss, sampling in itertools.product(options.losses, options.samplings):
        section = config.two_tower.model_copy(update={"loss": loss, "neg_sampling": sampling})
        rows.append([loss, sampling, *learned(tensors, events, seen, section)])
    head = ["loss", "sampling", "recall@10", "recall@100", "ndcg@10", "ndcg", "hardneg share", "temperature", "s"]
    print(table(head, rows))
    return int(any(row[5] <= popular[3] or not np.isfinite(row[5]) for row in rows[1:]))


if __name__ == "__main__":
    sys.exit(main())
