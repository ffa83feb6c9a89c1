"""Measure the recall of items that are not in training, for different item features: ids only, attributes, titles.

Run it from the repository's root on a folder of tables such as MovieLens 1M's: ``.venv/bin/python
tests/benchmarks/new_items.py FOLDER --runs runs``. A random tenth of the items is held out entirely (``data.split.by:
new_items``). A retriever is trained for each set of item features and each share of hidden ids, all on the same ETL.
"Warm" columns are of the validation part, whose items are in training.
"""

import argparse
import dataclasses
import itertools
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from cascade.config.load import config_with_origins
from cascade.core.features import FeatureSchema
from cascade.core.text_table import table
from cascade.evaluation.bootstrap import Bootstrap
from cascade.evaluation.new_items import Retrieval, measure_new_items
from cascade.evaluation.retrieval import exact_top
from cascade.models.layers.feature_gather import Lookup
from cascade.models.retriever.encode import encode_items, encode_users
from cascade.models.retriever.full_ranks import rank_metrics
from cascade.models.retriever.training import train, valid_ranks
from cascade.models.retriever.user_items import user_items
from cascade.models.training.rows import Events
from cascade.pipeline.stages import run
from cascade.workflows.etl.tensors import Tensors

HEAD = ["item features", "hidden ids", "new alone R@10", "R@100", "N@10", "all R@100", "warm R@100", "warm N@10", "s"]


def keep(tensors, item_features):
    """The etl artifact with only the id and ``item_features`` as features of the items."""
    names = ["item_id", *item_features]
    schema = FeatureSchema(tuple(f for f in tensors.schema if f.side != "item" or f.name in names))
    return dataclasses.replace(tensors, schema=schema, items={name: tensors.items[name] for name in names})


def requests(tensors, users):
    """A request of each of ``users`` with the history that the feature store has, which ends before the test part."""
    parts = [tensors.interactions(split) for split in ("train", "valid")]
    known = sum(np.bincount(part.user_row[part.positive], minlength=len(tensors.user_ids)) for part in parts)
    every = parts[0].history
    past = replace(every, user_row=users, end=every.positives.first[users] + known[users])
    nothing = np.zeros(len(users))
    return Events(users, nothing.astype(np.int32), nothing.astype(np.float32), {"history": past})


def learned(tensors, config):
    start, shape = time.monotonic(), (len(tensors.user_ids), len(tensors.item_ids))
    with tempfile.TemporaryDirectory() as folder:
        model, _ = train(tensors, config, Path(folder))
    lookup, known = Lookup(tensors), [tensors.interactions(split) for split in ("train", "valid")]
    warm = rank_metrics(valid_ranks(model, lookup, Events.positives(known[1]), user_items(known[0], shape)))
    test = tensors.interactions("test")
    relevant = user_items(Events.positives(test), shape)
    users = np.flatnonzero(np.diff(relevant.indptr)).astype(np.int32)
    seen = (user_items(known[0], shape) + user_items(known[1], shape)).tocsr()[users]
    queries, vectors = encode_users(model, lookup, requests(tensors, users)), encode_items(model, lookup, shape[1])
    retrieval = Retrieval(queries, vectors, seen, exact_top(queries, vectors, seen, 100, 256))
    found = measure_new_items(tensors.item_counts, relevant[users], retrieval, None, Bootstrap(200), 256)
    return found, warm, time.monotonic() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="interactions, users and items as tables")
    parser.add_argument("--config", type=Path, default=Path("examples/ml-1m.yaml"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--text", default="title", help="items column of text")
    parser.add_argument("--hidden", type=float, nargs="+", default=[0.0, 0.1])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a config key")
    options = parser.parse_args()
    own = [f"data.path={options.folder.resolve()}", "data.split.by=new_items", f"schema.text=[{options.text}]"]
    config, _ = config_with_origins(options.config, [*own, *options.set])
    tensors = Tensors.load(run(config, options.runs, only=["etl"])["etl"].path)
    others = [f.name for f in tensors.schema.side("item") if f.name not in ("item_id", options.text)]
    rows = []
    for share, features in itertools.product(options.hidden, ([], others, [*others, options.text])):
        tower = config.two_tower.item_tower
        dims = {name: dim for name, dim in tower.emb_dims.items() if name in ("item_id", *features)}
        own_tower = tower.model_copy(update={"emb_dims": dims})
        section = config.two_tower.model_copy(update={"item_tower": own_tower, "item_id_dropout": share})
        found, warm, took = learned(keep(tensors, features), section)
        among = found["among_new"]
        figures = [among["recall@10"], among["recall@100"], among["ndcg@10"], found["whole_catalogue"]["recall@100"]]
        row = [", ".join(["id", *features]), share, *figures, warm["recall@100"], warm["ndcg@10"], took]
        rows.append(row)
        print(row, found["intervals"]["among_new"]["recall@100"], flush=True)
    chance = found["chance"]
    rows.append(["random order", None, chance["recall@10"], chance["recall@100"], chance["ndcg@10"], *[None] * 4])
    print(f"{found['items']} new items, {found['users']} users, {found['positives']} positives")
    print(table(HEAD, rows))


if __name__ == "__main__":
    main()
