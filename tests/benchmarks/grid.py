"""Train every combination of loss, sampling and interaction for two epochs, and compare it with popularity.

Run it from the repository's root: ``.venv/bin/python tests/benchmarks/grid.py``. The data is MovieLens 100k, and
metrics are those of its validation part. Models are written to ``runs/``: a retriever is shared by its rankers, and
finished models are reused. ``--losses``, ``--samplings`` and ``--interactions`` select a part of the grid
(``--interactions`` without a value leaves the rankers out), and ``--set two_tower.negatives.share=1`` and the like
override other keys. The exit code is 1 if a metric is NaN or not above that of popularity.

The retriever ranks the whole catalogue. The ranker, fused with the retriever's score as when served, ranks the
retriever's candidates; a relevant item that is not among them counts 0. Popularity does both. gAUC is computed over the
candidates of each request.
"""

import argparse
import itertools
import math
import sys
import time
from pathlib import Path

import numpy as np

from cascade.config.load import config_with_origins
from cascade.core.text_table import table
from cascade.models.layers.feature_gather import Lookup
from cascade.models.metrics import gauc, grouped_auc, target_ndcg, target_recall
from cascade.models.ranker.export import PairColumns
from cascade.models.ranker.model_files import ITEM, PAIR
from cascade.models.ranker.quantize import scores
from cascade.models.ranker.retriever_scores import RetrieverScores
from cascade.models.ranker.rows import CandidateRows
from cascade.models.ranker.stage import retriever
from cascade.models.ranker.training import positive_ranks
from cascade.models.ranker.transition_features import TransitionFeatures
from cascade.models.retriever.full_ranks import full_ranks, rank_metrics
from cascade.models.retriever.stage import load_towers
from cascade.models.retriever.training import valid_ranks
from cascade.models.retriever.user_items import user_items
from cascade.models.training.rows import Events
from cascade.pipeline.stages import run
from cascade.workflows.etl.tensors import Tensors

RUNS = Path("runs")
LOSSES, SAMPLINGS = ("bpr", "softmax", "sampled_softmax"), ("in_batch", "mixed", "hard")
INTERACTIONS = ("dot", "concat", "cross")
EPOCHS = 2
DEFAULTS = [
    "data.split.valid_share=0.9",
    f"two_tower.training.epochs={EPOCHS}",
    f"dlrm_ranker.training.epochs={EPOCHS}",
    "dlrm_ranker.max_events=20000",
]
"""Nine in ten users are validated, for a standard error of recall@10 of about 0.01. The ranker is trained on a fifth of
the positives, to save time."""
OF_RETRIEVER = ("recall@10", "recall@100", "ndcg@10", "ndcg")
OF_RANKER = ("ranked ndcg@10", "gauc")


class Validation:
    """The positives of the validation part, and the items to mask: those that their users have in training."""

    def __init__(self, tensors):
        self.tensors, shape = tensors, (len(tensors.user_ids), len(tensors.item_ids))
        self.events = Events.positives(tensors.interactions("valid"))
        self.seen = user_items(tensors.interactions("train"), shape)

    def popularity(self):
        counts = self.tensors.item_counts.astype(np.float32)[:, None]
        ranks = full_ranks(np.ones((len(self.events), 1), np.float32), counts, self.events, self.seen)
        return of_ranks(ranks)

    def retrieved(self, parts):
        model = load_towers(parts["two_tower"].path, self.tensors, training_part=True)
        return of_ranks(valid_ranks(model, Lookup(self.tensors), self.events, self.seen))

    def ranked(self, parts, config):
        """NDCG@10 and gAUC of the served order, and gAUC of the order by popularity of the same candidates."""
        found = retriever(self.tensors, parts, config.section("serving.ann").topk)
        rows = CandidateRows(self.tensors, found, config.dlrm_ranker).valid(seed=0)
        similarity, ranker = RetrieverScores.of_training_part(parts, self.tensors), parts["ranker"]
        widths = ranker.metrics["split"]["widths"]
        followers = TransitionFeatures.open(ranker.path, config.dlrm_ranker.transitions)
        columns = PairColumns(similarity, self.tensors, ranker.path / ITEM, widths, followers)
        [logits] = scores([ranker.path / PAIR], columns, rows.events, rows.candidates)
        valid = rows.candidates >= 0
        popular, (request, _) = self.tensors.item_counts[rows.candidates][valid], np.nonzero(valid)
        ranks = positive_ranks(np.where(valid, logits, -np.inf), rows.label)
        label, count = rows.label[valid], valid.sum(axis=1)
        own, of_popularity = (
            gauc(grouped_auc(order, label, request, len(count)), count) for order in (logits[valid], popular)
        )
        return [float(target_ndcg(ranks, 10).mean()), own, of_popularity]


def of_ranks(ranks):
    found = rank_metrics(ranks)
    recall, ndcg = (float(values.mean()) for values in (target_recall(ranks, 10), target_ndcg(ranks)))
    return [recall, found["recall@100"], found["ndcg@10"], ndcg]


def main():
    options = parsed()
    rows, failed, popular = [], [], None
    for loss, sampling in itertools.product(options.losses, options.samplings):
        for kind in options.interactions or [None]:
            start = time.monotonic()
            keys = [f"two_tower.loss={loss}", f"two_tower.neg_sampling={sampling}"]
            keys += [f"dlrm_ranker.interactions={kind}"] if kind else []
            config, _ = config_with_origins(Path("pipeline.yaml"), [*DEFAULTS, *keys, *options.set])
            parts = run(config, RUNS, only=["ranker" if kind else "two_tower"])
            valid = Validation(Tensors.load(parts["etl"].path))
            popular = popular or valid.popularity()
            found, bars = valid.retrieved(parts), list(popular)
            if kind:
                *ranked, of_popularity = valid.ranked(parts, config)
                found, bars = [*found, *ranked], [*bars, popular[2], of_popularity]
            bad = [head for head, a, b in zip(OF_RETRIEVER + OF_RANKER, found, bars, strict=False) if not a > b]
            losses = [x for name in ("two_tower", "ranker") if name in parts for x in parts[name].metrics["loss"]]
            bad += [] if all(map(math.isfinite, losses)) else ["loss"]
            failed += [f"{loss} {sampling} {kind}: {', '.join(bad)}"] if bad else []
            hard = parts["two_tower"].metrics["recsys_hardneg_share"]
            rows.append([loss, sampling, kind or "", *found, *([None] * (6 - len(found))), hard])
            print(*rows[-1], f"{time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    head = ["loss", "sampling", "interactions", *OF_RETRIEVER, *OF_RANKER, "hardneg share"]
    print(table(head, [["popularity", "", "", *popular, popular[2], None, None], *rows]))
    print(f"{len(valid.events)} validation events", *[f"not above popularity: {line}" for line in failed], sep="\n")
    return int(bool(failed))


def parsed():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a config key")
    parser.add_argument("--losses", nargs="+", default=LOSSES, choices=LOSSES)
    parser.add_argument("--samplings", nargs="+", default=SAMPLINGS, choices=SAMPLINGS)
    parser.add_argument("--interactions", nargs="*", default=INTERACTIONS, choices=INTERACTIONS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
