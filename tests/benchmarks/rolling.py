"""Evaluate a config on earlier parts of an impression log, to choose its settings without the final test part.

Run it from the repository's root: ``.venv/bin/python tests/benchmarks/rolling.py FOLDER -c examples/kuairand.yaml``.
For each share, the log is cut off at that point in time, and the whole pipeline runs on the rest with its own split
into training, validation and test part (rolling origin; Tashman, "Out-of-sample tests of forecasting accuracy", 2000).
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from cascade.config.load import config_with_origins
from cascade.core.text_table import table
from cascade.pipeline.stages import run

READ = {".parquet": pd.read_parquet, ".csv": pd.read_csv}


def earlier(folder, share, out):
    """Copy the tables of ``folder`` to ``out`` with only the earliest ``share`` of the interactions."""
    out.mkdir()
    for path in folder.iterdir():
        if path.stem != "interactions":
            shutil.copy(path, out)
        else:
            log = READ[path.suffix](path).sort_values("timestamp", kind="stable")
            log.iloc[: int(share * len(log))].to_parquet(out / "interactions.parquet")


def aucs(config, sets, work):
    """Label -> the ranker's AUC on the test part, and its difference from LightGBM's."""
    own = [f"data.path={work}/data", f"export.repository={work}/models", f"feature_store.repo={work}/features"]
    merged, _ = config_with_origins(config, [*own, *sets])
    found = run(merged, work / "runs")["evaluation"].metrics["impressions"]
    return {
        label: (own["methods"]["ranker"]["auc"], own["differences"]["ranker - lightgbm"]["auc"]["value"])
        for label, own in found.items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="interactions, users and items as tables")
    parser.add_argument("-c", "--config", type=Path, default=Path("examples/kuairand.yaml"))
    parser.add_argument("--shares", type=float, nargs="+", default=[0.6, 0.7, 0.8, 0.9])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a config key")
    options = parser.parse_args()
    rows, differences = [], []
    for share in options.shares:
        with tempfile.TemporaryDirectory() as work:
            earlier(options.folder, share, Path(work, "data"))
            found = aucs(options.config, options.set, Path(work))
        differences.append([difference for _, difference in found.values()])
        rows.append([f"{share:.0%}", *(f"{auc:.4f} ({difference:+.4f})" for auc, difference in found.values())])
        print(*rows[-1], flush=True)
    rows.append(["mean", *(f"({mean:+.4f})" for mean in np.mean(differences, axis=0))])
    print(table(["log up to", *found], rows))


if __name__ == "__main__":
    main()
