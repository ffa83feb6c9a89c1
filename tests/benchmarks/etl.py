"""Compare the speed of the etl stage with plain pandas code that computes the same, in interactions per second.

Run it from the repository's root on an idle machine: ``.venv/bin/python tests/benchmarks/etl.py``. The data is a
synthetic shop of ``--rows`` interactions, written by the data stage to ``runs/``. The pandas code reads all of it, fits
on the training part (categories; median, mean and standard deviation), transforms every table, computes the histories,
and writes Parquet. Each runs in a separate process, and imports are not timed. Both must give the same result: codes up
to their numbering, numbers up to rounding, and the same histories. The exit code is 1 if they differ.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from cascade.config.load import config_with_origins
from cascade.core.artifact import Artifact
from cascade.pipeline.stages import run
from cascade.workflows.etl.stage import ETL
from cascade.workflows.etl.tensors import Tensors

CONFIG, RUNS = Path("examples/shop.yaml"), Path("runs")
NULL, UNKNOWN, FIRST = 1, 2, 3
"""Codes of a missing value, of a value that is not in the training part, and of the first known one; 0 is padding."""
SPLITS = ("train", "valid", "test")


def ours(config, data, folder):
    """The etl stage."""
    sections = {name: config.section(name) for name in ETL.sections}
    return ETL.run(folder, sections, {"data": Artifact.load(data, "data")}).path


def plain(config, data, folder):
    """Plain pandas."""
    schema, length = config.schema_, config.section("history").length
    frame = pd.read_parquet(data / "interactions")
    users, items = (pd.read_parquet(data / f"{side}.parquet") for side in ("users", "items"))
    train = frame[frame["split"] == "train"]
    known = [(users, users["user_id"].isin(train["user_id"])), (items, items["item_id"].isin(train["item_id"]))]
    users_made, items_made = (transformed(table, table[at], schema) for table, at in known)
    joined = frame.merge(users[["user_id", "geo"]], on="user_id", how="left")
    context = transformed(joined, joined[frame["split"] == "train"], schema, ["device", "session_time", "geo_device"])
    codes = pd.Series(items_made["item_id"].to_numpy(), items["item_id"])
    own = frame["item_id"].map(codes).to_numpy()
    rows = {
        "user_row": frame["user_id"].map(pd.Series(users.index, users["user_id"])).astype("int32"),
        "item_row": frame["item_id"].map(pd.Series(items.index, items["item_id"])).astype("int32"),
        "history": list(histories(frame["user_id"].to_numpy(), own, frame["positive"].to_numpy(), length)),
    }
    made = frame[["timestamp", "positive", "label"]].assign(**context, **rows)
    for split in SPLITS:
        made[frame["split"] == split].to_parquet(folder / f"{split}.parquet", index=False)
    users_made.to_parquet(folder / "users.parquet")
    items_made.to_parquet(folder / "items.parquet")
    return folder


def transformed(table, known, schema, names=None):
    """The features of a table, fitted on the rows ``known``."""
    crosses = {"_".join(columns): columns for columns in schema.crosses}
    found = {}
    for name in names or [n for n in [*schema.dense, *schema.sparse, *crosses] if usable(n, crosses, table)]:
        if name in schema.dense:
            filled, own = (part[name].fillna(known[name].median()) for part in (table, known))
            found[name] = ((filled - own.mean()) / own.std()).astype("float32")
        else:
            values, own = (joined_text(part, crosses.get(name, [name])) for part in (table, known))
            codes = pd.Categorical(values, categories=own.dropna().unique()).codes.astype("int32")
            found[name] = np.where(values.isna(), NULL, np.where(codes < 0, UNKNOWN, codes + FIRST)).astype("int32")
    return pd.DataFrame(found)


def usable(name, crosses, table):
    return all(column in table for column in crosses.get(name, [name]))


def joined_text(table, columns):
    first, *rest = columns
    return table[first].str.cat([table[name] for name in rest], sep="|") if rest else table[first]


def histories(user, code, positive, length):
    """Codes of the user's last positives before each row, most recent first: [n, length]."""
    found = np.zeros((len(user), length), np.int32)
    past, last = [], None
    for at, (who, what, liked) in enumerate(zip(user.tolist(), code.tolist(), positive.tolist(), strict=True)):
        if who != last:
            past, last = [], who
        if past:
            recent = past[: -length - 1 : -1]
            found[at, : len(recent)] = recent
        if liked:
            past.append(what)
    return found


def differences(etl, folder):
    """The names of the columns that differ."""
    tensors, wrong = Tensors.load(etl), []
    for side, tables in (("users", tensors.users), ("items", tensors.items)):
        made = pd.read_parquet(folder / f"{side}.parquet")
        wrong += [name for name, mine in tables.items() if not same(np.asarray(mine)[:, 0], made[name].to_numpy())]
    theirs = pd.read_parquet(folder / "items.parquet")["item_id"].to_numpy()
    number = np.zeros(len(theirs) + FIRST, np.int32)
    number[np.asarray(tensors.items["item_id"])[:, 0]] = theirs
    for split in SPLITS:
        mine, made = tensors.interactions(split), pd.read_parquet(folder / f"{split}.parquet")
        columns = {name: values[:, 0] for name, values in mine.context.items()}
        columns |= {name: getattr(mine, name) for name in ("user_row", "item_row", "timestamp", "positive", "label")}
        wrong += [f"{split}: {name}" for name, own in columns.items() if not same(own, made[name].to_numpy())]
        wrong += [] if (number[mine.history] == np.stack(made["history"])).all() else [f"{split}: history"]
    return wrong


def same(mine, theirs):
    """Whether two columns are equal: numbers up to rounding, codes up to their numbering."""
    if mine.dtype.kind == "f":
        return bool(np.allclose(mine, theirs, rtol=1e-4, atol=1e-4))
    each = [len(np.unique(part)) for part in (mine, theirs)]
    return len(mine) == len(theirs) and each == [len(set(zip(mine.tolist(), theirs.tolist(), strict=True)))] * 2


def measured(rows, name, data, folder):
    """Run one of the two: its seconds, its peak memory in MB, and the folder that it wrote."""
    command = [sys.executable, __file__, "--rows", str(rows), "--only", name, "--data", str(data), "--out", str(folder)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--only", choices=["ours", "plain"], help=argparse.SUPPRESS)
    options.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    options.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = options.parse_args()
    config, _ = config_with_origins(CONFIG, [f"data.synthetic.interactions={options.rows}"])
    if options.only:
        import nvtabular  # noqa: F401

        start = time.perf_counter()
        made = {"ours": ours, "plain": plain}[options.only](config, options.data, options.out)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": time.perf_counter() - start, "mb": peak, "path": str(made)}))
        return 0
    data = run(config, RUNS, only=["data"])["data"].path
    with tempfile.TemporaryDirectory() as folder:
        found = {}
        for name in ("plain", "ours"):
            out = Path(folder) / name
            out.mkdir()
            found[name] = measured(options.rows, name, data, out)
            rate = options.rows / found[name]["seconds"]
            print(f"{name:<6} {rate:>10,.0f} interactions/s, peak {found[name]['mb']:,.0f} MB", flush=True)
        print(f"ratio  {found['plain']['seconds'] / found['ours']['seconds']:.2f}")
        wrong = differences(Path(found["ours"]["path"]), Path(found["plain"]["path"]))
    print("different: " + ", ".join(wrong) if wrong else "both give the same result")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
