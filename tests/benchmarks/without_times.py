"""A log without times, sorted by item: is the retriever at least as good as the best of iALS, EASE and ItemKNN?

Run it from the repository's root: ``.venv/bin/python tests/benchmarks/without_times.py FOLDER``. Of each user, a random
tenth of the items is the test part and another tenth the validation part. The config has ``data`` and ``schema.sparse``
alone. Exits with 1 if the retriever is below a baseline in recall@20 or NDCG@20 of the test part.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from cascade.config.load import config_with_origins
from cascade.core.text_table import table
from cascade.pipeline.stages import run

BASELINES = ("ials", "ease", "item_knn")
METRICS = ("recall@20", "ndcg@20")


def prepare(folder, out, least, shuffle):
    """Write the tables without times, with a column ``split``; ``least`` is the least rating of a positive."""
    out.mkdir(parents=True, exist_ok=True)
    log = pd.read_parquet(folder / "interactions.parquet")
    if least is not None:
        log = log[log["rating"] >= least]
    log = log[["user_id", "item_id"]].drop_duplicates().sort_values(["item_id", "user_id"], ignore_index=True)
    place = pd.Series(np.random.default_rng(0).random(len(log))).groupby(log["user_id"]).rank(method="first") - 1
    held_out = (log.groupby("user_id")["item_id"].transform("size") / 10).round().clip(lower=1)
    log["split"] = np.select([place < held_out, place < 2 * held_out], ["test", "valid"], "train")
    if shuffle:
        log = log.sample(frac=1, random_state=1)
    log.to_parquet(out / "interactions.parquet")
    for name in ("users", "items"):
        pd.read_parquet(folder / f"{name}.parquet").to_parquet(out / f"{name}.parquet")


def measure(work, sets):
    """The metrics of the retriever and of the baselines on the test part, by method."""
    config = {
        "data": {"source": "tables", "path": str(work / "data"), "split": {"by": "column"}},
        "schema": {"sparse": ["user_id", "item_id"]},
        "feature_store": {"repo": str(work / "features")},
        "export": {"repository": str(work / "models")},
    }
    (work / "config.yaml").write_text(yaml.safe_dump(config))
    merged, _ = config_with_origins(work / "config.yaml", sets)
    found = run(merged, work / "runs")["evaluation"].metrics
    return {"retriever": found["retrieval"], **{name: found["baselines"][name] for name in BASELINES}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="interactions.parquet, users.parquet and items.parquet")
    parser.add_argument("--least", type=float, help="least rating of a positive; the others are left out")
    parser.add_argument("--shuffle", action="store_true", help="shuffle the rows instead of sorting them by item")
    parser.add_argument("--work", type=Path, help="where to keep what is computed; default: nowhere")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a config key")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        prepare(options.folder, work / "data", options.least, options.shuffle)
        found = measure(work, options.set)
    print(table(["", *METRICS], [[name, *(f"{own[metric]:.4f}" for metric in METRICS)] for name, own in found.items()]))
    return int(any(found["retriever"][metric] < max(found[name][metric] for name in BASELINES) for metric in METRICS))


if __name__ == "__main__":
    sys.exit(main())
